"""The kinds of edits: frames in, frames out, each with the time that it is shown and the seconds that it shows."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from vidlang.core.errors import BadInput
from vidlang.core.segments import Segment
from vidlang.video.drawn import logo, title_card
from vidlang.video.reader import open_video
from vidlang.video.source import Pixels

Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]
Bars = Literal["letterbox", "pillarbox"]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Shown:
    """A picture on its way into a copy."""

    start: float
    """Seconds on the copy's clock; each picture starts where the one before ends."""
    end: float
    source: Segment | None
    """The seconds of the source that it shows; None for pictures that come from elsewhere."""
    pixels: Callable[[], Pixels]
    """[H, W, 3], converted when somebody asks."""

    def moved(self, seconds: float) -> Shown:
        return replace(self, start=self.start + seconds, end=self.end + seconds)

    def part(self, start: float, end: float) -> Shown:
        """What lies in ``[start, end)``, which overlaps; the source is cut by the same shares."""
        start, end = max(start, self.start), min(end, self.end)
        if self.source is None or (start, end) == (self.start, self.end):
            return replace(self, start=start, end=end)
        scale = self.source.duration / (self.end - self.start)
        first, last = (self.source.start + (time - self.start) * scale for time in (start, end))
        return replace(self, start=start, end=end, source=Segment(first, last))


class Edit:
    """One edit: frames in, frames out."""

    @property
    def name(self) -> str:
        """Readable and short, such as ``speed 0.5``."""
        raise NotImplementedError

    def edited(self, frames: Iterator[Shown]) -> Iterator[Shown]:
        """
        Raises:
            BadInput: the edit does not fit the video, such as a cut behind its end.
        """
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Its kind and its numbers, for JSON."""
        fields = dataclasses.asdict(self)  # type: ignore[call-overload]
        return {"edit": type(self).__name__, **{k: str(v) if isinstance(v, Path) else v for k, v in fields.items()}}


class PictureEdit(Edit):
    """Changes each picture by itself and leaves the clock alone."""

    def picture(self, pixels: Pixels, number: int) -> Pixels:
        """[H, W, 3] → [H', W', 3]; ``number`` counts the pictures from 0."""
        raise NotImplementedError

    def edited(self, frames: Iterator[Shown]) -> Iterator[Shown]:
        for number, shown in enumerate(frames):
            yield replace(shown, pixels=partial(self._converted, shown.pixels, number))

    def _converted(self, pixels: Callable[[], Pixels], number: int) -> Pixels:
        return self.picture(pixels(), number)


# -- coding and size -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reencode(Edit):
    """Coarser coding. A copy is coded once, at its end, wherever among the edits this one stands."""

    crf: int
    """Constant rate factor of x264: 0 lossless, 23 usual, 51 worst."""

    def __post_init__(self) -> None:
        _check_range("crf", self.crf, 0, 51)

    @property
    def name(self) -> str:
        return f"crf {self.crf}"

    def edited(self, frames: Iterator[Shown]) -> Iterator[Shown]:
        return frames


@dataclass(frozen=True)
class Resize(PictureEdit):
    """Another number of pixels, the aspect kept."""

    short_side: int
    """Pixels of the shorter side."""

    def __post_init__(self) -> None:
        _check_range("short_side", self.short_side, 2, 8192)

    @property
    def name(self) -> str:
        return f"short side {self.short_side}"

    def picture(self, pixels: Pixels, number: int) -> Pixels:
        scale = self.short_side / min(pixels.shape[:2])
        return resized(pixels, (even(pixels.shape[0] * scale), even(pixels.shape[1] * scale)))


@dataclass(frozen=True)
class Crop(PictureEdit):
    """A window of the picture."""

    share: float
    """Of the height and of the width that stays."""
    place: tuple[float, float] = (0.5, 0.5)
    """Where the window lies, down and across: 0 at the top or left, 0.5 in the middle, 1 at the bottom or right."""

    def __post_init__(self) -> None:
        _check_share("share", self.share)
        if not all(0 <= place <= 1 for place in self.place):
            raise ValueError(f"place must lie in [0, 1], got {self.place}")

    @property
    def name(self) -> str:
        return f"crop {self.share:.0%}"

    def picture(self, pixels: Pixels, number: int) -> Pixels:
        height, width = (min(even(side * self.share), side) for side in pixels.shape[:2])
        top = round((pixels.shape[0] - height) * self.place[0])
        left = round((pixels.shape[1] - width) * self.place[1])
        return pixels[top : top + height, left : left + width]


@dataclass(frozen=True)
class Flip(PictureEdit):
    """Left becomes right."""

    @property
    def name(self) -> str:
        return "flip"

    def picture(self, pixels: Pixels, number: int) -> Pixels:
        return pixels[:, ::-1]


# -- what is laid over or around the picture -------------------------------------------------------------------------


@dataclass(frozen=True)
class Logo(PictureEdit):
    """A station logo in a corner, drawn from its seed."""

    corner: Corner = "top-right"
    size: float = 0.2
    """Its side, as a share of the picture's shorter side."""
    opacity: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("corner", self.corner, ("top-left", "top-right", "bottom-left", "bottom-right"))
        _check_share("size", self.size)
        _check_share("opacity", self.opacity)

    @property
    def name(self) -> str:
        return f"logo {self.corner} {self.size:.0%}"

    def picture(self, pixels: Pixels, number: int) -> Pixels:
        height, width = pixels.shape[:2]
        side = max(1, round(min(height, width) * self.size))
        margin = min(round(0.04 * min(height, width)), min(height, width) - side)
        top = margin if self.corner.startswith("top") else height - side - margin
        left = margin if self.corner.endswith("left") else width - side - margin
        drawing = logo(side, self.seed)
        under = pixels[top : top + side, left : left + side].astype(np.float32)
        marked = pixels.copy()
        marked[top : top + side, left : left + side] = (
            under + self.opacity * drawing[..., 3:] * (drawing[..., :3] - under) + 0.5
        ).clip(0, 255)
        return marked


