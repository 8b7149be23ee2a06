"""Feature files of others: the published VadCLIP layout and plain ``.npy``, in and out.

Published layout: per video ``NAME__0.npy`` … ``NAME__9.npy``, one file a crop (0 centre, 1 to 4 corners, 5 to 9 their
mirrors), each an array [n, D] of float16 or float32, not normalised. Row i stands for the frames [16 i, 16 i + 16); the
rest of the video is dropped. The files tell no time: the frame rate must be given (UCF-Crime 30, XD-Violence 24).

Plain files: ``NAME.npy`` [n, D], with a stride and a frame rate, or with ``NAME_ms.npy`` [n] beside it: the time of
each row in milliseconds, ascending. A row then lasts until the next one's time, the last as long as the median of the
others.

Imported features keep the numbers and the type of the files (float64 becomes float32). Their recipe holds the encoder
that was named and the revision ``imported:<revision>``, with ``/crop<k>`` behind it when one crop was chosen; how the
frames were resized is not known. The video's height and width are not known either and are written as 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vidlang.core import BadInput, FeatureKey, FeatureRecipe, Features, Sampling, VideoInfo
from vidlang.store.atomic import replacing
from vidlang.store.names import safe_path

NUM_CROPS = 10
PUBLISHED_STRIDE = 16
_CROP_FILE = re.compile(r"(?P<name>.+)__(?P<crop>\d)\.npy", re.DOTALL)

Rulers = tuple[NDArray[np.int64], NDArray[np.float64]]


def find_npy(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Files by video id, sorted: the crops ``NAME__k.npy`` of a video together, any other ``.npy`` alone.

    Folders are searched with their sub-folders. The id is the path below the folder given, without ``__k.npy`` or
    ``.npy``; for a file, its name alone. Time stamps (``NAME_ms.npy``) belong to their video and are no video.

    Raises:
        BadInput: nothing there, or two files for one id and crop.
    """
    groups: dict[str, dict[str, Path]] = {}
    for path in map(Path, paths):
        found = _npy_below(path)
        if not found:
            raise BadInput(f"{path} is no .npy file and holds none. Give .npy files or folders of them.")
        for file in found:
            relative = file.relative_to(path).as_posix() if path.is_dir() else file.name
            match = _CROP_FILE.fullmatch(relative)
            video_id, crop = (match["name"], match["crop"]) if match else (relative.removesuffix(".npy"), "")
            other = groups.setdefault(video_id, {}).setdefault(crop, file)
            if other.resolve() != file.resolve():
                raise BadInput(f"{other} and {file} would both be {video_id}. Import them one folder at a time.")
    return {video_id: [files[crop] for crop in sorted(files)] for video_id, files in sorted(groups.items())}


def read_npy_features(
    video_id: str,
    files: Sequence[Path],
    *,
    encoder: str,
    frame_rate: float | None = None,
    stride: int = PUBLISHED_STRIDE,
    crop: int | None = None,
    revision: str = "unknown",
) -> Features:
    """One video's features from its crops, from one chosen crop, or from a plain file.

    files: as ``find_npy`` groups them    frame_rate: of the video, frames per second    stride: frames per row
    returns: values [10, T, D] from ten crops, otherwise [T, D]; in the type of the files

    Raises:
        BadInput: a crop is missing, files differ in length, no clock (neither frame rate nor time stamps), or a file
            does not hold rows of finite numbers.
    """
    if frame_rate is not None and not 0 < frame_rate < float("inf"):
        raise BadInput(f"The frame rate must be positive, got {frame_rate:g}. UCF-Crime has 30, XD-Violence 24.")
    values, first = _read_values(video_id, files, crop)
    num_rows = values.shape[-2]
    stamps = _read_stamps(first, num_rows)
    crops: Literal["center", "ten"] = "ten" if values.ndim == 3 else "center"
    if stamps is None:
        frames, seconds, rate = *_even_rulers(video_id, num_rows, stride, frame_rate), frame_rate or 0.0
        sampling = Sampling(stride=stride, crops=crops)
    else:
        seconds = _stamped_seconds(first, stamps, stride, frame_rate)
        step = float(np.median(np.diff(seconds[:, 0]))) if num_rows > 1 else float(np.diff(seconds[0])[0])
        if step <= 0:
            raise BadInput(f"The time stamps of {first} do not ascend. Give the milliseconds of each row.")
        rate = frame_rate if frame_rate is not None else 1 / step
        frames = _frames_at(seconds, frame_rate)
        sampling = Sampling(fps=float(f"{1 / step:.4g}"), crops=crops)
    chosen = f"/crop{crop}" if crop is not None and _CROP_FILE.fullmatch(first.name) else ""
    dtype: Literal["float16", "float32"] = "float16" if values.dtype == np.float16 else "float32"
    recipe = FeatureRecipe(encoder, f"imported:{revision}{chosen}", sampling, dtype=dtype)
    video = VideoInfo(video_id, int(frames[-1, 1]), float(seconds[-1, 1]), rate, (0, 0))
    return Features(FeatureKey(video_id, recipe), video, values, frames, seconds)


