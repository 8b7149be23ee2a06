"""The facts of one video file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VideoInfo:
    """What a decoder knows of one video."""

    id: str
    """POSIX path relative to the collection root, such as ``Abuse/Abuse001_x264.mp4``."""
    num_frames: int
    """Frames that decode. Before a video was read to its end this is the header's estimate."""
    duration: float
    """Seconds."""
    frame_rate: float
    """Average frames per second; for display, never to convert times."""
    size: tuple[int, int]
    """(height, width) in pixels as shown, that is after rotation."""

    def __post_init__(self) -> None:
        if not self.id or "\\" in self.id or self.id.startswith("/"):
            raise ValueError(f"a video id is a relative POSIX path, got {self.id!r}")
        if self.num_frames < 0 or self.duration < 0 or self.frame_rate < 0:
            facts = f"{self.num_frames} frames, {self.duration} s, {self.frame_rate} frames/s"
            raise ValueError(f"negative facts of {self.id}: {facts}")


@dataclass(frozen=True)
class FileIdentity:
    """Tells whether a file is still the one that features were made from."""

    size: int
    """Bytes. For a folder of frames: the sum over its images."""
    digest: str
    """Hash of size, head, tail and evenly spaced blocks between them."""
    mtime: float
    """Seconds since the epoch; recorded for people. A copy with another date is the same video."""

    def same_content(self, other: FileIdentity) -> bool:
        return self.size == other.size and self.digest == other.digest
