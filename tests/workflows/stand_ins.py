"""An encoder whose features are mean colours, films whose every frame has its own colour, videos straight into a cache.

The workflows see the same interface as with CLIP, and every number can be told by head.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from text_tower import WordTower, random_tower

from vidlang.core import FeatureKey, FeatureRecipe, Features, FileIdentity, Progress, Sampling, VideoInfo
from vidlang.core.progress import Task
from vidlang.encoders.preprocess import PixelRecipe
from vidlang.encoders.registry import find_encoder
from vidlang.store.feature_cache import FeatureCache
from vidlang.video.writer import write_video

DIM = 32
CLOSE = 4.0
"""Grey levels: what coding as 4:2:0 and back may change in a flat picture."""


class ColourEncoder:
    """Feature = mean red, green and blue of the picture, then zeros. Crop k adds 1000 k, so that crops tell."""

    def __init__(self, name: str = "mini") -> None:
        spec = find_encoder(name)
        assert spec is not None
        self.name, self.revision = spec.name, spec.revision
        self.dim, self.image_size, self.precision, self.features = DIM, 8, "float32", "pooled"
        self.pixels = PixelRecipe(self.image_size)
        self.logit_scale = 100.0
        self.device = torch.device("cpu")
        self.batches: list[int] = []
        self.loaded_as: list[str] = []
        self.fails_at: int | None = None
        """Which call of ``encode_pixels`` is interrupted, counted from 1."""

    @cached_property
    def text(self) -> WordTower:
        return random_tower(dim=DIM)

    def preprocess(self, frames, mode: str = "exact", crops: str = "center") -> torch.Tensor:
        """[N, H, W, 3] → [N * K, 3, 8, 8], nearest pixels, grey levels."""
        side, num_crops = self.image_size, 10 if crops == "ten" else 1
        small = []
        for frame in frames:
            rows = np.arange(side) * frame.shape[0] // side
            columns = np.arange(side) * frame.shape[1] // side
            picture = frame[rows][:, columns].astype(np.float32)
            small += [picture + 1000 * crop for crop in range(num_crops)]
        return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).contiguous()

    def encode_pixels(self, pixels: torch.Tensor) -> np.ndarray:
        self.batches.append(len(pixels))
        if self.fails_at == len(self.batches):
            raise KeyboardInterrupt
        rows = np.zeros((len(pixels), DIM), dtype=np.float32)
        rows[:, :3] = pixels.mean(dim=(2, 3)).numpy()
        return rows

    def encode_frames(self, frames, mode: str = "exact", crops: str = "center", batch_size: int = 32) -> np.ndarray:
        return self.encode_pixels(self.preprocess(frames, mode, crops))

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        tokens = self.text.tokenize(texts)
        return self.text.encode_embeddings(self.text.embed_tokens(tokens), self.text.eot_index(tokens))


class Notes(Progress):
    """Keeps what was said and how far each task came."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.done: dict[str, float] = {}

    def task(self, description: str, total: float | None = None, unit: str = "") -> Task:
        notes = self

        class Counting(Task):
            def advance(self, amount: float = 1) -> None:
                notes.done[description] = notes.done.get(description, 0.0) + amount

        return Counting()

    def message(self, text: str) -> None:
        self.messages.append(text)


def colour(index: int, shift: int = 0) -> np.ndarray:
    """[3] the colour of frame ``index``: neighbours differ by 7, 11 and 13 grey levels, frames 16 apart by more."""
    return np.array([30 + (index * step + shift) % 190 for step in (7, 11, 13)], dtype=np.uint8)


def film(path: Path, num_frames: int, *, shift: int = 0, rate: float = 25.0) -> Path:
    """A film of flat pictures, frame i in ``colour(i, shift)``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = (np.broadcast_to(colour(i, shift), (32, 48, 3)).copy() for i in range(num_frames))
    write_video(path, frames, rate, options={"crf": "4", "preset": "ultrafast"})
    return path


def colours(indices: Iterable[int], shift: int = 0) -> np.ndarray:
    """[T, 3]"""
    return np.stack([colour(index, shift) for index in indices]).astype(np.float32)


def recipe_of(encoder: ColourEncoder, **sampling: object) -> FeatureRecipe:
    return FeatureRecipe(encoder.name, encoder.revision, Sampling(**sampling))  # type: ignore[arg-type]


def video_rows(length: int, seed: int, event: int | None = None) -> np.ndarray:
    """[length, DIM] random rows; with an event, the middle third points along that axis."""
    rows = np.random.default_rng(seed).normal(size=(length, DIM)).astype(np.float32)
    if event is not None:
        rows[length // 3 : length // 3 + max(2, length // 3), event] += 8
    return rows


def put(cache: FeatureCache, recipe: FeatureRecipe, video_id: str, rows: np.ndarray, rate: float = 25.0) -> None:
    """Features of a video that nobody has, 16 frames a row."""
    edges = np.arange(rows.shape[-2] + 1, dtype=np.int64) * 16
    frames = np.stack([edges[:-1], edges[1:]], axis=1)
    info = VideoInfo(video_id, int(edges[-1]), float(edges[-1] / rate), rate, (32, 48))
    features = Features(FeatureKey(video_id, recipe), info, rows, frames, frames / rate)
    cache.put(features, identity=FileIdentity(1, "0", 0.0))


def features_of(rows: np.ndarray, recipe: FeatureRecipe, video_id: str = "v.mp4") -> Features:
    """Features of a video that nobody has, one row a second."""
    edges = np.arange(rows.shape[-2] + 1, dtype=np.int64)
    spans = np.stack([edges[:-1], edges[1:]], axis=1)
    info = VideoInfo(video_id, int(edges[-1]), float(edges[-1]), 1.0, (32, 48))
    return Features(FeatureKey(video_id, recipe), info, rows.astype(np.float32), spans, spans.astype(np.float64))


def put_seconds(
    cache: FeatureCache, recipe: FeatureRecipe, video_id: str, rows: np.ndarray, digest: str | None = None
) -> None:
    """``features_of`` into a cache, as those of a file of its own or of the file with that digest."""
    cache.put(features_of(rows, recipe, video_id), identity=FileIdentity(1, digest or f"digest of {video_id}", 0.0))


def unit_rows(*shape: int, seed: int = 0) -> np.ndarray:
    """Random rows of length 1, float32."""
    rows = np.random.default_rng(seed).normal(size=shape)
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def collection(cache: FeatureCache, recipe: FeatureRecipe, per_class: int = 6, length: int = 9) -> list[str]:
    """Normal, fight and fall videos of a few rows; the abnormal ones have an event in their middle."""
    ids = []
    for number, (name, event) in enumerate((("normal", None), ("fight", 0), ("fall", 1))):
        for index in range(per_class):
            ids.append(f"{name}/{name}{index}.mp4")
            put(cache, recipe, ids[-1], video_rows(length, seed=100 * number + index, event=event))
    return ids
