"""Scores, events and truth drawn on the frames of a video: what happens now in words, the whole video along the bottom.

Top left: the time, the score and the class of this moment. Along the bottom: the score as a curve, a bar with the
events and one with the truth, and a line that moves through them. While an event runs, the frame has a red border.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidlang.core.results import Detection, Scores
from vidlang.core.segments import Segment
from vidlang.report.drawing import EVENT_COLORS, FONTS, colors_by_name, reduce_rows, shorten, visible
from vidlang.report.web import clock

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

Pixels = NDArray[np.uint8]

BORDER = (220, 50, 32)
"""A red that is told apart from the blue curve under all common colour blindness."""
CURVE, THRESHOLD, TRUTH, CURSOR = (86, 180, 233), (200, 200, 200), (240, 228, 66), (255, 255, 255)
PANEL = (0, 0, 0, 170)
LETTERS = 0.036
"""Height of letters as a share of the frame's shorter side."""
SMALLEST_LETTERS, BAR_LETTERS = 11, 0.8
"""Pixels that letters have at least, and the size of a bar's name beside the other letters."""
CURVE_LINES = 3.2
"""Lines of text that the curve is high."""
BORDER_WIDTH, SMALLEST_BORDER = 0.012, 3
FINER = 3
"""Curves are drawn so many times larger, and made smaller."""
MAX_NAMED = 3
"""Events that run at the same time and are named; the strongest."""
EVENT_WORD, TRUTH_WORD = "events", "truth"


@dataclass(frozen=True, eq=False)
class OverlayLayers:
    """What is drawn on one video; every layer may be missing."""

    duration: float
    """Seconds that the panel along the bottom spans."""
    seconds: NDArray[np.float64] | None = None
    """[T, 2] rows of the curve, half-open."""
    scores: NDArray[np.floating] | None = None
    """[T] in [0, 1]"""
    labels: tuple[str, ...] = ()
    """T names: the class of every row, shown while no event runs."""
    events: tuple[Detection, ...] = ()
    truth: tuple[Segment, ...] = ()
    threshold: float | None = None
    score_name: str = "score"

    def __post_init__(self) -> None:
        if not 0 < self.duration < float("inf"):
            raise ValueError(f"a duration is positive and finite, got {self.duration}")
        if (self.seconds is None) != (self.scores is None):
            raise ValueError("a curve needs seconds and scores, or neither")
        rows = 0 if self.scores is None else len(self.scores)
        if self.seconds is not None and self.seconds.shape != (rows, 2):
            raise ValueError(f"seconds must be [T, 2] = [{rows}, 2], got {list(self.seconds.shape)}")
        if self.labels and len(self.labels) != rows:
            raise ValueError(f"labels must name the {rows} rows, got {len(self.labels)}")

    @classmethod
    def of_scores(
        cls,
        scores: Scores,
        events: Sequence[Detection] = (),
        truth: Sequence[Segment] = (),
        threshold: float | None = None,
    ) -> OverlayLayers:
        """The layers of a scored video; the class of a row is its likeliest one."""
        labels: tuple[str, ...] = ()
        if scores.classes is not None and scores.class_names:
            labels = tuple(scores.class_names[index] for index in scores.classes.argmax(axis=1))
        duration = max(scores.video.duration, float(scores.seconds[:, 1].max(initial=0.0)), 1e-3)
        return cls(duration, scores.seconds, scores.anomaly, labels, tuple(events), tuple(truth), threshold)

    def row_at(self, seconds: float) -> int | None:
        """The row that covers a moment; None between rows and without a curve."""
        if self.seconds is None or not len(self.seconds):
            return None
        row = int(np.searchsorted(self.seconds[:, 0], seconds, side="right")) - 1
        return row if row >= 0 and seconds < self.seconds[row, 1] else None

    def events_at(self, seconds: float) -> list[Detection]:
        """The events that run at a moment, the strongest first."""
        running = [event for event in self.events if event.segment.start <= seconds < event.segment.end]
        return sorted(running, key=lambda event: -event.score)