@dataclass(frozen=True)
class BlackBars(PictureEdit):
    """Bars above and below (``letterbox``) or beside the picture (``pillarbox``); nothing of the picture is lost."""

    share: float
    """Of the copy's height or width that both bars take together."""
    kind: Bars = "letterbox"
    colour: Colour = (0, 0, 0)

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share must lie between 0 and 1, got {self.share}")
        check_choice("kind", self.kind, ("letterbox", "pillarbox"))

    @property
    def name(self) -> str:
        return f"{self.kind} {self.share:.0%}"

    def picture(self, pixels: Pixels, number: int) -> Pixels:
        axis = 0 if self.kind == "letterbox" else 1
        side = pixels.shape[axis]
        shape = list(pixels.shape)
        shape[axis] = max(side, even(side / (1 - self.share)))
        canvas = np.empty(shape, dtype=np.uint8)
        first = (shape[axis] - side) // 2
        along = canvas if axis == 0 else canvas.swapaxes(0, 1)
        along[:first] = along[first + side :] = self.colour
        along[first : first + side] = pixels if axis == 0 else pixels.swapaxes(0, 1)
        return canvas


# -- colour and quality ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Brightness(PictureEdit):
    """Every value times ``gain`` plus ``offset`` (grey levels)."""

    gain: float = 1.0
    offset: float = 0.0

    @property
    def name(self) -> str:
        return f"brightness ×{self.gain:.3g} {self.offset:+.3g}"

    def picture(self, pixels: Pixels, number: int) -> Pixels:
        return _by_table(pixels, self.gain, self.offset)


@dataclass(frozen=True)
class Contrast(PictureEdit):
    """Distances from middle grey times ``gain``."""

    gain: float

    @property
    def name(self) -> str:
        return f"contrast ×{self.gain:.3g}"

    def picture(self, pixels: Pixels, number: int) -> Pixels:
        return _by_table(pixels, self.gain, 127.5 * (1 - self.gain))


@dataclass(frozen=True)
class Grey(PictureEdit):
    """Luma only."""

    @property
    def name(self) -> str:
        return "grey"

    def picture(self, pixels: Pixels, number: int) -> Pixels:
        return np.array(_image(pixels).convert("L").convert("RGB"))


@dataclass(frozen=True)
class Sepia(PictureEdit):
    """The brown of old photographs."""

    MIX: ClassVar[tuple[float, ...]] = (0.393, 0.769, 0.189, 0, 0.349, 0.686, 0.168, 0, 0.272, 0.534, 0.131, 0)
    """Red, green and blue of the result from those of the picture, row by row, each row with its offset."""

    @property
    def name(self) -> str:
        return "sepia"

    def picture(self, pixels: Pixels, number: int) -> Pixels:
        return np.array(_image(pixels).convert("RGB", self.MIX))


