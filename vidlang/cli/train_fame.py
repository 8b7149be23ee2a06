"""``vidlang train fame``: a video network without labels, and its fine-tuning and linear probe."""

from __future__ import annotations

from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vidlang.cli.extract import WorkersOption
from vidlang.cli.help import VIDEOS
from vidlang.cli.options import (
    DeviceOption,
    DryRunOption,
    JsonOption,
    ManifestOption,
    QuietOption,
    VerboseOption,
    WorkspaceOption,
    given,
    options_from,
)
from vidlang.cli.render import (
    TerminalProgress,
    configure_logging,
    print_json,
    print_table,
    say,
    say_notes,
    show_plan,
)
from vidlang.core.errors import BadInput
from vidlang.methods.fame.config import PRESETS, FameConfig, FinetuneConfig, LinearConfig

if TYPE_CHECKING:
    from vidlang.workflows.recognize_fame import RecognizeOptions
    from vidlang.workflows.train_fame import TrainFameOptions
    from vidlang.workflows.video_networks import TrainFameReport
    from vidlang.workflows.workspace import Workspace

TRAINING = "Training"
NameOption = Annotated[
    str | None,
    typer.Option("--name", help="Name in the registry.", show_default="time", metavar="NAME", rich_help_panel=TRAINING),
]
ResumeOption = Annotated[
    bool,
    typer.Option("--resume", help="Go on with the newest unfinished run (or --name).", rich_help_panel=TRAINING),
]

FamePresetChoice = Enum("FamePresetChoice", {name: name for name in PRESETS}, type=str)  # type: ignore[misc]


def fame(
    videos: Annotated[
        list[Path],
        typer.Argument(help="Videos, folders of videos, or patterns.", metavar="VIDEO...", show_default=False),
    ],
    preset: Annotated[
        FamePresetChoice | None,  # type: ignore[valid-type]
        typer.Option(
            help="small: few videos, no GPU; ucf101, kinetics: as published.",
            show_default="by --arch",
            metavar="NAME",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    finetune: Annotated[
        str | None,
        typer.Option(
            help="Teach this network to name classes instead: name, folder or published file; random: fresh weights.",
            metavar="CHECKPOINT",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    linear: Annotated[
        str | None,
        typer.Option(
            help="The same with all but its last layer frozen: the linear probe.",
            metavar="CHECKPOINT",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Start from this network: name, folder, or published file (.pth.tar, .pth, .safetensors).",
            metavar="CHECKPOINT",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    manifest: ManifestOption = None,
    test_fraction: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=0.9,
            help="Share of the labelled videos to test on, where none is of the split test.",
            metavar="X",
            rich_help_panel=VIDEOS,
        ),
    ] = 0.2,
    name: NameOption = None,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
    workers: WorkersOption = None,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    **changes: Any,
) -> None:
    """FAME: a video network that knows motion, from videos without labels.

    Two windows of a video are told from those of others, one of them with its moving foreground before another video's
    background, so that the background cannot tell. No labels and no cached features are needed. With --finetune or
    --linear, and labels by folder or manifest, a trained network learns to name classes. Starts under torchrun too.

    [bold]Examples[/bold]

      vidlang train fame videos/

      vidlang train fame videos/ --finetune 20260101-120000 --manifest labels.csv

      torchrun --nproc-per-node 8 -m vidlang train fame k400/ --preset kinetics
    """
    from vidlang.workflows.recognize_fame import RecognizeOptions, recognize_fame
    from vidlang.workflows.train_fame import TrainFameOptions, train_fame
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    if finetune is not None and linear is not None:
        raise BadInput("--finetune trains all layers and --linear the last one; give one of them.")
    place, progress = open_workspace(workspace), TerminalProgress(quiet)
    common: dict[str, Any] = {
        "manifest": manifest, "name": name, "resume": resume, "num_workers": workers,
        "device": device or place.settings.device,
    }  # fmt: skip
    if finetune is None and linear is None:
        said = _said(FameConfig, changes, "training without labels")
        chosen = None if preset is None else str(preset.value)  # type: ignore[attr-defined]
        pretraining = TrainFameOptions(preset=chosen, init=init, changes=said, **common)
        if dry_run:
            _show_plan(videos, place, pretraining, json, quiet)
            return
        report = train_fame(videos, place, pretraining, progress)
    else:
        if init is not None or preset is not None:
            raise BadInput("--init and --preset are for training without labels; leave them out here.")
        kind: Literal["finetune", "linear"] = "finetune" if linear is None else "linear"
        said = _said(FinetuneConfig if kind == "finetune" else LinearConfig, changes, f"--{kind}")
        options = RecognizeOptions(kind, str(finetune or linear), changes=said, test_fraction=test_fraction, **common)
        if dry_run:
            _show_plan(videos, place, options, json, quiet)
            return
        report = recognize_fame(videos, place, options, progress)
    if report is not None:
        _show(report, json, quiet)


def _show_plan(
    videos: list[Path], place: Workspace, options: TrainFameOptions | RecognizeOptions, json: bool, quiet: bool
) -> None:
    from vidlang.workflows.train_plans import plan_fame

    plan = plan_fame(videos, place, options)
    if plan is not None:
        show_plan(plan, json=json, quiet=quiet)


def _said(config: type, values: dict[str, Any], what: str) -> dict[str, Any]:
    """Options that were given, for the config of this kind of training.

    Raises:
        BadInput: one of them belongs to another kind.
    """
    own = {field.name for field in fields(config)}
    foreign = [f"--{name.replace('_', '-')}" for name, value in values.items() if value is not None and name not in own]
    if foreign:
        raise BadInput(f"{', '.join(foreign)} has no meaning in {what}. Leave it out.")
    return given(config, {name: value for name, value in values.items() if name in own})


def _show(report: TrainFameReport, json: bool, quiet: bool) -> None:
    if json:
        print_json(report.to_dict())
    elif not quiet:
        for line in report.summary:
            say(line)
        print_table(report.columns, report.table)
        command = "vidlang eval representation VIDEO..."
        say(f"Registered as {report.checkpoint}. Curves and log in {report.folder}. Next: {command}")
    say_notes(report.notes, quiet)


_PRETRAINING = options_from(FameConfig, "FAME (defaults of the preset small)")
_KNOWN = {option.name for option in _PRETRAINING}
_RECOGNITION = [
    option
    for option in options_from(LinearConfig, "With --finetune and --linear, beside options above of the same name")
    if option.name not in _KNOWN
]
FAME_OPTIONS = [*_PRETRAINING, *_RECOGNITION]
"""Options of all three trainings; a name that several have is one option."""
