"""Features to what retrieval compares: informative weights → whitening → plain rows or TCA → vectors and rows.

Everything that decides the numbers is one ``Embedding``, made from an index's spec and arrays, so that a query goes
exactly the way that the gallery went.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, EncoderUnavailable, FeatureRecipe, Features, Progress, UnknownName
from vidlang.methods.tca.informative import informative_weights, is_blank, unit
from vidlang.methods.tca.whitening import Whitening

if TYPE_CHECKING:
    from vidlang.encoders.base import Encoder
    from vidlang.methods.tca.predict import Embedder, PlainEmbedder

WINDOWED_FROM = 1.5
"""Videos longer than so many windows have window vectors beside the one of the whole."""


@dataclass(frozen=True, eq=False)
class Embedded:
    """One video as retrieval sees it."""

    video_id: str
    duration: float
    seconds: NDArray[np.float64]
    """[T, 2] of the rows below."""
    vectors: NDArray[np.float32]
    """[V, E] of length 1 (0 for a video of blank frames): the whole video, then windows of long ones."""
    rows: NDArray[np.float32]
    """[T, E], each of the length of its informative weight; 0 for a video of blank frames."""
    text: NDArray[np.float32] | None
    """[T, D] of length 1, comparable with texts; None where ``rows`` are, or where nothing is."""
    blank: bool
    """It shows nothing but blank frames, so that nothing can be said of it."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """A way from features to vectors and rows."""

    recipe: FeatureRecipe
    whitening: Whitening | None
    blanks: NDArray[np.float32]
    """[N, D] rows of blank frames; none: every row weighs 1."""
    mean: NDArray[np.float32] | None
    """[D] mean of unit rows of the gallery, taken away before rows are compared with blank frames."""
    embedder: Embedder | PlainEmbedder
    learned: bool
    """The embedder is a trained one, whose rows are no longer in CLIP's space."""
    skip_start: float = 0.0
    window: int = 32

    def embed(self, features: Features) -> Embedded:
        """Vectors and rows of one video.

        Raises:
            BadInput: rows of another dimension, or not finite.
        """
        values, seconds, weights = self.telling_rows(features)
        rows = self.whitening.apply(values) if self.whitening is not None else unit(values)
        vector, scaled = self.embedder.embed(rows, weights)
        blank = is_blank(weights)
        if blank:  # what little its rows weigh would give windows a direction
            vector, scaled = np.zeros_like(vector), np.zeros_like(scaled)
        vectors = np.concatenate([vector[None], _window_vectors(scaled, self.window)])
        return Embedded(
            video_id=features.key.video_id,
            duration=features.video.duration,
            seconds=seconds,
            vectors=vectors.astype(np.float32),
            rows=scaled.astype(np.float32),
            text=unit(values) if self.keeps_text_rows else None,
            blank=blank,
        )

    @property
    def width(self) -> int | None:
        """D of the features; None where any will do."""
        if self.whitening is not None:
            return self.whitening.width_in
        return self.blanks.shape[1] if len(self.blanks) else self.embedder.width

    @property
    def keeps_text_rows(self) -> bool:
        """Rows for texts are kept beside the others: pooled rows that were moved out of CLIP's space."""
        return self.recipe.features == "pooled" and (self.whitening is not None or self.learned)

    def telling_rows(self, features: Features) -> tuple[NDArray[np.floating], NDArray[np.float64], NDArray[np.float32]]:
        """Rows [T, D] as whitening takes them, seconds [T, 2], weights [T], after the skipped start."""
        raw = features.crop(0).values
        if not np.isfinite(raw).all():
            raise BadInput(f"{features.key.video_id} has features that are not finite numbers. Extract it again.")
        if self.width is not None and raw.shape[1] != self.width:
            raise BadInput(
                f"{features.key.video_id} has rows of width {raw.shape[1]}, but {self.width} is expected here. "
                "Extract it again."
            )
        values = whitening_input(raw, self.recipe)
        seconds = features.seconds
        weights = informative_weights(values, self.blanks, self.mean)
        if self.skip_start > 0:
            kept = seconds[:, 0] >= self.skip_start
            if not kept.any():  # the video is shorter than what is skipped: it is there, and matches nothing
                return values, seconds, np.zeros_like(weights)
            values, seconds, weights = values[kept], seconds[kept], weights[kept]
        return values, seconds, weights


