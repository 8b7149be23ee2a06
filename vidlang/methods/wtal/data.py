"""Labelled videos as WTAL trains on them: rows of both branches on one grid of time, and labels of whole videos.

Letters: N videos, T snippets, D and Din widths of VLP's and CBP's rows, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidlang.core.errors import BadInput
from vidlang.methods.wtal.config import WtalConfig
from vidlang.methods.wtal.inputs import align, cbp_rows, rows_per
from vidlang.methods.wtal.schedule import steps_per_pass
from vidlang.methods.wtal.vlp import in_words
from vidlang.nn.padding import check_features, mask_of, pad_batch

Array = NDArray[np.floating]
FEW_VIDEOS = 10
"""Fewer videos of a class than this are worth a word of warning."""


class LabelledVideo(NamedTuple):
    """One training video. There are no times of actions in it: training never sees any."""

    video_id: str
    rows: Array
    """[T, D] of the CLIP encoder."""
    seconds: NDArray[np.float64]
    """[T, 2] interval of each row."""
    classes: Sequence[str]
    """Classes that the video shows somewhere; none in a normal video."""
    second: tuple[Array, NDArray[np.float64]] | None = None
    """Rows [T2, D2] of a second encoder and their intervals [T2, 2], on any grid."""


class Batch(NamedTuple):
    """A few videos, zero-padded behind."""

    vlp_rows: Tensor
    """[B, T, D]"""
    cbp_rows: Tensor
    """[B, T, Din]"""
    mask: Tensor
    """[B, T], True for real snippets."""
    labels: Tensor
    """[B, C] multi-hot."""
    H: Tensor | None = None
    """[B, T, C] int8, what the other branch teaches: ``pseudo_labels``; -1 in padding. None in the warm-up."""

    def to(self, device: torch.device) -> Batch:
        return Batch(*(None if part is None else part.to(device) for part in self))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """What a training reads; made by ``training_set``."""

    rows: tuple[Array, ...]
    """N arrays [T, D]."""
    second: tuple[Array | None, ...]
    """N arrays [T, D2] on the grid of the rows, or None."""
    windows: tuple[int, ...]
    """N spans of CBP's differences, in rows."""
    labels: NDArray[np.float32]
    """[N, C] multi-hot; a row of zeros is a normal video."""
    class_names: tuple[str, ...]
    prompts: tuple[str, ...]
    """One text per class."""
    kind: str
    """``WtalConfig.cbp_inputs``."""
    notes: tuple[str, ...] = ()
    """What somebody should know before training, such as classes with few videos."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def dim(self) -> int:
        return int(self.rows[0].shape[1])

    def vlp(self, index: int) -> Array:
        """[T, D] of one video."""
        return self.rows[index]

    def cbp(self, index: int) -> NDArray[np.float32]:
        """[T, Din] of one video, not standardised."""
        return cbp_rows(self.kind, self.rows[index], self.windows[index], self.second[index])

    def batch(
        self, indices: Sequence[int], num_rows: int, generator: torch.Generator, H: Sequence[Tensor] | None = None
    ) -> Batch:
        """Whole videos, of long ones a run of ``num_rows`` at a random place, the same for all that has rows.

        H: N tensors [T, C]
        """
        runs = [(index, self._run(index, num_rows, generator)) for index in indices]
        vlp_rows, lengths = pad_batch([self.vlp(index)[run] for index, run in runs])
        cbp_rows, _ = pad_batch([self.cbp(index)[run] for index, run in runs])
        taught = None
        if H is not None:
            taught = torch.full((*vlp_rows.shape[:2], self.labels.shape[1]), -1, dtype=torch.int8)
            for row, (index, run) in zip(taught, runs, strict=True):
                own = H[index][run]
                row[: len(own)] = own
        mask = mask_of(lengths, vlp_rows.shape[1])
        return Batch(vlp_rows, cbp_rows, mask, torch.from_numpy(self.labels[list(indices)]), taught)

    def _run(self, index: int, num_rows: int, generator: torch.Generator) -> slice:
        spare = len(self.rows[index]) - num_rows
        first = int(torch.randint(spare + 1, (1,), generator=generator)) if spare > 0 else 0
        return slice(first, first + num_rows)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of CBP's columns over all training rows. returns: [Din], [Din]

        Columns that never change have deviation 1.
        """
        count, total, squares = 0, np.float64(0), np.float64(0)
        for index in range(len(self)):
            rows = self.cbp(index).astype(np.float64)
            count += len(rows)
            total = total + rows.sum(0)
            squares = squares + (rows**2).sum(0)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
        deviation = np.where(deviation > 1e-6 * (1 + np.abs(mean)), deviation, 1.0)
        return torch.tensor(mean, dtype=torch.float32), torch.tensor(deviation, dtype=torch.float32)


