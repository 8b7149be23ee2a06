"""NumPy files of Python lists, read without running what a pickle may ask for.

The ground truth of UCF-Crime and XD-Violence, and of THUMOS14 in W-TALC's form, is published as ``.npy`` files of
ragged lists, which NumPy stores as a pickle. A pickle can name any function of any module; here it gets harmless
stand-ins under the names that NumPy writes, old (``numpy.core``) and current (``numpy._core``), and everything else is
refused. Arrays, single numbers and bytes inside the lists come out as Python's; NumPy itself is not involved.
"""

from __future__ import annotations

import ast
import math
import pickle
import struct
from pathlib import Path
from typing import Any, BinaryIO

from vidlang.core.errors import BadAnnotation
from vidlang.datasets.plain_pickle import FORMATS, PlainUnpickler

_MAGIC = b"\x93NUMPY"


class _Array:
    """Takes an array's state: its items where they are objects, its bytes where they are numbers or texts."""

    def __init__(self, *_: object) -> None:
        self.shape: tuple[int, ...] = ()
        self.dtype: Any = None
        self.items: Any = []

    def __setstate__(self, state: Any) -> None:
        _version, self.shape, self.dtype, fortran, self.items = state
        if fortran and len(self.shape) > 1:
            raise pickle.UnpicklingError("it orders an array by columns")

    def to_list(self) -> list[Any]:
        """Its items, rows as lists in a list."""
        items = self.items if isinstance(self.items, list) else self._decoded()
        if len(items) != math.prod(self.shape):
            raise pickle.UnpicklingError(f"it has {len(items)} items for an array of shape {self.shape}")
        for size in self.shape[:0:-1]:
            items = [items[at : at + size] for at in range(0, len(items), size)] if size else []
        return items

    def _decoded(self) -> list[Any]:
        raw = self.items.encode("latin-1") if isinstance(self.items, str) else self.items
        code, order = self.dtype.code, self.dtype.order
        if code[:1] == "S":
            width = int(code[1:])
            return [raw[at : at + width].rstrip(b"\0") for at in range(0, len(raw), width)]
        if code[:1] == "U":
            width, name = 4 * int(code[1:]), f"utf-32-{'be' if order == '>' else 'le'}"
            return [raw[at : at + width].decode(name).rstrip("\0") for at in range(0, len(raw), width)]
        return [number for (number,) in struct.iter_unpack(order + FORMATS[code], raw)]


class _ListsOnly(PlainUnpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")):
            return type("_Reconstructed", (_Array,), {})
        if (module, name) == ("numpy", "ndarray"):
            return type("_Named", (), {})
        return super().find_class(module, name)


def _plain(value: Any) -> Any:
    """Arrays inside lists as lists."""
    if isinstance(value, _Array):
        value = value.to_list()
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def read_object_array(path: Path) -> list[Any]:
    """The items of a one-dimensional object array: lists, texts, bytes and numbers.

    Raises:
        BadAnnotation: the file cannot be read, is no such array, or its pickle asks for anything but lists.
    """
    try:
        with path.open("rb") as file:
            shape = _header(file, path)
            array = _ListsOnly(file, encoding="latin-1").load()
            items = _plain(array) if isinstance(array, _Array) and isinstance(array.items, list) else None
    except OSError as error:
        raise BadAnnotation(f"{path} cannot be read ({error.strerror}).") from error
    except BadAnnotation:
        raise
    except Exception as error:
        # Whatever a crafted pickle makes the unpickler raise, it is a file that is not to be trusted.
        raise BadAnnotation(f"{path} is not a plain array of lists and was refused: {error or type(error)}.") from error
    if items is None or (len(items),) != shape:
        raise BadAnnotation(f"{path} holds something else than the {shape} items of its header: get the file again.")
    return items


def _header(file: BinaryIO, path: Path) -> tuple[int, ...]:
    """The shape that the NPY header states; the file is left at the start of the pickle."""
    if file.read(6) != _MAGIC:
        raise BadAnnotation(f"{path} is not a .npy file: get the file again.")
    major, _minor = file.read(2)
    size, form = (2, "<H") if major == 1 else (4, "<I")
    (length,) = struct.unpack(form, file.read(size))
    facts = ast.literal_eval(file.read(min(length, 10_000)).decode("latin-1").strip())
    if facts["descr"] != "|O" or len(facts["shape"]) != 1:
        raise BadAnnotation(f"{path} holds {facts['descr']} of shape {facts['shape']}, a list of lists is expected.")
    return tuple(facts["shape"])
