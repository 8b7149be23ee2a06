"""NumPy files of Python lists, read without running what a pickle may ask for.

The ground truth of UCF-Crime and XD-Violence is published as ``.npy`` files of ragged lists, which NumPy stores as a
pickle. A pickle can name any function of any module; here it gets three harmless stand-ins under the names that NumPy
writes, old (``numpy.core``) and current (``numpy._core``), and everything else is refused. NumPy itself is not
involved.
"""

from __future__ import annotations

import ast
import pickle
import struct
from pathlib import Path
from typing import Any, BinaryIO

from vidlang.core.errors import BadAnnotation

_MAGIC = b"\x93NUMPY"


class _Array:
    """Takes an array's state and keeps its items."""

    def __init__(self, *_: object) -> None:
        self.shape: tuple[int, ...] = ()
        self.items: list[Any] = []

    def __setstate__(self, state: Any) -> None:
        _version, self.shape, _dtype, _fortran, self.items = state


class _Dtype:
    """Takes what describes an object dtype and forgets it."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _ListsOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")):
            return type("_Reconstructed", (_Array,), {})
        if (module, name) == ("numpy", "ndarray"):
            return type("_Named", (), {})
        if (module, name) == ("numpy", "dtype"):
            return type("_Described", (_Dtype,), {})
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def read_object_array(path: Path) -> list[Any]:
    """The items of a one-dimensional object array: lists, texts and numbers.

    Raises:
        BadAnnotation: the file cannot be read, is no such array, or its pickle asks for anything but lists.
    """
    try:
        with path.open("rb") as file:
            shape = _header(file, path)
            array = _ListsOnly(file).load()
    except OSError as error:
        raise BadAnnotation(f"{path} cannot be read ({error.strerror}).") from error
    except BadAnnotation:
        raise
    except Exception as error:
        # Whatever a crafted pickle makes the unpickler raise, it is a file that is not to be trusted.
        raise BadAnnotation(f"{path} is not a plain array of lists and was refused: {error or type(error)}.") from error
    if not isinstance(array, _Array) or not isinstance(array.items, list) or (len(array.items),) != shape:
        raise BadAnnotation(f"{path} holds something else than the {shape} items of its header: get the file again.")
    return array.items


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
