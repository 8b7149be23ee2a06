"""Pairs of videos as TCA trains on them: windows of rows, other videos as negatives, edits made on rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from vidlang.core.errors import BadInput
from vidlang.methods.tca.config import TcaConfig
from vidlang.methods.tca.memory_bank import Batch
from vidlang.nn.padding import check_features, pad_batch

Array = NDArray[np.floating]
SPEEDS = (0.5, 2.0)
"""Slowest and fastest copy among the edits."""
LARGEST_CUT = 0.5
"""Largest share of the rows that is cut out of the middle."""
FEWEST_KEPT = 0.7
"""Smallest share of the rows that survive when rows go missing."""
SMALLEST_SHARE = 0.5
"""Smallest share that a video keeps when it is put into another one."""


def epoch_random(seed: int, epoch: int) -> np.random.Generator:
    """The draws of one epoch. They depend on nothing that came before, so a resumed run draws the same."""
    return np.random.default_rng([seed % 2**63, epoch])


def pad_or_crop(
    rows: Array,
    size: int,
    random: np.random.Generator,
    choice: Literal["crop", "sample"] = "crop",
    starts: Literal["all", "published"] = "all",
) -> Array:
    """Exactly ``size`` rows: zeros behind a shorter video, or a part of a longer one.

    rows: [L, E]    returns: [size, E]

    crop: a run at a random place. sample: rows drawn at random, unsorted and with repetition.
    5 rows to size 3: runs start at 0, 1 or 2; published: at 0 or 1, since the last possible start is never drawn.

    Source: published datasets.py, pad_or_crop.
    """
    rows = window(rows, size, random, choice, starts)
    return np.concatenate([rows, np.zeros((size - len(rows), rows.shape[1]), dtype=rows.dtype)])


def window(
    rows: Array,
    size: int,
    random: np.random.Generator,
    choice: Literal["crop", "sample"] = "crop",
    starts: Literal["all", "published"] = "all",
) -> Array:
    """``pad_or_crop`` without the zeros. rows: [L, E]    returns: [min(L, size), E]"""
    if len(rows) <= size:
        return rows
    if choice == "sample":
        return rows[random.integers(len(rows), size=size)]
    start = int(random.integers(len(rows) - size + (starts == "all")))
    return rows[start : start + size]


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Videos, which of them show the same thing, and which of them anchors are told from.

    Rows that say nothing (black, title cards) are best left out before.
    """

    rows: Sequence[Array]
    """N arrays [T, E], T at least 1. They may be read when they are asked for."""
    pairs: Sequence[tuple[int, int]]
    """(anchor, positive), indices into rows. Both may be the same video where temporal_edits are on."""
    distractors: Sequence[int] | None = None
    """Indices that negatives are drawn from; None: all. Those of an anchor's own group are left out for it."""
    groups: Sequence[int] | None = None
    """One number per video, at least 0; equal ones show the same thing. None: videos that pairs connect are a group."""
    _groups: NDArray[np.int64] = field(init=False, repr=False)
    _distractors: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not len(self.pairs):
            raise BadInput("There are no pairs to train on. Label copies, or train with temporal_edits.")
        pairs = np.asarray(self.pairs, dtype=np.int64)
        chosen = range(len(self.rows)) if self.distractors is None else self.distractors
        distractors = np.asarray(chosen, dtype=np.int64)
        for name, indices in (("pairs", pairs), ("distractors", distractors)):
            if indices.size and not (indices.min() >= 0 and indices.max() < len(self.rows)):
                raise ValueError(f"{name} must be indices of the {len(self.rows)} videos")
        groups = _connected(len(self.rows), pairs) if self.groups is None else np.asarray(self.groups, dtype=np.int64)
        if groups.shape != (len(self.rows),) or groups.min() < 0:
            raise ValueError(f"groups must be one number from 0 on for each of {len(self.rows)} videos")
        object.__setattr__(self, "_groups", groups)
        object.__setattr__(self, "_distractors", distractors)
        if (groups[pairs[:, 0]] != groups[pairs[:, 1]]).any():
            raise ValueError("both videos of a pair must be of one group")
        others = np.unique(groups[distractors])
        if len(others) == 0 or (len(others) == 1 and (groups[pairs] == others[0]).any()):
            raise BadInput("There are videos with no other video to be told from. Add videos that show something else.")

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def width(self) -> int:
        return int(self.rows[0].shape[1])

    def batch(self, pair_indices: Sequence[int], config: TcaConfig, random: np.random.Generator) -> Batch:
        """Windows of the pairs and of their negatives, drawn at random.

        Raises:
            BadInput: a video has no rows, another width than the first, or values that are not finite.
        """
        read = _Reader(self.rows, self.width)
        anchors, positives, negatives = [], [], []
        chosen = [self.pairs[index] for index in pair_indices]
        negative_ids = np.concatenate([self.negatives(anchor, config.num_negatives, random) for anchor, _ in chosen])

        def cut(rows: Array) -> Array:
            return window(rows, config.window, random, config.window_choice, config.crop_starts)

        for anchor, positive in chosen:
            anchors.append(cut(read(anchor)))
            # one video beside itself shows the same only where both windows lie at one place
            seen = anchors[-1] if anchor == positive else cut(read(positive))
            if config.temporal_edits:
                seen = cut(edited(seen, lambda: read(int(self.negatives(anchor, 1, random)[0])), random))  # noqa: B023
            positives.append(seen)
        negatives = [cut(read(int(index))) for index in negative_ids]
        # batch-norm of the baselines counts the padding, so that its amount is as published
        num_rows = None if config.encoder == "transformer" else config.window
        return Batch(
            *pad_batch(anchors, num_rows),
            *pad_batch(positives, num_rows),
            *pad_batch(negatives, num_rows),
            torch.from_numpy(self._groups[[anchor for anchor, _ in chosen]]),
            torch.from_numpy(self._groups[negative_ids]),
        )

    def negatives(self, anchor: int, count: int, random: np.random.Generator) -> NDArray[np.int64]:
        """Distractors that do not show what the anchor shows; they repeat only where there are fewer.

        returns: [count] indices into rows
        """
        allowed = self._distractors
        if count <= len(allowed):
            drawn = allowed[random.choice(len(allowed), count, replace=False)]
            if not (self._groups[drawn] == self._groups[anchor]).any():
                return drawn
        allowed = allowed[self._groups[allowed] != self._groups[anchor]]
        return allowed[random.choice(len(allowed), count, replace=count > len(allowed))]


