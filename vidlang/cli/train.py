"""``vidlang train``: one sub-command per method."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from vidlang.cli.extract import (
    BordersOption,
    ColourOption,
    CropsOption,
    FeaturesOption,
    FpsOption,
    MotionOption,
    PickOption,
    StrideOption,
    WorkersOption,
    recipe_changes,
)
from vidlang.cli.help import NUMBERS, RUNNING, VIDEOS
from vidlang.cli.options import (
    DeviceOption,
    DryRunOption,
    EncoderOption,
    JsonOption,
    ManifestOption,
    NormalOption,
    QuietOption,
    VerboseOption,
    WithSwitches,
    WorkspaceOption,
    given,
    options_from,
    with_options,
)
from vidlang.cli.render import (
    TerminalProgress,
    configure_logging,
    print_json,
    print_table,
    say,
    say_notes,
    show_plan,
    speaks,
)
from vidlang.cli.retrieve import ComponentsOption
from vidlang.cli.train_fame import FAME_OPTIONS, TRAINING, NameOption, ResumeOption, fame
from vidlang.core.words import bytes_of
from vidlang.methods.tca.config import PRESETS as TCA_PRESETS
from vidlang.methods.tca.config import TcaConfig
from vidlang.methods.vadclip.config import PRESETS, VadClipConfig
from vidlang.methods.wtal.config import PRESETS as WTAL_PRESETS
from vidlang.methods.wtal.config import WtalConfig

MemoryOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Features in memory (of each process), in MB; more are read as needed.",
        show_default="a 16th of the machine's",
        metavar="MB",
        rich_help_panel=RUNNING,
    ),
]

app = typer.Typer(help="Train a method and register it.", no_args_is_help=True)

PUBLISHED = [name for name in PRESETS if name != "custom"]
PresetChoice = Enum("PresetChoice", {name: name for name in PRESETS}, type=str)  # type: ignore[misc]


class SelectOn(str, Enum):
    val = "val"
    test = "test"


@app.callback()
def top() -> None:
    """Train a method and register it."""


def vadclip(
    preset: Annotated[
        PresetChoice,  # type: ignore[valid-type]
        typer.Option(
            help=f"custom: your own classes. Others: {', '.join(PUBLISHED)}.",
            metavar="NAME",
            rich_help_panel=TRAINING,
        ),
    ] = PresetChoice["custom"],
    manifest: ManifestOption = None,
    normal: NormalOption = None,
    val_fraction: Annotated[
        float,
        typer.Option(
            min=0.0, max=0.9, help="Share of the training videos to validate on.", metavar="X", rich_help_panel=VIDEOS
        ),
    ] = 0.2,
    select_on: Annotated[
        SelectOn,
        typer.Option(
            help="Where the best epoch is chosen; test only to reproduce published numbers.",
            metavar="SPLIT",
            rich_help_panel=VIDEOS,
        ),
    ] = SelectOn.val,
    seeds: Annotated[
        int, typer.Option(min=1, help="Train so often; report mean and spread.", metavar="N", rich_help_panel=TRAINING)
    ] = 1,
    name: NameOption = None,
    resume: ResumeOption = False,
    memory: MemoryOption = None,
    dry_run: DryRunOption = False,
    encoder: EncoderOption = None,
    stride: StrideOption = None,
    pick: PickOption = None,
    fps: FpsOption = None,
    motion: MotionOption = None,
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

      torchrun --nproc-per-node 2 -m vidlang train vadclip --manifest labels.csv
    """
    from vidlang.workflows.train_vadclip import TrainOptions, train_vadclip
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    json, quiet = json and speaks(), quiet or not speaks()
    place = open_workspace(workspace)
    options = TrainOptions(
        preset=str(preset.value),  # type: ignore[attr-defined]
        changes=given(VadClipConfig, changes),
        manifest=manifest,
        normal=normal,
        val_fraction=val_fraction,
        select_on=select_on.value,
        num_seeds=seeds,
        name=name,
        resume=resume,
        memory=bytes_of(memory),
        device=device or place.settings.device,
    )
    recipe = recipe_changes(encoder=encoder, stride=stride, pick=pick, fps=fps, crops=crops, motion=motion)
    if dry_run:
        from vidlang.workflows.train_plans import plan_vadclip

        show_plan(plan_vadclip(place, options, recipe, TerminalProgress(quiet)), json=json, quiet=quiet)
        return
    report = train_vadclip(place, options, recipe, TerminalProgress(quiet))
    if json:
        print_json(report.to_dict())
    elif not quiet:
        for line in report.lines():
            say(line)
        print_table(["metric (" + report.measured_on + ")", *report.columns], report.rows())
        say(f"Registered as {report.checkpoint}. Curves and log in {report.folder}. Next: vidlang score video.mp4")
    say_notes(report.notes, quiet)


class PositivesChoice(str, Enum):
    auto = "auto"
    copies = "copies"
    pairs = "pairs"
    labels = "labels"


