"""Rows of a stream to scores: picked frames → pixels → features → a window over the last snippets → scores."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core import FeatureKey, Features, Scores, VideoInfo, VidlangError
from vidlang.video.live_snippets import LiveSnippet
from vidlang.video.shot_borders import ShotBorders
from vidlang.video.snippets import Picked
from vidlang.video.static import StaticScene
from vidlang.workflows.pixels import Pictures, recoloured
from vidlang.workflows.score import Scorer, scores_of
from vidlang.workflows.watch_events import ScoredRow

if TYPE_CHECKING:
    from torch import Tensor

STREAM = "stream"
"""What a stream is called where videos have an id."""


@dataclass(frozen=True)
class WindowOptions:
    """How long scores wait, and what they are based on."""

    delay: float = 4.0
    """Seconds that a score waits at most after its snippet has ended, computing not counted."""
    context: float = 2.0
    """Of these, seconds that a trained head sees behind a snippet before its score is told."""
    length: int = 0
    """Snippets that a trained head sees at once; 0: each is scored by itself."""
    batch_size: int = 32
    """Pictures per call of the encoder at most."""
    crop: str = "0"
    """Which of ten crops, or ``mean``."""


class StreamScorer:
    """Scores of the snippets of a stream, in order.

    A trained head judges a snippet from those around it: it looks at the last ``length`` snippets, again each time that
    scores are due, and what it says of those that have ``context`` seconds behind them is told. Zero-shot scores belong
    to one snippet each.
    """

    def __init__(self, scorer: Scorer, encoder: Any, options: WindowOptions) -> None:
        self._scorer, self._encoder, self._options = scorer, encoder, options
        self._recipe = scorer.recipe
        self._num_crops = self._recipe.sampling.num_crops
        self._waiting: list[tuple[Tensor | None, tuple[int, ...]]] = []  # None: as the picture before
        self._sums: dict[int, NDArray[np.float32]] = {}
        self._counts: dict[int, int] = {}
        self._last_feature: NDArray[np.float32] | None = None
        self._complete: deque[LiveSnippet] = deque()  # without features so far
        self._window: deque[tuple[LiveSnippet, NDArray[np.float32]]] = deque()
        self._num_unscored = 0  # at the end of the window
        self.num_without_frame = 0
        """Snippets that have no score because their frame was dropped."""
        self.num_scored = 0
        self.most_waiting = 0
        """The most snippets and pictures that ever waited."""
        self._begin_scene()

    def _begin_scene(self) -> None:
        recipe = self._recipe
        self._borders = ShotBorders() if recipe.borders == "crop" else None
        self._static = StaticScene(recipe.reuse_static) if recipe.reuse_static is not None else None

    @property
    def num_waiting(self) -> int:
        """Snippets whose score is not told, and pictures that are not encoded."""
        return len(self._complete) + self._num_unscored + len(self._waiting)

    def add(self, picked: Sequence[Picked], complete: Sequence[LiveSnippet]) -> None:
        """Frames that stand for snippets, and snippets that have ended."""
        for one in picked:
            self._waiting.append((self._pixels(one), one.rows))
            if len(self._waiting) >= self._options.batch_size:
                self._encode()
        self._complete.extend(complete)
        self.most_waiting = max(self.most_waiting, self.num_waiting)

    def due(self, seconds: float, now: float | None = None) -> list[ScoredRow]:
        """The scores whose time has come.

        seconds: what the stream has come to    now: seconds since the epoch, where frames come as time goes by
        """
        oldest = self._oldest()
        if oldest is None:
            return []
        if now is not None and now - oldest.arrived[1] >= self._options.delay:
            return self._scores(float("inf"))
        num_unscored = self._num_unscored + len(self._complete)
        if seconds - oldest.seconds[1] >= self._options.delay:
            return self._scores(seconds - self._options.context)
        if self._options.length and num_unscored >= self._options.length:  # the window holds no more
            return self._scores(oldest.seconds[1])
        return []

    def rest(self) -> list[ScoredRow]:
        """The scores of all complete snippets, whatever comes."""
        return self._scores(float("inf"))

    def settle(self) -> None:
        """Rows are counted anew from here on; those of before keep their features."""
        self._encode()
        self._take_complete()
        self._sums, self._counts = {}, {}

    def restart(self) -> None:
        """What comes is another scene: the window is forgotten."""
        self.settle()
        self._window.clear()
        self._num_unscored, self._last_feature = 0, None
        self._begin_scene()

    def _oldest(self) -> LiveSnippet | None:
        if self._num_unscored:
            return self._window[-self._num_unscored][0]
        return self._complete[0] if self._complete else None

    def _pixels(self, picked: Picked) -> Tensor | None:
        """[K, 3, S, S], or None where nothing has moved since the last picture (``reuse_static``)."""
        frames = picked.pixels[None]
        pictures: Pictures = self._borders.crop(frames) if self._borders else frames
        pictures = recoloured(pictures, self._recipe)
        if self._static is not None and not self._static.sort_out(pictures, [picked.rows])[0]:
            return None
        pixels: Tensor = self._encoder.preprocess(
            pictures, mode=self._recipe.preprocess, crops=self._recipe.sampling.crops
        )
        return pixels

    def _encode(self) -> None:
        import torch

        waiting, self._waiting = self._waiting, []
        pixels = [one for one, _ in waiting if one is not None]
        encoded = iter(())
        if pixels:
            rows = self._encoder.encode_pixels(torch.cat(pixels))
            if not np.isfinite(rows).all():
                raise VidlangError("The encoder gave values that are not finite. Try --precision float32.")
            encoded = iter(rows.reshape(len(pixels), self._num_crops, -1))  # [N, K, D]
        for one, numbers in waiting:
            if one is not None:
                self._last_feature = next(encoded)
            assert self._last_feature is not None, "the first picture of a scene is encoded"
            for row in numbers:
                before = self._sums.get(row)
                self._sums[row] = self._last_feature if before is None else before + self._last_feature
                self._counts[row] = self._counts.get(row, 0) + 1

    def _take_complete(self) -> None:
        """Complete snippets and their features to the end of the window."""
        while self._complete:
            snippet = self._complete.popleft()
            summed = self._sums.pop(snippet.row, None)
            if summed is None:
                self.num_without_frame += 1
                continue
            self._window.append((snippet, summed / np.float32(self._counts.pop(snippet.row))))
            self._num_unscored += 1
        while len(self._window) > max(self._options.length, self._num_unscored):
            self._window.popleft()

    def _scores(self, until: float) -> list[ScoredRow]:
        """What the head says of the window; told are snippets that end by then, and at least one."""
        self._encode()
        self._take_complete()
        if not self._num_unscored:
            return []
        first = len(self._window) - self._num_unscored
        scores = self._judged([*self._window])
        told = [(i, snippet) for i, (snippet, _) in enumerate(self._window) if i >= first]
        told = [(i, snippet) for i, snippet in told if i == first or snippet.seconds[1] <= until]
        self._num_unscored -= len(told)
        self.num_scored += len(told)
        while len(self._window) > max(self._options.length, self._num_unscored):
            self._window.popleft()
        classes = scores.classes
        return [
            ScoredRow(snippet, float(scores.anomaly[i]), None if classes is None else classes[i]) for i, snippet in told
        ]

    def _judged(self, window: Sequence[tuple[LiveSnippet, NDArray[np.float32]]]) -> Scores:
        values = np.stack([feature for _, feature in window], axis=1)  # [K, T, D]
        frames = np.array([snippet.frames for snippet, _ in window], dtype=np.int64)
        seconds = np.array([snippet.seconds for snippet, _ in window], dtype=np.float64)
        features = Features(
            key=FeatureKey(STREAM, self._recipe),
            video=VideoInfo(STREAM, int(frames[-1, 1]), float(seconds[-1, 1]), 0.0, (0, 0)),
            values=(values if self._num_crops > 1 else values[0]).astype(self._recipe.dtype),
            frames=frames,
            seconds=seconds,
        )
        crop = self._options.crop
        return scores_of(features if crop == "mean" else features.crop(int(crop)), self._scorer)
