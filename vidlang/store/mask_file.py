"""Masks of any number of windows as a ``.npz`` file, written as they come.

``masks`` bool [windows, H, W], True where it moves; ``frames`` int64 [windows, 2] and ``seconds`` float64 [windows, 2],
half-open; ``energy`` float32 [windows] in grey levels; ``area`` float32 [windows], share of the pixels; ``moves`` bool
[windows], False where nothing moves (the mask is empty there); ``options``, a text: JSON of how the masks were made.
``numpy.load`` reads it without pickle.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vidlang.store.atomic import replacing


class Window(Protocol):
    """What is known of the mask of one window."""

    @property
    def frames(self) -> tuple[int, int]: ...
    @property
    def seconds(self) -> tuple[float, float]: ...
    @property
    def energy(self) -> float: ...
    @property
    def area(self) -> float: ...
    @property
    def moves(self) -> bool: ...


class MaskFile:
    """Masks go to a nameless file, eight pixels a byte, until their number is known; memory stays that of one mask."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._packed = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 (closed by __exit__)
        self._shape: tuple[int, ...] = ()

    def __enter__(self) -> MaskFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._packed.close()

    def add(self, mask: NDArray[np.bool_]) -> None:
        """The mask of the next window. mask: [H, W]"""
        self._shape = mask.shape
        self._packed.write(np.packbits(mask).tobytes())

    def finish(self, windows: Sequence[Window], options: Mapping[str, Any]) -> None:
        """Writes the file: beside its place first, then renamed. options: ready for JSON"""
        arrays: dict[str, NDArray[Any]] = {
            "frames": np.array([window.frames for window in windows], dtype=np.int64),
            "seconds": np.array([window.seconds for window in windows], dtype=np.float64),
            "energy": np.array([window.energy for window in windows], dtype=np.float32),
            "area": np.array([window.area for window in windows], dtype=np.float32),
            "moves": np.array([window.moves for window in windows], dtype=np.bool_),
            "options": np.array(json.dumps(dict(options))),
        }
        with (
            replacing(self.path) as temporary,
            zipfile.ZipFile(temporary, "w", compression=zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        ):
            self._write_masks(archive, len(windows))
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w") as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)

    def _write_masks(self, archive: zipfile.ZipFile, num_windows: int) -> None:
        num_pixels = int(np.prod(self._shape))
        self._packed.seek(0)
        with archive.open("masks.npy", "w", force_zip64=True) as entry:
            header = {"descr": "|b1", "fortran_order": False, "shape": (num_windows, *self._shape)}
            np.lib.format.write_array_header_1_0(entry, header)
            for _ in range(num_windows):
                packed = np.frombuffer(self._packed.read(-(-num_pixels // 8)), dtype=np.uint8)
                entry.write(np.unpackbits(packed, count=num_pixels).tobytes())
