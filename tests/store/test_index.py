"""A gallery comes back to the bit, in any order of changes and whoever is killed meanwhile."""

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from index_items import TEXT_WIDTH, WIDTH, items, some_item

from vidlang.core import BadInput, DamagedEntry, FeatureRecipe
from vidlang.store import index as index_module
from vidlang.store.atomic import is_temporary, temporary_name
from vidlang.store.index import IndexSpec, VideoIndex

SPEC = IndexSpec(FeatureRecipe("clip-vit-b16", "abc"), {"kind": "plain"}, "whiten", skip_start=1.5, extra={"a": [1]})
ARRAYS = {"U": np.eye(8, 4, dtype=np.float32), "blanks": np.ones((2, 8), np.float32)}


def as_rows(array, dtype="float32"):
    return torch.from_numpy(array).to(getattr(torch, dtype))


def assert_holds(index, numbers, text=True):
    """Everything that an index tells, against the items themselves, by loops."""
    dtype, expected = index.spec.dtype, items(*numbers, text=text)
    kept = "float16" if dtype == "float16" else "float32"  # vectors
    assert index.ids == [item.video_id for item in expected] and len(index) == len(expected)
    assert index.entries == {item.entry: (i, index.entries[item.entry][1]) for i, item in enumerate(expected)}
    for i, item in enumerate(expected):
        assert item.video_id in index and index.position(item.video_id) == i
        assert (index.duration(i), index.digest(i)) == (item.duration, item.digest)
        assert torch.equal(index.rows(i), as_rows(item.rows, dtype)) and index.rows(i).dtype == getattr(torch, dtype)
        assert torch.equal(index.vectors(i), as_rows(item.vectors, kept)) and index.vectors(i).dtype == getattr(
            torch, kept
        )
        assert torch.equal(index.text_rows(i), as_rows(item.text if text else item.rows, dtype))
        assert index.seconds(i).dtype == np.float64 and np.array_equal(index.seconds(i), item.seconds)
    assert all(torch.equal(a, index.rows(i)) for i, a in enumerate(index.rows_many(range(len(index)))))
    for max_rows in (1, 3, 1000):
        every = [(i, vector) for i, item in enumerate(expected) for vector in as_rows(item.vectors, kept)]
        first = [(i, as_rows(item.vectors, kept)[0]) for i, item in enumerate(expected)]
        for first_only, pairs in ((False, every), (True, first)):
            blocks = list(index.vector_blocks(max_rows, first_only=first_only))
            assert all(len(vectors) == len(owners) <= max_rows for vectors, owners in blocks)
            found = [pair for vectors, owners in blocks for pair in zip(owners.tolist(), vectors, strict=True)]
            assert [owner for owner, _ in found] == [owner for owner, _ in pairs]
            assert index.vector_owners(first_only).tolist() == [owner for owner, _ in pairs]
            assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(found, pairs, strict=True))
        found = [
            (owner, within, row)
            for rows, owners, numbers_within in index.text_blocks(max_rows)
            for owner, within, row in zip(owners.tolist(), numbers_within.tolist(), rows, strict=True)
        ]
        texts = [(i, t) for i, item in enumerate(expected) for t in range(len(item.rows))]
        assert [(owner, within) for owner, within, _ in found] == texts
        assert all(torch.equal(row, index.text_rows(owner)[within]) for owner, within, row in found)


def small_parts(index):
    """Bytes that hold about three of the items."""
    return 3 * (2 * WIDTH * 4 + 3 * (WIDTH * 4 + TEXT_WIDTH * 4 + 16))


@pytest.fixture
def index(tmp_path):
    return VideoIndex.create(tmp_path / "index", SPEC, ARRAYS)