class StrengthChoice(str, Enum):
    mild = "mild"
    strong = "strong"


TrainWhiteningChoice = Enum(  # str.center forbids the class form
    "TrainWhiteningChoice",
    {"auto": "auto", "none": "none", "center": "center", "whiten": "whiten", "pairs": "pairs"},
    type=str,
)
TcaPresetChoice = Enum("TcaPresetChoice", {name: name for name in TCA_PRESETS}, type=str)  # type: ignore[misc]


def tca(
    videos: Annotated[
        list[str] | None,
        typer.Argument(help="Videos or folders to make edited copies of.", metavar="[VIDEO]..."),
    ] = None,
    preset: Annotated[
        TcaPresetChoice,  # type: ignore[valid-type]
        typer.Option(
            help="custom: few videos of one's own. Others: code, paper.", metavar="NAME", rich_help_panel=TRAINING
        ),
    ] = TcaPresetChoice["custom"],
    positives: Annotated[
        PositivesChoice,
        typer.Option(
            help="What shows the same: copies (edited ones of VIDEO), pairs (--pairs), labels (classes), or auto.",
            metavar="NAME",
            rich_help_panel=VIDEOS,
        ),
    ] = PositivesChoice.auto,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="Lines of query,video, or a truth of datasets import.", metavar="FILE", rich_help_panel=VIDEOS
        ),
    ] = None,
    manifest: ManifestOption = None,
    copies: Annotated[
        int, typer.Option(min=2, help="Edited copies of each video.", metavar="N", rich_help_panel=VIDEOS)
    ] = 4,
    strength: Annotated[
        StrengthChoice,
        typer.Option(help="How far copies are edited: mild or strong.", metavar="NAME", rich_help_panel=VIDEOS),
    ] = StrengthChoice.mild,
    whitening: Annotated[
        TrainWhiteningChoice,  # type: ignore[valid-type]
        typer.Option(
            help="none, center, whiten, pairs (by how videos differ that show the same), or auto.",
            metavar="NAME",
            rich_help_panel=NUMBERS,
        ),
    ] = TrainWhiteningChoice["auto"],
    components: ComponentsOption = None,
    val_fraction: Annotated[
        float,
        typer.Option(
            min=0.0, max=0.9, help="Share of the sources that choose the epoch.", metavar="X", rich_help_panel=VIDEOS
        ),
    ] = 0.2,
    test_fraction: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=0.9,
            help="Share of the sources only measured, before and after.",
            metavar="X",
            rich_help_panel=VIDEOS,
        ),
    ] = 0.2,
    name: NameOption = None,
    resume: ResumeOption = False,
    memory: MemoryOption = None,
    dry_run: DryRunOption = False,
    encoder: EncoderOption = None,
    stride: StrideOption = None,
    pick: PickOption = None,
    fps: FpsOption = None,
    motion: MotionOption = None,
    features: FeaturesOption = None,
    borders: BordersOption = None,
    colour: ColourOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    **changes: Any,
) -> None:
    """TCA: near-duplicate and event retrieval from pairs of videos that show the same.

    Without pairs or labels, name your videos: edited copies of them (other size, crop, logo, bars, colour, speed, parts
    cut out) are made and learned from. Prints retrieval of held-out videos before and after.

    [bold]Examples[/bold]

      vidlang train tca videos/

      vidlang train tca --pairs vcdb.json --preset paper
    """
    from vidlang.workflows.extract import ExtractOptions
    from vidlang.workflows.train_tca import TrainTcaOptions, train_tca
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    json, quiet = json and speaks(), quiet or not speaks()
    place = open_workspace(workspace)
    options = TrainTcaOptions(
        preset=str(preset.value),  # type: ignore[attr-defined]
        changes=given(TcaConfig, changes),
        positives=positives.value,
        pairs=pairs,
        manifest=manifest,
        num_copies=copies,
        strength=strength.value,
        whitening=str(whitening.value),  # type: ignore[attr-defined, arg-type]
        num_components=components,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        name=name,
        resume=resume,
        memory=bytes_of(memory),
        device=device or place.settings.device,
    )
    recipe = recipe_changes(
        encoder=encoder,
        stride=stride,
        pick=pick,
        fps=fps,
        features=features,
        borders=borders,
        colour=colour,
        motion=motion,
    )
    if dry_run:
        from vidlang.workflows.train_plans import plan_tca

        show_plan(plan_tca(videos or [], place, options, recipe, TerminalProgress(quiet)), json=json, quiet=quiet)
        return
    extraction = ExtractOptions(num_workers=workers)
    report = train_tca(videos or [], place, options, recipe, extraction, TerminalProgress(quiet))
    if json:
        print_json(report.to_dict())
    elif not quiet:
        for line in report.summary:
            say(line)
        if report.before:
            print_table([f"metric ({report.measured_on})", "before", "after"], report.rows())
        say(f"Registered as {report.checkpoint}. Curves and log in {report.folder}. Next: vidlang retrieve query.mp4")
    say_notes(report.notes, quiet)


