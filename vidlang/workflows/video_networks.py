"""What the trainings and measurements of video networks share: networks, videos, batches, runs of many processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, BadManifest, BadVideo, Label, Progress, UnknownName
from vidlang.datasets.manifest import labels_from_folders, match_ids, read_manifest, split_by_video
from vidlang.engines.prefetch import prefetched
from vidlang.methods.fame.config import (
    PRESETS,
    AnyConfig,
    FameConfig,
    FinetuneConfig,
    LinearConfig,
    preset,
)
from vidlang.report.training_curves import CurvePanel
from vidlang.store.checkpoints import (
    FACTS,
    WEIGHTS,
    ModelRegistry,
    read_torch_state,
)
from vidlang.store.video_backbones import ClipRecipe
from vidlang.store.workspace import Workspace
from vidlang.video.clips import ClipFile, ClipSampling, uniform_starts
from vidlang.video.files import find_videos
from vidlang.workflows.clip_source import ClipSource
from vidlang.workflows.runs import RunFolder, choose_name, runs_folder

if TYPE_CHECKING:
    from torch import Tensor

    from vidlang.methods.fame.predict import Predictor
    from vidlang.nn.distributed import Group
    from vidlang.nn.fit import TrainState
    from vidlang.nn.precision import Precision

METHOD = "fame"
RANDOM = "random"
"""Where a checkpoint is asked for: no training at all, a network with fresh weights."""
NUM_WORKERS = 2
"""Threads that read clips, where nobody says more."""
CONFIGS: dict[str, type[FameConfig] | type[FinetuneConfig] | type[LinearConfig]] = {
    "pretrain": FameConfig,
    "finetune": FinetuneConfig,
    "linear": LinearConfig,
}
"""Kind of a training → its options."""
ARCH_PRESETS: dict[str, str] = {"tiny": "small", "r2plus1d_18": "ucf101", "i3d": "kinetics"}
"""Network → the preset that says which clips it was made for."""
OF_PRETRAINING = ("encoder_k.", "queue")
"""What a published file of pretraining holds beside the network that is used."""
Kind = Literal["finetune", "linear"]
Video = tuple[str, Path]


# -- networks --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Network:
    """Weights of a video network, and how it reads clips."""

    name: str
    state: Mapping[str, Tensor] | None
    """None: fresh weights."""
    config: AnyConfig
    class_names: tuple[str, ...] = ()
    """Classes that it names; empty: features only."""
    notes: tuple[str, ...] = ()

    def predictor(self, device: str) -> Predictor:
        """The network in evaluation mode; fresh weights come from the config's seed."""
        from vidlang.methods.fame.backbones import build_backbone
        from vidlang.methods.fame.predict import Predictor
        from vidlang.nn.seed import seeded

        state = self.state
        if state is None:
            with seeded(self.config.seed):
                state = build_backbone(self.config.arch).state_dict()
        return Predictor.from_state(
            state, self.config, len(self.class_names) or None, device, precision=arithmetic_of(self.config)
        )

    def backbone(self) -> dict[str, Tensor] | None:
        """The weights without those of a head."""
        if self.state is None:
            return None
        from vidlang.methods.fame.predict import HEADS

        return {name: value for name, value in self.state.items() if not name.startswith(HEADS)}


def find_network(workspace: Workspace, name: str | None) -> Network:
    """A network by its name in the registry, by the folder of a checkpoint, or from a published file.

    name: None: the newest of the workspace; ``random``: fresh weights of the preset ``small``

    Raises:
        BadCheckpoint: it is damaged, or a file of another network.
        UnknownName: nothing is called so.
    """
    if name == RANDOM:
        return Network(RANDOM, None, preset("small"))
    registry = ModelRegistry(workspace.models_dir)
    file = None if name in {summary.name for summary in registry.list(METHOD)} else Path(name or "")
    if file is not None and file.is_file() and file.name not in (WEIGHTS, FACTS):
        return _published(file)
    checkpoint = registry.find_clips(METHOD, name)
    kind = str(checkpoint.extra.get("kind", "pretrain"))
    if kind not in CONFIGS:
        raise UnknownName("kind of FAME checkpoint", kind, CONFIGS)
    config: AnyConfig = CONFIGS[kind].from_dict(dict(checkpoint.config))
    title = str(checkpoint.extra.get("name", name or "the newest"))
    return Network(title, checkpoint.state, config, checkpoint.class_names)


