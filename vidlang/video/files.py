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

    The id is the POSIX path relative to the given folder (``Abuse/Abuse001.mp4``), or to the part of a pattern before
    its first wildcard. A file, or a folder of images, that is given by itself has its name. A file given by name is
    taken whatever its extension.

    Raises:
        BadInput: a path does not exist or holds no video, or two different files have one id.
    """
    if not paths:
        raise BadInput("No videos were given: name files, folders or patterns such as 'videos/*.mp4'.")
    found: dict[str, Path] = {}
    seen: set[Path] = set()
    for given in map(Path, paths):
        for video_id, path in _videos_of(given):
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            _add(found, video_id, path)
    return sorted(found.items())


def _add(found: dict[str, Path], video_id: str, path: Path) -> None:
    other = found.setdefault(video_id, path)
    if other is not path:
        raise BadInput(
            f"{other} and {path} would both be called {video_id!r}: give the folder that holds both, or rename one."
        )
    if "\\" in video_id:
        raise BadInput(f"{path} has a backslash in its name, which video ids cannot hold: rename it.")


def _videos_of(given: Path) -> list[tuple[str, Path]]:
    """What one argument names; never nothing."""
    try:
        if given.is_dir():
            videos = _videos_in(given)
        elif given.exists():
            videos = [(given.name, given)]
        else:
            videos = _videos_matching(given)
    except OSError as error:
        raise BadInput(f"{error.filename or given} cannot be read ({error.strerror or error}).") from error
    if not videos:
        endings = ", ".join(sorted(VIDEO_EXTENSIONS))
        raise BadInput(f"{given} holds no videos (known endings: {endings}) and no folders of images.")
    return videos


def _videos_matching(pattern: Path) -> list[tuple[str, Path]]:
    if not glob.has_magic(str(pattern)):
        raise BadInput(f"{pattern} does not exist (here: {Path.cwd()}).")
    magic = next(place for place, part in enumerate(pattern.parts) if glob.has_magic(part))
    root = Path(*pattern.parts[:magic])
    videos: list[tuple[str, Path]] = []
    for match in map(Path, sorted(glob.glob(str(pattern), recursive=True))):
        if match.is_dir():
            videos += _walk(match, root)
        elif is_video(match):
            videos.append((match.relative_to(root).as_posix(), match))
    return videos


def _videos_in(folder: Path) -> list[tuple[str, Path]]:
    videos = list(_walk(folder, folder))
    if videos == [(".", folder)]:
        return [(folder.resolve().name or "frames", folder)]
    return videos


def _walk(folder: Path, root: Path) -> Iterator[tuple[str, Path]]:
    """Videos in a folder and below it. A folder of images counts as one unless there are videos in it too."""
    inside = False
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or _leads_back(path):
            continue
        if path.is_dir():
            for video in _walk(path, root):
                inside = True
                yield video
        elif path.suffix.lower() in VIDEO_EXTENSIONS and path.is_file():
            inside = True
            yield path.relative_to(root).as_posix(), path
    if not inside and is_frame_folder(folder):
        yield folder.relative_to(root).as_posix(), folder


def _leads_back(path: Path) -> bool:
    """True for a link to a folder that it lies in."""
    return path.is_symlink() and path.parent.resolve().is_relative_to(path.resolve())


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
