"""Videos to motion: frames → differences of neighbours → a curve per snippet, a heat map, a picture.

``vidlang.motion/1`` is the file of curves that ``score`` and ``localize`` read back, one JSON document in UTF-8::

    {"schema": "vidlang.motion/1", "unit": str,
     "made_by": {"vidlang": version, "sampling": {"stride" or "fps": number}, "short_side": pixels or null,
                 "rate": number or null, "compensate": bool},
     "videos": [{"video": {"id": str, "num_frames": int, "duration": seconds, "frame_rate": float, "size": [h, w]},
                 "identity": {"size": bytes, "digest": str},   the file's content, as in the feature cache
                 "compared_size": [height, width],
                 "frames": [[first, last + 1], …], "seconds": [[start, end], …],     one pair a snippet, half-open
                 "energy": [T numbers of 0 to 255],
                 "shift": [[down, right], …] pixels per step, or null}]}

Energy is the mean absolute difference between neighbouring frames of the snippet, in grey levels, over pixels, colour
channels and steps. What else stands in the document is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidlang import __version__
from vidlang.core import (
    BadInput,
    Features,
    FileIdentity,
    MissingFeatures,
    Outcome,
    Progress,
    Sampling,
    VideoInfo,
    VidlangError,
)
from vidlang.core.features import check_rulers
from vidlang.core.progress import Task
from vidlang.report.heat import HOTTEST, heat_frames, motion_png, scale_strip
from vidlang.report.sparkline import sparkline
from vidlang.store.atomic import write_bytes, write_text
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.results import csv_text
from vidlang.store.workspace import Settings, Workspace
from vidlang.video.motion import MotionCurve, MotionOptions, MotionStream, energy_at, motion_energy, open_motion
from vidlang.video.reader import identify
from vidlang.video.source import Pixels
from vidlang.video.writer import write_video
from vidlang.workflows.extract import find_inputs
from vidlang.workflows.targets import check_target, file_of, results_folder

MOTION_SCHEMA = "vidlang.motion/1"
UNIT = "grey levels (0 to 255), mean absolute difference per colour channel, pixel and step"
KINDS = ("json", "csv", "png", "mp4")
"""Endings of what can be written."""
CURVES, ROWS = "motion.json", "motion.csv"
"""Files of a folder that are of all videos."""
FRAME_RATE = 25.0
"""Frames per second of a heat map whose video does not say its own."""
DECIMALS = 5
SAME_LENGTH = 1.0
"""Seconds by which a video may be longer than its namesake, where nothing is known of their content."""


@dataclass(frozen=True)
class DiffOptions:
    """What is compared, and what is written."""

    motion: MotionOptions = field(default_factory=MotionOptions)
    stride: int | None = None
    """Frames per snippet; None: the workspace's."""
    fps: float | None = None
    """Snippets per second instead."""
    kinds: tuple[str, ...] = ("json", "csv", "png")
    """What is written into a folder; a file says it by its ending."""
    hottest: float = HOTTEST
    """Grey levels of the lightest colour in heat-map videos."""
    out: Path | None = None
    """A file, or a folder."""
    frame_rate: float | None = None
    """Frames per second of folders of images, which do not say it themselves."""

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise BadInput(f"--write takes some of {', '.join(KINDS)}, separated by commas, got {','.join(unknown)!r}.")
        if self.stride is not None and self.fps is not None:
            raise BadInput("--stride and --fps are two ways to say the same thing; give one of them.")
        if not 0 < self.hottest <= 255:
            raise BadInput(f"--hottest takes grey levels above 0 and up to 255, got {self.hottest:g}.")

    def sampling(self, settings: Settings) -> Sampling:
        """The snippets that ``extract`` makes in the same workspace."""
        fps = None if self.stride is not None else self.fps if self.fps is not None else settings.fps
        try:
            return Sampling(stride=settings.stride if self.stride is None else self.stride, fps=fps)
        except ValueError as error:
            raise BadInput(f"{error}.") from error


@dataclass(frozen=True)
class KnownMotion:
    """The curve of one video, and of which content it is."""

    curve: MotionCurve
    identity: FileIdentity

    @property
    def moves(self) -> bool:
        return bool((self.curve.energy > 0).any())


