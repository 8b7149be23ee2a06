"""``vidlang train``: one sub-command per method."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

import typer

from vidlang.cli.extract import (
    CropsOption,
    FpsOption,
    PickOption,
    StrideOption,
)
from vidlang.cli.options import (
    DeviceOption,
    EncoderOption,
    JsonOption,
    ManifestOption,
    NormalOption,
    QuietOption,
    VerboseOption,
    WorkspaceOption,
    given,
    options_from,
    with_options,
)
from vidlang.cli.render import TerminalProgress, configure_logging, print_json, print_table, say, warn
from vidlang.methods.vadclip.config import PRESETS, VadClipConfig

app = typer.Typer(help="Train a head on cached features and register it.", no_args_is_help=True)

PUBLISHED = [name for name in PRESETS if name != "custom"]
PresetChoice = Enum("PresetChoice", {name: name for name in PRESETS}, type=str)  # type: ignore[misc]


class SelectOn(str, Enum):
    val = "val"
    test = "test"


@app.callback()
def top() -> None:
    """Train a head on cached features and register it."""


def vadclip(
    preset: Annotated[
        PresetChoice,  # type: ignore[valid-type]
        typer.Option(
            help="custom: your own classes. Others: " + ", ".join(n for n in PRESETS if n != "custom") + ".",
            metavar="NAME",
        ),
    ] = PresetChoice["custom"],
    manifest: ManifestOption = None,
    normal: NormalOption = None,
    val_fraction: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of the training videos to validate on.", metavar="X")
    ] = 0.2,
    select_on: Annotated[
        SelectOn,
        typer.Option(help="Where the best epoch is chosen; test only to reproduce published numbers.", metavar="SPLIT"),
    ] = SelectOn.val,
    seeds: Annotated[int, typer.Option(min=1, help="Train so often; report mean and spread.", metavar="N")] = 1,
    name: Annotated[str | None, typer.Option(help="Name in the registry.", show_default="time", metavar="NAME")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the newest unfinished run (or --name).")] = False,
    encoder: EncoderOption = None,
    stride: StrideOption = None,
    pick: PickOption = None,
    fps: FpsOption = None,
    crops: CropsOption = None,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    **changes: Any,
) -> None:
    """VadCLIP: anomaly scores and classes from video labels alone.

    Reads the labelled videos in the cache: labels by folder (videos/<class>/x.mp4, the class 'normal' is the normal
    one) or from a manifest. Times of events are used for validation only.

    [bold]Examples[/bold]

      vidlang train vadclip

      vidlang train vadclip --manifest labels.csv --epochs 20 --seeds 3
    """
    from vidlang.workflows.recipe import RecipeChanges
    from vidlang.workflows.train_vadclip import TrainOptions, train_vadclip
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    place = open_workspace(workspace)
    report = train_vadclip(
        place,
        TrainOptions(
            preset=str(preset.value),  # type: ignore[attr-defined]
            changes=given(VadClipConfig, changes),
            manifest=manifest,
            normal=normal,
            val_fraction=val_fraction,
            select_on=select_on.value,
            num_seeds=seeds,
            name=name,
            resume=resume,
            device=device or place.settings.device,
        ),
        RecipeChanges(
            encoder=encoder,
            stride=stride,
            pick=pick.value if pick else None,
            fps=fps,
            crops=crops.value if crops else None,
        ),
        TerminalProgress(quiet),
    )
    if json:
        print_json(report.to_dict())
    elif not quiet:
        for line in report.lines():
            say(line)
        print_table(["metric (" + report.measured_on + ")", *report.columns], report.rows())
        say(f"Registered as {report.checkpoint}. Curves and log in {report.folder}. Next: vidlang score video.mp4")
    for note in () if quiet else report.notes:
        warn(f"Note: {note}")


METHOD_OPTIONS = options_from(VadClipConfig, "VadCLIP (defaults of the preset custom)")
app.command("vadclip")(with_options(vadclip, METHOD_OPTIONS))
