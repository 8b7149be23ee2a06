"""Scores and events of a stream while it goes on."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from vidlang.api.common import PathLike, ProgressLike, WorkspaceLike, name_of, path_of, place_of, progress_of
from vidlang.core import Progress
from vidlang.core.features import Crops, Pick, Precision
from vidlang.core.words import words_of
from vidlang.store.workspace import Workspace
from vidlang.workflows.recipe import RecipeChanges
from vidlang.workflows.score import Branch, ScoreOptions
from vidlang.workflows.watch import LiveOptions, WatchOptions, WatchReport, watch_lines

Line: TypeAlias = "dict[str, Any]"


class Watching:
    """The lines of ``vidlang watch`` as they come: dicts of ``vidlang.watch/1``, read once.

    The source is opened with the first line and closed after the last one, or by ``close``, which a ``with`` does.
    """

    def __init__(
        self, source: str, workspace: Workspace, options: WatchOptions, changes: RecipeChanges, progress: Progress
    ) -> None:
        self.report: WatchReport | None = None
        """How it went, once all lines were read."""
        self._reason: str | None = None
        self._source = watch_lines(source, workspace, options, changes, stop=lambda: self._reason, progress=progress)
        self._lines = self._read()

    def _read(self) -> Generator[Line, None, None]:
        self.report = yield from self._source

    def __iter__(self) -> Iterator[Line]:
        return self._lines

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def events(self) -> Iterator[Line]:
        """Of the lines only those of events that ended: ``start``, ``end``, ``label``, ``score`` and more."""
        return (line for line in self._lines if line["type"] == "event_end")

    def stop(self, reason: str = "interrupted") -> None:
        """Ends soon: an open event is closed for this reason, and the last lines still come."""
        self._reason = reason

    def close(self) -> None:
        """Ends at once: no more lines come."""
        self._lines.close()
        self._source.close()


def watch(
    source: PathLike | int,
    *,
    checkpoint: PathLike | None = None,
    labels: str | Sequence[str] | None = None,
    branch: Branch | None = None,
    threshold: float | None = None,
    end_threshold: float | None = None,
    min_seconds: float = 0.0,
    merge_gap: float = 0.0,
    delay: float = 4.0,
    context: float | None = None,
    crop: str = "0",
    on_lag: Literal["drop", "wait"] | None = None,
    max_lag: float = 5.0,
    timeout: float = 10.0,
    give_up: float | None = None,
    max_seconds: float | None = None,
    real_time: bool = False,
    from_start: bool = False,
    settle: float = 5.0,
    ffmpeg: Mapping[str, str] | None = None,
    scores: bool = False,
    status: float = 60.0,
    save_clips: PathLike | None = None,
    before: float = 5.0,
    longest_clip: float = 300.0,
    encoder: str | None = None,
    stride: int | None = None,
    pick: Pick | None = None,
    fps: float | None = None,
    crops: Crops | None = None,
    precision: Precision | None = None,
    batch_size: int = 32,
    device: str | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
) -> Watching:
    """Scores and events of a stream, for a loop: ``for event in watch("rtsp://camera/stream").events()``.

    source: address, number of a camera, file, FIFO, or folder that a recorder writes to
    ffmpeg: options for FFmpeg, such as ``{"rtsp_transport": "udp"}``

    Raises:
        BadInput, UnknownName, BadCheckpoint, EncoderUnavailable: nothing can be watched at all.
        BadVideo: in the loop; a file that is no video, or a source that gave nothing for ``give_up`` seconds.
    """
    place = place_of(workspace)
    options = WatchOptions(
        score=ScoreOptions(
            checkpoint=name_of(checkpoint),
            labels=words_of(labels),
            branch=branch,
            threshold=threshold,
            min_seconds=min_seconds,
            crop=crop,
            device=device or place.settings.device,
        ),
        live=LiveOptions(
            on_lag=on_lag,
            max_lag=max_lag,
            timeout=timeout,
            give_up=give_up,
            real_time=real_time,
            from_start=from_start,
            settle=settle,
            ffmpeg=dict(ffmpeg or {}),
        ),
        delay=delay,
        context=context,
        batch_size=batch_size,
        end_threshold=end_threshold,
        merge_gap=merge_gap,
        scores=scores,
        status=status,
        clips=path_of(save_clips),
        before=before,
        longest_clip=longest_clip,
        max_seconds=max_seconds,
    )
    changes = RecipeChanges(encoder=encoder, stride=stride, pick=pick, fps=fps, crops=crops, precision=precision)
    return Watching(str(source), place, options, changes, progress_of(progress))