WtalPresetChoice = Enum("WtalPresetChoice", {name: name for name in WTAL_PRESETS}, type=str)  # type: ignore[misc]


def wtal(
    preset: Annotated[
        WtalPresetChoice,  # type: ignore[valid-type]
        typer.Option(
            help="robust: one's own videos; paper: as the paper says.", metavar="NAME", rich_help_panel=TRAINING
        ),
    ] = WtalPresetChoice["robust"],
    manifest: ManifestOption = None,
    normal: Annotated[
        str | None,
        typer.Option(
            help="Class that stands for no action.",
            show_default="normal, where there is one",
            metavar="NAME",
            rich_help_panel=VIDEOS,
        ),
    ] = None,
    second: Annotated[
        str | None,
        typer.Option(
            help="Encoder of the second features in the cache, such as i3d.", metavar="NAME", rich_help_panel=NUMBERS
        ),
    ] = None,
    val_fraction: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=0.9,
            help="Share of the training videos that choose the phase.",
            metavar="X",
            rich_help_panel=VIDEOS,
        ),
    ] = 0.0,
    ablation: Annotated[
        bool,
        typer.Option(
            "--ablation",
            help="Train and compare the paper's variants: CBP only, B, F, both, ...",
            rich_help_panel=TRAINING,
        ),
    ] = False,
    name: NameOption = None,
    resume: ResumeOption = False,
    dry_run: DryRunOption = False,
    encoder: EncoderOption = None,
    stride: StrideOption = None,
    pick: PickOption = None,
    fps: FpsOption = None,
    motion: MotionOption = None,
    device: DeviceOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    **changes: Any,
) -> None:
    """WTAL: start and end of actions, learned from video labels alone.

    A classification branch and a CLIP branch teach each other what each is sure of. Times in the manifest are read for
    measuring only. Give videos without any action too (class normal).

    [bold]Examples[/bold]

      vidlang train wtal --manifest labels.csv

      vidlang train wtal --manifest labels.csv --ablation
    """
    from vidlang.workflows.train_wtal import TABLE, TrainWtalOptions, train_wtal
    from vidlang.workflows.workspace import open_workspace

    configure_logging(verbose)
    json, quiet = json and speaks(), quiet or not speaks()
    place = open_workspace(workspace)
    options = TrainWtalOptions(
        preset=str(preset.value),  # type: ignore[attr-defined]
        changes=given(WtalConfig, changes),
        manifest=manifest,
        normal=normal,
        second=second,
        val_fraction=val_fraction,
        ablation=ablation,
        name=name,
        resume=resume,
        device=device or place.settings.device,
    )
    recipe = recipe_changes(encoder=encoder, stride=stride, pick=pick, fps=fps, motion=motion)
    if dry_run:
        from vidlang.workflows.train_plans import plan_wtal

        show_plan(plan_wtal(place, options, recipe, TerminalProgress(quiet)), json=json, quiet=quiet)
        return
    report = train_wtal(place, options, recipe, TerminalProgress(quiet))
    if json:
        print_json(report.to_dict())
    elif not quiet:
        for line in report.summary:
            say(line)
        if report.table:
            heads = [f"mAP@{TABLE[0]:g}", *(f"@{threshold:g}" for threshold in TABLE[1:]), ".1-.7", "fg IoU", "bg IoU"]
            print_table([f"on {report.measured_on}", *heads], report.table, digits=3)
        if report.pseudo_labels:
            kinds = ("foreground_drop", "background_drop", "foreground_wrong", "background_wrong")
            rows = [
                [f"{row['round']} {row['step']}", row["branch"], *(row[kind] for kind in kinds)]
                for row in report.pseudo_labels
            ]
            say("Pseudo-labels against the times of training videos, undecided rows left out or counted as missed:")
            print_table(["after", "branch", "fg IoU", "bg IoU", "fg, missed", "bg, missed"], rows, digits=3)
        say(f"Registered as {report.checkpoint}. Curves and log in {report.folder}. Next: vidlang localize video.mp4")
    say_notes(report.notes, quiet)


METHOD_OPTIONS = options_from(VadClipConfig, "VadCLIP (defaults of the preset custom)")
app.command("vadclip", cls=WithSwitches)(with_options(vadclip, METHOD_OPTIONS))
TCA_OPTIONS = options_from(TcaConfig, "TCA (defaults of the preset custom)")
app.command("tca", cls=WithSwitches)(with_options(tca, TCA_OPTIONS))
WTAL_OPTIONS = options_from(WtalConfig, "WTAL (defaults of the preset robust)")
app.command("wtal", cls=WithSwitches)(with_options(wtal, WTAL_OPTIONS))
app.command("fame", cls=WithSwitches, no_args_is_help=True)(with_options(fame, FAME_OPTIONS))
