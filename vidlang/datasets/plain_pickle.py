"""Pickles of plain values, read without running what a pickle may ask for.

The annotations of video retrieval data sets are published as pickles. A pickle can name any function of any module;
here it gets sets, and stand-ins for NumPy's single numbers, and everything else is refused. Numbers of NumPy come out
as Python's; NumPy itself is not involved. Texts of Python 2 are read as Latin-1.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any

from vidlang.core.errors import BadAnnotation

MAX_BYTES = 64 * 2**20
"""The largest published file has 3.5 MB."""
FORMATS = {
    "f2": "e", "f4": "f", "f8": "d", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I",
    "u8": "Q", "b1": "?",
}  # fmt: skip
"""NumPy's name of a number → `struct`'s."""
_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")


class _Dtype:
    """Takes what describes a number: ``f8``, then the byte order."""

    def __init__(self, code: str, *_: object) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"


class _Scalar:
    """Gives the number that a dtype and its bytes mean."""

    def __new__(cls, dtype: _Dtype, raw: bytes | str) -> Any:  # type: ignore[misc]
        content = raw.encode("latin-1") if isinstance(raw, str) else raw
        if dtype.code[:1] in ("U", "S"):
            return content.decode(
                f"utf-32-{'be' if dtype.order == '>' else 'le'}" if dtype.code[0] == "U" else "latin-1"
            )
        return struct.unpack(dtype.order + FORMATS[dtype.code], content)[0]


class _Encoded:
    """Bytes as Python 3 writes them for Python 2: a text and "latin1"."""

    def __new__(cls, text: str, encoding: str) -> Any:  # type: ignore[misc]
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"it encodes as {encoding}")
        return text.encode("latin-1")


class PlainUnpickler(pickle.Unpickler):
    """Sets, numbers and bytes are all that a pickle may ask for."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("builtins", "__builtin__") and name in ("set", "frozenset"):
            return {"set": set, "frozenset": frozenset}[name]
        # A fresh class each time: what a pickle does to it, the next pickle does not meet.
        if (module, name) == ("numpy", "dtype"):
            return type("_Described", (_Dtype,), {})
        if module in _NUMPY and name == "scalar":
            return type("_Number", (_Scalar,), {})
        if (module, name) == ("_codecs", "encode"):
            return type("_Bytes", (_Encoded,), {})
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def load_plain(data: bytes, where: str | Path) -> Any:
    """The dicts, lists, tuples, sets, texts, numbers and None of a pickle.

    where: for messages

    Raises:
        BadAnnotation: it is larger than `MAX_BYTES`, is no pickle, or asks for anything else.
    """
    if len(data) > MAX_BYTES:
        raise BadAnnotation(f"{where} has {len(data):,} bytes, published files have a few million: get the file again.")
    try:
        _check_places(data)
        return PlainUnpickler(io.BytesIO(data), encoding="latin-1").load()
    except Exception as error:
        # Whatever a crafted pickle makes the unpickler raise, it is a file that is not to be trusted.
        raise BadAnnotation(
            f"{where} is not a pickle of plain values and was refused: {error or type(error)}."
        ) from error


def _check_places(data: bytes) -> None:
    """A value is kept under a number, and a table that reaches up to it is made: a number of two billion would take all
    memory. Nobody numbers values beyond the bytes of the file.
    """
    for opcode, argument, _ in pickletools.genops(data):
        if "PUT" in opcode.name and isinstance(argument, int) and argument > len(data):
            raise pickle.UnpicklingError(f"it numbers a value {argument}")
