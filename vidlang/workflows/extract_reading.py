"""The two halves of extraction: a video becomes parts of pixels, where decoding runs, and parts become rows, where the
encoder is. Both are made from plain values, so that an engine may carry them to another machine.

Which frames share a part follows from the video alone. So the rows of a video are the same whatever else is extracted,
in what order, and by which engine, unless parts of several videos are mixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vidlang.core import FeatureRecipe, FileIdentity, Sampling, VideoInfo
from vidlang.video.reader import identify
from vidlang.video.shot_borders import ShotBorders
from vidlang.video.snippets import SnippetBatch, open_snippets
from vidlang.video.static import StaticScene
from vidlang.workflows.pixels import Pictures, motion_watch, recoloured, still_blurred

if TYPE_CHECKING:
    from torch import Tensor

    from vidlang.encoders.base import Encoder
    from vidlang.encoders.preprocess import PixelRecipe


@dataclass(frozen=True)
class Job:
    """A video to be read."""

    video_id: str
    path: Path


@dataclass(frozen=True, eq=False)
class Part:
    """Frames of one video on their way to the encoder."""

    pixels: NDArray[np.float32]
    """[N * K, 3, S, S], crop index fastest."""
    rows: tuple[tuple[int, ...], ...]
    """The snippet rows that each of the N frames counts for."""
    share: float
    """How much of the video was read, by the header's length; for the progress bar."""
    reused: tuple[tuple[int, int], ...] = ()
    """(row, row that it repeats)"""
    checks: tuple[tuple[int, int], ...] = ()
    """(position among the N, row it would have repeated): encoded to compare."""
    weights: NDArray[np.float32] | None = None
    """[N * K, g, g] of the patches, where the encoder attends to motion."""


@dataclass(frozen=True, eq=False)
class VideoEnd:
    """The facts that are known once a video was read to its end; the last item of its job."""

    info: VideoInfo
    frames: NDArray[np.int64]
    seconds: NDArray[np.float64]
    identity: FileIdentity
    decoder: str
    warnings: tuple[str, ...]
    num_still: int = 0
    """Rows of snippets in which nothing moves."""


@dataclass(frozen=True, eq=False)
class Rows:
    """A part that was encoded."""

    features: NDArray[np.float32]
    """[N, K, D]"""
    part: Part
    """Without its pixels and weights."""


class Preparing(Protocol):
    """What reading needs of an encoder: how its pixels are made, and its patches."""

    @property
    def patch_grid(self) -> int | None: ...

    @property
    def pixels(self) -> PixelRecipe: ...

    def preprocess(self, frames: Any, mode: Any = "exact", crops: Any = "center") -> Tensor: ...


@dataclass(frozen=True)
class PixelWork:
    """``Preparing`` without the encoder's weights, for where nothing is encoded."""

    pixels: PixelRecipe
    patch_grid: int | None

    def preprocess(self, frames: Any, mode: Any = "exact", crops: Any = "center") -> Tensor:
        from vidlang.encoders.preprocess import preprocess

        return preprocess(frames, self.pixels, mode, crops)


