"""From frame rows to what is indexed: one vector per video, and one scaled row per frame.

Scaled rows carry the informative weight of their frame as their length, so that matrix products of rows are cosines
times both weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidlang.core.errors import BadCheckpoint, BadInput
from vidlang.methods.tca.config import TcaConfig
from vidlang.methods.tca.model import new_encoder
from vidlang.methods.tca.video_encoder import VideoEncoder
from vidlang.nn.padding import check_features, pad_batch
from vidlang.nn.precision import Precision, arithmetic

Array = NDArray[np.floating]
Embedding = tuple[NDArray[np.float32], NDArray[np.float32]]
"""vector [E], length 1 (0 where all weights are 0); rows [T, E], each as long as its weight."""

ROWS_AT_ONCE = 4096
"""Rows, padding included, that share a batch; a longer video is a batch of its own."""


class Embedder:
    """A trained encoder, ready for any number of videos of any length; each is read as a whole.

    Attention over a long video is computed in blocks, so its memory grows with the length and its time with the square:
    10,000 rows (almost three hours at one per second) take seconds.
    """

    def __init__(self, encoder: VideoEncoder, precision: Precision = "float32") -> None:
        """encoder: is put into evaluation mode, and read as it is at each call, so one in training may be given"""
        self.encoder, self.precision = encoder, precision
        self.width, self.output_dim = encoder.width, encoder.output_dim

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, Tensor],
        config: TcaConfig,
        width: int,
        device: str | torch.device = "cpu",
        precision: Precision = "float32",
    ) -> Embedder:
        """The encoder with these weights, for rows [T, width].

        Raises:
            BadCheckpoint: the weights are not those of such an encoder.
        """
        return cls(load_encoder(state, config, width).to(device), precision)

    def embed(self, rows: Array, weights: Array | None = None) -> Embedding:
        """One video. rows: [T, width], each of length 1    weights: [T] in [0, 1]; None: 1 everywhere

        NetVLAD and NeXtVLAD have no output per row; the rows that went in stand for it.

        Raises:
            BadInput: no rows, or another width than the encoder's.
        """
        return self.embed_many([rows], [weights])[0]

    def embed_many(self, videos: Sequence[Array], weights: Sequence[Array | None] | None = None) -> list[Embedding]:
        """Many videos, in their order. Those of similar length share batches.

        videos: arrays [T, width]    weights: one array [T] or None per video; None: 1 everywhere

        Raises:
            BadInput: a video has no rows, or another width than the encoder's.
        """
        given = [None] * len(videos) if weights is None else list(weights)
        checked = [
            _checked(video, weight, f"video {index} of {len(videos)}", self.width)
            for index, (video, weight) in enumerate(zip(videos, given, strict=True))
        ]
        self.encoder.eval()
        done: dict[int, Embedding] = {}
        for indices in _batches([len(rows) for rows, _ in checked]):
            done.update(zip(indices, self._embed_batch([checked[index] for index in indices]), strict=True))
        return [done[index] for index in range(len(videos))]

    @torch.no_grad()
    def _embed_batch(self, videos: Sequence[tuple[Array, NDArray[np.float32]]]) -> list[Embedding]:
        device = next(self.encoder.parameters()).device
        x, lengths = pad_batch([rows for rows, _ in videos])
        weights = pad_batch([weight[:, None] for _, weight in videos])[0][..., 0]  # [B, T]
        with arithmetic(device, self.precision):
            vectors, rows = self.encoder.both(x.to(device), lengths.to(device), weights.to(device))
        parts = zip(vectors.float().cpu().numpy(), rows.float().cpu().numpy(), videos, strict=True)
        return [(vector.copy(), row[: len(weight)] * weight[:, None]) for vector, row, (_, weight) in parts]


class PlainEmbedder:
    """The same door without a network: the weighted mean of the rows, and the rows themselves."""

    def __init__(self, width: int | None = None) -> None:
        """width: rows of another width are refused; None: any"""
        self.width = self.output_dim = width

    def embed(self, rows: Array, weights: Array | None = None) -> Embedding:
        """One video. rows: [T, E], each of length 1    weights: [T] in [0, 1]; None: 1 everywhere

        Raises:
            BadInput: no rows, or another width.
        """
        rows, weights = _checked(rows, weights, "the video", self.width)
        scaled = (_unit(rows) * weights[:, None]).astype(np.float32)
        return _unit((weights[:, None] * rows).sum(0, dtype=np.float64)).astype(np.float32), scaled

    def embed_many(self, videos: Sequence[Array], weights: Sequence[Array | None] | None = None) -> list[Embedding]:
        """Many videos, in their order."""
        given = [None] * len(videos) if weights is None else list(weights)
        return [self.embed(video, weight) for video, weight in zip(videos, given, strict=True)]


def load_encoder(state: Mapping[str, Tensor], config: TcaConfig, width: int) -> VideoEncoder:
    """An encoder with these weights, in evaluation mode.

    Raises:
        BadCheckpoint: names or shapes of weights do not fit the config or the width.
    """
    encoder = new_encoder(config, width)
    expected = {name: tuple(value.shape) for name, value in encoder.state_dict().items()}
    got = {name: tuple(value.shape) for name, value in state.items()}
    wrong = sorted(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
    if wrong:
        name = wrong[0]
        raise BadCheckpoint(
            f"The weights do not fit this encoder of rows of width {width}: {name} is {got.get(name, 'missing')}, "
            f"expected {expected.get(name, 'nothing of that name')} ({len(wrong)} such)."
        )
    encoder.load_state_dict(dict(state))
    return encoder.eval()


def _checked(rows: Array, weights: Array | None, where: str, width: int | None) -> tuple[Array, NDArray[np.float32]]:
    check_features(rows, where, width)
    if weights is None:
        return rows, np.ones(len(rows), dtype=np.float32)
    if weights.shape != (len(rows),):
        raise ValueError(f"weights must be [T] = ({len(rows)},), got {weights.shape} ({where})")
    if not ((weights >= 0) & (weights <= 1)).all():
        raise BadInput(f"{where} has weights outside 0 to 1.")
    return rows, weights.astype(np.float32)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of similar lengths together, ROWS_AT_ONCE rows at most unless one video alone has more."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[index] > ROWS_AT_ONCE:  # the newest is the longest
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _unit(vectors: Array) -> Array:
    norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norm, 1e-12)
