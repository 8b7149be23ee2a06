"""Labelled videos as VadCLIP trains on them: pooled once to the model's length, labels as rows of 0 and 1."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidlang.core.errors import BadInput
from vidlang.methods.vadclip.config import PRESET_PROMPTS, VadClipConfig
from vidlang.nn.padding import check_features, pad_batch, pool_to_length
from vidlang.nn.seed import epoch_generator
from vidlang.nn.stream import StreamedRows

Array = NDArray[np.floating]
Shuffle = Callable[[NDArray[np.int64], torch.Generator], NDArray[np.int64]]
"""Rows of the training set, each once, in random order."""


class Sample(NamedTuple):
    """One sequence of a batch: videos one after the other, and the one whose label it has. The others are normal."""

    rows: tuple[int, ...]
    labelled: int


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """What a training reads; made by ``training_set``."""

    videos: Sequence[Array]
    """N arrays [T, D], T from 1 to visual_length. Crops of one video are samples of their own."""
    labels: NDArray[np.float32]
    """[N, C] multi-hot; class 0 is the normal class."""
    class_names: tuple[str, ...]
    prompts: tuple[str, ...]
    """One text per class."""

    def __post_init__(self) -> None:
        expected = (len(self.videos), len(self.class_names))
        if self.labels.shape != expected or len(self.prompts) != len(self.class_names):
            raise ValueError(
                f"labels must be [N, C] = {expected} with one prompt per class, "
                f"got {self.labels.shape} and {len(self.prompts)} prompts"
            )

    def __len__(self) -> int:
        return len(self.videos)

    @property
    def dim(self) -> int:
        return int(self.videos[0].shape[1])

    @property
    def lengths(self) -> Sequence[int]:
        """T of each."""
        return self.videos.lengths if isinstance(self.videos, StreamedRows) else [len(video) for video in self.videos]

    @property
    def shuffle(self) -> Shuffle:
        """What draws an epoch's order: by blocks where rows are read as they are needed."""
        # normal and abnormal videos come together, and others are drawn to join them
        return partial(self.videos.shuffled, share=0.25) if isinstance(self.videos, StreamedRows) else _permuted

    def batch(self, samples: Sequence[Sample], num_rows: int | None) -> tuple[Tensor, Tensor, Tensor]:
        """features [B, T, D], lengths [B], labels [B, C]; T is num_rows, or the longest of the batch where None."""
        joined = [np.concatenate([self.videos[row] for row in sample.rows]) for sample in samples]
        features, lengths = pad_batch(joined, num_rows)
        return features, lengths, torch.from_numpy(self.labels[[sample.labelled for sample in samples]])


def training_set(
    videos: Iterable[tuple[str, Array, Sequence[str]]],
    class_names: Sequence[str],
    config: VadClipConfig,
    prompts: Mapping[str, str] | None = None,
) -> TrainingSet:
    """Pools each video to the model's length as it comes by.

    videos: (id, features [T, D] or [K, T, D], class names of the video)    class_names: the normal class first
    prompts: class name → text; ``default_prompts`` for those without

    Raises:
        BadInput: nothing to train on, features that do not fit together, or labels that are not of these classes.
    """
    texts = _texts(class_names, prompts)
    pooled: list[Array] = []
    rows: list[NDArray[np.float32]] = []
    for video_id, values, names in videos:
        row = label_row(video_id, names, class_names, config.multi_label)
        crops = _pooled(values, video_id, pooled[0].shape[1] if pooled else None, config)
        pooled += crops
        rows += [row] * len(crops)
    if not pooled:
        raise BadInput("There are no labelled videos to train on.")
    return TrainingSet(tuple(pooled), np.stack(rows), tuple(class_names), texts)


class StoredVideo(NamedTuple):
    """A labelled video whose rows are read when they are needed."""

    video_id: str
    shape: tuple[int, ...]
    """[T, D] or [K, T, D]."""
    read: Callable[[], Array]
    names: Sequence[str]
    """Its classes."""


def streamed_set(
    videos: Sequence[StoredVideo],
    class_names: Sequence[str],
    config: VadClipConfig,
    most_rows: int,
    prompts: Mapping[str, str] | None = None,
) -> TrainingSet:
    """``training_set`` of videos that memory need not hold: at most ``most_rows`` pooled rows of them at a time.

    Raises:
        BadInput: as ``training_set``; what is wrong with the rows of a video is found when they are read.
    """
    texts = _texts(class_names, prompts)
    if not videos:
        raise BadInput("There are no labelled videos to train on.")
    labels = [label_row(video.video_id, video.names, class_names, config.multi_label) for video in videos]
    counts = [video.shape[0] if len(video.shape) == 3 else 1 for video in videos]
    lengths = [
        [min(video.shape[-2], config.visual_length)] * count for video, count in zip(videos, counts, strict=True)
    ]
    dim = videos[0].shape[-1]

    def read(number: int) -> list[Array]:
        return _pooled(videos[number].read(), videos[number].video_id, dim, config)

    rows = StreamedRows(lengths, read, most_rows)
    return TrainingSet(rows, np.repeat(np.stack(labels), counts, axis=0), tuple(class_names), texts)


def _texts(class_names: Sequence[str], prompts: Mapping[str, str] | None) -> tuple[str, ...]:
    """
    Raises:
        BadInput: fewer than two classes, or one twice.
    """
    if len(class_names) < 2 or len(set(class_names)) < len(class_names):
        raise BadInput(f"Training needs two or more different classes, the normal one first, got {list(class_names)}.")
    texts = {**default_prompts(class_names), **(prompts or {})}
    return tuple(texts[name] for name in class_names)