@dataclass(frozen=True)
class DiffReport:
    """Motion of every video, and where it was written."""

    videos: tuple[KnownMotion, ...]
    outcomes: tuple[Outcome, ...]
    made_by: dict[str, Any]
    out: Path
    """The file or folder."""

    @property
    def num_failed(self) -> int:
        return sum(outcome.status == "failed" for outcome in self.outcomes)

    def describe(self) -> str:
        """What the numbers are, in one line."""
        side, rate = self.made_by["short_side"], self.made_by["rate"]
        size = "at full size" if side is None else f"at {side} pixels or less"
        often = "every frame" if rate is None else f"{rate:g} frames a second"
        camera = ", the camera's shift taken off" if self.made_by["compensate"] else ""
        cut = self.made_by["sampling"]
        snippets = f"snippets of {cut['stride']} frames" if "stride" in cut else f"{cut['fps']:g} snippets a second"
        return f"motion in grey levels a step: {often} {size}{camera}; {snippets}"

    def to_dict(self) -> dict[str, Any]:
        """The report for programs: a file of curves, with what failed."""
        failed = [{"video": o.video_id, "reason": str(o.error)} for o in self.outcomes if o.status == "failed"]
        return {**motion_dict(self.videos, self.made_by), "out": str(self.out), "failed": failed}


def diff(
    paths: Sequence[str | Path],
    workspace: Workspace,
    options: DiffOptions | None = None,
    progress: Progress | None = None,
) -> DiffReport:
    """How much moves where and when in every video under ``paths``.

    Interrupted, it leaves what was finished: whole pictures and heat maps, and the curves of their videos.

    Raises:
        BadInput: nothing can be compared at all, or the target cannot be written. A video that fails is an outcome.
    """
    options, progress = options or DiffOptions(), progress or Progress()
    sampling = options.sampling(workspace.settings)
    videos = find_inputs(paths, FeatureCache(workspace.cache_dir))
    target = _Target.of(options, workspace, [path for _, path in videos])
    motion = options.motion
    made_by = {
        "vidlang": __version__,
        "sampling": {"stride": sampling.stride} if sampling.fps is None else {"fps": sampling.fps},
        "short_side": motion.short_side,
        "rate": motion.rate,
        "compensate": motion.compensate,
    }
    found: list[KnownMotion] = []
    outcomes = []
    try:
        with progress.task("diff", total=len(videos), unit="video") as task:
            for video_id, path in videos:
                try:
                    known, warnings = _diff_video(video_id, path, sampling, target, options, task)
                except VidlangError as error:
                    outcomes.append(Outcome(video_id, "failed", error=error))
                    progress.message(f"failed: {error}")
                else:
                    found.append(known)
                    outcomes.append(Outcome(video_id, "done", "; ".join(warnings)))
                    for warning in warnings:
                        progress.message(f"{video_id}: {warning}")
    finally:
        if found:
            target.write_curves(found, made_by)
    return DiffReport(tuple(found), tuple(outcomes), made_by, target.place)


@dataclass(frozen=True)
class _Target:
    """Where results go."""

    place: Path
    kinds: tuple[str, ...]
    is_file: bool

    @classmethod
    def of(cls, options: DiffOptions, workspace: Workspace, sources: Sequence[Path]) -> _Target:
        out = options.out
        if out is None or out.is_dir() or not out.suffix:
            target = cls(out or results_folder(workspace, "diff"), options.kinds, False)
            if target.place.is_file():
                raise BadInput(f"{out} is a file without an ending. Name another one, or a folder.")
            return target
        check_target(out, sources, [f".{kind}" for kind in KINDS])
        kind = out.suffix.lower()[1:]
        if kind in ("png", "mp4") and len(sources) > 1:
            raise BadInput(f"{out} shows one video, and there are {len(sources)}. Give a folder with -o.")
        return cls(out, (kind,), True)

    def path(self, video_id: str, kind: str) -> Path | None:
        """The file of one video; None where it is not asked for."""
        if kind not in self.kinds:
            return None
        return self.place if self.is_file else file_of(self.place, video_id, f".{kind}")

    def write_curves(self, videos: Sequence[KnownMotion], made_by: Mapping[str, Any]) -> None:
        if "json" in self.kinds:
            text = json.dumps(motion_dict(videos, made_by), allow_nan=False) + "\n"
            write_text(self.place if self.is_file else self.place / CURVES, text)
        if "csv" in self.kinds:
            path = self.place if self.is_file else self.place / ROWS
            write_bytes(path, motion_csv(videos).encode("utf-8", "backslashreplace"))