def whitening_input(values: NDArray[np.floating], recipe: FeatureRecipe) -> NDArray[np.float32]:
    """Rows as whitening is fitted on them: of length 1, but region rows as they are, which is the published way.

    values: [T, D]
    """
    return np.asarray(values, dtype=np.float32) if recipe.features == "regions" else unit(values)


def _window_vectors(scaled: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    """[W, E] of length 1: means over half-overlapping windows, so that a short clip inside a long video is found.

    scaled: [T, E] rows by weight
    """
    starts = window_starts(len(scaled), window)
    if not starts:
        return np.empty((0, scaled.shape[1]), dtype=np.float32)
    return unit(np.stack([scaled[start : start + window].sum(axis=0) for start in starts]))


def window_starts(num_rows: int, window: int) -> list[int]:
    """First rows of the half-overlapping windows of a video; none of one that is hardly longer than a window."""
    if num_rows <= WINDOWED_FROM * window:
        return []
    return [*range(0, num_rows - window, max(1, window // 2)), num_rows - window]


def blank_rows(load_encoder: Callable[[], Encoder], recipe: FeatureRecipe, progress: Progress) -> NDArray[np.float32]:
    """``encode_blanks``; none where the encoder cannot be had, as with features that were imported."""
    try:
        return encode_blanks(load_encoder(), recipe)
    except (EncoderUnavailable, UnknownName) as error:
        progress.message(f"Blank frames are not told from others, since the encoder is not here: {error}")
        return np.empty((0, 1), dtype=np.float32)


def encode_blanks(encoder: Encoder, recipe: FeatureRecipe) -> NDArray[np.float32]:
    """[N, D] rows of blank frames, made the way that the recipe makes rows of a video."""
    from vidlang.encoders.blanks import blank_frames
    from vidlang.workflows.pixels import recoloured

    frames = recoloured(blank_frames(encoder.image_size), recipe)
    return np.asarray(encoder.encode_frames(frames, mode=recipe.preprocess), dtype=np.float32)


@dataclass(frozen=True)
class WhiteningPlan:
    """How whitening is found."""

    kind: str = "auto"
    """``none``, ``center``, ``whiten``, or ``auto``: as much as the gallery is large enough to fit."""
    num_components: int | None = None
    """Dimensions kept; None: one for every 32 rows it is fitted on, at most all."""
    max_rows: int = 200_000
    """Rows of the sample."""


ROWS_PER_COMPONENT = 32
"""Fewer rows than this for every component, and the components fit the sample instead of the kind of images."""
AUTO = (("whiten", 10_000, 500), ("center", 1000, 50))
"""What ``auto`` comes to from so many rows and videos on. A smaller gallery has too little variety: what its videos
share may be the very thing they show."""


def fit_whitening(
    blocks: Iterable[NDArray[np.floating]], dim: int, plan: WhiteningPlan, num_rows: int, num_videos: int
) -> Whitening | None:
    """Whitening of a sample of rows; None where the plan comes to none.

    blocks: arrays [n, D] that add up to ``num_rows`` rows of ``num_videos`` videos
    """
    from vidlang.methods.tca.whitening import WhiteningFit

    kind = plan.kind
    if kind == "auto":
        kind = next((k for k, rows, videos in AUTO if num_rows >= rows and num_videos >= videos), "none")
    if kind == "none":
        return None
    if num_rows < 2:
        raise BadInput(f"Whitening needs at least 2 rows, the cache has {num_rows}. Extract more, or --whitening none.")
    fit = WhiteningFit()
    for block in blocks:
        fit.update(block)
    if kind == "center":
        return fit.finish(kind="center")
    most = max(2, min(dim, num_rows // ROWS_PER_COMPONENT))
    return fit.finish(min(plan.num_components or most, dim), kind="whiten")


def make_embedder(
    checkpoint: Mapping[str, Any] | None, width: int, device: str
) -> tuple[Embedder | PlainEmbedder, bool]:
    """The embedder of a TCA checkpoint's parts (``state``, ``config``), or the plain one; and whether it is trained."""
    from vidlang.methods.tca.config import TcaConfig
    from vidlang.methods.tca.predict import Embedder, PlainEmbedder
    from vidlang.nn.device import choose_device

    if checkpoint is None:
        return PlainEmbedder(), False
    config = TcaConfig.from_dict(dict(checkpoint["config"]))
    return Embedder.from_state(checkpoint["state"], config, width, choose_device(device)), True