def training_set(
    videos: Iterable[LabelledVideo],
    class_names: Sequence[str],
    config: WtalConfig,
    prompts: Mapping[str, str] | None = None,
) -> TrainingSet:
    """Brings both encoders onto one grid and checks that the labels can teach anything.

    class_names: without background    prompts: class name → text; the name in words for those without

    Raises:
        BadInput: nothing to train on, features that do not fit together, labels that are not of these classes, or
            labels without signal.
    """
    if not class_names or len(set(class_names)) < len(class_names):
        raise BadInput(f"Training needs classes, each named once, got {list(class_names)}.")
    rows: list[Array] = []
    second: list[Array | None] = []
    windows: list[int] = []
    labels: list[NDArray[np.float32]] = []
    for video in videos:
        check_features(video.rows, video.video_id, rows[0].shape[1] if rows else None)
        if video.seconds.shape != (len(video.rows), 2):
            raise ValueError(f"{video.video_id} has {len(video.rows)} rows but seconds {video.seconds.shape}")
        labels.append(label_row(video.video_id, video.classes, class_names))
        rows.append(video.rows)
        windows.append(rows_per(video.seconds, config.difference_seconds))
        second.append(_aligned(video, second[0] if second else None) if config.reads_second else None)
    if not rows:
        raise BadInput("There are no labelled videos to train on.")
    table = np.stack(labels)
    check_signal(table, class_names, config)
    texts = {name: in_words(name) for name in class_names} | dict(prompts or {})
    return TrainingSet(
        rows=tuple(rows),
        second=tuple(second),
        windows=tuple(windows),
        labels=table,
        class_names=tuple(class_names),
        prompts=tuple(texts[name] for name in class_names),
        kind=config.cbp_inputs,
        notes=label_notes(table, class_names, config),
    )


def _aligned(video: LabelledVideo, like: Array | None) -> Array:
    if video.second is None:
        raise BadInput(
            f"{video.video_id} has no features of the second encoder. Import or extract them, "
            "or set cbp_inputs to differences."
        )
    values, seconds2 = video.second
    check_features(values, f"{video.video_id} (second encoder)", None if like is None else like.shape[1])
    return align(values, seconds2, video.seconds)


def label_row(video_id: str, names: Sequence[str], class_names: Sequence[str]) -> NDArray[np.float32]:
    """1 at a video's classes. returns: [C]

    Raises:
        BadInput: a class that is not one of these.
    """
    unknown = [name for name in names if name not in class_names]
    if unknown:
        raise BadInput(f"{video_id} is labelled {unknown[0]!r}, which is not one of {', '.join(class_names)}.")
    return np.array([float(name in names) for name in class_names], dtype=np.float32)


def check_signal(labels: NDArray[np.float32], class_names: Sequence[str], config: WtalConfig) -> None:
    """Video labels teach where an action is only by videos that do not show it. labels: [N, C]

    Raises:
        BadInput: a class that every video has or none has, or a single class without a background column.
    """
    advice = (
        "Add normal videos (with no class), or localize without training: vidlang localize VIDEO --labels "
        f"{', '.join(class_names)!r}."
    )
    if len(class_names) == 1 and not config.background:
        raise BadInput(
            f"There is one class, {class_names[0]!r}, and without the background column its probability is 1 "
            "everywhere. Use the preset robust, or turn background on."
        )
    everywhere = [name for name, share in zip(class_names, labels.mean(0), strict=True) if share == 1]
    if everywhere:
        whose = "All videos have the same classes" if (labels == labels[0]).all() else "All videos show one class"
        raise BadInput(
            f"{whose}, such as {everywhere[0]!r}, so nothing tells what it looks like: it needs videos without it. "
            f"{advice}"
        )
    nowhere = [name for name, share in zip(class_names, labels.mean(0), strict=True) if share == 0]
    if nowhere:
        raise BadInput(f"No training video shows {nowhere[0]!r}. Leave the class out, or label videos that show it.")


def label_notes(labels: NDArray[np.float32], class_names: Sequence[str], config: WtalConfig) -> tuple[str, ...]:
    """Warnings about labels that can teach, but not well. labels: [N, C]"""
    notes = []
    counts = labels.sum(0).astype(int)
    few = [f"{name} ({count})" for name, count in zip(class_names, counts, strict=True) if count < FEW_VIDEOS]
    if few:
        listed = ", ".join(few[:5]) + (f" and {len(few) - 5} more" if len(few) > 5 else "")
        notes.append(f"under {FEW_VIDEOS} videos of {listed}: expect weak results, ten or more per class help most")
    for second in range(len(class_names)):
        for first in range(second):
            if (labels[:, first] == labels[:, second]).all():
                notes.append(
                    f"{class_names[first]} and {class_names[second]} occur in the same videos only: "
                    "their labels cannot tell them apart"
                )
    if not config.background and (labels.sum(1) == 0).any():
        notes.append("normal videos teach nothing in the warm-up without the background column")
    return tuple(notes)


def epoch_batches(num_videos: int, config: WtalConfig, generator: torch.Generator) -> list[list[int]]:
    """Videos of each batch of an epoch: whole passes over the videos, until there are ``min_batches``.

    Batches of a pass are of nearly equal size: 17 videos at 16 → 9 and 8, not 16 and a single one.
    """
    count = steps_per_pass(num_videos, config.batch_size)
    edges = np.linspace(0, num_videos, count + 1).round().astype(int).tolist()
    batches: list[list[int]] = []
    while len(batches) < config.min_batches:
        order = torch.randperm(num_videos, generator=generator).tolist()
        batches += [order[first:last] for first, last in pairwise(edges)]
    return batches
