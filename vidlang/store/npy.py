"""Feature files of others: the published VadCLIP layout, I3D and other plain ``.npy`` and ``.npz``, in and out.

Published layout: per video ``NAME__0.npy`` … ``NAME__9.npy``, one file a crop (0 centre, 1 to 4 corners, 5 to 9 their
mirrors), each an array [n, D] of float16 or float32, not normalised. Row i stands for the frames [16 i, 16 i + 16); the
rest of the video is dropped. The files tell no time: the frame rate must be given (UCF-Crime 30, XD-Violence 24).

Plain files: ``NAME.npy`` [n, D], with a stride and a frame rate. Row i stands for the frames [stride i, stride i +
window) of the frame rate that the features were made at; the window is the stride unless it is given, and may be wider.
Or with ``NAME_ms.npy`` or ``NAME_timestamps_ms.npy`` [n] beside it: the time of each row in milliseconds, ascending. A
row then lasts until the next one's time, the last as long as the median of the others; where the times mark ends, from
the one before. Some extractors write the start of each row, some the end: where the first time is one step after 0 the
files cannot tell, and it must be said.

Two parts: appearance and motion of one video in ``rgb/NAME.npy`` and ``flow/NAME.npy``, in ``NAME_rgb.npy`` and
``NAME_flow.npy``, or in two files or folders that are given apart, are joined row by row, rgb first. Lengths that
differ by one row are cut to the shorter. I3D: 1024 numbers each, 2048 joined.

Archives: ``NAME.npz`` with the arrays ``rgb`` and ``flow``, or with one array [n, D] of any name; an array ``ms`` or
``timestamps_ms`` holds the times. Files of Python objects are never read.

Imported features keep the numbers and the type of the files (float64 becomes float32). Their recipe holds the encoder
that was named and the revision ``imported:<revision>``, with ``/crop<k>`` behind it when one crop was chosen,
``/rgb+flow`` for joined parts and for I3D rows of 2048 numbers, ``/window<n>`` for another window than the stride; how
the frames were resized is not known. The video's height and width are not known either and are written as 0.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vidlang.core import BadInput, FeatureKey, FeatureRecipe, Features, Sampling, VideoInfo
from vidlang.store.atomic import replacing
from vidlang.store.names import safe_path

NUM_CROPS = 10
PUBLISHED_STRIDE = 16
I3D_DIMS = (1024, 2048)
"""Numbers per row of I3D features: rgb or flow alone, and both."""
MAX_ARCHIVE_BYTES = 2**32
"""What the arrays of one ``.npz`` may unpack to."""
MAX_PART_DIFFERENCE = 1
"""Rows by which the lengths of rgb and flow may differ: flow needs one frame more than it has rows."""
STEP_TOLERANCE = 0.05
"""Share by which the step of time stamps may differ from the one that stride and frame rate give, and the first time
stamp from one step where the files cannot tell starts from ends."""
_CROP_FILE = re.compile(r"(?P<name>.+)__(?P<crop>\d)\.npy", re.DOTALL)
_PART_FOLDER = re.compile(r"(?P<before>(?:.*/)?)(?P<part>rgb|flow)/(?P<after>.+)", re.DOTALL)
_PART_ENDING = re.compile(r"(?P<before>.+)_(?P<part>rgb|flow)", re.DOTALL)
_STAMP_ENDINGS = ("_ms.npy", "_timestamps_ms.npy")
_STAMP_NAMES = ("ms", "timestamps_ms")

Stamps = Literal["start", "end"]
"""What time stamps mark: the start of each row, or its end."""
Rulers = tuple[NDArray[np.int64], NDArray[np.float64]]


def find_npy(paths: Iterable[Path], flow: Iterable[Path] = ()) -> dict[str, list[Path]]:
    """Files by video id, sorted: crops ``NAME__k.npy`` together, rgb and flow of a video together, any other alone.

    paths: files or folders; folders are searched with their sub-folders
    flow: files or folders of the motion rows that belong to the rows of ``paths``

    The id is the path below the folder given, without ``__k.npy``, ``.npy`` or ``.npz``; for a file, its name alone. Of
    rgb and flow it has neither the folder ``rgb/`` nor the ending ``_rgb``. Time stamps (``NAME_ms.npy``) and frame
    rates (``NAME_fps.npy``) belong to their video and are no video.

    Raises:
        BadInput: nothing there, two files for one id and crop, or one part of a video without the other.
    """
    apart = list(map(Path, flow))
    if apart:
        rgb, motion = _find(map(Path, paths)), _find(apart)
        if len(rgb) == len(motion) == 1:
            [(video_id, appearance)], [movement] = rgb.items(), motion.values()
            bare = _part_of(video_id)[0]
            return _joined({bare: appearance}, {bare: movement})
        return _joined(_parts(rgb, "rgb"), _parts(motion, "flow"))
    groups = _find(map(Path, paths))
    found = {video_id: _part_of(video_id) for video_id in groups}
    if {bare for bare, part in found.values() if part == "rgb"} & {b for b, part in found.values() if part == "flow"}:
        alone = {video_id: files for video_id, files in groups.items() if not found[video_id][1]}
        both = _joined(_parts(groups, "rgb", strict=True), _parts(groups, "flow", strict=True))
        for video_id in sorted(alone.keys() & both.keys()):
            raise BadInput(f"{alone[video_id][0]} and {both[video_id][0]} would both be {video_id}. Keep one of them.")
        groups = dict(sorted((alone | both).items()))
    return groups


def _find(paths: Iterable[Path]) -> dict[str, list[Path]]:
    groups: dict[str, dict[str, Path]] = {}
    for path in paths:
        found = _files_below(path)
        if not found:
            raise BadInput(f"{path} is no .npy or .npz file and holds none. Give such files or folders of them.")
        for file in found:
            relative = file.relative_to(path).as_posix() if path.is_dir() else file.name
            match = _CROP_FILE.fullmatch(relative)
            video_id, crop = (match["name"], match["crop"]) if match else (relative[: -len(file.suffix)], "")
            other = groups.setdefault(video_id, {}).setdefault(crop, file)
            if other.resolve() != file.resolve():
                raise BadInput(f"{other} and {file} would both be {video_id}. Import them one folder at a time.")
    return {video_id: [files[crop] for crop in sorted(files)] for video_id, files in sorted(groups.items())}


def _part_of(video_id: str) -> tuple[str, str]:
    """(id without the word, "rgb" or "flow"); no word: (id, "")."""
    if match := _PART_ENDING.fullmatch(video_id):
        return match["before"], match["part"]
    if match := _PART_FOLDER.fullmatch(video_id):
        return match["before"] + match["after"], match["part"]
    return video_id, ""


def _parts(groups: Mapping[str, list[Path]], part: str, strict: bool = False) -> dict[str, list[Path]]:
    """Files of one part by id without its word; files of the other part are left out, unless ``strict`` unnamed too."""
    chosen: dict[str, list[Path]] = {}
    for video_id, files in groups.items():
        bare, found = _part_of(video_id)
        if found == part or (not found and not strict):
            other = chosen.setdefault(bare, files)
            if other is not files:
                raise BadInput(f"{other[0]} and {files[0]} would both be {part} of {bare}. Keep one of them.")
    return chosen


def _joined(rgb: Mapping[str, list[Path]], flow: Mapping[str, list[Path]]) -> dict[str, list[Path]]:
    """Both parts of each video, rgb first."""
    for name, one, other in (("flow", rgb, flow), ("rgb", flow, rgb)):
        if missing := sorted(one.keys() - other.keys()):
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise BadInput(f"There is no {name} of {', '.join(missing[:3])}{more}. Add the files or take the rest out.")
    for video_id, files in rgb.items():
        both = [*files, *flow[video_id]]
        if crop := next((file for file in both if _CROP_FILE.fullmatch(file.name)), None):
            raise BadInput(f"{crop} is a crop by its name. Rgb and flow of {video_id} are joined from one file each.")
        if len({file.resolve() for file in both}) == 1:
            raise BadInput(f"{both[0]} would be both rgb and flow. Give the other part of {video_id}.")
    return {video_id: files + flow[video_id] for video_id, files in sorted(rgb.items())}


def read_npy_features(
    video_id: str,
    files: Sequence[Path],
    *,
    encoder: str,
    frame_rate: float | None = None,
    stride: int | None = None,
    window: int | None = None,
    crop: int | None = None,
    times: Path | None = None,
    stamps: Stamps | None = None,
    revision: str = "unknown",
) -> Features:
    """One video's features from its crops, from one chosen crop, from a plain file, or from rgb and flow.

    files: as ``find_npy`` groups them; two plain files are rgb and flow
    frame_rate: frames per second that the features were made at; None: ``NAME_fps.npy``, if it is there
    stride: frames from row to row; None: 16 for crops, else unknown    window: frames per row, default the stride
    times: milliseconds of the rows, default the file beside    stamps: what they mark; None: starts, if that is clear
    returns: values [10, T, D] from ten crops, otherwise [T, D]; in the type of the files

    Raises:
        BadInput: a crop is missing, files differ in length, no clock (neither stride and frame rate nor time stamps),
            or a file does not hold rows of finite numbers.
    """
    values, first = _read_values(video_id, files, crop)
    num_rows, dim = values.shape[-2:]
    if encoder == "i3d" and dim not in I3D_DIMS:
        raise BadInput(
            f"{first} has rows of {dim} numbers, I3D makes {I3D_DIMS[0]} (rgb or flow) or {I3D_DIMS[1]} (both). "
            "Name another --encoder, or save the rows as [n, D]."
        )
    frame_rate = _frame_rate_beside(first) if frame_rate is None else frame_rate
    if frame_rate is not None and not 0 < frame_rate < float("inf"):
        raise BadInput(f"The frame rate must be positive, got {frame_rate:g}. UCF-Crime has 30, XD-Violence 24.")
    is_published = _CROP_FILE.fullmatch(first.name) is not None
    crops: Literal["center", "ten"] = "ten" if values.ndim == 3 else "center"
    is_joined = len(files) == 2 and not is_published
    # The parts of a video may differ by a row, and then the times are those of the longer.
    spare = MAX_PART_DIFFERENCE if is_joined or first.suffix == ".npz" else 0
    marks = _read_stamps(first, num_rows, spare, times)
    if marks is None:
        stride = PUBLISHED_STRIDE if stride is None and is_published else stride
        frames, seconds, rate = *_even_rulers(video_id, num_rows, stride, window, frame_rate), frame_rate or 0.0
        sampling = Sampling(stride=stride or 1, crops=crops)
    else:
        seconds = _stamped_seconds(first, marks, stamps, stride, window, frame_rate)
        step = float(np.median(np.diff(seconds[:, 0]))) if num_rows > 1 else float(np.diff(seconds[0])[0])
        rate = frame_rate if frame_rate is not None else 1 / step
        frames = _frames_at(seconds, frame_rate)
        sampling = Sampling(fps=float(f"{1 / step:.4g}"), crops=crops)
    details = f"/crop{crop}" if crop is not None and is_published else ""
    details += "/rgb+flow" if is_joined or (encoder == "i3d" and dim == max(I3D_DIMS)) else ""
    details += f"/window{window}" if window is not None and window != stride else ""
    dtype: Literal["float16", "float32"] = "float16" if values.dtype == np.float16 else "float32"
    recipe = FeatureRecipe(encoder, f"imported:{revision}{details}", sampling, dtype=dtype)
    # Windows overlap, so the last row need not be the one that ends last.
    video = VideoInfo(video_id, int(frames[:, 1].max()), float(seconds[:, 1].max()), rate, (0, 0))
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
    rows = _load_archive(path)[0] if path.suffix == ".npz" else _load(path)
    return _checked_rows(path, rows)


def _checked_rows(path: Path, rows: NDArray[Any]) -> NDArray[np.floating[Any]]:
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


def _files_below(path: Path) -> list[Path]:
    """Feature files under a folder, or the file itself."""
    if not path.is_dir():
        return [path] if path.is_file() and path.suffix in (".npy", ".npz") else []
    files = sorted(file for ending in ("npy", "npz") for file in path.rglob(f"*.{ending}"))
    return [file for file in files if not _is_side_file(file) and not file.name.startswith(".")]


def _is_side_file(file: Path) -> bool:
    """``NAME_ms.npy`` with one dimension, ``NAME_fps.npy`` with none; features have two."""
    num_axes = next((n for ending, n in (("_ms.npy", 1), ("_fps.npy", 0)) if file.name.endswith(ending)), None)
    try:
        return num_axes is not None and _load(file).ndim == num_axes
    except BadInput:  # reported when it is read, so that it stops no other file
        return False


def _load(path: Path) -> NDArray[Any]:
    """The array of a ``.npy`` file. Mapped first, so that a header which claims any size asks for no memory."""
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as cause:
        raise BadInput(f"There is no file {path}. Give a .npy file of features.") from cause
    except (ValueError, OSError, EOFError) as cause:
        raise _not_read(path, cause) from cause
    if not isinstance(mapped, np.ndarray):
        raise BadInput(f"{path} is an archive of arrays. Call it .npz, or save the rows alone with numpy.save.")
    return np.array(mapped)


def _not_read(path: Path, cause: Exception) -> BadInput:
    detail = "it holds Python objects" if "object" in str(cause).lower() else " ".join(str(cause).split())[:120]
    return BadInput(f"{path} is not read ({detail}). Save rows with numpy.save as float16 or float32.")


def _load_archive(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """(rows, milliseconds if they are there) of a ``.npz``; ``rgb`` and ``flow`` are joined."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_ARCHIVE_BYTES:
            raise BadInput(f"{path} would unpack to {size / 2**30:.0f} GiB. Give one .npy file per video.")
        with np.load(path, allow_pickle=False) as arrays:
            held = {name: arrays[name] for name in arrays.files}
    except FileNotFoundError as cause:
        raise BadInput(f"There is no file {path}. Give a .npz file of features.") from cause
    # A header may claim more than its archive holds: MemoryError at once, or ValueError once the bytes run out.
    except (ValueError, OSError, EOFError, MemoryError, zipfile.BadZipFile, NotImplementedError) as cause:
        raise _not_read(path, cause) from cause
    marks = next((held.pop(name) for name in _STAMP_NAMES if name in held), None)
    if held.keys() == {"rgb", "flow"}:
        parts = [_checked_rows(path, held[name]) for name in ("rgb", "flow")]
        return _join_parts(path, path, *parts), marks
    if len(held) != 1:
        names = ", ".join(held) or "none"
        raise BadInput(f"{path} holds the arrays {names}. Name them rgb and flow, or save one array of rows.")
    return next(iter(held.values())), marks


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
        parts = [read_rows(file) for file in files]
        joined = parts[0] if len(parts) == 1 else _join_parts(files[0], files[1], parts[0], parts[1])
        return joined, files[0]
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