def _published(file: Path) -> Network:
    from vidlang.methods.fame.published import read_published

    found = read_published(read_torch_state(file))
    notes = []
    if found.num_classes is not None:
        notes.append(f"{file.name} names {found.num_classes} classes that it does not list, so that layer is left out")
    unknown = [name for name in found.left_over if not name.startswith(OF_PRETRAINING)]
    if unknown:
        notes.append(f"{file.name} holds {len(unknown)} tensors that {found.arch} does not have, such as {unknown[0]}")
    return Network(file.name, found.backbone, PRESETS[ARCH_PRESETS[found.arch]], notes=tuple(notes))


def arithmetic_of(config: AnyConfig) -> Precision:
    """What a network computes in when it only looks: as in training, but never float16, which gains nothing there."""
    return "bfloat16" if config.precision == "bfloat16" else "float32"


def sampling_of(config: AnyConfig, short_side: int | None = None) -> ClipSampling:
    """How clips are read for a network. short_side: instead of the config's; 0: frames keep their size"""
    side = config.short_side if short_side is None else short_side
    return ClipSampling(config.num_frames, config.step, side or None)


def recipe_of(config: AnyConfig) -> ClipRecipe:
    """What a checkpoint says of how it reads clips."""
    return ClipRecipe(config.num_frames, config.step, config.crop_size, config.short_side or None)


# -- videos ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LabelledVideos:
    """Videos of known classes, in splits."""

    class_names: tuple[str, ...]
    train: tuple[Label, ...]
    validation: tuple[Label, ...]
    test: tuple[Label, ...]
    paths: Mapping[str, Path]
    notes: tuple[str, ...]

    def files(self, labels: Sequence[Label]) -> list[Video]:
        """(id, path) of each."""
        return [(label.video_id, self.paths[label.video_id]) for label in labels]

    def indices(self, labels: Sequence[Label]) -> NDArray[np.int64]:
        """[N] the class of each, by its place in ``class_names``."""
        return np.array([self.class_names.index(label.classes[0]) for label in labels], dtype=np.int64)


def labelled_videos(paths: Sequence[Path], manifest: Path | None, *, test_fraction: float = 0.2) -> LabelledVideos:
    """Videos with one class each, by a manifest or by class folders; a part of them is the test.

    test_fraction: where no video is of the split ``test``, this share of each class is held out, always the same videos

    Raises:
        BadInput: no such videos.
        BadManifest: no labels, several classes of one video, or nothing to learn.
    """
    found = dict(find_videos(paths))
    notes: list[str] = []
    labels = _labels(found, manifest, notes)
    for label in labels:
        if len(label.classes) != 1:
            raise BadManifest(
                f"{label.video_id} has the classes {', '.join(label.classes)}; recognition learns one class a video: "
                "keep one of them."
            )
    train = [label for label in labels if label.split not in ("val", "test")]
    validation = [label for label in labels if label.split == "val"]
    test = [label for label in labels if label.split == "test"]
    if not test:
        if not test_fraction:
            raise BadManifest("No video is of the split test. Give the manifest a column split, or --test-fraction.")
        # never by a training's seed: what was trained on must not come back as a test of another command
        train, test = split_by_video(train, test_fraction, 0)
        notes.append(f"no video is of the split test, so {len(test)} of {len(labels)} are held out")
    known = {label.classes[0] for label in train}
    unknown = sorted({label.classes[0] for label in (*validation, *test)} - known)
    if unknown:
        raise BadManifest(f"No training video is of the class {unknown[0]!r}, which other splits have. Add one.")
    if len(known) < 2:
        raise BadManifest("Recognition needs training videos of at least two classes.")
    names = tuple(sorted(known, key=lambda name: (name.casefold(), name)))
    return LabelledVideos(names, tuple(train), tuple(validation), tuple(test), found, tuple(notes))


def _labels(found: Mapping[str, Path], manifest: Path | None, notes: list[str]) -> list[Label]:
    if manifest is None:
        labels = labels_from_folders(found, allow_unlabelled=True)
        if not labels:
            raise BadManifest(
                "No video lies in a class folder, so none has a label. Give a folder of class folders "
                "(videos/<class>/x.mp4), or --manifest labels.csv."
            )
        return labels
    missing: list[str] = []
    labels = match_ids(read_manifest(manifest), list(found), missing=missing)
    if missing:
        notes.append(f"{len(missing)} videos of {manifest} are not among the given ones, such as {missing[0]}")
    if not labels:
        raise BadInput(f"None of the given videos is in {manifest}. Its ids are paths relative to the video folder.")
    return labels