@dataclass(frozen=True)
class Blur(PictureEdit):
    """Gaussian blur."""

    sigma: float
    """Pixels."""

    def __post_init__(self) -> None:
        _check_range("sigma", self.sigma, 0, 100)

    @property
    def name(self) -> str:
        return f"blur {self.sigma:.3g}"

    def picture(self, pixels: Pixels, number: int) -> Pixels:
        from PIL import ImageFilter

        return np.array(_image(pixels).filter(ImageFilter.GaussianBlur(self.sigma)))


@dataclass(frozen=True)
class Noise(PictureEdit):
    """Camera noise, other in each picture: a random window of one larger field, which costs a tenth of fresh noise."""

    sigma: float
    """Grey levels."""
    seed: int = 0

    MARGIN: ClassVar[int] = 64

    def __post_init__(self) -> None:
        _check_range("sigma", self.sigma, 0, 255)

    @property
    def name(self) -> str:
        return f"noise {self.sigma:.3g}"

    def picture(self, pixels: Pixels, number: int) -> Pixels:
        height, width = pixels.shape[:2]
        field = _noise(self.sigma, self.seed, height + self.MARGIN, width + self.MARGIN)
        top, left = np.random.default_rng((self.seed, number)).integers(0, self.MARGIN + 1, 2)
        noisy: Pixels = (pixels + field[top : top + height, left : left + width]).clip(0, 255).astype(np.uint8)
        return noisy


# -- time ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speed(Edit):
    """Played faster or slower: 0.5 is half speed and lasts twice as long."""

    factor: float

    def __post_init__(self) -> None:
        _check_range("factor", self.factor, 0.01, 100)

    @property
    def name(self) -> str:
        return f"speed {self.factor:.3g}"

    def edited(self, frames: Iterator[Shown]) -> Iterator[Shown]:
        for shown in frames:
            yield replace(shown, start=shown.start / self.factor, end=shown.end / self.factor)


@dataclass(frozen=True)
class CutOut(Edit):
    """The seconds ``[start, end)`` are missing."""

    start: float
    end: float

    def __post_init__(self) -> None:
        _check_times(self.start, self.end)

    @property
    def name(self) -> str:
        return f"cut out {self.start:.4g}-{self.end:.4g} s"

    def edited(self, frames: Iterator[Shown]) -> Iterator[Shown]:
        length = 0.0
        for shown in _split_at(_split_at(frames, self.start), self.end):
            length = shown.end
            if shown.start < self.start:
                yield shown
            elif shown.start >= self.end:
                yield shown.moved(self.start - self.end)
        if length <= self.start:
            raise _does_not_fit(self, length)


@dataclass(frozen=True)
class Clip(Edit):
    """Only the seconds ``[start, end)`` are kept."""

    start: float
    end: float

    def __post_init__(self) -> None:
        _check_times(self.start, self.end)

    @property
    def name(self) -> str:
        return f"clip {self.start:.4g}-{self.end:.4g} s"

    def edited(self, frames: Iterator[Shown]) -> Iterator[Shown]:
        length = 0.0
        for shown in frames:
            length = shown.end
            if shown.start >= self.end:
                break
            if shown.end > self.start:
                yield shown.part(self.start, self.end).moved(-self.start)
        if length <= self.start:
            raise _does_not_fit(self, length)


@dataclass(frozen=True)
class Intro(Edit):
    """Something else comes before: the beginning of another video, or a card with a title or nothing on it."""

    seconds: float
    path: Path | None = None
    """A video, whose first ``seconds`` are shown (all of it where it is shorter)."""
    title: str = ""
    colour: Colour = (0, 0, 0)

    def __post_init__(self) -> None:
        _check_times(0, self.seconds)

    @property
    def name(self) -> str:
        what = self.path.name if self.path else "title card" if self.title else "plain"
        return f"intro {self.seconds:.3g} s ({what})"

    def edited(self, frames: Iterator[Shown]) -> Iterator[Shown]:
        frames, size = _size_of(frames)
        end = 0.0
        for shown in self._before(size):
            yield shown
            end = shown.end
        for shown in frames:
            yield shown.moved(end)

    def _before(self, size: tuple[int, int]) -> Iterator[Shown]:
        if self.path is not None:
            yield from Clip(0.0, self.seconds).edited(elsewhere(self.path, size))
        else:
            yield Shown(0, self.seconds, None, lambda: title_card(size, self.title, self.colour))