def _join_parts(
    rgb_file: Path, flow_file: Path, rgb: NDArray[np.floating[Any]], flow: NDArray[np.floating[Any]]
) -> NDArray[np.floating[Any]]:
    """[T, D] and [T or one more or less, D] → [T, 2 D], cut to the shorter."""
    if abs(len(rgb) - len(flow)) > MAX_PART_DIFFERENCE or rgb.shape[1] != flow.shape[1]:
        raise BadInput(
            f"rgb is {list(rgb.shape)} ({rgb_file}) and flow is {list(flow.shape)} ({flow_file}). "
            "Give two parts of one extraction."
        )
    shared = min(len(rgb), len(flow))
    return np.concatenate([rgb[:shared], flow[:shared]], axis=1)


def _crops(numbers: Iterable[int]) -> str:
    numbers = sorted(numbers)
    return f"crop {numbers[0]}" if len(numbers) == 1 else f"crops {', '.join(map(str, numbers))}"


# -- rulers ----------------------------------------------------------------------------------------------------------


def _even_rulers(
    video_id: str, num_rows: int, stride: int | None, window: int | None, frame_rate: float | None
) -> Rulers:
    """Row i stands for the frames [stride i, stride i + window); their seconds follow from a constant rate."""
    if frame_rate is None:
        raise BadInput(
            f"The files of {video_id} tell no time. Give the videos' frame rate with --fps (UCF-Crime 30, XD-Violence "
            "24), or put the milliseconds of each row beside them as NAME_ms.npy."
        )
    if stride is None:
        raise BadInput(
            f"The files of {video_id} do not tell how many frames lie from row to row. Give --stride (16 is usual for "
            "I3D), or put the milliseconds of each row beside them as NAME_ms.npy."
        )
    starts = np.arange(num_rows, dtype=np.int64) * stride
    frames = np.stack([starts, starts + (window or stride)], axis=1)
    return frames, frames / frame_rate