def trained_on(workspace: Workspace, name: str) -> dict[str, set[str]]:
    """The videos that a network of this workspace learned from, by the name of the run: its own, and those of the
    networks that it started from, as far as their runs are here.
    """
    learned: dict[str, set[str]] = {}
    following: str | None = name
    while following is not None and following not in learned:
        try:
            facts = json.loads((runs_folder(workspace, METHOD) / following / "run.json").read_text(encoding="utf-8"))
            learned[following] = set(facts["train"])
        except (OSError, ValueError, KeyError, TypeError):  # it was trained elsewhere
            break
        following = facts.get("started_from")
    return learned


def read_evenly(video: Video, sampling: ClipSampling, num_clips: int) -> NDArray[np.uint8]:
    """Clips [W, T, h, w, 3] of windows that lie evenly over a video.

    Raises:
        BadVideo: it does not open, or no frame decodes.
    """
    file = ClipFile(video[1], video_id=video[0])
    return file.read_chosen(lambda num_windows: uniform_starts(num_windows, num_clips), sampling)


def clips_of_videos(
    videos: Sequence[Video], sampling: ClipSampling, num_clips: int, num_workers: int
) -> Generator[tuple[int, NDArray[np.uint8] | BadVideo], None, None]:
    """(place, clips [W, T, h, w, 3]) of each video in order, read ahead; (place, error) of one that does not read."""

    def produce(place: int) -> tuple[int, NDArray[np.uint8] | BadVideo]:
        try:
            return place, read_evenly(videos[place], sampling, num_clips)
        except BadVideo as error:
            return place, error

    return prefetched(range(len(videos)), produce, num_workers, ahead=max(num_workers, 1))


@dataclass(frozen=True, eq=False)
class Said:
    """What a network says of videos."""

    rows: NDArray[np.float32]
    """[N, …] one row a video that reads."""
    places: NDArray[np.int64]
    """[N] which videos these are."""
    failed: Mapping[str, str]
    """Id → why it does not read."""


def ask(
    videos: Sequence[Video],
    answer: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    sampling: ClipSampling,
    num_clips: int,
    *,
    num_workers: int = NUM_WORKERS,
    progress: Progress | None = None,
    title: str = "read clips",
) -> Said:
    """``answer`` to the clips of every video.

    Raises:
        BadVideo: none of them reads.
    """
    rows, places = [], []
    failed: dict[str, str] = {}
    shown = (progress or Progress()).task(title, total=len(videos), unit="video")
    with shown as task, closing(clips_of_videos(videos, sampling, num_clips, num_workers)) as coming:
        for place, clips in coming:
            if isinstance(clips, BadVideo):
                failed[videos[place][0]] = str(clips)
            else:
                rows.append(answer(clips))
                places.append(place)
            task.advance()
    if not rows:
        raise BadVideo(f"None of {len(videos)} videos reads. The first: {next(iter(failed.values()), 'there is none')}")
    return Said(np.stack(rows), np.array(places, dtype=np.int64), failed)


def failures(failed: Mapping[str, str]) -> tuple[str, ...]:
    """One note for each video that was left out."""
    return tuple(f"{video_id} is left out: {why}" for video_id, why in failed.items())


# -- batches ---------------------------------------------------------------------------------------------------------


class Batch(Protocol):
    """What a training takes: clips of some videos."""

    @property
    def clips(self) -> NDArray[np.uint8] | list[NDArray[np.uint8]]:
        """B items [V, 3, T, H, W]"""

    @property
    def indices(self) -> NDArray[np.int64]:
        """[B] places of the videos in the list."""


@dataclass(frozen=True, eq=False)
class Batches:
    """So many batches an epoch, whatever the number of videos: where they are few they come again, in other windows.

    Every process gives the same number of batches, so none waits for another that has ended.
    """

    source: ClipSource
    steps: int

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """
        Raises:
            BadInput: too few of the videos read for one batch.
        """
        given, turn = 0, 0
        while given < self.steps:
            before = given
            for batch in self.source.epoch(epoch * MOST_TURNS + turn):
                yield batch
                given += 1
                if given == self.steps:
                    return
            if given == before:
                failed = self.source.failed
                why = f"{len(failed)} do not read, such as {next(iter(failed))}" if failed else "there are too few"
                raise BadInput(f"The videos do not fill one batch: {why}. Lower --batch-size, or give more videos.")
            turn += 1


MOST_TURNS = 1_000_000
"""Passes over the videos in an epoch have numbers of their own below it."""