@pytest.mark.parametrize("text", [True, False], ids=["text rows", "rows serve"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_what_goes_in_comes_out(tmp_path, dtype, text):
    index = VideoIndex.create(tmp_path / "index", dataclasses.replace(SPEC, dtype=dtype), ARRAYS)
    assert_holds(index, [])
    assert index.add(items(*range(11), text=text), part_bytes=small_parts(index)) == 11
    assert index.info().parts >= 2
    assert_holds(index, range(11), text)
    again = VideoIndex.open(index.folder)
    assert_holds(again, range(11), text)
    assert again.spec == index.spec and again.version == index.version and again.verify() == []
    assert again.arrays.keys() == ARRAYS.keys() and all(np.array_equal(again.arrays[k], ARRAYS[k]) for k in ARRAYS)


def test_bfloat16_takes_half_the_room_and_rounds_to_nearest(tmp_path):
    value = np.float32(1 + 2**-8 + 2**-9)  # between 1.0 and 1 + 2^-7, nearer to the upper
    item = dataclasses.replace(some_item(0, text=False), rows=np.full((1000, WIDTH), value, np.float32),
                               seconds=np.zeros((1000, 2)))  # fmt: skip
    sizes = {}
    for dtype in ("float32", "bfloat16"):
        index = VideoIndex.create(tmp_path / dtype, dataclasses.replace(SPEC, dtype=dtype))
        index.add([item])
        sizes[dtype] = os.path.getsize(index.folder / "part-000001" / "rows.npy") - 128
        assert index.rows(0)[0, 0].item() == (value if dtype == "float32" else 1 + 2**-7)
    assert sizes == {"float32": 16000, "bfloat16": 8000}


def test_many_small_calls_equal_one(tmp_path):
    one, many = (VideoIndex.create(tmp_path / name, SPEC) for name in ("one", "many"))
    one.add(items(*range(40)))
    for number in range(40):
        many.add(items(number))
    for index in (one, many, VideoIndex.open(many.folder)):
        assert_holds(index, range(40))
    assert one.version == many.version


def test_small_parts_are_merged_in_their_order(index, monkeypatch):
    monkeypatch.setattr(index_module, "MERGE_AT", 8)
    for number in range(3 * index_module.MERGE_AT):
        index.add(items(number))
    info = index.info()
    assert info.parts <= index_module.MERGE_AT + 1
    assert len(list(index.folder.glob("part-*"))) == info.parts
    assert_holds(index, range(3 * index_module.MERGE_AT))


def test_parts_grow_with_the_index_so_that_their_number_stays_bounded(index, monkeypatch):
    monkeypatch.setattr(index_module, "MAX_SHARES", 4)
    monkeypatch.setattr(index_module, "MERGE_AT", 4)
    index.add(items(*range(50)), part_bytes=1)
    assert index.info().parts <= 2 * 4 + 4
    assert_holds(VideoIndex.open(index.folder), range(50))


def test_removed_videos_are_gone_and_compacting_gives_their_room_back(index):
    index.add(items(*range(20)), part_bytes=small_parts(index))
    reader = VideoIndex.open(index.folder)
    version = index.version
    gone = [0, 1, 2, 7, 12, 19]
    assert index.remove([f"v/{number}.mp4" for number in gone]) == len(gone)
    left = [number for number in range(20) if number not in gone]
    assert index.version != version
    for found in (index, VideoIndex.open(index.folder)):
        assert_holds(found, left)
    assert index.info().removed > 0 and index.info().videos == len(left)
    before, version = index.info().bytes, index.version
    freed = index.compact()
    assert freed == before - index.info().bytes > 0 and index.version == version
    assert (index.info().parts, index.info().removed) == (1, 0)
    for found in (index, VideoIndex.open(index.folder)):
        assert_holds(found, left)
    assert_holds(reader, range(20))  # its files are deleted, its maps stay
    assert sorted(os.listdir(index.folder)) == sorted(
        ["index.json", index._arrays_file, "state.json", index._shares[0].part.name])  # fmt: skip


def test_an_index_emptied_and_filled_again(index):
    index.add(items(0, 1))
    index.remove(index.ids[:])
    assert_holds(index, [])
    index.compact()
    index.add(items(3))
    assert_holds(VideoIndex.open(index.folder), [3])
    assert [path.name for path in index.folder.glob("part-*")] == ["part-000002"]  # a number is given once


def test_a_replaced_video_moves_to_the_end(index):
    index.add(items(0, 1, 2))
    with index.writing():
        index.remove(["v/1.mp4"])
        index.add(items(1, stamp="11-2"))
    assert_holds(index, [0, 2, 1])
    assert index.entries["v/1.mp4.h5"] == (2, "11-2") and index.entries["v/0.mp4.h5"] == (0, "10-1")


def test_removing_what_is_not_there_removes_nothing(index):
    index.add(items(0, 1))
    with pytest.raises(BadInput, match=r"v/9\.mp4 is not in the index .*index\. Add it, or name one that is"):
        index.remove(["v/0.mp4", "v/9.mp4"])
    assert_holds(index, [0, 1])


def test_a_video_is_there_once(index):
    index.add(items(0))
    for numbers in ([0], [1, 1]):
        with pytest.raises(BadInput, match=r"is in the index .* already\. Remove it first"):
            index.add(items(*numbers))
    assert_holds(VideoIndex.open(index.folder), [0, 1])


def test_an_error_in_the_items_keeps_those_before(index):
    def broken():
        yield from items(0, 1, 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.add(broken())
    assert_holds(index, [0, 1, 2])
    assert not (index.folder / "writer.lock").exists()
    assert_holds(VideoIndex.open(index.folder), [0, 1, 2])


def test_a_full_disk_comes_through_and_leaves_the_state_before(index, monkeypatch):
    index.add(items(0))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index_module, "write_part", full)
    with pytest.raises(OSError, match="No space left"):
        index.add(items(1))
    monkeypatch.undo()
    assert_holds(VideoIndex.open(index.folder), [0])
    index.add(items(1))
    assert_holds(VideoIndex.open(index.folder), [0, 1])


def test_rows_are_mapped_not_read(index):
    index.add(items(*range(10)))
    reader = VideoIndex.open(index.folder)
    path = index.folder / "part-000001" / "rows.npy"
    data = bytearray(path.read_bytes())
    data[128:132] = np.float32(77).tobytes()
    with path.open("r+b") as file:  # the same file, so a map sees it and a copy does not
        file.write(data)
    assert reader.rows(0)[0, 0].item() == 77
    assert reader.rows(0).data_ptr() == reader._shares[0].part._rows.ctypes.data
    block, _ = next(reader.vector_blocks())
    assert block.data_ptr() == reader._shares[0].part._vectors.ctypes.data  # no copy either


@pytest.mark.parametrize("fewest", [1, 1000])
def test_blocks_around_removed_videos_hold_what_is_left(index, monkeypatch, fewest):
    monkeypatch.setattr(index_module, "FEWEST_ROWS", fewest)  # a view for every run, or a copy across the gaps
    index.add(items(*range(30)))
    index.remove([f"v/{number}.mp4" for number in (0, 4, 5, 6, 20, 29)])
    assert_holds(index, [number for number in range(30) if number not in (0, 4, 5, 6, 20, 29)])
    assert len(list(index.vector_blocks())) == (3 if fewest == 1 else 1)


def test_verify_finds_an_edited_byte_of_any_file(index):
    index.add(items(*range(4)))
    for path in sorted((index.folder / "part-000001").glob("*.npy")):
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        opened = index if path.name == "offsets.npy" else VideoIndex.open(index.folder)
        assert [found for found, _ in opened.verify()] == [path]
        path.write_bytes(good)
    arrays = index.folder / index._arrays_file
    arrays.write_bytes(arrays.read_bytes()[:-30] + bytes(30))
    assert [found for found, _ in VideoIndex.open(index.folder).verify()] == [arrays]
    with pytest.raises(DamagedEntry, match=r"\.npz of the index is damaged .*checksum.*build it again"):
        _ = VideoIndex.open(index.folder).arrays


@pytest.mark.parametrize("name", ["rows.npy", "offsets.npy", "part.json"])
def test_a_missing_or_torn_file_is_one_line(index, name):
    index.add(items(*range(4)))
    path = index.folder / "part-000001" / name
    good = path.read_bytes()
    path.unlink()
    with pytest.raises(DamagedEntry, match=rf"{name} of the index is missing"):
        VideoIndex.open(index.folder)
    for torn in (good[: len(good) // 2], b"", b"x" * len(good)):
        path.write_bytes(torn)
        with pytest.raises(DamagedEntry, match=rf"{name} of the index is damaged") as caught:
            VideoIndex.open(index.folder)
        assert "\n" not in str(caught.value)
    path.write_bytes(good)
    assert_holds(VideoIndex.open(index.folder), range(4))


def test_arrays_of_objects_are_never_unpickled(index):
    index.add(items(0))
    np.save(index.folder / "part-000001" / "durations.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(DamagedEntry, match=r"durations\.npy of the index is damaged"):
        VideoIndex.open(index.folder)
    with pytest.raises(ValueError, match="Python objects"):
        VideoIndex.create(index.folder.with_name("other"), SPEC, {"a": np.array([print], dtype=object)})


def edit(path, change):
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


def test_other_schemas_and_edited_facts_are_refused(index):
    index.add(items(0, 1))
    good = {name: (index.folder / name).read_text() for name in ("index.json", "state.json")}

    def refused(name, change, match):
        edit(index.folder / name, change)
        with pytest.raises(DamagedEntry, match=match) as caught:
            VideoIndex.open(index.folder)
        assert "\n" not in str(caught.value)
        (index.folder / name).write_text(good[name])

    refused("index.json", lambda f: f.update(schema="vidlang.index/9"), r"schema 'vidlang.index/9', this vidlang reads")
    refused("state.json", lambda f: f.update(schema=None), "schema None, this vidlang reads")
    refused("index.json", lambda f: f["spec"].pop("whitening"), "damaged")
    refused("index.json", lambda f: f["arrays"].update(file="../x.npz"), r"it names '\.\./x\.npz'")
    refused("state.json", lambda f: f["parts"][0].update(name="../part-000001"), "damaged")
    refused("state.json", lambda f: f.update(parts=f["parts"] * 2), "damaged")
    refused("state.json", lambda f: f["removed"].update({"part-000001": [2]}), "has no video 2")
    refused("state.json", lambda f: f["parts"][0].update(digest="0"), "not the file that the index recorded")
    (index.folder / "state.json").write_text("")
    with pytest.raises(DamagedEntry, match="does not read as JSON"):
        VideoIndex.open(index.folder)
    (index.folder / "state.json").unlink()
    with pytest.raises(DamagedEntry, match=r"state\.json of the index is missing"):
        VideoIndex.open(index.folder)


def test_a_folder_that_is_no_index(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    for name in ("none", "mine"):
        assert not VideoIndex.exists(tmp_path / name)
        with pytest.raises(BadInput, match=r"There is no index in .* Build it first"):
            VideoIndex.open(tmp_path / name)
    with pytest.raises(BadInput, match="exists and is not an index"):
        VideoIndex.create(tmp_path / "mine", SPEC)
    assert os.listdir(tmp_path) == ["mine"] and os.listdir(tmp_path / "mine") == ["notes.txt"]


def test_a_deleted_index_is_not_made_again_by_a_change(index):
    shutil.rmtree(index.folder)
    with pytest.raises(BadInput, match="There is no index in"):
        index.add(items(0))
    assert not index.folder.exists()


def test_a_deleted_index_is_gone_at_once_and_its_readers_go_on(index):
    index.add(items(*range(4)))
    reader = VideoIndex.open(index.folder)
    with index.writing(), pytest.raises(BadInput, match="is being written by process"):
        VideoIndex.delete(index.folder)
    (index.folder / "part-000001" / "rows.npy").unlink()  # damaged ones go, too
    VideoIndex.delete(index.folder)
    assert os.listdir(index.folder.parent) == []
    assert reader.seconds(3).tolist() == some_item(3).seconds.tolist()
    with pytest.raises(BadInput, match="There is no index in"):
        VideoIndex.delete(index.folder)


@pytest.mark.skipif(sys.platform == "win32", reason="process ids are not asked there")
def test_what_a_killed_deletion_left_is_swept_when_an_index_is_made(index):
    index.add(items(0))
    half = index.folder.with_name(temporary_name().replace(f"-{os.getpid()}-", "-99999999-"))
    os.rename(index.folder, half)
    assert_holds(VideoIndex.create(index.folder, SPEC, ARRAYS), [])
    assert os.listdir(index.folder.parent) == ["index"]


def test_creating_over_an_index_needs_the_same_spec_and_arrays(index):
    index.add(items(0))
    assert_holds(VideoIndex.create(index.folder, SPEC, ARRAYS), [0])
    other = dataclasses.replace(SPEC, window=8, whitening="none")
    with pytest.raises(BadInput, match=r"index with another whitening and another window\. Give another folder"):
        VideoIndex.create(index.folder, other, ARRAYS)
    with pytest.raises(BadInput, match="index with another arrays"):
        VideoIndex.create(index.folder, SPEC, {**ARRAYS, "U": ARRAYS["U"] * 2})
    assert_holds(VideoIndex.open(index.folder), [0])


def test_a_spec_comes_back_and_its_fingerprint_changes_with_every_field():
    assert IndexSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC
    changes = [
        {"recipe": FeatureRecipe("clip-vit-b16", "abd")}, {"embedder": {"kind": "tca", "digest": "1"}},
        {"whitening": "none"}, {"skip_start": 2.0}, {"window": 16}, {"dtype": "bfloat16"}, {"extra": {}},
    ]  # fmt: skip
    assert {name for change in changes for name in change} == {field.name for field in dataclasses.fields(SPEC)}
    fingerprints = {dataclasses.replace(SPEC, **change).fingerprint for change in changes} | {SPEC.fingerprint}
    assert len(fingerprints) == len(changes) + 1 and all(len(found) == 10 for found in fingerprints)
    for change, match in (
        ({"dtype": "float8"}, "dtype must be one of"), ({"skip_start": -1.0}, "skip_start"), ({"window": 0}, "window"),
        ({"extra": {"a": np.zeros(1)}}, "ready for JSON"), ({"embedder": {"a": float("nan")}}, "ready for JSON"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=match):
            dataclasses.replace(SPEC, **change)


def test_items_that_do_not_fit_are_refused(index):
    index.add(items(0))
    good = some_item(1)
    for change, match in (
        ({"rows": good.rows[0]}, r"rows must be \[n, width\]"),
        ({"vectors": good.vectors[:0]}, "vectors must be"),
        ({"seconds": good.seconds[:1]}, "rows has 2 rows but seconds has 1"),
        ({"text": good.text[:1]}, "rows has 2 rows but text has 1"),
        ({"rows": good.rows * np.nan}, "rows has a value that is not finite"),
        ({"duration": float("inf")}, "duration must be finite"),
        ({"text": None}, r"must be 4, 4, 8 as in the rest of the index, got 4, 4, none \(v/1\.mp4\)"),
        ({"vectors": np.ones((1, 5), np.float32)}, "got 5, 4, 8"),
    ):
        with pytest.raises(ValueError, match=match):
            index.add([dataclasses.replace(good, **change)])
    assert_holds(VideoIndex.open(index.folder), [0])
    with pytest.raises(IndexError, match="position 1 of an index of 1"):
        index.rows(1)
    with pytest.raises(IndexError):
        index.rows(-1)


def test_an_array_that_the_caller_uses_again_is_kept_as_it_was(index):
    rows = some_item(4).rows.copy()

    def reused():
        yield dataclasses.replace(some_item(4), rows=rows)
        rows[:] = 0

    index.add(reused())
    assert_holds(index, [4])


def test_odd_names_come_back(index):
    ids = ["日本/映像.mp4", "bad\udcff.mp4", "a\nb", "x" * 3000, " "]
    index.add([dataclasses.replace(some_item(i), video_id=name, entry=name) for i, name in enumerate(ids)])
    assert VideoIndex.open(index.folder).ids == ids and VideoIndex.open(index.folder).position(" ") == 4


def test_entries_that_vanished_from_the_cache_keep_their_place(index, tmp_path):
    index.add(items(0, 1, 2))  # none of them has a file anywhere
    again = VideoIndex.open(index.folder)
    again.add(items(3))
    again.compact()
    assert_holds(again, range(4))


def test_one_writer_at_a_time_and_the_message_names_it(index):
    index.add(items(0))
    other = VideoIndex.open(index.folder)
    with (
        index.writing(),
        pytest.raises(BadInput, match=rf"index is being written by process {os.getpid()} on .* since .*Wait until"),
    ):
        other.add(items(1))
    other.add(items(1))
    index.add(items(2))  # takes over what the other wrote
    assert_holds(index, [0, 1, 2])


def test_a_reader_that_opens_while_parts_are_merged_gets_the_state_after(index, monkeypatch):
    index.add(items(*range(6)), part_bytes=1)
    writer, part_class = VideoIndex.open(index.folder), index_module.Part
    assert writer.info().parts == 6

    def part(*arguments):
        monkeypatch.setattr(index_module, "Part", part_class)
        writer.compact()  # between the reader's look at the state and at the first part
        return part_class(*arguments)

    monkeypatch.setattr(index_module, "Part", part)
    reader = VideoIndex.open(index.folder)
    assert_holds(reader, range(6))
    assert reader.info().parts == 1


def test_what_killed_writers_left_is_swept_by_the_next(index):
    index.add(items(0))
    shutil.copytree(index.folder / "part-000001", index.folder / "part-000002")  # renamed, and never in the state
    dead = index.folder / temporary_name().replace(f"-{os.getpid()}-", "-99999999-")
    dead.mkdir()
    (dead / "rows.npy").touch()
    assert is_temporary(dead)
    assert_holds(VideoIndex.open(index.folder), [0])
    VideoIndex.open(index.folder).add(items(1))
    assert_holds(VideoIndex.open(index.folder), [0, 1])
    assert not dead.exists() and len(list(index.folder.glob("part-*"))) == 2


WRITER = """
import sys, random
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from index_items import items
from vidlang.store import index as index_module
from vidlang.store.index import VideoIndex
index_module.MERGE_AT = 3
index = VideoIndex.open(Path(sys.argv[1]))
sys.stdout.write("ready\\n"); sys.stdout.flush()
generator = random.Random(int(sys.argv[3]))
number = 1 + max((int(i[2:-4]) for i in index.ids), default=-1)
while True:
    index.add(items(*range(number, number + 7)), part_bytes=700)
    number += 7
    index.remove(generator.sample(index.ids, 3))
    if generator.random() < 0.3:
        index.compact(part_bytes=3000)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_kill_at_any_moment_leaves_the_state_before_or_after(index):
    random.seed(3)
    lengths = [0]
    for seed in range(30):  # six kills, or as many as a busy machine needs to get somewhere
        if seed >= 6 and max(lengths) > 20:
            break
        arguments = [sys.executable, "-c", WRITER, str(index.folder), os.path.dirname(__file__), str(seed)]
        writer = subprocess.Popen(arguments, stdout=subprocess.PIPE)
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(random.uniform(0.05, 0.3) * (1 + seed / 3))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        found = VideoIndex.open(index.folder)
        assert found.verify() == []
        numbers = [int(video_id[2:-4]) for video_id in found.ids]
        assert numbers == sorted(set(numbers))
        assert_holds(found, numbers)
        lengths.append(len(found))
    assert max(lengths) > 20 and len(set(lengths)) > 2
    last = VideoIndex.open(index.folder)
    last.compact()  # the killed writer's lock is taken over
    assert_holds(last, [int(video_id[2:-4]) for video_id in last.ids])
    leftover = [path for path in index.folder.iterdir() if is_temporary(path)]
    assert leftover == [] and len(list(index.folder.glob("part-*"))) == last.info().parts


def test_an_index_is_told_about_without_torch(index):
    index.add(items(0))
    script = (
        "import sys; from pathlib import Path\n"
        "from vidlang.store.index import VideoIndex\n"
        "index = VideoIndex.open(Path(sys.argv[1])); index.info(), index.ids, index.entries, index.verify()\n"
        "assert not {'torch', 'faiss', 'h5py'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(index.folder)], check=True)
