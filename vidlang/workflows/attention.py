"""Which snippets of a video TCA looks at: rows as retrieval embeds them → attention → a picture, a table."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, BadVideo, FeatureKey, Progress
from vidlang.methods.tca.informative import unit
from vidlang.report.attention import attention_plot
from vidlang.report.map_plot import file_kind
from vidlang.store.atomic import write_bytes, write_text
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.workspace import Workspace
from vidlang.workflows.chosen import honesty
from vidlang.workflows.gallery import PLAIN, Gallery, GalleryOptions, open_gallery
from vidlang.workflows.matrix import position_of
from vidlang.workflows.pictures import frames_at
from vidlang.workflows.video_files import locate_videos

logger = logging.getLogger(__name__)

FORMATS = ("png", "pdf", "svg", "csv")
EVEN = 0.01
"""Shares nearer to the even one than this part of it are said to be even."""
STILLS = 10
"""Frames below the curves."""
STILL_SIDE = 160
"""Pixels of their shorter side."""


@dataclass(frozen=True)
class AttentionOptions:
    """Which network, and what is written."""

    gallery: GalleryOptions = field(default_factory=GalleryOptions)
    out: tuple[Path, ...] = (Path("attention.png"),)
    videos: tuple[Path, ...] = ()
    """Folders of the videos, for frames below the curves."""

    def __post_init__(self) -> None:
        for path in self.out:
            if file_kind(path.name, FORMATS) is None:
                raise BadInput(f"--out {path} must end in .png, .pdf, .svg or .csv, which says what is written.")
        if self.gallery.checkpoint == PLAIN:
            raise BadInput("Plain rows attend to nothing. Name a TCA checkpoint: vidlang models list shows them.")


@dataclass(frozen=True, eq=False)
class AttentionReport:
    """How much attention every snippet of a video gets."""

    video: str
    attention: NDArray[np.float32]
    """[L, H, T] shares by layer and head; each [l, h] sums to 1."""
    weights: NDArray[np.float32]
    """[T] how much each row counts before anything attends; little for blank frames."""
    seconds: NDArray[np.float64]
    """[T, 2]"""
    made_by: dict[str, Any]
    written: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    @property
    def mean(self) -> NDArray[np.float32]:
        """[T] mean over heads of the last layer, which the video's vector is made from."""
        return np.asarray(self.attention[-1].mean(axis=0))

    def to_dict(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "schema": "vidlang.cache.attention/1",
            "made_by": self.made_by,
            "video": self.video,
            "seconds": self.seconds.tolist(),
            "weights": [round(float(value), 6) for value in self.weights],
            "attention": [[[round(float(v), 8) for v in head] for head in layer] for layer in self.attention],
            "files": [str(path) for path in self.written],
            "notes": list(self.notes),
        }


def video_attention(
    workspace: Workspace, video_id: str, options: AttentionOptions | None = None, progress: Progress | None = None
) -> AttentionReport:
    """Attention of a cached video's snippets in a trained TCA.

    Raises:
        MissingFeatures: the video is not in the cache.
        BadInput: there is no TCA checkpoint, or its network is no transformer.
    """
    options, progress = options or AttentionOptions(), progress or Progress()
    gallery, _ = open_gallery(workspace, options.gallery, None, progress, as_it_is=True)
    if gallery.made_by["checkpoint"] is None:
        raise BadInput("There is no TCA checkpoint that reads these features. Train one with: vidlang train tca")
    position_of(gallery, video_id)
    cache = FeatureCache(workspace.cache_dir)
    key = FeatureKey(video_id, gallery.recipe)
    attention, weights, seconds = _attention(gallery, cache, key)
    made_by = {**gallery.made_by, **honesty(gallery.encoder_name)}
    notes = _notes(attention)
    report = AttentionReport(video_id, attention, weights, seconds, made_by, options.out, notes)
    pictures = [path for path in options.out if file_kind(path.name, FORMATS) != "csv"]
    path = locate_videos(cache, [key], options.videos).get(video_id) if pictures else None
    places = np.linspace(float(seconds[0, 0]), float(seconds[-1, 1]), STILLS * 2 + 1)[1::2]
    frames = _frames(path, places.tolist(), cache.entry(key).video.frame_rate or None)
    for out in options.out:
        out.parent.mkdir(parents=True, exist_ok=True)
        kind = file_kind(out.name, FORMATS) or "png"
        if kind == "csv":
            write_text(out, _csv(report))
        else:
            note = f"checkpoint {made_by['checkpoint']}; {made_by['encoder']}"
            write_bytes(
                out, attention_plot(video_id, seconds, attention, frames, weights=weights, note=note, kind=kind)
            )
    return report


def _frames(path: Path | None, seconds: Sequence[float], frame_rate: float | None) -> list[NDArray[np.uint8]]:
    """None where the video is not at hand or does not read; the curves are drawn all the same."""
    if path is None:
        return []
    try:
        return frames_at(path, seconds, short_side=STILL_SIDE, frame_rate=frame_rate)
    except BadVideo as error:
        logger.warning("no frames of %s: %s", path, error)
        return []


def _attention(
    gallery: Gallery, cache: FeatureCache, key: FeatureKey
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Attention [L, H, T], weights [T], seconds [T, 2], by the way that the gallery's videos went."""
    from vidlang.methods.tca.attention import attention_received
    from vidlang.methods.tca.predict import Embedder

    embedding = gallery.embedding
    assert isinstance(embedding.embedder, Embedder)
    values, seconds, weights = embedding.telling_rows(cache.get(key))
    rows = embedding.whitening.apply(values) if embedding.whitening is not None else unit(values)
    return attention_received(embedding.embedder.encoder, rows, weights), weights, seconds


def _notes(attention: NDArray[np.float32]) -> tuple[str, ...]:
    """A line where the curves are stretched noise: the network tells rows hardly apart."""
    spread = float(np.abs(attention * attention.shape[2] - 1).max())
    if spread >= EVEN:
        return ()
    return (f"this checkpoint attends almost evenly: no snippet gets over {spread:.2%} more or less than its share",)


def _csv(report: AttentionReport) -> str:
    layers, heads, _ = report.attention.shape
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    names = [f"layer{layer + 1}_head{head + 1}" for layer in range(layers) for head in range(heads)]
    table.writerow(["start", "end", "weight", "mean", *names])
    flat = report.attention.reshape(layers * heads, -1)
    for (start, end), weight, mean, column in zip(report.seconds, report.weights, report.mean, flat.T, strict=True):
        numbers = [f"{value:.8f}" for value in column]
        table.writerow([f"{start:.3f}", f"{end:.3f}", f"{weight:.6f}", f"{mean:.8f}", *numbers])
    return lines.getvalue()