def write_npy_features(folder: Path, features: Features, dtype: DTypeLike | None = None) -> list[Path]:
    """``<folder>/<video id>__0.npy`` …, one file a crop; returns them.

    dtype: float16 or float32; None keeps the type that the values have, and then reading gives them back exactly.
    The video id is written as ``names.safe_path`` does.

    Raises:
        BadInput: a value is too large for float16.
    """
    target = np.dtype(dtype if dtype is not None else features.values.dtype)
    if target not in (np.dtype(np.float16), np.dtype(np.float32)):
        raise ValueError(f"dtype must be float16 or float32, got {target}")
    with np.errstate(over="ignore"):
        values = features.values.astype(target)
    if not np.isfinite(values).all() and np.isfinite(features.values).all():
        raise BadInput(f"{features.key.video_id} has values too large for {target}. Export them as float32.")
    paths = []
    for crop, rows in enumerate(values if values.ndim == 3 else values[None]):
        path = Path(folder) / f"{safe_path(features.key.video_id)}__{crop}.npy"
        with replacing(path) as temporary:
            np.save(temporary, rows, allow_pickle=False)
        paths.append(path)
    return paths


def read_rows(path: Path) -> NDArray[np.floating[Any]]:
    """[n, D] float16 or float32 of one file.

    Raises:
        BadInput: no such file, not an array of finite rows, or an array of Python objects (never unpickled).
    """
    rows = _load(path)
    if rows.dtype == np.float64:
        rows = rows.astype(np.float32)
    if rows.dtype not in (np.float16, np.float32):
        raise BadInput(f"{path} holds {rows.dtype}, not float16 or float32. Give feature rows [n, D].")
    if rows.ndim != 2 or not rows.size:
        raise BadInput(f"{path} has shape {list(rows.shape)}, not [n, D] with at least one row. Give feature rows.")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise BadInput(f"{path} has a value that is not finite in row {bad[0]}. Make the features again.")
    return np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("="))


