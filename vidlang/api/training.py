"""Training, one function per method, and ``train`` that takes the method's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from vidlang.api.common import (
    PathLike,
    Paths,
    ProgressLike,
    WorkspaceLike,
    name_of,
    path_of,
    paths_of,
    place_of,
    progress_of,
)
from vidlang.core import BadInput, UnknownName
from vidlang.core.features import Borders, Colour, Crops, Pick, RowKind
from vidlang.core.words import bytes_of
from vidlang.workflows.extract import ExtractOptions
from vidlang.workflows.recipe import RecipeChanges

if TYPE_CHECKING:
    from vidlang.workflows.train_tca import TrainTcaReport
    from vidlang.workflows.train_vadclip import TrainReport
    from vidlang.workflows.train_wtal import TrainWtalReport
    from vidlang.workflows.video_networks import TrainFameReport


def train_vadclip(
    *,
    preset: str = "custom",
    manifest: PathLike | None = None,
    normal: str | None = None,
    val_fraction: float = 0.2,
    select_on: Literal["val", "test"] = "val",
    seeds: int = 1,
    name: str | None = None,
    resume: bool = False,
    memory: int | None = None,
    encoder: str | None = None,
    stride: int | None = None,
    pick: Pick | None = None,
    fps: float | None = None,
    motion: str | None = None,
    crops: Crops | None = None,
    device: str | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
    **changes: Any,
) -> TrainReport:
    """VadCLIP: anomaly scores and classes from the labels of the cached videos alone; registers a checkpoint.

    changes: fields of ``VadClipConfig`` that differ from the preset, such as ``epochs=20``
    memory: MB of features that may be in memory; None: a 16th of the machine's. More are read as they are needed

    Raises:
        BadInput, BadManifest, MissingFeatures, UnknownName: there is nothing to train on, or no such option.
    """
    from vidlang.workflows.train_vadclip import TrainOptions
    from vidlang.workflows.train_vadclip import train_vadclip as run

    place = place_of(workspace)
    options = TrainOptions(
        preset=preset,
        changes=changes,
        manifest=path_of(manifest),
        normal=normal,
        val_fraction=val_fraction,
        select_on=select_on,
        num_seeds=seeds,
        name=name,
        resume=resume,
        memory=bytes_of(memory),
        device=device or place.settings.device,
    )
    recipe = RecipeChanges(encoder=encoder, stride=stride, pick=pick, fps=fps, crops=crops, motion=motion)
    return run(place, options, recipe, progress_of(progress))


def train_tca(
    videos: Paths | None = None,
    *,
    preset: str = "custom",
    positives: Literal["auto", "copies", "pairs", "labels"] = "auto",
    pairs: PathLike | None = None,
    manifest: PathLike | None = None,
    copies: int = 4,
    strength: Literal["mild", "strong"] = "mild",
    whitening: Literal["auto", "none", "center", "whiten", "pairs"] = "auto",
    components: int | None = None,
    val_fraction: float = 0.2,
    test_fraction: float = 0.2,
    name: str | None = None,
    resume: bool = False,
    memory: int | None = None,
    encoder: str | None = None,
    stride: int | None = None,
    pick: Pick | None = None,
    fps: float | None = None,
    motion: str | None = None,
    features: RowKind | None = None,
    borders: Borders | None = None,
    colour: Colour | None = None,
    workers: int | None = None,
    device: str | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
    **changes: Any,
) -> TrainTcaReport:
    """TCA: retrieval, learned from edited copies of ``videos``, from pairs, or from classes; registers a checkpoint.

    changes: fields of ``TcaConfig`` that differ from the preset, such as ``epochs=8``
    memory: MB of features that may be in memory; None: a 16th of the machine's. More are read as they are needed

    Raises:
        BadInput, BadManifest, MissingFeatures, UnknownName: there is nothing to train on, or no such option.
    """
    from vidlang.workflows.train_tca import TrainTcaOptions
    from vidlang.workflows.train_tca import train_tca as run

    place = place_of(workspace)
    options = TrainTcaOptions(
        preset=preset,
        changes=changes,
        positives=positives,
        pairs=path_of(pairs),
        manifest=path_of(manifest),
        num_copies=copies,
        strength=strength,
        whitening=whitening,
        num_components=components,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        name=name,
        resume=resume,
        memory=bytes_of(memory),
        device=device or place.settings.device,
    )
    recipe = RecipeChanges(
        encoder=encoder,
        stride=stride,
        pick=pick,
        fps=fps,
        features=features,
        borders=borders,
        colour=colour,
        motion=motion,
    )
    extraction = ExtractOptions(num_workers=workers)
    return run(paths_of(videos), place, options, recipe, extraction, progress_of(progress))


def train_wtal(
    *,
    preset: str = "robust",
    manifest: PathLike | None = None,
    normal: str | None = None,
    second: str | None = None,
    val_fraction: float = 0.0,
    ablation: bool = False,
    name: str | None = None,
    resume: bool = False,
    encoder: str | None = None,
    stride: int | None = None,
    pick: Pick | None = None,
    fps: float | None = None,
    motion: str | None = None,
    device: str | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
    **changes: Any,
) -> TrainWtalReport:
    """WTAL: start and end of actions, learned from the labels of the cached videos alone; registers a checkpoint.

    changes: fields of ``WtalConfig`` that differ from the preset

    Raises:
        BadInput, BadManifest, MissingFeatures, UnknownName: there is nothing to train on, or no such option.
    """
    from vidlang.workflows.train_wtal import TrainWtalOptions
    from vidlang.workflows.train_wtal import train_wtal as run

    place = place_of(workspace)
    options = TrainWtalOptions(
        preset=preset,
        changes=changes,
        manifest=path_of(manifest),
        normal=normal,
        second=second,
        val_fraction=val_fraction,
        ablation=ablation,
        name=name,
        resume=resume,
        device=device or place.settings.device,
    )
    recipe = RecipeChanges(encoder=encoder, stride=stride, pick=pick, fps=fps, motion=motion)
    return run(place, options, recipe, progress_of(progress))


def train_fame(
    videos: Paths,
    *,
    preset: str | None = None,
    finetune: PathLike | None = None,
    linear: PathLike | None = None,
    init: PathLike | None = None,
    manifest: PathLike | None = None,
    test_fraction: float = 0.2,
    name: str | None = None,
    resume: bool = False,
    workers: int | None = None,
    device: str | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
    **changes: Any,
) -> TrainFameReport:
    """FAME: a video network that knows motion, from videos without labels; registers a checkpoint.

    finetune, linear: a network that learns to name classes instead, all of it or its last layer
    changes: fields of ``FameConfig``, ``FinetuneConfig`` or ``LinearConfig``

    Raises:
        BadInput, BadManifest, BadCheckpoint, UnknownName: there is nothing to train on, or no such option.
    """
    from vidlang.workflows.recognize_fame import RecognizeOptions, recognize_fame
    from vidlang.workflows.train_fame import TrainFameOptions
    from vidlang.workflows.train_fame import train_fame as run

    if finetune is not None and linear is not None:
        raise BadInput("finetune trains all layers and linear the last one; give one of them.")
    if (finetune or linear) is not None and (init is not None or preset is not None):
        raise BadInput("init and preset are for training without labels; leave them out here.")
    place, told = place_of(workspace), progress_of(progress)
    paths = [Path(path) for path in paths_of(videos)]
    common: dict[str, Any] = {
        "changes": changes,
        "manifest": path_of(manifest),
        "name": name,
        "resume": resume,
        "num_workers": workers,
        "device": device or place.settings.device,
    }
    if finetune is None and linear is None:
        report = run(paths, place, TrainFameOptions(preset=preset, init=name_of(init), **common), told)
    else:
        kind: Literal["finetune", "linear"] = "finetune" if linear is None else "linear"
        options = RecognizeOptions(kind, str(finetune or linear), test_fraction=test_fraction, **common)
        report = recognize_fame(paths, place, options, told)
    if report is None:
        raise BadInput("This process is not the first of its group; start groups by torchrun -m vidlang train fame.")
    return report


@overload
def train(method: Literal["vadclip"], **options: Any) -> TrainReport: ...
@overload
def train(method: Literal["tca"], videos: Paths | None = None, **options: Any) -> TrainTcaReport: ...
@overload
def train(method: Literal["wtal"], **options: Any) -> TrainWtalReport: ...
@overload
def train(method: Literal["fame"], videos: Paths, **options: Any) -> TrainFameReport: ...
def train(method: str, videos: Paths | None = None, **options: Any) -> Any:
    """Trains a method by its name: ``train("vadclip", epochs=20)`` is ``train_vadclip(epochs=20)``.

    Raises:
        UnknownName: there is no such method.
        BadInput: videos for a method that reads the cache alone.
    """
    known: dict[str, Callable[..., Any]] = {
        "vadclip": train_vadclip,
        "tca": train_tca,
        "wtal": train_wtal,
        "fame": train_fame,
    }
    if method not in known:
        raise UnknownName("method", method, known)
    if method in ("tca", "fame"):
        return known[method](videos, **options)
    if videos is not None:
        raise BadInput(
            f"Training {method} reads the labelled videos of the cache; extract them first, and leave them out."
        )
    return known[method](**options)
