"""Object arrays are read as lists; a pickle that asks for more is refused before it does anything."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from vidlang.core import BadAnnotation
from vidlang.datasets.object_arrays import read_object_array

ITEMS = [[["157", "180"], ["185", "244"]], [[0, 1200]], []]


def object_array(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def saved(path: Path, pickled: bytes, shape=(1,)) -> Path:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": shape})
        file.write(pickled)
    return path


class Runs:
    """A pickle of this calls ``function`` when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_lists_are_read_as_they_were_saved(tmp_path, protocol):
    path = saved(tmp_path / "lists.npy", pickle.dumps(object_array(ITEMS), protocol=protocol), shape=(3,))
    assert read_object_array(path) == ITEMS


def test_what_numpy_saves_is_read(tmp_path):
    np.save(tmp_path / "lists.npy", object_array(ITEMS), allow_pickle=True)
    assert read_object_array(tmp_path / "lists.npy") == ITEMS


@pytest.mark.parametrize("package", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_names_of_old_and_current_numpy_are_read(tmp_path, package):
    pickled = pickle.dumps(object_array(ITEMS), protocol=3)
    current = b"numpy._core.multiarray" if b"numpy._core" in pickled else b"numpy.core.multiarray"
    path = saved(tmp_path / "lists.npy", pickled.replace(current, package), shape=(3,))
    assert read_object_array(path) == ITEMS


@pytest.mark.parametrize("place", ["bare", "inside the array"])
@pytest.mark.parametrize("function", [os.mkdir, eval, Path.touch, np.save], ids=lambda f: f.__name__)
def test_a_pickle_that_runs_something_is_refused_before_it_runs(tmp_path, function, place):
    trace = tmp_path / "trace"
    arguments = {
        os.mkdir: (str(trace),),
        eval: (f"__import__('os').mkdir({str(trace)!r})",),
        Path.touch: (trace,),
        np.save: (str(trace), [1]),
    }[function]
    trap = Runs(function, *arguments)
    path = saved(tmp_path / "trap.npy", pickle.dumps(trap if place == "bare" else object_array([trap])))
    with pytest.raises(BadAnnotation, match=r"trap\.npy is not a plain array of lists and was refused: it asks for"):
        read_object_array(path)
    assert sorted(tmp_path.iterdir()) == [path]
    # The trap is real: an ordinary unpickler springs it.
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        pickle.load(file)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is not a \.npy file"),
        (b"PK\x03\x04 something", r"is not a \.npy file"),
        (b"\x93NUMPY\x01\x00", "was refused"),
        (b"\x93NUMPY\x01\x00\x05\x00{[}\n\n", "was refused"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(BadAnnotation, match=message):
        read_object_array(tmp_path / "x.npy")


def test_numbers_are_no_lists(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(BadAnnotation, match=r"holds <f8 of shape \(3,\)"):
        read_object_array(tmp_path / "x.npy")


def test_a_header_that_promises_another_length_is_refused(tmp_path):
    path = saved(tmp_path / "x.npy", pickle.dumps(object_array(ITEMS)), shape=(2,))
    with pytest.raises(BadAnnotation, match="something else than the \\(2,\\) items"):
        read_object_array(path)


def test_a_torn_file_is_refused(tmp_path):
    path = saved(tmp_path / "x.npy", pickle.dumps(object_array(ITEMS), protocol=3)[:-10], shape=(3,))
    with pytest.raises(BadAnnotation, match="was refused"):
        read_object_array(path)
    with pytest.raises(BadAnnotation, match=r"none\.npy cannot be read"):
        read_object_array(tmp_path / "none.npy")
