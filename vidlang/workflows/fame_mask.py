"""Videos to motion masks: frames → windows → masks → a video, arrays, a sheet of pictures."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidlang.core import BadInput, Outcome, Progress, VidlangError
from vidlang.methods.fame.options import MaskOptions
from vidlang.report.masks import MAX_ROWS, Pixels, SheetRow, black_and_white, over_mask, sheet_png
from vidlang.store.atomic import write_bytes, write_text
from vidlang.store.mask_file import MaskFile
from vidlang.store.workspace import Workspace
from vidlang.video.reader import VideoReader, find_videos, open_video
from vidlang.video.writer import write_video
from vidlang.workflows.fame import (
    GREY_LEVELS,
    WINDOW,
    MaskedWindow,
    MotionSummary,
    OneVideo,
    WindowFacts,
    check_window,
    masked_windows,
    summary_of,
)
from vidlang.workflows.targets import check_target, file_of, results_folder

KINDS = ("mp4", "npz", "png")
"""Endings of what can be written."""


@dataclass(frozen=True)
class MaskVideoOptions:
    """How videos are masked, and what is written."""

    masks: MaskOptions = field(default_factory=MaskOptions)
    window: int = WINDOW
    """Frames that share a mask."""
    size: int | None = None
    """Pixels that the shorter side is brought down to; None: as it is."""
    plain: bool = False
    """The video shows the mask in black and white instead of the frames."""
    kinds: tuple[str, ...] = ("mp4", "png")
    """What is written into a folder; a file says it by its ending."""
    out: Path | None = None
    """A file, for one video, or a folder."""
    frame_rate: float | None = None
    """Frames per second of folders of images, which do not say it themselves."""

    def __post_init__(self) -> None:
        check_window(self.window)
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise BadInput(f"--write takes some of {', '.join(KINDS)}, separated by commas, got {','.join(unknown)!r}.")

    def to_dict(self) -> dict[str, Any]:
        """What decides the masks."""
        masks = self.masks.to_dict()
        return {"method": "fame", "mask": masks.pop("method"), **masks, "window": self.window, "size": self.size}


@dataclass(frozen=True)
class MaskReport:
    """The masks of every video, and where they were written."""

    videos: tuple[MotionSummary, ...]
    files: tuple[tuple[Path, ...], ...]
    """Of each video."""
    outcomes: tuple[Outcome, ...]
    made_by: dict[str, Any]

    @property
    def num_failed(self) -> int:
        return sum(outcome.status == "failed" for outcome in self.outcomes)

    def to_dict(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "schema": "vidlang.fame_mask/1",
            "made_by": self.made_by,
            "videos": [
                {**video.to_dict(), "files": [str(path) for path in files]}
                for video, files in zip(self.videos, self.files, strict=True)
            ],
            "failed": [{"video": o.video_id, "reason": str(o.error)} for o in self.outcomes if o.status == "failed"],
        }


def mask_videos(
    paths: Sequence[str | Path],
    workspace: Workspace,
    options: MaskVideoOptions | None = None,
    progress: Progress | None = None,
) -> MaskReport:
    """Which pixels move, one mask a window, of every video under ``paths``.

    Raises:
        BadInput: nothing can be masked at all, or the target cannot be written.
        BadVideo: the only video does not read. Among several, one that fails is an outcome.
    """
    options, progress = options or MaskVideoOptions(), progress or Progress()
    videos = find_videos([Path(path) for path in paths])
    targets = _targets(videos, options, workspace)
    found: list[tuple[MotionSummary, tuple[Path, ...]]] = []
    outcomes = []
    with progress.task("mask", total=len(videos), unit="video") as task:
        for (video_id, path), files in zip(videos, targets, strict=True):
            try:
                with OneVideo(task) as told:
                    summary = _mask_video(video_id, path, files, options, told)
            except VidlangError as error:
                if len(videos) == 1:
                    raise
                outcomes.append(Outcome(video_id, "failed", error=error))
                progress.message(f"failed: {error}")
            else:
                found.append((summary, tuple(files.values())))
                outcomes.append(Outcome(video_id, "done"))
    made_by = options.to_dict()
    report = MaskReport(tuple(v for v, _ in found), tuple(f for _, f in found), tuple(outcomes), made_by)
    if found and not _names_file(options.out):
        folder = found[0][1][0].parent
        write_text(folder / "masks.json", json.dumps(report.to_dict(), indent=1) + "\n")
    return report


def _targets(
    videos: Sequence[tuple[str, Path]], options: MaskVideoOptions, workspace: Workspace
) -> list[dict[str, Path]]:
    """The files to write for each video, by kind."""
    out = options.out
    endings = [f".{kind}" for kind in KINDS]
    if out is not None and _names_file(out):
        check_target(out, [path for _, path in videos], endings)
        if len(videos) > 1:
            raise BadInput(f"{out} is one file, and there are {len(videos)} videos. Give a folder with -o.")
        return [{out.suffix.lower()[1:]: out}]
    folder = results_folder(workspace, "fame-mask") if out is None else out
    targets = [{kind: file_of(folder, video_id, f".{kind}") for kind in options.kinds} for video_id, _ in videos]
    for files in targets:
        for file in files.values():
            check_target(file, [path for _, path in videos], endings)
    return targets


def _names_file(out: Path | None) -> bool:
    return out is not None and bool(out.suffix) and not out.is_dir()


def _mask_video(
    video_id: str, path: Path, files: dict[str, Path], options: MaskVideoOptions, told: OneVideo
) -> MotionSummary:
    """One pass over one video writes all its files."""
    with (
        open_video(path, video_id=video_id, short_side=options.size, frame_rate=options.frame_rate) as reader,
        contextlib.ExitStack() as stack,
    ):
        arrays = stack.enter_context(MaskFile(files["npz"])) if "npz" in files else None
        notes = _Notes(_Strongest() if "png" in files else None, arrays)
        windows = _watched(masked_windows(reader, options.masks, options.window), notes, reader, told)
        if "mp4" in files:
            write_video(files["mp4"], _pictures(windows, options.plain), reader.info.frame_rate)
        else:
            for _ in windows:
                pass
        summary = summary_of(reader, notes.facts, "their masks are empty")
        if arrays is not None:
            arrays.finish(notes.facts, {**options.to_dict(), "video": video_id})
        if notes.strongest is not None:
            write_bytes(files["png"], _sheet(summary, notes.strongest, options.masks))
    return summary


@dataclass
class _Notes:
    """What is kept of windows that have passed."""

    strongest: _Strongest | None
    arrays: MaskFile | None
    facts: list[WindowFacts] = field(default_factory=list)


class _Strongest:
    """The windows that move most, no more than a sheet has room for."""

    def __init__(self) -> None:
        self._kept: list[tuple[float, SheetRow]] = []

    def add(self, window: MaskedWindow) -> None:
        facts, found = window.facts, window.found
        if len(self._kept) == MAX_ROWS and facts.energy <= self._kept[-1][0]:
            return
        frame = window.batch.frames[len(window.batch) // 2].copy()
        lines = (f"motion {facts.energy:.2f}", f"area {facts.area:.0%}") if facts.moves else ("no motion",)
        row = SheetRow(*facts.seconds, frame, found.seed * GREY_LEVELS, over_mask(frame, found.mask), lines)
        self._kept = sorted([*self._kept, (facts.energy, row)], key=lambda kept: -kept[0])[:MAX_ROWS]

    def rows(self) -> list[SheetRow]:
        """In the order of time."""
        return sorted((row for _, row in self._kept), key=lambda row: row.start)


def _watched(
    windows: Iterator[MaskedWindow], notes: _Notes, reader: VideoReader, told: OneVideo
) -> Iterator[MaskedWindow]:
    """The same windows, noted as they pass."""
    for window in windows:
        notes.facts.append(window.facts)
        if notes.strongest is not None:
            notes.strongest.add(window)
        if notes.arrays is not None:
            notes.arrays.add(window.found.mask)
        yield window
        told.passed(window.facts.frames[1], reader.info.num_frames)


def _pictures(windows: Iterator[MaskedWindow], plain: bool) -> Iterator[Pixels]:
    """The frames of the video that is written."""
    for window in windows:
        mask = window.found.mask
        if plain:
            yield from [black_and_white(mask)] * len(window.batch)
        else:
            for frame in window.batch.frames:
                yield over_mask(frame, mask)


def _sheet(summary: MotionSummary, strongest: _Strongest, options: MaskOptions) -> bytes:
    rows = strongest.rows()
    many = len(summary.windows)
    which = f"the {len(rows)} windows of {many} that move most" if len(rows) < many else f"{many} windows"
    how = options.method + (f", hue {options.hue}" if options.method == "fame" else "")
    how += "" if options.method == "grid" else f", beta {options.beta:g}"
    return sheet_png(
        f"{summary.video.id}: {which}; {how}",
        ("frame", "motion", "mask"),
        rows,
        length=summary.video.duration,
        scale="grey levels",
    )
