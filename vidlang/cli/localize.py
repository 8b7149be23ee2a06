"""``vidlang localize``: when which action happens in a video."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidlang.cli import complete
from vidlang.cli.extract import (
    BatchOption,
    FpsOption,
    FrameRateOption,
    PickOption,
    PrecisionOption,
    StrideOption,
    WorkersOption,
    recipe_changes,
)
from vidlang.cli.help import ANSWER, VIDEOS
from vidlang.cli.options import (
    DeviceOption,
    EncoderOption,
    JsonOption,
    QuietOption,
    VerboseOption,
    WorkspaceOption,
    given,
    options_from,
    with_options,
)
from vidlang.cli.render import TerminalProgress, clock, configure_logging, end_if_failed, print_json, print_table, say
from vidlang.cli.score import (
    CachedOption,
    EmbedOption,
    OverlayOption,
    PlotOption,
    PlotToOption,
    ReportOption,
    SplitOption,
)
from vidlang.core.words import words_of
from vidlang.methods.wtal.proposals import PRESETS as PROPOSAL_PRESETS
from vidlang.methods.wtal.proposals import ProposalOptions

if TYPE_CHECKING:
    from vidlang.workflows.localize import LocalizeReport


class LocalizeBranch(str, Enum):
    cbp = "cbp"
    vlp = "vlp"
    average = "average"
    weighted = "weighted"


ProposalsChoice = Enum("ProposalsChoice", {name: name for name in PROPOSAL_PRESETS}, type=str)  # type: ignore[misc]


CURVES = "Curves"
SEGMENTS = "Segments from curves (defaults of robust)"


def localize(
    paths: Annotated[list[str], typer.Argument(help="Videos, folders, or patterns.", metavar="VIDEO...")],
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="Name or folder of a checkpoint.",
            show_default="the newest",
            metavar="NAME",
            rich_help_panel=CURVES,
            autocompletion=complete.checkpoints,
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Zero-shot: actions to look for, separated by commas.",
            metavar="WORDS",
            show_default=False,
            rich_help_panel=CURVES,
        ),
    ] = None,
    branch: Annotated[
        LocalizeBranch | None,
        typer.Option(
            help="cbp: classification branch, vlp: CLIP branch, average, or weighted by --weight.",
            show_default="cbp; zero-shot: vlp",
            metavar="NAME",
            rich_help_panel=CURVES,
        ),
    ] = None,
    weight: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of cbp where weighted, 0 to 1.", metavar="X", rich_help_panel=CURVES),
    ] = 0.5,
    motion_prior: Annotated[
        float | None,
        typer.Option(
            help="Halve probabilities where frames differ by so many grey levels; less motion, less action (try 1).",
            metavar="LEVELS",
            rich_help_panel=CURVES,
        ),
    ] = None,
    motion: Annotated[
        Path | None,
        typer.Option(
            "--motion-file",
            help="Curves of vidlang diff for --motion-prior, instead of the videos.",
            metavar="FILE.json",
            rich_help_panel=CURVES,
        ),
    ] = None,
    proposals: Annotated[
        ProposalsChoice,  # type: ignore[valid-type]
        typer.Option(
            help="How segments are made from curves: robust, or paper.", metavar="NAME", rich_help_panel=SEGMENTS
        ),
    ] = ProposalsChoice["robust"],
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="Only the videos that this manifest lists; pictures show its truth.",
            metavar="CSV",
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    split: SplitOption = None,
    cached: CachedOption = False,
    top: Annotated[
        int,
        typer.Option(
            min=1,
            help="Segments of each video that are shown, if clear; the files have all.",
            metavar="N",
            rich_help_panel=ANSWER,
        ),
    ] = 5,
    plot: PlotOption = True,
    plot_to: PlotToOption = None,
    report: ReportOption = None,
    embed: EmbedOption = False,
    overlay: OverlayOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results.",
            show_default=".vidlang/results/localize/<time>",
            metavar="DIR",
            rich_help_panel=ANSWER,
        ),
    ] = None,
    encoder: EncoderOption = None,
    stride: StrideOption = None,
    pick: PickOption = None,
    fps: FpsOption = None,
    precision: PrecisionOption = None,
    frame_rate: FrameRateOption = None,
    batch_size: BatchOption = 32,
    workers: WorkersOption = None,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    **changes: Any,
) -> None:
    """Start, end, action and confidence of what happens in videos.

    Uses the newest checkpoint of vidlang train wtal, or finds actions by their names alone with --labels.

    [bold]Examples[/bold]

      vidlang localize video.mp4 --labels "weightlifting,dog walking"

      vidlang localize videos/ --branch average --report out.html
    """
    from vidlang.workflows.extract import ExtractOptions
    from vidlang.workflows.localize import LocalizeOptions
    from vidlang.workflows.localize import localize as run
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    place = open_workspace(workspace)
    answer = run(
        paths,
        place,
        LocalizeOptions(
            checkpoint=checkpoint,
            labels=words_of(labels),
            branch=branch.value if branch else None,  # type: ignore[arg-type]
            weight=weight,
            proposals=str(proposals.value),  # type: ignore[attr-defined]
            changes=given(ProposalOptions, changes),
            motion_prior=motion_prior,
            motion=motion,
            top=top,
            plot=plot,
            plot_to=plot_to,
            report=report,
            embed=embed,
            overlay=overlay,
            device=device or place.settings.device,
            out=out,
            manifest=manifest,
            split=split,
            cached=cached,
        ),
        recipe_changes(encoder=encoder, stride=stride, pick=pick, fps=fps, precision=precision),
        ExtractOptions(batch_size=batch_size, num_workers=workers, frame_rate=frame_rate),
        TerminalProgress(quiet),
    )
    if json:
        print_json(answer.to_dict())
    elif not quiet:
        _show(answer, report)
    end_if_failed(answer, quiet)


def _show(report: LocalizeReport, page: Path | None) -> None:
    if not report.videos:
        return
    for line in report.describe():
        say(line)
    for found in report.videos:
        say("")
        say(f"{found.video.id}  {clock(found.video.duration)}")
        if not found.detections:
            say("  nothing found")
            continue
        rows = [
            [f"{clock(d.segment.start)} - {clock(d.segment.end)}", d.label, d.score] for d in found.clearest(report.top)
        ]
        print_table(["time", "action", "score"], rows)
    say(f"Results in {report.folder}" + (f", page in {page}" if page is not None else ""))


PROPOSALS_PANEL = options_from(ProposalOptions, SEGMENTS)
command = with_options(localize, PROPOSALS_PANEL)