def epoch_batches(num_pairs: int, config: TcaConfig, random: np.random.Generator) -> list[list[int]]:
    """Pairs of each batch of an epoch; every batch is full, since a step fills its share of the bank.

    drop_last: the rest of the pairs waits for another epoch; else the last batch is filled up with pairs that came.

    Raises:
        BadInput: drop_last, and too few pairs for one batch.
    """
    size = config.batch_size
    if config.drop_last and num_pairs < size:
        raise BadInput(f"One batch needs {size} pairs, got {num_pairs}. Lower batch_size or turn drop_last off.")
    num_batches = num_pairs // size if config.drop_last else -(-num_pairs // size)
    num_batches = max(num_batches, config.min_batches)
    order: list[int] = []
    while len(order) < num_batches * size:
        order += random.permutation(num_pairs).tolist()
    return [order[first : first + size] for first in range(0, num_batches * size, size)]


def edited(rows: Array, other: Callable[[], Array], random: np.random.Generator) -> Array:
    """The rows as an edited copy of the video would have them; each kind of edit is made half of the time.

    rows: [T, E]    other: rows [S, E] of a video that the copy may be put into    returns: [T', E], T' at least 1
    """
    if random.random() < 0.5:
        rows = at_speed(rows, float(np.exp(random.uniform(*np.log(SPEEDS)))))
    if random.random() < 0.5:
        rows = without_middle(rows, random.uniform(0, LARGEST_CUT), random.random())
    if random.random() < 0.5:
        rows = with_gaps(rows, random.uniform(FEWEST_KEPT, 1), random)
    if random.random() < 0.5:
        rows = put_into(rows, other(), random.uniform(SMALLEST_SHARE, 1), random)
    return rows


def at_speed(rows: Array, factor: float) -> Array:
    """Every factor-th row. factor 2: rows 0, 2, 4; factor 0.5: rows 0, 0, 1, 1."""
    count = max(1, round(len(rows) / factor))
    return rows[np.minimum((np.arange(count) * factor).astype(np.int64), len(rows) - 1)]


def without_middle(rows: Array, share: float, place: float) -> Array:
    """A run of that share of the rows is cut out, never the first or the last row. share, place: in [0, 1)"""
    count = min(int(share * len(rows)), len(rows) - 2)
    if count < 1:
        return rows
    first = 1 + int(place * (len(rows) - 1 - count))
    return np.concatenate([rows[:first], rows[first + count :]])


def with_gaps(rows: Array, kept: float, random: np.random.Generator) -> Array:
    """Each row stays with that probability; one stays at least."""
    stays = random.random(len(rows)) < kept
    stays[int(random.integers(len(rows)))] = True
    return rows[stays]


def put_into(rows: Array, other: Array, share: float, random: np.random.Generator) -> Array:
    """The rows between rows of another video, of which they are about that share together."""
    count = min(len(other), int(len(rows) * (1 - share) / share))
    if count < 1:
        return rows
    first = int(random.integers(len(other) - count + 1))
    around = other[first : first + count]
    place = int(random.integers(count + 1))
    return np.concatenate([around[:place], rows, around[place:]])


class _Reader:
    """Rows by index, each read and checked once."""

    def __init__(self, rows: Sequence[Array], width: int) -> None:
        self.rows, self.width = rows, width
        self.done: dict[int, Array] = {}

    def __call__(self, index: int) -> Array:
        if index not in self.done:
            rows = self.rows[index]
            check_features(rows, f"video {index} of {len(self.rows)}", self.width)
            self.done[index] = rows
        return self.done[index]


def _connected(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Group of each video: the smallest index that it is connected with. pairs: [P, 2]    returns: [count]"""
    groups = np.arange(count)

    def root(index: int) -> int:
        while groups[index] != index:
            groups[index] = groups[groups[index]]
            index = groups[index]
        return index

    for first, second in pairs.tolist():
        low, high = sorted((root(first), root(second)))
        groups[high] = low
    return np.array([root(index) for index in range(count)], dtype=np.int64)