def _name_of(file: Path) -> str:
    """The name that side files begin with: ``a__0.npy``, ``a_rgb.npy`` and ``a.npz`` → ``a``."""
    match = _CROP_FILE.fullmatch(file.name)
    return match["name"] if match else file.stem


def _beside(file: Path, endings: Iterable[str]) -> Path | None:
    names = dict.fromkeys([_name_of(file), _part_of(_name_of(file))[0]])
    paths = [file.with_name(name + ending) for name in names for ending in endings]
    return next((path for path in paths if path.is_file()), None)


def _frame_rate_beside(file: Path) -> float | None:
    path = _beside(file, ["_fps.npy"])
    if path is None:
        return None
    rate = _load(path)
    if rate.ndim or rate.dtype.kind not in "fiu":
        raise BadInput(f"{path} must hold one number, got {rate.dtype} {list(rate.shape)}. Remove it and give --fps.")
    return float(rate)


def _read_stamps(file: Path, num_rows: int, spare: int, path: Path | None) -> NDArray[np.float64] | None:
    """Milliseconds [n] from ``path``, from the archive or from the file beside, if there is one.

    spare: how many more there may be than rows
    """
    marks: NDArray[Any] | None = None
    if path is None and file.suffix == ".npz":
        path, marks = file, _load_archive(file)[1]
    if marks is None:
        path = _beside(file, _STAMP_ENDINGS) if path in (None, file) else path
        marks = None if path is None else _load(path)
    if marks is None:
        return None
    fits = marks.ndim == 1 and 0 <= len(marks) - num_rows <= spare
    if not fits or marks.dtype.kind not in "fiu":
        got = f"{marks.dtype} {list(marks.shape)}"
        raise BadInput(f"{path} must hold the milliseconds of {num_rows} rows, got {got}. Correct or remove it.")
    marks = marks[:num_rows].astype(np.float64)
    if not np.isfinite(marks).all() or (marks < 0).any() or (np.diff(marks) < 0).any():
        raise BadInput(f"{path} must hold ascending milliseconds from 0 on. Correct or remove it.")
    return marks


