"""The edits that people make to videos before they show them again: copies whose every second is known.

An edit takes frames in and gives frames out, each with the time that it is shown on the copy's presentation clock and
the seconds of the source that it shows, so one pass in constant memory writes the copy and knows which of its seconds
show which seconds of the source. Frame rates may vary on the way; the copy is written at a constant one, by time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
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
from vidlang.video.writer import write_video

Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]
Bars = Literal["letterbox", "pillarbox"]
Strength = Literal["mild", "strong"]
Colour = tuple[int, int, int]
Mapping = tuple[tuple[Segment, Segment], ...]

DEFAULT_CRF = 23
DEFAULT_RATE = 25.0
FASTEST_RATE = 60.0
INSTANT = 0.3
"""A frame of the copy shows what the clock shows at this share of its interval. The start would be an edge, where
rounding decides; so would the middle at doubled speed."""


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
        return resized(pixels, (_even(pixels.shape[0] * scale), _even(pixels.shape[1] * scale)))


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
        height, width = (min(_even(side * self.share), side) for side in pixels.shape[:2])
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
        _check_choice("corner", self.corner, ("top-left", "top-right", "bottom-left", "bottom-right"))
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
        _check_choice("kind", self.kind, ("letterbox", "pillarbox"))

    @property
    def name(self) -> str:
        return f"{self.kind} {self.share:.0%}"

    def picture(self, pixels: Pixels, number: int) -> Pixels:
        axis = 0 if self.kind == "letterbox" else 1
        side = pixels.shape[axis]
        shape = list(pixels.shape)
        shape[axis] = max(side, _even(side / (1 - self.share)))
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
            yield from Clip(0.0, self.seconds).edited(_elsewhere(self.path, size))
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
        host: Iterator[Shown] = _elsewhere(self.path, size)
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


# -- applying them ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EditedCopy:
    """A copy that was written."""

    path: Path
    edits: tuple[Edit, ...]
    mapping: Mapping
    """Pairs of (seconds of the copy, the seconds of the source that they show), in the copy's order."""
    duration: float
    """Seconds of the copy."""
    frame_rate: float

    def to_dict(self) -> dict[str, Any]:
        """Without the path: what was done, and what shows what."""
        return {
            "edits": describe(self.edits),
            "mapping": [[[a.start, a.end], [b.start, b.end]] for a, b in self.mapping],
            "duration": self.duration,
            "frame_rate": self.frame_rate,
        }


def describe(edits: Sequence[Edit]) -> list[dict[str, Any]]:
    """Kinds and numbers, for JSON."""
    return [edit.to_dict() for edit in edits]


