"""The old file, the whole next one, or nothing."""

import os
import shutil
import subprocess
import sys

import pytest

from vidlang.store.atomic import (
    STALE_SECONDS,
    is_stale,
    is_temporary,
    replacing,
    replacing_folder,
    temporary_name,
    write_bytes,
    write_text,
)


def test_a_file_appears_whole_and_its_folders_are_made(tmp_path):
    target = tmp_path / "a" / "b.txt"
    write_text(target, "eins\nzwei ü")
    write_bytes(target, target.read_bytes() + b"!")
    assert target.read_bytes() == "eins\nzwei ü!".encode()
    assert os.listdir(target.parent) == ["b.txt"]


def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(KeyboardInterrupt), replacing(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_a_temporary_keeps_the_suffix_because_writers_look_at_it(tmp_path):
    with replacing(tmp_path / "a.png") as temporary:
        assert temporary.suffix == ".png" and temporary.parent == tmp_path and is_temporary(temporary)
        temporary.write_bytes(b"x")


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for content in ("one", "two"):
        with replacing_folder(tmp_path / "model") as temporary:
            (temporary / f"{content}.txt").write_text(content)
    assert os.listdir(tmp_path) == ["model"] and os.listdir(tmp_path / "model") == ["two.txt"]


def test_a_failed_folder_leaves_the_old_one(tmp_path):
    with replacing_folder(tmp_path / "model") as temporary:
        (temporary / "a").write_text("a")
    with pytest.raises(ValueError), replacing_folder(tmp_path / "model") as temporary:
        raise ValueError
    assert os.listdir(tmp_path) == ["model"] and os.listdir(tmp_path / "model") == ["a"]


def test_a_folder_that_vanishes_after_it_stood_in_the_way_was_there(tmp_path, monkeypatch):
    target = tmp_path / "lock"
    target.mkdir()
    (target / "holder").write_text("a")
    rename = os.rename

    def rename_while_it_is_released(source, to):
        try:
            rename(source, to)
        finally:
            shutil.rmtree(target)

    monkeypatch.setattr(os, "rename", rename_while_it_is_released)
    with pytest.raises(FileExistsError), replacing_folder(target, replace=False) as temporary:
        (temporary / "holder").write_text("b")
    assert os.listdir(tmp_path) == []


def test_a_living_writers_temporary_is_not_stale_but_an_old_one_is(tmp_path):
    path = tmp_path / temporary_name(".h5")
    path.touch()
    assert not is_stale(path)
    os.utime(path, (1, path.stat().st_mtime - STALE_SECONDS - 1))
    assert is_stale(path)


@pytest.mark.skipif(sys.platform == "win32", reason="process ids are not asked there")
def test_a_dead_writers_temporary_is_stale_at_once(tmp_path):
    script = "from vidlang.store.atomic import temporary_name; import sys; sys.stdout.write(temporary_name('.h5'))"
    name = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    path = tmp_path / name
    path.touch()
    assert is_stale(path)


def test_other_files_are_never_stale(tmp_path):
    path = tmp_path / "notes.tmp"
    path.touch()
    os.utime(path, (1, 1))
    assert not is_temporary(path) and not is_stale(path)
