"""``vidlang localize``: when which action happens in a video."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidlang.cli.diff import MotionFileOption
from vidlang.cli.extract import (
    BatchOption,
    FpsOption,
    FrameRateOption,
    PickOption,
    PrecisionOption,
    StrideOption,
    WorkersOption,
)
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
from vidlang.cli.render import TerminalProgress, clock, configure_logging, print_json, print_table, say, warn
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


def localize(
    paths: Annotated[list[str], typer.Argument(help="Videos, folders, or patterns.", metavar="VIDEO...")],
    checkpoint: Annotated[
        str | None, typer.Option(help="Name or folder of a checkpoint.", show_default="the newest", metavar="NAME")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Zero-shot: actions to look for, separated by commas.", metavar="WORDS", show_default=False),
    ] = None,
    branch: Annotated[
        LocalizeBranch | None,
        typer.Option(
            help="cbp: classification branch, vlp: CLIP branch, average, or weighted by --weight.",
            show_default="cbp; zero-shot: vlp",
            metavar="NAME",
        ),
    ] = None,
    weight: Annotated[float, typer.Option(min=0, max=1, help="Share of cbp where weighted.", metavar="X")] = 0.5,
    proposals: Annotated[
        ProposalsChoice,  # type: ignore[valid-type]
        typer.Option(help="How segments are made from curves: robust, or paper.", metavar="NAME"),
    ] = ProposalsChoice["robust"],
    motion_prior: Annotated[
        float | None,
        typer.Option(
            help="Halve probabilities where frames differ by so many grey levels; less motion, less action (try 1).",
            metavar="LEVELS",
        ),
    ] = None,
    motion: MotionFileOption = None,
    top: Annotated[
        int,
        typer.Option(min=1, help="Segments of each video that are shown, if clear; the files have all.", metavar="N"),
    ] = 5,
    manifest: Annotated[
        Path | None, typer.Option(help="Only the videos that this manifest lists.", metavar="CSV")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Of the manifest, only this split: train, val or test.", metavar="NAME")
    ] = None,
    plot: Annotated[bool, typer.Option("--plot/--no-plot", help="Draw a picture (PNG) of each video.")] = True,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the results.", show_default=".vidlang/results/localize/<time>", metavar="DIR"),
    ] = None,
    cached: Annotated[
        bool, typer.Option("--cached", help="Arguments are ids (or patterns) of cached videos; opens no video.")
    ] = False,
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

      vidlang localize videos/ --branch average --json
    """
    from vidlang.workflows.extract import ExtractOptions
    from vidlang.workflows.localize import LocalizeOptions
    from vidlang.workflows.localize import localize as run
    from vidlang.workflows.recipe import RecipeChanges
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    place = open_workspace(workspace)
    report = run(
        paths,
        place,
        LocalizeOptions(
            checkpoint=checkpoint,
            labels=tuple(word.strip() for word in labels.split(",") if word.strip()) if labels is not None else None,
            branch=branch.value if branch else None,  # type: ignore[arg-type]
            weight=weight,
            proposals=str(proposals.value),  # type: ignore[attr-defined]
            changes=given(ProposalOptions, changes),
            motion_prior=motion_prior,
            motion=motion,
            top=top,
            plot=plot,
            device=device or place.settings.device,
            out=out,
            manifest=manifest,
            split=split,
            cached=cached,
        ),
        RecipeChanges(
            encoder=encoder,
            stride=stride,
            pick=pick and pick.value,
            fps=fps,
            precision=precision and precision.value,
        ),
        ExtractOptions(batch_size=batch_size, num_workers=workers, frame_rate=frame_rate),
        TerminalProgress(quiet),
    )
    if json:
        print_json(report.to_dict())
    elif not quiet:
        _show(report)
    if report.num_failed:
        for outcome in report.outcomes if quiet else ():
            if outcome.error is not None:
                warn(f"failed: {outcome.error}")
        warn(f"{report.num_failed} of {len(report.outcomes)} videos failed.")
        raise typer.Exit(1)


def _show(report: LocalizeReport) -> None:
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
    say(f"Results in {report.folder}")


PROPOSALS_PANEL = options_from(ProposalOptions, "Segments from curves (defaults of robust)")
command = with_options(localize, PROPOSALS_PANEL)