def fingerprint(edits: Sequence[Edit]) -> str:
    """Eight hex digits; the same only for the same edits in the same order."""
    text = json.dumps(describe(edits), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def apply(
    path: Path,
    edits: Sequence[Edit],
    target: Path,
    frame_rate: float | None = None,
    *,
    crf: int = DEFAULT_CRF,
    preset: str = "veryfast",
    short_side: int | None = None,
    image_rate: float | None = None,
    threads: int = 0,
) -> EditedCopy:
    """Writes the edited copy of a video as H.264; edits take place in the order given.

    frame_rate: of the copy; None: the source's average, at most 60.
    crf: how coarsely the copy is coded; the last ``Reencode`` beats it.
    preset: of x264; faster ones make larger files.
    short_side: bring the source's shorter side down to this many pixels before anything else; None: full size.
    image_rate: frames per second of a source that is a folder of images.
    threads: for decoding and for coding; 0: as many as there are cores.

    Raises:
        BadInput: an edit does not fit the video, nothing of it is left, or the copy cannot be written.
        BadVideo: the source, or a video that an edit names, cannot be read.
    """
    path, target = Path(path), Path(target)
    for edit in edits:
        crf = edit.crf if isinstance(edit, Reencode) else crf
    with open_video(path, frame_rate=image_rate, short_side=short_side, threads=threads) as reader:
        known = reader.info.frame_rate
        rate = frame_rate or (min(known, FASTEST_RATE) if known > 0 else DEFAULT_RATE)
        with contextlib.closing(reader.timed_frames("some")) as source:
            frames: Iterator[Shown] = (
                Shown(frame.start, frame.end, Segment(frame.start, frame.end), frame.to_rgb) for frame in source
            )
            for edit in edits:
                frames = edit.edited(frames)
            record = _Record()
            pictures = record.pictures(frames, rate)
            first = next(pictures, None)
            if first is None:
                names = ", ".join(edit.name for edit in edits)
                raise BadInput(f"Nothing of {path} is left after these edits: {names}. Take other times.")
            options = {"crf": str(crf), "preset": preset} | ({"threads": str(threads)} if threads else {})
            write_video(target, itertools.chain([first], pictures), rate, options=options)
    duration = record.num_pictures / rate
    return EditedCopy(target, tuple(edits), record.mapping(duration), duration, rate)


def at_constant_rate(frames: Iterable[Shown], rate: float) -> Iterator[Pixels]:
    """What is shown at times that lie ``1 / rate`` apart; a picture that is shown twice is converted once."""
    number = 0
    for shown in frames:
        pixels: Pixels | None = None
        while (number + INSTANT) / rate < shown.end:
            pixels = shown.pixels() if pixels is None else pixels
            yield pixels
            number += 1


class _Record:
    """What goes by on its way into a file: how many pictures, and which seconds show which.

    As many pieces as there are jumps in time, however many frames.
    """

    SAME = 1e-6
    """Seconds by which two times may differ that were added up in different ways."""

    def __init__(self) -> None:
        self.num_pictures = 0
        self.pieces: list[Shown] = []

    def pictures(self, frames: Iterable[Shown], rate: float) -> Iterator[Pixels]:
        for picture in at_constant_rate(self._watched(frames), rate):
            self.num_pictures += 1
            yield picture

    def _watched(self, frames: Iterable[Shown]) -> Iterator[Shown]:
        for shown in frames:
            if shown.source is not None and shown.end > shown.start:
                self._add(shown)
            yield shown

    def _add(self, shown: Shown) -> None:
        assert shown.source is not None
        if self.pieces:
            last = self.pieces[-1]
            assert last.source is not None
            gaps = shown.start - last.end, shown.source.start - last.source.end
            if max(map(abs, gaps)) < self.SAME:
                whole = Segment(last.source.start, max(last.source.start, shown.source.end))
                self.pieces[-1] = replace(last, end=shown.end, source=whole)
                return
        self.pieces.append(replace(shown, pixels=_no_pixels))

    def mapping(self, duration: float) -> Mapping:
        """Within the copy as it was written, whose last frame may end a little before what it shows does."""
        parts = [piece.part(0.0, duration) for piece in self.pieces if piece.start < duration]
        return tuple((Segment(part.start, part.end), part.source) for part in parts if part.source is not None)


def _no_pixels() -> Pixels:
    raise AssertionError("a piece of the mapping has no picture")


def join(paths: Sequence[Path], target: Path, seconds: float, size: tuple[int, int], frame_rate: float) -> None:
    """Videos one after the other, all at one picture size, the first ``seconds`` of what comes out.

    size: (height, width); pictures of another aspect lose their edges.

    Raises:
        BadInput: they are shorter than ``seconds`` together. BadVideo: one cannot be read.
    """
    frames = _part_to(_one_after_the_other(paths, size), seconds)
    write_video(target, at_constant_rate(frames, frame_rate), frame_rate, options={"preset": "veryfast"})


def _one_after_the_other(paths: Sequence[Path], size: tuple[int, int]) -> Iterator[Shown]:
    start = end = 0.0
    for path in paths:
        for shown in _elsewhere(path, size):
            end = start + shown.end
            yield shown.moved(start)
        start = end


def _part_to(frames: Iterator[Shown], seconds: float) -> Iterator[Shown]:
    end = 0.0
    for shown in Clip(0.0, seconds).edited(frames):
        end = shown.end
        yield shown
    if end < seconds - 1e-3:
        raise BadInput(f"The videos last {end:.4g} s together, {seconds:.4g} s are asked for. Give more of them.")


# -- drawing edits by chance -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Ranges:
    """(lowest, highest) of each number; shares of a duration where times are meant."""

    crf: tuple[int, int]
    short_side: tuple[int, int]
    crop: tuple[float, float]
    logo: tuple[float, float]
    bars: tuple[float, float]
    light: tuple[float, float]
    """How far gain and contrast are from 1: logarithm to base 2, up or down."""
    blur: tuple[float, float]
    noise: tuple[float, float]
    speed: tuple[float, float]
    """Logarithm to base 2, up or down."""
    cut: tuple[float, float]
    clip: tuple[float, float]
    before: tuple[float, float]


RANGES: dict[str, _Ranges] = {
    "mild": _Ranges(
        crf=(28, 34),
        short_side=(200, 320),
        crop=(0.8, 0.95),
        logo=(0.12, 0.25),
        bars=(0.08, 0.2),
        light=(0.15, 0.4),
        blur=(0.5, 1.2),
        noise=(3, 8),
        speed=(0.1, 0.4),
        cut=(0.1, 0.25),
        clip=(0.6, 0.85),
        before=(0.05, 0.2),
    ),
    "strong": _Ranges(
        crf=(34, 42),
        short_side=(112, 200),
        crop=(0.55, 0.8),
        logo=(0.25, 0.5),
        bars=(0.2, 0.4),
        light=(0.4, 0.9),
        blur=(1.2, 3.0),
        noise=(8, 20),
        speed=(0.4, 1.0),
        cut=(0.25, 0.5),
        clip=(0.3, 0.6),
        before=(0.2, 0.6),
    ),
}

# How often each kind comes, in the order in which a copier works: cut, picture, overlay, frame, what is put before,
# coding. Re-encodes, other sizes, logos and bars are what collections of near-duplicates hold most; then come cuts,
# colours, intros and excerpts.
KINDS: tuple[tuple[str, float], ...] = (
    ("time", 3.0),
    ("window", 2.0),
    ("colour", 2.0),
    ("quality", 2.0),
    ("logo", 2.0),
    ("bars", 2.0),
    ("around", 2.0),
    ("coding", 2.0),
)


def random_edits(
    seed: int | Sequence[int],
    duration: float,
    *,
    strength: Strength = "mild",
    hosts: Sequence[Path] = (),
) -> tuple[Edit, ...]:
    """Two to four edits of different kinds for a video of ``duration`` seconds; the same for the same seed.

    hosts: videos that a copy may be hidden in, or that may begin it; without any, intros are cards.
    """
    if not 0 < duration < float("inf"):
        raise ValueError(f"duration must be positive and finite, got {duration}")
    _check_choice("strength", strength, tuple(RANGES))
    draw = _Draw(np.random.default_rng(seed), RANGES[strength], duration, hosts)
    weights = np.array([weight for _, weight in KINDS])
    number = int(draw.random.integers(2, 5))
    chosen = sorted(draw.random.choice(len(KINDS), number, replace=False, p=weights / weights.sum()).tolist())
    return tuple(getattr(draw, KINDS[index][0])() for index in chosen)


@dataclass(frozen=True)
class _Draw:
    """One edit of each kind. Numbers are rounded, so that names and hashes say all of them."""

    random: np.random.Generator
    ranges: _Ranges
    duration: float
    hosts: Sequence[Path]

    def time(self) -> Edit:
        """A cut inside, an excerpt, or another speed."""
        kind = self.one_of("cut", "clip", "speed")
        if kind == "speed":
            return Speed(self.factor(self.ranges.speed))
        length = self.duration * self.uniform(self.ranges.cut if kind == "cut" else self.ranges.clip)
        # A cut leaves a tenth of the video at both ends: one at an end would be an excerpt.
        rim = 0.1 * self.duration if kind == "cut" else 0.0
        start = self.uniform((rim, self.duration - rim - length))
        times = round(start, 3), round(start + length, 3)
        if times[1] <= times[0]:  # a video of a few milliseconds
            return Speed(0.5)
        return CutOut(*times) if kind == "cut" else Clip(*times)

    def window(self) -> Edit:
        if self.random.random() < 0.4:
            return Flip()
        place = (0.5, 0.5) if self.random.random() < 0.5 else (self.uniform((0, 1)), self.uniform((0, 1)))
        return Crop(self.uniform(self.ranges.crop), place)

    def colour(self) -> Edit:
        kind = self.one_of("brightness", "contrast", "grey", "sepia")
        gain = self.factor(self.ranges.light)
        if kind == "brightness":
            return Brightness(gain, self.uniform((-20, 20)))
        return {"contrast": Contrast(gain), "grey": Grey(), "sepia": Sepia()}[kind]

    def quality(self) -> Edit:
        kind = self.one_of("blur", "noise", "size")
        if kind == "blur":
            return Blur(self.uniform(self.ranges.blur))
        if kind == "noise":
            return Noise(self.uniform(self.ranges.noise), self.seed())
        return Resize(_even(self.uniform(self.ranges.short_side)))

    def logo(self) -> Edit:
        corner: Corner = self.one_of("top-left", "top-right", "bottom-left", "bottom-right")
        return Logo(corner, self.uniform(self.ranges.logo), self.uniform((0.6, 1.0)), self.seed())

    def bars(self) -> Edit:
        colour: Colour = (0, 0, 0) if self.random.random() < 0.8 else self.shade(0, 256)
        return BlackBars(self.uniform(self.ranges.bars), self.one_of("letterbox", "pillarbox"), colour)

    def around(self) -> Edit:
        """Something before it, or before and after."""
        seconds = round(max(self.duration * self.uniform(self.ranges.before), 0.1), 2)
        if not self.hosts or self.random.random() < 0.3:
            title = self.one_of("", "PART TWO", "BEST MOMENTS", "Watch till the end")
            return Intro(seconds, None, title, (0, 0, 0) if self.random.random() < 0.5 else self.shade(0, 120))
        host = Path(self.hosts[int(self.random.integers(len(self.hosts)))])
        if self.random.random() < 0.5:
            return Intro(seconds, host)
        # As much of the host before and after as fits into ``before`` of the ranges: a host of any length serves.
        return HideIn(host, seconds / 2, seconds)

    def coding(self) -> Edit:
        return Reencode(int(self.random.integers(self.ranges.crf[0], self.ranges.crf[1] + 1)))

    def uniform(self, bounds: tuple[float, float]) -> float:
        return round(float(self.random.uniform(*bounds)), 3)

    def factor(self, octaves: tuple[float, float]) -> float:
        """Above or below 1 by so many doublings."""
        return round(float(2 ** (self.uniform(octaves) * self.one_of(-1, 1))), 3)

    def one_of(self, *choices: Any) -> Any:
        return choices[int(self.random.integers(len(choices)))]

    def seed(self) -> int:
        return int(self.random.integers(1 << 31))

    def shade(self, low: int, high: int) -> Colour:
        red, green, blue = self.random.integers(low, high, 3).tolist()
        return red, green, blue


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


def _elsewhere(path: Path, size: tuple[int, int]) -> Generator[Shown, None, None]:
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


def _even(pixels: float) -> int:
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


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