def _diff_video(
    video_id: str, path: Path, sampling: Sampling, target: _Target, options: DiffOptions, task: Task
) -> tuple[KnownMotion, list[str]]:
    """One pass over one video writes all its files."""
    identity = identify(path)
    heat, picture = target.path(video_id, "mp4"), target.path(video_id, "png")
    with open_motion(
        path,
        sampling,
        options.motion,
        video_id=video_id,
        frame_rate=options.frame_rate,
        keep_frames=heat is not None,
    ) as stream:
        if heat is not None:
            pictures = _heat(stream, options.hottest, task)
            write_video(heat, pictures, stream.info.frame_rate or FRAME_RATE)
        else:
            for _ in _watched(stream, task):
                pass
        known = KnownMotion(stream.curve, identity)
        if picture is not None:
            write_bytes(picture, _picture(stream, options.motion))
        still = [] if known.moves else ["nothing moves"]
        return known, [*stream.warnings, *still]


def _watched(stream: MotionStream, task: Task) -> Iterator[tuple[list[Pixels], NDArray[np.float32]]]:
    """Frames and their maps, with the progress."""
    shown = 0.0
    for part in stream:
        yield part.frames, part.energy
        share = min(part.last / max(stream.info.num_frames, 1), 0.99)
        task.advance(max(share - shown, 0.0))
        shown = max(share, shown)
    task.advance(1.0 - shown)


def _heat(stream: MotionStream, hottest: float, task: Task) -> Iterator[Pixels]:
    strip: Pixels | None = None
    for place, (frames, energy) in enumerate(_watched(stream, task)):
        if place == 0:
            strip = scale_strip(energy.shape[1], hottest=hottest)
        yield from heat_frames(frames, energy, hottest=hottest, strip=strip)


def _picture(stream: MotionStream, motion: MotionOptions) -> bytes:
    curve = stream.curve
    return motion_png(
        curve.video.id,
        stream.background,
        stream.energy,
        curve.seconds,
        curve.energy,
        shift=curve.shift,
        note="the camera's shift is taken off" if motion.compensate else "",
    )


def terminal_sparkline(curve: MotionCurve, width: int = 64) -> str:
    """The curve as one line of characters, from 0 to its peak."""
    return sparkline(curve.energy, width, high=max(float(curve.energy.max()), 1e-6))


# -- files of curves -------------------------------------------------------------------------------------------------


def motion_dict(videos: Sequence[KnownMotion], made_by: Mapping[str, Any]) -> dict[str, Any]:
    """The document ``vidlang.motion/1``."""
    return {
        "schema": MOTION_SCHEMA,
        "unit": UNIT,
        "made_by": dict(made_by),
        "videos": [_video_dict(known) for known in videos],
    }


def _video_dict(known: KnownMotion) -> dict[str, Any]:
    curve = known.curve
    return {
        "video": asdict(curve.video),
        "identity": {"size": known.identity.size, "digest": known.identity.digest},
        "compared_size": list(curve.compared_size),
        "frames": curve.frames.tolist(),
        "seconds": curve.seconds.tolist(),
        "energy": _rounded(curve.energy),
        "shift": None if curve.shift is None else _rounded(curve.shift),
    }


def _rounded(values: NDArray[np.float32]) -> list[Any]:
    numbers: list[Any] = np.round(values.astype(np.float64), DECIMALS).tolist()
    return numbers


def motion_csv(videos: Sequence[KnownMotion]) -> str:
    """One line a snippet: ``video,start_seconds,end_seconds,first_frame,last_frame_exclusive,energy``, and where the
    camera's shift was looked for ``shift_down,shift_right``.
    """
    header = ["video", "start_seconds", "end_seconds", "first_frame", "last_frame_exclusive", "energy"]
    shifted = any(known.curve.shift is not None for known in videos)
    rows: list[list[Any]] = [header + (["shift_down", "shift_right"] if shifted else [])]
    for known in videos:
        curve = known.curve
        shifts = [[]] * len(curve.energy) if curve.shift is None else _rounded(curve.shift)
        columns = zip(curve.seconds.tolist(), curve.frames.tolist(), _rounded(curve.energy), shifts, strict=True)
        rows += [[curve.video.id, *seconds, *frames, energy, *shift] for seconds, frames, energy, shift in columns]
    return csv_text(rows)