def _pooled(values: Array, video_id: str, dim: int | None, config: VadClipConfig) -> list[Array]:
    """Every crop at the model's length at most. values: [T, D] or [K, T, D]    dim: D, if it is known

    Raises:
        BadInput: no rows, or other ones than these.
    """
    crops = values if values.ndim == 3 else values[None]
    for crop in crops:
        check_features(crop, video_id, dim)
    return [pool_to_length(crop, config.visual_length) for crop in crops]


def label_row(
    video_id: str, names: Sequence[str], class_names: Sequence[str], multi_label: bool
) -> NDArray[np.float32]:
    """1 at a video's classes. returns: [C]

    Raises:
        BadInput: no class, an unknown one, several where one is meant, or the normal class beside another.
    """
    unknown = [name for name in names if name not in class_names]
    if unknown:
        raise BadInput(f"{video_id} is labelled {unknown[0]!r}, which is not one of {', '.join(class_names)}.")
    if not names:
        raise BadInput(f"{video_id} has no label. Name its class, {class_names[0]!r} if nothing happens in it.")
    if len(set(names)) > 1 and not multi_label:
        raise BadInput(f"{video_id} is labelled {' and '.join(names)}. Give one class, or train with multi_label.")
    if len(set(names)) > 1 and class_names[0] in names:
        raise BadInput(f"{video_id} is labelled {' and '.join(names)}: a normal video shows nothing else.")
    return np.array([float(name in names) for name in class_names], dtype=np.float32)


def default_prompts(class_names: Sequence[str]) -> dict[str, str]:
    """A text per class: the published one where all classes are a published set's, else the name in words.

    ``RoadAccidents`` → "road accidents", ``car_accident`` → "car accident"; the normal class is "normal".
    """
    for published in PRESET_PROMPTS.values():
        if list(published) == list(class_names):
            return dict(published)
    texts = {name: _in_words(name) for name in class_names}
    return {**texts, class_names[0]: "normal"}


def _in_words(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.sub(r"[\W_]+", " ", spaced).strip().lower() or name


def epoch_batches(
    labels: NDArray[np.float32], config: VadClipConfig, epoch: int, shuffle: Shuffle | None = None
) -> list[list[int]]:
    """Rows of each batch of an epoch, decided by seed and epoch alone. labels: [N, C]

    shuffle: ``TrainingSet.shuffle``; None: each order is as likely as any other

    Few videos come several times until the epoch has ``min_batches``.
    Balanced batches hold normal videos first, then as many abnormal ones.

    Raises:
        BadInput: too few videos of a kind to make one batch.
    """
    generator = epoch_generator(config.seed, epoch)
    shuffle = shuffle or _permuted
    if config.batches == "plain":
        if config.drop_last and len(labels) < config.batch_size:
            raise BadInput(f"One batch needs {config.batch_size} videos, got {len(labels)}. Lower batch_size.")
        count = max(len(labels), config.min_batches * config.batch_size)
        order = _shuffled(np.arange(len(labels)), generator, count, shuffle)
        return _split(order, config.batch_size, config.drop_last)
    normal, abnormal = (np.flatnonzero(labels[:, 0] == kind) for kind in (1, 0))
    fewer, more = sorted((len(normal), len(abnormal)))
    needed = config.batch_size if config.drop_last else 1
    if fewer < needed:
        raise BadInput(
            f"Balanced batches need at least {needed} normal and {needed} abnormal videos, "
            f"got {len(normal)} and {len(abnormal)}. Add videos, lower batch_size, or use the preset custom."
        )
    count = max(fewer if config.epoch_length == "shorter" else more, config.min_batches * config.batch_size)
    halves = (
        _split(_shuffled(kind, generator, count, shuffle), config.batch_size, config.drop_last)
        for kind in (normal, abnormal)
    )
    return [first + second for first, second in zip(*halves, strict=True)]


def join_normal(
    batches: Sequence[Sequence[int]], videos: TrainingSet, config: VadClipConfig, epoch: int
) -> list[list[Sample]]:
    """Every video of the batches with up to ``config.join`` random normal videos before and behind it.

    A sequence never grows over visual_length. A normal sequence stays normal, and an abnormal one keeps its classes, so
    the labels hold; but where in it the event is, is left to be found.
    """
    generator = epoch_generator(config.seed, -1 - epoch)
    normal, lengths = np.flatnonzero(videos.labels[:, 0] == 1), videos.lengths

    def draw(limit: int) -> int:
        return int(torch.randint(limit, (1,), generator=generator))

    def sample(row: int) -> Sample:
        rows, length = [row], lengths[row]
        for _ in range(draw(config.join + 1) if config.join and len(normal) else 0):
            other = int(normal[draw(len(normal))])
            length += lengths[other]
            if length > config.visual_length:
                break
            rows.insert(draw(2) * len(rows), other)
        return Sample(tuple(rows), row)

    return [[sample(row) for row in batch] for batch in batches]


def _permuted(rows: NDArray[np.int64], generator: torch.Generator) -> NDArray[np.int64]:
    return rows[torch.randperm(len(rows), generator=generator).numpy()]


def _shuffled(rows: NDArray[np.int64], generator: torch.Generator, count: int, shuffle: Shuffle) -> list[int]:
    """``count`` rows in random order; rows come again only after all the others have come."""
    order: list[int] = []
    while len(order) < count:
        order += shuffle(rows, generator).tolist()
    return order[:count]


def _split(rows: list[int], size: int, drop_last: bool) -> list[list[int]]:
    batches = [rows[first : first + size] for first in range(0, len(rows), size)]
    return [batch for batch in batches if len(batch) == size] if drop_last else batches