@dataclass(frozen=True)
class Reader:
    """Decodes, chooses and preprocesses: the ``produce`` of an engine."""

    encoder: Preparing
    recipe: FeatureRecipe
    batch_size: int
    """Images per part at most (at least the crops of one frame)."""
    frame_rate: float | None = None
    """Of folders of images."""
    threads: int = 0
    """Of one decoder; 0: the decoder decides."""

    @property
    def frames_per_part(self) -> int:
        return max(1, self.batch_size // self.recipe.sampling.num_crops)

    def __call__(self, job: Job) -> Iterator[Part | VideoEnd]:
        """Parts of ``frames_per_part`` frames, the last of fewer; then the end."""
        held: Part | None = None
        size, num_crops = self.frames_per_part, self.recipe.sampling.num_crops
        for item in self._read(job):
            if isinstance(item, VideoEnd):
                if held is not None:
                    yield held
                yield item
                continue
            held = item if held is None else _joined(held, item)
            while held is not None and len(held.rows) >= size:
                full, held = _split(held, size, num_crops)
                yield full

    def _read(self, job: Job) -> Iterator[Part | VideoEnd]:
        encoder, sampling = self.encoder, self.recipe.sampling
        identity = identify(job.path)
        fast = self.recipe.preprocess == "fast" and sampling.crops == "center"
        reuse = StaticScene(self.recipe.reuse_static) if self.recipe.reuse_static is not None else None
        borders = ShotBorders() if self.recipe.borders == "crop" else None
        # of a picture inside bars more than the shorter side may be needed, so frames with bars come at full size
        short_side = encoder.pixels.shorter_side if fast and borders is None else None
        num_still = 0
        with open_snippets(
            job.path,
            sampling,
            video_id=job.video_id,
            frame_rate=self.frame_rate,
            short_side=short_side,
            batch_size=self.frames_per_part,
            threads=self.threads,
            watch=motion_watch(self.recipe.motion),
        ) as stream:
            for batch in stream:
                rows = [tuple(r) for r in batch.rows]
                pictures: Pictures = borders.crop(batch.frames) if borders else batch.frames
                if self.recipe.motion.use == "mask":
                    pictures = still_blurred(batch.frames, batch.masks)
                weights = self._weights(batch) if self.recipe.motion.use == "pool" else None
                num_still += sum(len(r) for r, mask in zip(rows, batch.masks, strict=False) if mask is None)
                frames = recoloured(pictures, self.recipe)
                keep, reused, checks = reuse.sort_out(frames, rows) if reuse else (list(range(len(rows))), [], [])
                chosen = frames if len(keep) == len(rows) else [frames[index] for index in keep]
                share = _share_read(stream.info, sampling, rows)
                if len(keep):
                    pixels = encoder.preprocess(chosen, mode=self.recipe.preprocess, crops=sampling.crops).numpy()
                    yield Part(pixels, tuple(rows[i] for i in keep), share, tuple(reused), tuple(checks), weights)
                elif reused:
                    yield Part(np.empty(0, np.float32), (), share, tuple(reused))
            cropped = []
            if borders is not None and borders.widest is not None:
                cropped = [f"borders cropped from {borders.num_cropped} frames: up to {borders.widest}"]
            still = [f"nothing moves in {num_still} of {len(stream.frames)} snippets: plain rows"] if num_still else []
            warnings = (*stream.warnings, *cropped, *still)
            yield VideoEnd(stream.info, stream.frames, stream.seconds, identity, stream.decoder, warnings, num_still)

    def _weights(self, batch: SnippetBatch) -> NDArray[np.float32]:
        """[N * K, g, g] of the patches of every crop; ones where nothing moves."""
        from vidlang.encoders.motion_pooling import patch_weights

        encoder, crops, num_crops = self.encoder, self.recipe.sampling.crops, self.recipe.sampling.num_crops
        assert encoder.patch_grid is not None, "extract_videos has checked it"
        grid, size = encoder.patch_grid, (batch.frames.shape[1], batch.frames.shape[2])
        plain = np.ones((num_crops, grid, grid), dtype=np.float32)
        found = [plain if m is None else patch_weights(m, size, encoder.pixels, grid, crops) for m in batch.masks]
        return np.concatenate(found)


@dataclass(frozen=True)
class EncodingStage:
    """Encodes parts: the stage of an engine."""

    encoder: Encoder
    num_crops: int
    batch_size: int
    """Images per call where parts of several videos are mixed."""

    def __call__(self, items: Sequence[Part | VideoEnd]) -> list[Rows | VideoEnd]:
        """Parts become ``Rows``, ends stay. One part at a time, or, of several, batches that span videos."""
        parts = [item for item in items if isinstance(item, Part) and item.rows]
        rows = iter(self._encoded(parts))
        return [
            item if isinstance(item, VideoEnd) else Rows(next(rows) if item.rows else _NO_ROWS, _light(item))
            for item in items
        ]

    def _encoded(self, parts: Sequence[Part]) -> list[NDArray[np.float32]]:
        """[N, K, D] of each part"""
        import torch

        if not parts:
            return []
        pixels = torch.from_numpy(np.concatenate([part.pixels for part in parts]) if parts[1:] else parts[0].pixels)
        weighed = [part.weights for part in parts if part.weights is not None]  # all of a recipe have some, or none has
        weights = torch.from_numpy(np.concatenate(weighed)) if weighed else None
        step = self.num_crops * max(1, self.batch_size // self.num_crops)
        encoded = []
        for start in range(0, len(pixels), step):
            batch = pixels[start : start + step]
            if weights is None:
                encoded.append(self.encoder.encode_pixels(batch))
            else:
                encoded.append(self.encoder.encode_pixels(batch, weights=weights[start : start + step]))
        features = np.concatenate(encoded).reshape(len(pixels) // self.num_crops, self.num_crops, -1)
        ends = np.cumsum([len(part.rows) for part in parts])
        return np.split(features, ends[:-1])


_NO_ROWS = np.empty((0, 1, 1), dtype=np.float32)


def _light(part: Part) -> Part:
    return replace(part, pixels=np.empty(0, np.float32), weights=None)


def _joined(one: Part, other: Part) -> Part:
    num_before = len(one.rows)
    return Part(
        pixels=_stacked(one.pixels, other.pixels),
        rows=one.rows + other.rows,
        share=other.share,
        reused=one.reused + other.reused,
        checks=one.checks + tuple((position + num_before, row) for position, row in other.checks),
        weights=one.weights if other.weights is None else _stacked(one.weights, other.weights),
    )


def _stacked(one: NDArray[np.float32] | None, other: NDArray[np.float32]) -> NDArray[np.float32]:
    if one is None or not one.size:
        return other
    return np.concatenate([one, other]) if other.size else one


def _split(part: Part, size: int, num_crops: int) -> tuple[Part, Part | None]:
    """The first ``size`` frames, and what is left."""
    if len(part.rows) == size:
        return part, None
    cut, weights = size * num_crops, part.weights
    first = Part(
        part.pixels[:cut],
        part.rows[:size],
        part.share,
        part.reused,
        tuple((position, row) for position, row in part.checks if position < size),
        None if weights is None else weights[:cut],
    )
    rest = Part(
        part.pixels[cut:],
        part.rows[size:],
        part.share,
        (),
        tuple((position - size, row) for position, row in part.checks if position >= size),
        None if weights is None else weights[cut:],
    )
    return first, rest


def _share_read(info: VideoInfo, sampling: Sampling, rows: Sequence[tuple[int, ...]]) -> float:
    """Share of a video behind its last row so far; an estimate in [0, 0.99], since headers only estimate."""
    last = max((row for group in rows for row in group), default=0) + 1
    expected = info.duration * sampling.fps if sampling.fps is not None else info.num_frames / sampling.stride
    return min(last / expected, 0.99) if expected > 0 else 0.0