def fitted_batches(config: Any, num_videos: int, asked: Mapping[str, Any], group_size: int) -> tuple[Any, list[str]]:
    """The config with batches that the videos fill and the processes share evenly, and a queue that few videos allow;
    what was changed.

    Raises:
        BadInput: batches that were asked for and cannot be.
    """
    size = config.batch_size
    if num_videos < 2:
        raise BadInput(f"Training needs at least 2 videos, got {num_videos}: clips are told from those of others.")
    if size % group_size:
        raise BadInput(f"--batch-size {size} cannot be shared by {group_size} processes; give a multiple of it.")
    notes = []
    if size > num_videos:
        if "batch_size" in asked:
            raise BadInput(f"--batch-size is {size} but there are {num_videos} videos. Lower it, or leave it out.")
        size = num_videos // group_size * group_size
        if size < 2:
            raise BadInput(f"{num_videos} videos are too few for {group_size} processes. Use fewer processes.")
        notes.append(f"there are {num_videos} videos, so a batch has {size}, not {config.batch_size}")
    changes: dict[str, Any] = {"batch_size": size}
    if isinstance(config, FameConfig):
        changes["queue_size"], note = _fitted_queue(config.queue_size, size, num_videos, "queue_size" in asked)
        notes += [note] if note else []
    return replace(config, **changes), notes


def _fitted_queue(queue_size: int, batch_size: int, num_videos: int, asked: bool) -> tuple[int, str | None]:
    """A multiple of the batch, and what must be said.

    Two keys of every video enter the queue in each pass. One that is longer than half of the videos often holds keys of
    the very video that is to be told from it. The published ones hold a quarter or less.
    """
    whole = max(1, queue_size // batch_size) * batch_size
    most = max(1, num_videos // 2 // batch_size) * batch_size
    if whole <= most:
        return whole, None
    if asked:
        return whole, f"a queue of {whole} keys holds keys of the same video, since there are {num_videos}"
    return most, f"there are {num_videos} videos, so the queue has {most} keys, not {queue_size}"


def batches_of(
    videos: Sequence[Video], config: Any, windows: int, num_workers: int, group: Group
) -> tuple[Batches, ClipSource]:
    """This process's share of the batches of every epoch, and where they come from."""
    source = ClipSource(
        videos,
        sampling_of(config),
        batch_size=config.batch_size // group.size,
        windows=windows,
        seed=config.seed,
        num_workers=num_workers,
        shard=(group.rank, group.size),
    )
    return Batches(source, steps_per_epoch(config, len(videos))), source


def steps_per_epoch(config: Any, num_videos: int) -> int:
    """Batches of an epoch; what is left of a pass waits for another epoch."""
    return int(max(num_videos // config.batch_size, config.min_batches))


# -- runs ------------------------------------------------------------------------------------------------------------


def open_run(
    workspace: Workspace, name: str | None, resume: bool, facts: Mapping[str, Any], group: Group
) -> tuple[RunFolder | None, TrainState | None]:
    """The folder of a run, for the first process alone, and the state to go on from, for all.

    Raises:
        BadInput: the name is taken, there is nothing to resume, or it was started in another way.
    """
    chosen = group.from_first(lambda: choose_name(workspace, METHOD, name, resume))
    run = RunFolder(runs_folder(workspace, METHOD) / chosen, facts)
    state = group.from_first(lambda: run.open(resume=resume))
    return (run if group.rank == 0 else None), state


@dataclass(frozen=True)
class TrainFameReport:
    """What was trained, and what it reaches."""

    checkpoint: str
    folder: Path
    kind: str
    columns: tuple[str, ...]
    table: tuple[tuple[object, ...], ...]
    summary: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "vidlang.train_fame/1",
            "kind": self.kind,
            "checkpoint": self.checkpoint,
            "folder": str(self.folder),
            "table": [dict(zip(self.columns, row, strict=True)) for row in self.table],
            "summary": list(self.summary),
            "notes": list(self.notes),
        }


CURVES: Mapping[str, tuple[CurvePanel, ...]] = {
    "pretrain": (
        CurvePanel("contrastive loss", {"loss": "loss"}),
        CurvePanel("top-1 of the contrast, training clips", {"top1": "right clip before all others"}),
        CurvePanel("share of the clips", {"merged": "merged", "still": "left whole, nothing moves"}),
    ),
    "recognize": (
        CurvePanel("cross-entropy", {"loss": "loss"}),
        CurvePanel("top-1 accuracy [0, 1]", {"top1": "validation videos", "train_top1": "training clips"}),
    ),
}
"""Kind of training → lines of the log as the picture wants them."""