def read_motion(path: Path) -> list[KnownMotion]:
    """The curves of a file that ``vidlang diff`` wrote.

    Raises:
        BadInput: not such a file; says what is wrong with it.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as cause:
        raise BadInput(f"There is no file of motion {path}. Run: vidlang diff VIDEO -o {path}") from cause
    except (OSError, ValueError) as cause:
        raise BadInput(f"{path} cannot be read as JSON in UTF-8 ({cause}). Write it with vidlang diff.") from cause
    found = document.get("schema") if isinstance(document, dict) else None
    if found != MOTION_SCHEMA:
        raise BadInput(f"{path} has schema {found!r} where {MOTION_SCHEMA!r} is read. Write it with vidlang diff.")
    try:
        return [_known_from(fields) for fields in document["videos"]]
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        detail = f"{cause} is missing" if isinstance(cause, KeyError) else cause
        raise BadInput(f"{path} is not a whole file of motion ({detail}). Write it again with vidlang diff.") from cause


def _known_from(fields: dict[str, Any]) -> KnownMotion:
    video = VideoInfo(**{**fields["video"], "size": tuple(fields["video"]["size"])})
    energy = np.array(fields["energy"], dtype=np.float32)
    frames = np.array(fields["frames"], dtype=np.int64).reshape(-1, 2)
    seconds = np.array(fields["seconds"], dtype=np.float64).reshape(-1, 2)
    check_rulers(frames, seconds, len(energy), video.id)
    if not len(energy) or energy.ndim != 1 or not (np.isfinite(energy) & (energy >= 0) & (energy <= 255)).all():
        raise ValueError(f"energy of {video.id} must be numbers of 0 to 255")
    shift = None if fields["shift"] is None else np.array(fields["shift"], dtype=np.float32).reshape(-1, 2)
    height, width = fields["compared_size"]
    identity = FileIdentity(int(fields["identity"]["size"]), str(fields["identity"]["digest"]), 0.0)
    return KnownMotion(MotionCurve(video, frames, seconds, energy, shift, (int(height), int(width))), identity)


# -- motion as a prior -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MotionPrior:
    """What stands still is rarely an event: scores are multiplied by ``energy / (energy + levels)``."""

    levels: float
    """Grey levels of motion at which a score is halved."""
    curves: Path | None = None
    """A file of curves instead of the videos themselves."""

    @classmethod
    def of(cls, levels: float | None, curves: Path | None, cached: bool) -> MotionPrior | None:
        """What the command line asks for; None: no prior.

        Raises:
            BadInput: the options do not go together.
        """
        if levels is None:
            if curves is not None:
                raise BadInput("--motion-file gives the curves of --motion-prior; give both, such as --motion-prior 1.")
            return None
        if not 0 < levels < 256:
            raise BadInput(f"--motion-prior takes grey levels above 0, such as 1, got {levels:g}.")
        if cached and curves is None:
            raise BadInput(
                "--motion-prior looks at the frames of the videos; give files instead of --cached, or curves of "
                "vidlang diff with --motion-file FILE.json."
            )
        return cls(levels, curves)

    def to_dict(self) -> dict[str, Any]:
        """What results say of it."""
        return {"motion_prior": self.levels, **({"motion": str(self.curves)} if self.curves is not None else {})}

    def open(self, cache: FeatureCache, files: Mapping[str, Path]) -> MotionFactors:
        """
        Raises:
            BadInput: the file of curves does not read.
        """
        known = None if self.curves is None else tuple(read_motion(self.curves))
        return MotionFactors(self, cache, known, files)


@dataclass(frozen=True)
class MotionFactors:
    """The prior at work."""

    prior: MotionPrior
    cache: FeatureCache
    known: tuple[KnownMotion, ...] | None
    files: Mapping[str, Path]
    """Id → video, where no curves are given."""

    def of(self, features: Features) -> NDArray[np.float32]:
        """[T] in [0, 1], for the snippets of one video.

        Raises:
            BadVideo: it does not read.
            MissingFeatures: the given curves are of other videos.
        """
        if self.known is None:
            path = self.files[features.key.video_id]
            energy = motion_energy(path, features.seconds, frame_rate=features.video.frame_rate or None)
        else:
            energy = energy_at(self._curve(self.known, features), features.seconds)
        return energy / (energy + np.float32(self.prior.levels))

    def _curve(self, known: Sequence[KnownMotion], features: Features) -> MotionCurve:
        """The curve of the content that the features were made from; by name where that is not recorded."""
        video_id, made_from = features.key.video_id, self.cache.entry(features.key).identity
        curves = [
            one.curve
            for one in known
            if (one.curve.video.id == video_id if made_from is None else one.identity.same_content(made_from))
        ]
        for curve in curves:
            if abs(curve.video.duration - features.video.duration) <= SAME_LENGTH:
                return curve
        if curves:
            held = f"{curves[0].video.duration:.1f} s of it, where features have {features.video.duration:.1f} s"
        else:
            ids = [one.curve.video.id for one in known]
            named = "another video of that name" if video_id in ids else ", ".join(ids[:3] + ["..."] * bool(ids[3:]))
            held = named or "nothing"
        raise MissingFeatures(
            f"{self.prior.curves} has no motion of {video_id}: it holds {held}. "
            f"Run: vidlang diff {video_id} -o {self.prior.curves}"
        )