def compare_rows(one: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Cosine of each row of one with the same row of the other, as far as both go.

    one: [T, D]    other: [n, D]    returns: [min(T, n)]; a row of zeros has cosine 0 with everything

    Raises:
        ValueError: the rows are not equally wide, or there is none.
    """
    if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
        raise ValueError(f"rows must be [T, D] and [n, D] of one width, got {list(one.shape)} and {list(other.shape)}")
    shared = min(len(one), len(other))
    if not shared:
        raise ValueError(f"there is no row to compare, got {len(one)} and {len(other)} rows")
    a, b = one[:shared].astype(np.float64), other[:shared].astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: NDArray[np.float64] = np.divide((a * b).sum(axis=1), norms, out=np.zeros(shared), where=norms > 0)
    return cosines


# -- files -----------------------------------------------------------------------------------------------------------


def _npy_below(path: Path) -> list[Path]:
    """Feature files under a folder, or the file itself."""
    if not path.is_dir():
        return [path] if path.is_file() and path.suffix == ".npy" else []
    return [file for file in sorted(path.rglob("*.npy")) if not _is_stamps(file) and not file.name.startswith(".")]


def _is_stamps(file: Path) -> bool:
    """``NAME_ms.npy`` with one dimension; features have two."""
    try:
        return file.name.endswith("_ms.npy") and _load(file).ndim == 1
    except BadInput:  # reported when it is read, so that it stops no other file
        return False


def _load(path: Path) -> NDArray[Any]:
    """The array of a ``.npy`` file. Mapped first, so that a header which claims any size asks for no memory."""
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as cause:
        raise BadInput(f"There is no file {path}. Give a .npy file of features.") from cause
    except (ValueError, OSError, EOFError) as cause:
        detail = "it holds Python objects" if "object" in str(cause).lower() else " ".join(str(cause).split())[:120]
        raise BadInput(f"{path} is not read ({detail}). Save rows with numpy.save as float16 or float32.") from cause
    if not isinstance(mapped, np.ndarray):
        raise BadInput(f"{path} is an archive of arrays. Save the rows alone with numpy.save.")
    return np.array(mapped)


# -- values ----------------------------------------------------------------------------------------------------------


def _read_values(video_id: str, files: Sequence[Path], crop: int | None) -> tuple[NDArray[np.floating[Any]], Path]:
    """([10, T, D] or [T, D], the first file read)."""
    matches = [_CROP_FILE.fullmatch(file.name) for file in files]
    by_crop = {int(match["crop"]): file for match, file in zip(matches, files, strict=True) if match}
    if by_crop and len(by_crop) != len(files):
        plain = next(file for file, match in zip(files, matches, strict=True) if not match)
        raise BadInput(f"{video_id} has crops and also {plain.name}. Import one of them.")
    if not by_crop:
        if crop not in (None, 0):
            raise BadInput(f"{files[0]} has no crops, asked for crop {crop}. Leave --crop out.")
        return read_rows(files[0]), files[0]
    if crop is not None:
        if crop not in by_crop:
            raise BadInput(f"{video_id} has no file {video_id}__{crop}.npy, only {_crops(by_crop)}. Choose another.")
        return read_rows(by_crop[crop]), by_crop[crop]
    missing = [number for number in range(NUM_CROPS) if number not in by_crop]
    if missing:
        present = min(by_crop)
        raise BadInput(f"{video_id} lacks {_crops(missing)} of ten. Add the files, or take one with --crop {present}.")
    crops = [read_rows(by_crop[number]) for number in range(NUM_CROPS)]
    for number, rows in enumerate(crops):
        if (rows.shape, rows.dtype) != (crops[0].shape, crops[0].dtype):
            got, expected = (f"{list(r.shape)} {r.dtype}" for r in (rows, crops[0]))
            raise BadInput(f"{by_crop[number]} is {got}, but crop 0 is {expected}. Get the video's files again.")
    return np.stack(crops), by_crop[0]


def _crops(numbers: Iterable[int]) -> str:
    numbers = sorted(numbers)
    return f"crop {numbers[0]}" if len(numbers) == 1 else f"crops {', '.join(map(str, numbers))}"


# -- rulers ----------------------------------------------------------------------------------------------------------


def _even_rulers(video_id: str, num_rows: int, stride: int, frame_rate: float | None) -> Rulers:
    """Row i stands for the frames [stride i, stride (i + 1)); their seconds follow from a constant rate."""
    if frame_rate is None:
        raise BadInput(
            f"The files of {video_id} tell no time. Give the videos' frame rate with --fps (UCF-Crime 30, XD-Violence "
            "24), or put the milliseconds of each row beside them as NAME_ms.npy."
        )
    edges = np.arange(num_rows + 1, dtype=np.int64) * stride
    frames = np.stack([edges[:-1], edges[1:]], axis=1)
    return frames, frames / frame_rate


def _read_stamps(file: Path, num_rows: int) -> NDArray[np.float64] | None:
    """Milliseconds [n] from the file beside, if there is one."""
    match = _CROP_FILE.fullmatch(file.name)
    path = file.with_name(f"{match['name'] if match else file.name.removesuffix('.npy')}_ms.npy")
    if not path.is_file():
        return None
    stamps = _load(path)
    if stamps.shape != (num_rows,) or stamps.dtype.kind not in "fiu":
        got = f"{stamps.dtype} {list(stamps.shape)}"
        raise BadInput(f"{path} must hold the milliseconds of {num_rows} rows, got {got}. Correct or remove it.")
    stamps = stamps.astype(np.float64)
    if not np.isfinite(stamps).all() or (stamps < 0).any() or (np.diff(stamps) < 0).any():
        raise BadInput(f"{path} must hold ascending milliseconds from 0 on. Correct or remove it.")
    return stamps


def _stamped_seconds(
    file: Path, stamps: NDArray[np.float64], stride: int, frame_rate: float | None
) -> NDArray[np.float64]:
    """[n, 2]: from each row's time to the next one's."""
    starts = stamps / 1000
    if len(starts) > 1:
        last = float(np.median(np.diff(starts)))
    elif frame_rate is not None:
        last = stride / frame_rate
    else:
        raise BadInput(f"{file} has one row, and one time stamp tells no duration. Give the frame rate with --fps.")
    return np.stack([starts, np.append(starts[1:], starts[-1] + last)], axis=1)


def _frames_at(seconds: NDArray[np.float64], frame_rate: float | None) -> NDArray[np.int64]:
    """[n, 2] frame spans at a constant rate; without a rate each row counts as one frame of a video with n frames."""
    if frame_rate is not None:
        return np.floor(seconds * frame_rate + 0.5).astype(np.int64)
    return np.stack([np.arange(len(seconds)), np.arange(1, len(seconds) + 1)], axis=1).astype(np.int64)
