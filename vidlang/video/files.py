"""Which paths are videos, what they are called, and whether they changed."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from vidlang.core.errors import BadInput, BadVideo
from vidlang.core.video import FileIdentity

# fmt: off
VIDEO_EXTENSIONS = frozenset({
    ".mp4", ".m4v", ".mov", ".qt", ".f4v", ".3gp", ".3g2",
    ".mkv", ".webm", ".ogv", ".ogm", ".avi", ".divx", ".wmv", ".asf", ".flv", ".dv", ".nut", ".mxf", ".y4m", ".gif",
    ".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".m2t",
    ".h264", ".264", ".h265", ".265", ".hevc", ".ivf", ".obu", ".mjpeg", ".mjpg",
})
# fmt: on
"""Extensions, in lower case, that are taken for videos."""

IMAGE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""Extensions, in lower case, that are taken for the frames of a folder."""

BLOCK = 64 * 1024
NUM_INNER_BLOCKS = 14
NUM_SAMPLED_IMAGES = 16


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """A sort key that reads numbers as numbers: ``img2`` before ``img10``."""
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def frame_files(folder: Path) -> list[Path]:
    """The images directly inside a folder, in the natural order of their names."""
    images = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_EXTENSIONS)
    return sorted(
        (path for path in images if not path.name.startswith(".") and path.is_file()),
        key=lambda path: natural_order(path.name),
    )


def is_frame_folder(path: Path) -> bool:
    """True for a folder whose direct content is images (hidden files and others beside them do not matter)."""
    if not path.is_dir():
        return False
    return any(
        inner.suffix.lower() in IMAGE_EXTENSIONS and not inner.name.startswith(".") and inner.is_file()
        for inner in path.iterdir()
    )


def is_video(path: Path) -> bool:
    """True for a file with a known extension, and for a folder of images."""
    if path.is_dir():
        return is_frame_folder(path)
    return path.suffix.lower() in VIDEO_EXTENSIONS


def find_videos(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Files, folders (recursive) and glob patterns → (video id, path), sorted by id, each file once.

    The id is the POSIX path relative to the given folder (``Abuse/Abuse001.mp4``); for a file, and for a folder of
    images given by itself, it is the name. A file that is given by name is taken whatever its extension.

    Raises:
        BadInput: nothing is found, or two different files have one id.
    """
    if not paths:
        raise BadInput("No videos were given: name files, folders or patterns such as 'videos/*.mp4'.")
    found: dict[str, Path] = {}
    for given in paths:
        before = len(found)
        matched = False
        for video_id, path in _videos_of(Path(given)):
            matched = True
            other = found.setdefault(video_id, path)
            if other is not path and other.resolve() != path.resolve():
                raise BadInput(
                    f"{other} and {path} would both be called {video_id!r}: "
                    "give the folder that holds both, or rename one."
                )
        if not matched and len(found) == before:
            raise BadInput(f"{given} holds no videos (known endings: {', '.join(sorted(VIDEO_EXTENSIONS))}).")
    return sorted(found.items())


def _videos_of(given: Path) -> Iterator[tuple[str, Path]]:
    if given.is_dir():
        yield from _videos_in(given)
    elif given.exists():
        yield given.name, given
    else:
        matches = [Path(match) for match in sorted(glob.glob(str(given), recursive=True))]
        if not matches:
            raise BadInput(f"{given} does not exist (here: {Path.cwd()}).")
        for match in matches:
            if match.is_dir():
                yield from _videos_in(match)
            elif is_video(match):
                yield match.name, match


def _videos_in(folder: Path) -> Iterator[tuple[str, Path]]:
    if is_frame_folder(folder) and not _has_videos(folder):
        yield folder.resolve().name or "frames", folder
        return
    yield from _walk(folder, folder)


def _has_videos(folder: Path) -> bool:
    """A collection that also holds some pictures is a collection."""
    return next(_walk(folder, folder), None) is not None


def _walk(folder: Path, root: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if is_frame_folder(path) and not _has_videos(path):
                yield path.relative_to(root).as_posix(), path
            else:
                yield from _walk(path, root)
        elif path.suffix.lower() in VIDEO_EXTENSIONS and path.is_file():
            yield path.relative_to(root).as_posix(), path


def identify(path: Path) -> FileIdentity:
    """Size and a hash of size, head, tail and evenly spaced blocks: cheap for any length.

    For a folder of images: names and sizes of all, and the content of some evenly spaced ones.

    Raises:
        BadVideo: the path cannot be read.
    """
    try:
        return _identify_folder(path) if path.is_dir() else _identify_file(path)
    except OSError as error:
        raise BadVideo(f"{path} cannot be read ({error.strerror or error}).") from error


def _identify_file(path: Path) -> FileIdentity:
    status = path.stat()
    digest = hashlib.blake2b(str(status.st_size).encode(), digest_size=16)
    _hash_blocks(digest, path, status.st_size)
    return FileIdentity(size=status.st_size, digest=digest.hexdigest(), mtime=status.st_mtime)


def _hash_blocks(digest: hashlib.blake2b, path: Path, size: int) -> None:
    """Head, ``NUM_INNER_BLOCKS`` evenly spaced blocks, tail; the whole of a file that is smaller than these."""
    with path.open("rb") as file:
        if size <= BLOCK * (NUM_INNER_BLOCKS + 2):
            digest.update(file.read())
            return
        for number in range(NUM_INNER_BLOCKS + 2):
            file.seek((size - BLOCK) * number // (NUM_INNER_BLOCKS + 1))
            digest.update(file.read(BLOCK))


def _identify_folder(folder: Path) -> FileIdentity:
    files = frame_files(folder)
    statuses = [file.stat() for file in files]
    digest = hashlib.blake2b(digest_size=16)
    for file, status in zip(files, statuses, strict=True):
        digest.update(f"{file.name}\0{status.st_size}\n".encode("utf-8", "surrogateescape"))
    step = max(1, -(-len(files) // NUM_SAMPLED_IMAGES))
    for number in [*range(0, len(files), step), len(files) - 1][: len(files)]:
        _hash_blocks(digest, files[number], statuses[number].st_size)
    return FileIdentity(
        size=sum(status.st_size for status in statuses),
        digest=digest.hexdigest(),
        mtime=max((status.st_mtime for status in statuses), default=folder.stat().st_mtime),
    )
