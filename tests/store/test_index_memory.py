"""A walk in bounded memory gives what a walk over everything gives, and really holds less."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from index_items import WIDTH, items

from vidlang.core import FeatureRecipe
from vidlang.nn.search import top_k
from vidlang.store.index import IndexItem, IndexSpec, VideoIndex
from vidlang.store.index_memory import Pages, rows_at_once

RECIPE = FeatureRecipe("clip-vit-b16", "abc")


def made(folder, dtype="float32"):
    return VideoIndex.create(folder, IndexSpec(RECIPE, {"kind": "plain"}, "none", dtype=dtype))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("memory", [None, 1])
def test_neighbours_equal_those_of_one_plain_product(tmp_path, dtype, memory):
    index = made(tmp_path / "index", dtype)
    index.add(items(*range(60)), part_bytes=2000)
    index.remove(["v/3.mp4", "v/4.mp4", "v/30.mp4"])
    kept = [n for n in range(60) if n not in (3, 4, 30)]
    every = np.concatenate([item.vectors for item in items(*kept)])
    stored = every.astype(np.float16).astype(np.float32) if dtype == "float16" else every
    queries = np.random.default_rng(9).standard_normal((7, WIDTH), dtype=np.float32)
    products = queries.astype(np.float64) @ stored.astype(np.float64).T
    blocks = [vectors for vectors, _ in index.vector_blocks(max_rows=5, memory=memory)]
    assert len(index._shares) > 2
    similarities, numbers = top_k(torch.from_numpy(queries), blocks, 10)
    assert np.array_equal(numbers.numpy(), np.argsort(-products, axis=1, kind="stable")[:, :10])
    assert np.allclose(similarities.numpy(), -np.sort(-products, axis=1)[:, :10], atol=1e-5)
    owners = np.repeat(np.arange(len(kept)), [len(item.vectors) for item in items(*kept)])
    some = np.array([0, 17, 5, len(every) - 1, 5])
    assert np.array_equal(index.vectors_at(some).numpy(), stored[some])
    assert index.owners_of(some).tolist() == owners[some].tolist()
    assert index.is_first(np.arange(len(every))).tolist() == (np.diff(owners, prepend=-1) > 0).tolist()


def test_equal_vectors_keep_their_order_whatever_the_blocks_are(tmp_path):
    index = made(tmp_path / "index")
    same = np.ones((1, WIDTH), np.float32)
    index.add(
        (IndexItem(f"{n}", f"{n}.h5", "1-1", None, 1.0, same, same, np.zeros((1, 2))) for n in range(50)),
        part_bytes=300,
    )
    for rows in (1, 7, 1000):
        blocks = (vectors for vectors, _ in index.vector_blocks(rows, memory=1))
        assert top_k(torch.ones(1, WIDTH), blocks, 9)[1].tolist() == [list(range(9))]


def test_memory_that_was_given_back_reads_the_same_again(tmp_path):
    index = made(tmp_path / "index")
    index.add(items(*range(20)))
    before, tensor = index.rows(7).clone(), index.rows(7)
    index.forget()
    assert torch.equal(tensor, before) and torch.equal(index.rows(7), before)
    Pages(np.zeros((4, 4))).forget()  # not mapped: nothing to give back
    Pages(np.zeros((4, 4))).read_ahead(0, 4)


def test_a_block_is_half_of_the_memory_at_most():
    assert rows_at_once(None, 10**12, 1024, 65536) == (65536, False)
    assert rows_at_once(10**9, 10**9, 1024, 65536) == (65536, False)
    rows, bounded = rows_at_once(10**7, 10**9, 1024, 65536)
    assert bounded and rows * 1024 <= 10**7 // 2 < (rows + 1) * 1024
    assert rows_at_once(1, 10**9, 10**9, 65536) == (1, True)


WALK = """
import sys
from pathlib import Path
import torch
from vidlang.store.index import VideoIndex
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
index = VideoIndex.open(Path(sys.argv[1]))
for vectors, _ in index.vector_blocks(16, memory=1 << 20):
    float(vectors.sum())
    break
before = peak()
for vectors, _ in index.vector_blocks(memory=int(sys.argv[2]) or None):
    float(vectors.sum())
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_a_walk_over_more_than_the_memory_stays_below_it(tmp_path):
    width, total = 1024, 100 << 20
    index = made(tmp_path / "index")
    rows = np.zeros((total // 4 // width // 50, width), np.float32)
    index.add(
        (IndexItem(f"{n}", f"{n}.h5", "1-1", None, 1.0, rows, rows[:1], np.zeros((1, 2))) for n in range(50)),
        part_bytes=30 << 20,
    )

    def grown(memory):
        command = [sys.executable, "-c", WALK, str(index.folder), str(memory)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) * 1024

    assert grown(8 << 20) < 12 << 20 and grown(0) > 60 << 20