def _stamped_seconds(
    file: Path,
    marks: NDArray[np.float64],
    stamps: Stamps | None,
    stride: int | None,
    window: int | None,
    frame_rate: float | None,
) -> NDArray[np.float64]:
    """[n, 2] from milliseconds [n] and what they mark."""
    seconds = marks / 1000
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else None
    told = stride / frame_rate if stride and frame_rate else None
    if step is None and told is None:
        raise BadInput(
            f"{file} has one row, and one time stamp tells no duration. Give --stride and the frame rate with --fps."
        )
    length = step if step is not None else told
    assert length is not None
    if length <= 0:
        raise BadInput(f"The time stamps of {file} do not ascend. Give the milliseconds of each row.")
    if told is not None and abs(length / told - 1) > STEP_TOLERANCE:
        raise BadInput(
            f"The time stamps of {file} are {length:.3f} s apart, but --stride {stride} at {frame_rate:g} frames per "
            f"second is {told:.3f} s. Correct one of them, or leave --stride out."
        )
    if stamps is None and abs(seconds[0] / length - 1) <= STEP_TOLERANCE:
        raise BadInput(
            f"The first time stamp of {file} is one step after 0 ({seconds[0]:.3f} s), so they may mark where rows end "
            "or where they start. Say which: --stamps end or --stamps start."
        )
    if window is not None and frame_rate is None:
        raise BadInput(f"--window counts frames, and the rate of {file} is not known. Give it with --fps.")
    if stamps == "end":
        starts = np.append(max(seconds[0] - length, 0.0), seconds[:-1])
        if window is not None and frame_rate is not None:
            starts = np.maximum(seconds - window / frame_rate, 0.0)
        return np.stack([starts, seconds], axis=1)
    ends = np.append(seconds[1:], seconds[-1] + length)
    if window is not None and frame_rate is not None:
        ends = seconds + window / frame_rate
    return np.stack([seconds, ends], axis=1)


def _frames_at(seconds: NDArray[np.float64], frame_rate: float | None) -> NDArray[np.int64]:
    """[n, 2] frame spans at a constant rate; without a rate each row counts as one frame of a video with n frames."""
    if frame_rate is not None:
        return np.floor(seconds * frame_rate + 0.5).astype(np.int64)
    return np.stack([np.arange(len(seconds)), np.arange(1, len(seconds) + 1)], axis=1).astype(np.int64)
