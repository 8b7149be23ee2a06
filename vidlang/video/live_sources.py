"""Where a stream comes from: cameras, network addresses, pipes, files, and folders that grow; and how each opens."""

from __future__ import annotations

import os
import re
import select
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from vidlang.core.errors import BadInput, BadVideo
from vidlang.video.container import LOCAL_FILES_ONLY, check_path
from vidlang.video.files import VIDEO_EXTENSIONS

Kind = Literal["address", "camera", "fifo", "stdin", "file", "folder"]
OnLag = Literal["drop", "wait"]

CAMERA_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
"""How FFmpeg calls cameras, by ``sys.platform``."""
SECRET_WORDS = "pass|pwd|token|secret|auth|key|sig"
POLL = 0.1
"""Seconds between two looks at what does not come."""
PROBING = {"analyzeduration": "2000000"}
"""Microseconds of a stream that FFmpeg looks at before the first frame comes."""
NO_PROTOCOL = {"protocol_whitelist": "pipe"}
"""A playlist in a pipe must not make this room open files or reach for the network."""


class SourceLost(Exception):
    """A source that came, or would not come; the text says why, without passwords."""


@dataclass(frozen=True)
class LiveSource:
    """One thing to watch."""

    kind: Kind
    address: str
    """For the machine: URL, device, or path. It may hold a password."""
    name: str
    """For people: the same without passwords."""

    @property
    def comes_back(self) -> bool:
        """Whether it is opened again after it ended."""
        return self.kind in ("address", "camera", "fifo")

    @property
    def is_live(self) -> bool:
        """Whether it goes on without us, so that who falls behind must drop."""
        return self.kind in ("address", "camera")


@dataclass(frozen=True)
class LiveOptions:
    """How to read a stream."""

    on_lag: OnLag | None = None
    """``drop`` what cannot be kept up with, or ``wait``, which makes the sender wait; None: drop of live sources."""
    max_lag: float = 5.0
    """Seconds that frames may wait for us before some are dropped."""
    timeout: float = 10.0
    """Seconds without data after which a connection counts as lost."""
    give_up: float | None = None
    """Seconds without a frame after which reading ends; None: never."""
    real_time: bool = False
    """Read a file as fast as it plays."""
    from_start: bool = False
    """Of a folder, read what is there already."""
    settle: float = 5.0
    """Seconds that the newest file of a folder must not have grown to count as complete."""
    ffmpeg: Mapping[str, str] = field(default_factory=dict)
    """Options for FFmpeg's demuxers, such as ``{"rtsp_transport": "udp"}``."""

    def __post_init__(self) -> None:
        if self.on_lag is not None and self.on_lag not in get_args(OnLag):
            raise ValueError(f"on_lag must be drop or wait, got {self.on_lag!r}")
        for name in ("max_lag", "timeout", "settle"):
            if not 0 < getattr(self, name) < float("inf"):
                raise BadInput(f"--{name.replace('_', '-')} takes seconds above 0, got {getattr(self, name):g}.")
        if self.give_up is not None and not 0 < self.give_up < float("inf"):
            raise BadInput(f"--give-up takes seconds above 0, got {self.give_up:g}.")

    def drops(self, source: LiveSource) -> bool:
        """Whether frames of this source may be dropped.

        Raises:
            BadInput: they are asked to be, but belong to files, which wait.
        """
        if self.on_lag == "drop" and source.kind in ("file", "folder"):
            raise BadInput("--on-lag drop is for cameras and streams; files wait, so nothing of them is dropped.")
        return source.is_live if self.on_lag is None else self.on_lag == "drop"


def parse_source(text: str) -> LiveSource:
    """What the user means: ``rtsp://…``, ``0``, ``/dev/video0``, ``-``, a file, a FIFO, or a folder.

    Raises:
        BadInput: nothing of that name.
    """
    name = masked(text)
    if text in ("-", "/dev/stdin"):
        return LiveSource("stdin", "-", "stdin")
    if text.isdecimal():
        return LiveSource("camera", f"/dev/video{text}" if sys.platform == "linux" else text, f"camera {text}")
    if text.startswith("file://"):
        text = text[len("file://") :]
    elif "://" in text:
        return LiveSource("address", text, name)
    path = Path(text)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise BadInput(
            f"There is no {name} to watch ({error.strerror}). Give an address such as rtsp://camera/stream, a camera's "
            "number, a video file, a FIFO, a folder, or - for stdin."
        ) from error
    if stat.S_ISCHR(mode):
        return LiveSource("camera", text, name)
    kinds: dict[Kind, Callable[[int], bool]] = {"fifo": stat.S_ISFIFO, "folder": stat.S_ISDIR}
    return LiveSource(next((kind for kind, is_it in kinds.items() if is_it(mode)), "file"), text, name)


def masked(text: str) -> str:
    """Without passwords: user and password of addresses, and parameters whose names speak of secrets.

    >>> masked("rtsp://admin:12345@10.0.0.7/live?token=abc&channel=1")
    'rtsp://***@10.0.0.7/live?token=***&channel=1'
    """

    def authority(found: re.Match[str]) -> str:
        rest = found.group(2)
        host, slash, path = rest.partition("/")
        if "@" in host:
            return f"{found.group(1)}***@{host.rpartition('@')[2]}{slash}{path}"
        if "@" in path and ":" in host and not host.rpartition(":")[2].isdecimal():  # a password with a slash in it
            return f"{found.group(1)}***@{rest.rpartition('@')[2]}"
        return found.group(0)

    text = re.sub(r"([A-Za-z][\w.+-]*://)([^\s'\"]+)", authority, text)
    return re.sub(rf"((?:\w*(?:{SECRET_WORDS})\w*)=)[^&\s'\"]+", r"\1***", text, flags=re.IGNORECASE)


