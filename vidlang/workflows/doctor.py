"""Look at this machine: packages, decoders, devices, encoders, workspace."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vidlang import __version__
from vidlang.core import EncoderUnavailable, VidlangError
from vidlang.encoders.registry import list_encoders
from vidlang.encoders.weights import locate
from vidlang.store.workspace import Settings, open_workspace
from vidlang.video.reader import open_video
from vidlang.video.writer import write_video

PACKAGES = ("torch", "transformers", "safetensors", "numpy", "h5py", "av", "scikit-learn", "matplotlib", "rich")


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    what: str
    state: Literal["ok", "optional", "missing", "broken"]
    found: str
    remedy: str = ""


def examine(workspace: Path | None) -> list[Check]:
    """Every check, in the order in which things depend on each other."""
    checks = [
        Check("vidlang", "ok", __version__),
        Check("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
    ]
    checks += [_package(name) for name in PACKAGES]
    checks.append(_decord())
    checks += list(_decoding())
    checks += [_torch_devices(), _workspace(workspace)]
    checks += [_encoder(spec.name, _default_encoder(workspace)) for spec in list_encoders()]
    return checks


def _package(name: str) -> Check:
    try:
        return Check(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, "missing", "-", f"pip install {name}")


def _decord() -> Check:
    for name in ("decord", "eva-decord"):
        try:
            return Check("decord", "ok", f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return Check("decord", "missing", "PyAV reads everything in its place", "pip install decord (eva-decord on macOS)")


def _decoding() -> Iterator[Check]:
    """Write a short film and read it back, for each codec that this build should know."""
    for codec, ending in (("libx264", "mp4"), ("mpeg4", "avi"), ("libvpx-vp9", "webm")):
        yield _attempt(f"video {codec}", lambda codec=codec, ending=ending: _round_trip(codec, ending))  # type: ignore[misc]


def _round_trip(codec: str, ending: str) -> str:
    frames = [np.full((64, 96, 3), 20 * index, dtype=np.uint8) for index in range(8)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"film.{ending}"
        write_video(path, frames, 25.0, codec=codec)
        with open_video(path) as reader:
            count = sum(len(batch.frames) for batch in reader.read())
    if count != len(frames):
        raise VidlangError(f"wrote {len(frames)} frames, read {count}")
    return "writes and reads"


def _attempt(what: str, action: Callable[[], str]) -> Check:
    try:
        return Check(what, "ok", action())
    except Exception as error:  # a doctor reports whatever is wrong
        return Check(what, "broken", f"{type(error).__name__}: {error}", "pip install --upgrade av")


def _torch_devices() -> Check:
    def describe() -> str:
        import torch

        found = [f"cpu ({os.cpu_count()} cores, {torch.get_num_threads()} threads)"]
        found += [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
        if torch.backends.mps.is_available():
            found.append("mps")
        return ", ".join(found)

    return _attempt("devices", describe)


def _workspace(root: Path | None) -> Check:
    try:
        place = open_workspace(root)
    except VidlangError as error:
        return Check("workspace", "broken", str(root or "."), str(error))
    parent = place.root if place.root.exists() else place.root.absolute().parent
    if not os.access(parent, os.W_OK):
        return Check("workspace", "broken", str(place.root), f"{parent} cannot be written; choose --workspace DIR")
    state = "there" if place.root.exists() else "made on first use"
    return Check("workspace", "ok", f"{place.root} ({state}), encoder {place.settings.encoder}")


def _default_encoder(root: Path | None) -> str:
    try:
        return open_workspace(root).settings.encoder
    except VidlangError:  # reported by the check of the workspace
        return Settings().encoder


def _encoder(name: str, default: str) -> Check:
    """Only the encoder that this workspace uses has to be here."""
    try:
        return Check(f"encoder {name}", "ok", str(locate(name).folder))
    except EncoderUnavailable:
        if name != default:
            return Check(f"encoder {name}", "optional", f"vidlang models pull {name}")
        remedy = f"vidlang models pull {name}, or vidlang init --encoder mini, which needs no network"
        return Check(f"encoder {name}", "missing", "the default of this workspace", remedy)