@dataclass(frozen=True)
class HideIn(Edit):
    """Shown in the middle of another video, which goes on afterwards where it was interrupted.

    The host takes on the clip's picture size (its middle, the aspect kept) and, as all of a copy, one frame rate.
    """

    path: Path
    at: float
    """Seconds of the host that come first."""
    length: float | None = None
    """Seconds of the host that are shown in all; None: the whole of it."""

    def __post_init__(self) -> None:
        _check_range("at", self.at, 0, 1e9)
        if self.length is not None and self.length < self.at:
            raise ValueError(f"length must reach to {self.at:g} s, where the clip is put, got {self.length:g}")

    @property
    def name(self) -> str:
        return f"hidden in {self.path.name} at {self.at:.4g} s"

    def edited(self, frames: Iterator[Shown]) -> Iterator[Shown]:
        frames, size = _size_of(frames)
        host: Iterator[Shown] = elsewhere(self.path, size)
        if self.length is not None:
            host = Clip(0.0, self.length).edited(host)
        end = shift = 0.0
        for shown in _split_at(host, self.at):
            if shown.start >= self.at and not shift:
                for inner in frames:
                    yield inner.moved(self.at)
                    shift = inner.end
            yield shown.moved(shift)
            end = shown.end
        if not shift:
            if end < self.at - 1e-3:
                raise BadInput(f"{self.path} lasts {end:.4g} s: no clip can be put at {self.at:.4g} s of it.")
            for inner in frames:
                yield inner.moved(end)


# -- small parts -----------------------------------------------------------------------------------------------------


def resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """[H, W, 3] → [*size, 3], bicubic, without aliasing."""
    from PIL import Image

    return np.array(_image(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC))


def filled(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """The middle of the picture at another size and aspect, as large as it can be."""
    height, width = pixels.shape[:2]
    scale = max(size[0] / height, size[1] / width)
    rows, columns = min(height, round(size[0] / scale)), min(width, round(size[1] / scale))
    top, left = (height - rows) // 2, (width - columns) // 2
    window = pixels[top : top + rows, left : left + columns]
    return window if window.shape[:2] == size else resized(window, size)


def elsewhere(path: Path, size: tuple[int, int]) -> Generator[Shown, None, None]:
    """Another video's pictures, filled into ``size``."""
    with open_video(path, threads=1) as reader, contextlib.closing(reader.timed_frames("some")) as frames:
        for frame in frames:
            yield Shown(frame.start, frame.end, None, partial(_filled, frame.to_rgb, size))


def _filled(pixels: Callable[[], Pixels], size: tuple[int, int]) -> Pixels:
    return filled(pixels(), size)


def _size_of(frames: Iterator[Shown]) -> tuple[Iterator[Shown], tuple[int, int]]:
    """The frames again, and (height, width) of the first."""
    first = next(frames, None)
    if first is None:
        return iter(()), (2, 2)
    height, width = first.pixels().shape[:2]
    return itertools.chain([first], frames), (height, width)


def _split_at(frames: Iterable[Shown], time: float) -> Iterator[Shown]:
    """The same, with the picture that is shown across ``time`` as two."""
    for shown in frames:
        if shown.start < time < shown.end:
            yield shown.part(shown.start, time)
            yield shown.part(time, shown.end)
        else:
            yield shown


@functools.lru_cache(maxsize=4)
def _noise(sigma: float, seed: int, height: int, width: int) -> NDArray[np.int16]:
    """[height, width, 3]"""
    normal = np.random.default_rng(seed).standard_normal((height, width, 3), dtype=np.float32)
    return np.rint(normal * sigma).astype(np.int16)


def _image(pixels: Pixels) -> Any:
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(pixels))


def _by_table(pixels: Pixels, gain: float, offset: float) -> Pixels:
    """Every value times ``gain`` plus ``offset``, through a table of 256."""
    table = np.rint(np.arange(256) * gain + offset).clip(0, 255).astype(np.uint8)
    return np.array(_image(pixels).point(table.tolist() * 3))


def even(pixels: float) -> int:
    """The nearest even number from 2 on: H.264 halves its chroma."""
    return max(2, 2 * round(pixels / 2))


def _does_not_fit(edit: Edit, length: float) -> BadInput:
    return BadInput(f"{edit.name} lies behind the end: there are {length:.4g} s. Take earlier times.")


def _check_times(start: float, end: float) -> None:
    if not 0 <= start < end < float("inf"):
        raise ValueError(f"expected 0 <= start < end in seconds, got {start} and {end}")


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must lie in [{low}, {high}], got {value}")


def _check_share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"{name} must be above 0 and at most 1, got {value}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