def reason_of(error: BaseException, source: LiveSource, timeout: float) -> str:
    """Why something failed, in words and without passwords. timeout: seconds after which PyAV breaks off"""
    import av

    if isinstance(error, av.ExitError):
        return f"no data for {timeout:g} s"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return masked(text.replace(source.address, source.name))


class StoppableFile:
    """Reads a pipe; waits for data no longer than asked, and stops when told to."""

    def __init__(self, descriptor: int, timeout: float, stopped: Callable[[], bool]) -> None:
        self._descriptor, self._timeout, self._stopped = descriptor, timeout, stopped
        self._has_begun = False

    def read(self, size: int) -> bytes:
        """Some bytes, none at the end.

        Raises:
            TimeoutError: nothing came for too long.
        """
        begun = time.monotonic()
        while not self._stopped():
            if select.select([self._descriptor], [], [], POLL)[0]:
                data = os.read(self._descriptor, size)
                if data or self._has_begun:
                    self._has_begun = True
                    return data
                time.sleep(POLL)  # a FIFO that nobody writes to reads as ended
            if time.monotonic() - begun > self._timeout:
                raise TimeoutError(f"no data for {self._timeout:g} s")
        return b""


def open_source(
    source: LiveSource, options: LiveOptions, path: Path | None, stopped: Callable[[], bool]
) -> tuple[Any, Callable[[], None]]:
    """The open container, and what closes it.

    path: the file of a folder

    Raises:
        SourceLost: it does not open; it may another time.
        BadVideo: a file that is no video.
    """
    import av

    descriptor: int | None = None
    given = dict(options.ffmpeg)
    try:
        if source.kind in ("file", "folder"):
            file = path or Path(source.address)
            check_path(file)
            container = av.open(os.path.abspath(file), options={**LOCAL_FILES_ONLY, **given})
        elif source.kind in ("fifo", "stdin"):
            if source.kind == "fifo":
                descriptor = os.open(source.address, os.O_RDONLY | os.O_NONBLOCK)
            longest = options.timeout if source.kind == "fifo" else options.give_up or float("inf")
            pipe = StoppableFile(0 if descriptor is None else descriptor, longest, stopped)
            container = av.open(pipe, options={**NO_PROTOCOL, **PROBING, **given})
        else:
            usual = {"rtsp_transport": "tcp"} if source.address.startswith("rtsp") else {}
            format = CAMERA_FORMATS.get(sys.platform) if source.kind == "camera" else None
            known = {**PROBING, **usual, **given}
            container = av.open(source.address, format=format, options=known, timeout=options.timeout)
    except (av.FFmpegError, OSError, ValueError) as error:
        if descriptor is not None:
            os.close(descriptor)
        if source.kind in ("file", "folder"):
            raise BadVideo(
                f"{path or source.name} does not open as a video ({reason_of(error, source, options.timeout)})."
            ) from error
        raise SourceLost(reason_of(error, source, options.timeout)) from None  # the cause would show the password

    def close() -> None:
        container.close()
        if descriptor is not None:
            os.close(descriptor)

    return container, close


class GrowingFolder:
    """Files of a folder in the order of their times and names, each once it is complete.

    A file is complete when there is a newer one, or when it has not grown for a while. A name that comes again with a
    smaller size, as recorders in a circle write, is another file.
    """

    def __init__(self, folder: Path, *, from_start: bool, settle: float) -> None:
        self._folder, self._settle = folder, settle
        self._read: dict[str, int] = {} if from_start else {path.name: size for size, path in self._listing()}
        """Name → bytes of what is there and was read, or left out."""
        self._growing: tuple[str, int, float] = ("", -1, 0.0)  # name, bytes, since when

    def next_file(self) -> Path | None:
        """The next complete file; None while there is none."""
        listing = self._listing()
        known, self._read = self._read, {}
        waiting: list[tuple[int, Path]] = []
        for size, path in listing:
            if size < known.get(path.name, size + 1):
                waiting.append((size, path))
            else:
                self._read[path.name] = size
        if not waiting or not (len(waiting) > 1 or self._has_settled(*waiting[0])):
            return None
        size, path = waiting[0]
        self._read[path.name] = size
        return path

    def _has_settled(self, size: int, path: Path) -> bool:
        name, before, since = self._growing
        if (name, before) != (path.name, size):
            self._growing = (path.name, size, time.monotonic())
            return False
        return size > 0 and time.monotonic() - since >= self._settle

    def _listing(self) -> list[tuple[int, Path]]:
        """(bytes, path), the oldest first."""
        found = []
        for path in self._folder.iterdir():
            if path.suffix.lower() in VIDEO_EXTENSIONS and not path.name.startswith("."):
                try:
                    facts = path.stat()
                except FileNotFoundError:  # the recorder has removed it in the meantime
                    continue
                found.append((facts.st_mtime_ns, path.name, facts.st_size, path))
        return [(size, path) for _, _, size, path in sorted(found)]


def growing_files(folder: GrowingFolder, wait: Callable[[float], bool]) -> Iterator[Path | None]:
    """Files as they become complete, None whenever there is nothing. ``wait`` sleeps, and is True once it is over."""
    while True:
        path = folder.next_file()
        yield path
        if path is None and wait(POLL):
            return