class OverlayPainter:
    """Draws the layers on frames of one size; what does not change from frame to frame is drawn once."""

    def __init__(self, layers: OverlayLayers, size: tuple[int, int]) -> None:
        """size: (height, width) pixels of the frames"""
        height, width = size
        if height < 1 or width < 1:
            raise ValueError(f"a frame has at least one pixel, got {width} x {height}")
        self._layers, self._size = layers, (height, width)
        side = min(height, width)
        letters = max(round(LETTERS * side), min(SMALLEST_LETTERS, max(side // 4, 1)))
        self._border = min(max(round(BORDER_WIDTH * side), SMALLEST_BORDER), max(side // 8, 1))
        words = [*layers.labels, *(event.label for event in layers.events)]
        self._font = _font(letters, words)
        self._colors = colors_by_name((event.label for event in layers.events), EVENT_COLORS)
        self._layout = _Layout.of(layers, self._size, letters, self._border, words)
        panel = self._draw_panel()
        share = panel[..., 3:].astype(np.uint16)
        self._panel = panel[..., :3].astype(np.uint16) * share
        """[P, W, 3] times its share of 255"""
        self._rest = 255 - share

    def paint(self, frame: Pixels, seconds: float) -> Pixels:
        """The frame with the layers as they are at a moment.

        frame: [H, W, 3]    seconds: the middle of the time for which the frame is shown, so that it lies in exactly
        one row    returns: a new [H, W, 3]

        Raises:
            ValueError: the frame has another size.
        """
        if frame.shape != (*self._size, 3) or frame.dtype != np.uint8:
            raise ValueError(f"expected a frame of uint8 {[*self._size, 3]}, got {frame.dtype} {list(frame.shape)}")
        from PIL import Image, ImageDraw

        picture = frame.copy()
        if len(self._panel):
            below = picture[-len(self._panel) :]
            below[:] = (below * self._rest + self._panel) // 255
            self._draw_cursor(picture, seconds)
        running = self._layers.events_at(seconds)
        if running:
            edge = self._border
            picture[:edge], picture[-edge:], picture[:, :edge], picture[:, -edge:] = (BORDER,) * 4
        image = Image.fromarray(picture)
        self._write_words(ImageDraw.Draw(image), seconds, running)
        return np.array(image)

    def _write_words(self, draw: ImageDraw, seconds: float, running: Sequence[Detection]) -> None:
        layers, letters = self._layers, self._layout.letters
        left = top = self._border + max(letters // 3, 2)
        row = layers.row_at(seconds)
        score = None if row is None or layers.scores is None else float(layers.scores[row])
        lines = [(clock(seconds) + ("" if score is None else f"  {layers.score_name} {score:.2f}"), "")]
        lines += [(f"{event.label} {event.score:.2f}", self._colors[event.label]) for event in running[:MAX_NAMED]]
        if len(running) > MAX_NAMED:
            lines.append((f"and {len(running) - MAX_NAMED} more", ""))
        if not running and row is not None and layers.labels:
            lines.append((layers.labels[row], ""))
        for text, color in lines:
            shown = _fitting(text, self._font, self._size[1] - 2 * left)
            width = self._font.getlength(shown)
            if color:  # a tag, so that a running event is told without its colour too
                corners = (left - letters // 4, top, left + width + letters // 4, top + round(1.25 * letters))
                draw.rectangle(corners, fill=color)
            draw.text(
                (left, top),
                shown,
                font=self._font,
                fill="white",
                stroke_width=max(letters // 9, 1),
                stroke_fill="black",
            )
            top += round(1.4 * letters)

    def _draw_cursor(self, picture: Pixels, seconds: float) -> None:
        layout = self._layout
        x = round(layout.x(min(max(seconds, 0.0), self._layers.duration)))
        thick = max(layout.letters // 12, 1)
        column = slice(max(x - thick, 0), x + 2 * thick)
        picture[-layout.panel :, column] = 0
        picture[-layout.panel :, max(x, 0) : x + thick] = CURSOR

    def _draw_panel(self) -> NDArray[np.uint8]:
        """What is under the cursor. returns: [P, W, 4] with its opacity"""
        from PIL import Image, ImageDraw

        layers, layout = self._layers, self._layout
        if not layout.panel:
            return np.zeros((0, self._size[1], 4), dtype=np.uint8)
        large = Image.new("RGBA", (self._size[1] * FINER, layout.panel * FINER), PANEL)
        draw = ImageDraw.Draw(large)
        if layout.curve:
            self._draw_curve(draw)
        for event in sorted(layers.events, key=lambda event: event.score):
            _draw_bar(draw, layout, event.segment, layout.event_bar, self._colors[event.label], layers.duration)
        for segment in layers.truth:
            _draw_bar(draw, layout, segment, layout.truth_bar, TRUTH, layers.duration)
        image = large.resize((self._size[1], layout.panel), Image.Resampling.BOX)
        draw = ImageDraw.Draw(image)
        small = _font(layout.bar_letters, ())
        if layout.curve and layout.left > self._border + layout.gap:
            for row, word in ((layout.gap + layout.bar_letters / 2, "1"), (layout.curve - layout.bar_letters / 2, "0")):
                draw.text((layout.left - layout.bar_letters // 3, row), word, font=small, fill="white", anchor="rm")
        for (top, bottom), word in ((layout.event_bar, EVENT_WORD), (layout.truth_bar, TRUTH_WORD)):
            if bottom > top and layout.left > self._border + layout.gap:
                draw.text((layout.left - layout.bar_letters // 3, (top + bottom) / 2), word, font=small, fill="white",
                          anchor="rm")  # fmt: skip
        return np.array(image)

    def _draw_curve(self, draw: ImageDraw) -> None:
        layers, layout = self._layers, self._layout
        assert layers.scores is not None and layers.seconds is not None
        top, bottom = layout.curve * FINER, layout.gap * FINER

        def y(score: float) -> float:
            return top - score * (top - bottom)

        columns = reduce_rows(layers.scores, layers.seconds, layout.right - layout.left)
        before: tuple[float, float] | None = None
        for (start, end), score in zip(columns.seconds, columns.highest, strict=True):
            first, last, level = layout.x(start) * FINER, layout.x(end) * FINER, y(float(score))
            draw.rectangle((first, level, max(last, first), top), fill=(*CURVE, 190))
            if before is not None and first - before[0] <= FINER:
                draw.line((first, before[1], first, level), fill=CURVE, width=FINER)
            draw.line((first, level, last, level), fill=CURVE, width=FINER)
            before = (last, level)
        draw.line((layout.left * FINER, top, layout.right * FINER, top), fill=(255, 255, 255, 160), width=FINER)
        if layers.threshold is not None:
            dash = max(layout.letters, 4) * FINER // 2
            level = y(layers.threshold)
            for x in range(layout.left * FINER, layout.right * FINER, 2 * dash):
                draw.line((x, level, min(x + dash, layout.right * FINER), level), fill=THRESHOLD, width=FINER)


@dataclass(frozen=True)
class _Layout:
    """Pixels of the panel along the bottom; bars are rows counted from the panel's top."""

    letters: int
    bar_letters: int
    panel: int
    """Height; 0 where there is nothing to show."""
    left: int
    right: int
    curve: int
    """The row of score 0; 0 without a curve."""
    gap: int
    event_bar: tuple[int, int]
    truth_bar: tuple[int, int]
    duration: float

    @classmethod
    def of(
        cls, layers: OverlayLayers, size: tuple[int, int], letters: int, border: int, words: Sequence[str]
    ) -> _Layout:
        height, width = size
        small = max(round(BAR_LETTERS * letters), 6)
        gap = max(letters // 4, 2)
        bars = [bool(layers.events), bool(layers.truth)]
        left = border + gap
        if any(bars):
            names = [word for word, there in zip((EVENT_WORD, TRUTH_WORD), bars, strict=True) if there]
            needed = max(_font(small, ()).getlength(name) for name in names)
            if needed < width / 4:  # else the bars are wider without names
                left += round(needed) + small // 2
        has_curve = layers.scores is not None and len(layers.scores) > 0
        curve = gap + round(CURVE_LINES * letters) if has_curve else 0
        at, places = curve, []
        for there in bars:
            places.append((at + gap, at + gap + small) if there else (0, 0))
            at += gap + small if there else 0
        panel = min(at + gap + border, height // 2) if at else 0
        right = max(width - border - gap, left + 1)
        return cls(letters, small, panel, left, right, curve, gap, places[0], places[1], layers.duration)

    def x(self, seconds: float) -> float:
        return self.left + (self.right - self.left) * min(max(seconds / self.duration, 0.0), 1.0)


def _draw_bar(
    draw: ImageDraw,
    layout: _Layout,
    segment: Segment,
    bar: tuple[int, int],
    color: str | tuple[int, int, int],
    duration: float,
) -> None:
    start, end = visible(segment, duration)
    first, last = layout.x(start) * FINER, layout.x(end) * FINER - 1
    draw.rectangle((first, bar[0] * FINER, max(last, first), bar[1] * FINER - 1), fill=color)


def _fitting(text: str, font: FreeTypeFont, width: float) -> str:
    """``text`` in one line of at most ``width`` pixels."""
    limit = max(len(text), 3)
    shown = shorten(text, limit)
    while font.getlength(shown) > width and limit > 3:
        limit -= 1
        shown = shorten(text, limit)
    return shown


def _font(letters: int, words: Iterable[str]) -> FreeTypeFont:
    """The first installed font that has all letters of the words, else the one that matplotlib carries."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font
    from PIL import ImageFont

    asked = {ord(letter) for word in words for letter in word if letter.isprintable()}
    installed = {font.name for font in font_manager.fontManager.ttflist}
    paths = [font_manager.findfont(font_manager.FontProperties(family=[n])) for n in FONTS if n in installed]
    fitting = (path for path in paths if asked <= set(FT2Font(path).get_charmap()))
    return ImageFont.truetype(next(fitting, paths[0]), letters)
