"""Most of the nearest are found, and an index of other vectors is never searched."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from vidlang.core import BadInput, DamagedEntry, MissingDependency
from vidlang.store import ann
from vidlang.store.ann import AnnSettings, ApproximateIndex, OwnRecall, kind_for, measure_recall

needs_faiss = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="needs faiss: pip install faiss-cpu")
DIM = 32


def unit_rows(num_rows, seed=0, copies=5):
    """Groups of near copies, as a gallery with duplicates has them."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.standard_normal((-(-num_rows // copies), DIM)), copies, axis=0)[:num_rows]
    rows = centres + 0.5 * rng.standard_normal((num_rows, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def exact(queries, rows, k):
    return np.argsort(-(queries @ rows.T), axis=1, kind="stable")[:, :k]


def in_blocks(rows, size=700):
    return (torch.from_numpy(rows[begin : begin + size]) for begin in range(0, len(rows), size))


@pytest.fixture
def built(tmp_path):
    return ApproximateIndex.build(tmp_path / "ann", in_blocks(unit_rows(300)), DIM, built_from="v1")


@needs_faiss
@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_nearly_all_of_the_nearest_are_found(tmp_path, kind):
    rows, queries = unit_rows(4000), unit_rows(4000)[::40]
    index = ApproximateIndex.build(tmp_path / "ann", in_blocks(rows), DIM, kind, built_from="v1", total=len(rows))
    similarities, numbers = index.search(torch.from_numpy(queries), 10)
    assert similarities.dtype == np.float32 and numbers.dtype == np.int64 and numbers.shape == (100, 10)
    assert (np.diff(similarities, axis=1) <= 0).all()
    assert np.allclose(similarities, np.take_along_axis(queries @ rows.T, numbers, axis=1), atol=1e-5)
    assert (numbers[:, 0] == np.arange(0, 4000, 40)).mean() > 0.98  # each is its own nearest
    assert measure_recall(exact(queries, rows, 10), numbers, 10) >= 0.95
    longer = AnnSettings(recall_at=400)
    index = ApproximateIndex.build(tmp_path / "ann", in_blocks(rows), DIM, kind, built_from="v1", settings=longer)
    assert measure_recall(exact(queries, rows, 400), index.search(queries, 400)[1], 400) >= 0.93


@needs_faiss
@pytest.mark.parametrize(("kind", "name"), [("hnsw", "search_width"), ("ivf", "probes")])
def test_the_work_of_a_search_is_what_the_recall_needs(tmp_path, kind, name):
    rows = unit_rows(2000)
    made = {
        target: ApproximateIndex.build(tmp_path / "ann", [rows], DIM, kind, built_from="v",
                                       settings=AnnSettings(links=4, build_width=8, target_recall=target))
        for target in (0.3, 0.97)
    }  # fmt: skip
    assert getattr(made[0.3].settings, name) < getattr(made[0.97].settings, name)
    for target, index in made.items():
        assert index.recall >= target
        found = index.search(rows[::4], 100)[1]
        assert abs(measure_recall(exact(rows[::4], rows, 100), found, 100) - index.recall) < 0.05  # of 200, and of more
    assert ApproximateIndex.load(tmp_path / "ann", workspace=tmp_path).recall == made[0.97].recall


@needs_faiss
@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_copies_of_one_vector_cost_no_recall(tmp_path, kind):
    rows = np.repeat(unit_rows(4, copies=1), 250, axis=0)
    index = ApproximateIndex.build(tmp_path / "ann", [rows], DIM, kind, built_from="v")
    assert index.recall == 1.0 and (index.settings.search_width or 0) <= 256


@needs_faiss
def test_fixed_work_stays_and_too_little_is_said(tmp_path, caplog):
    settings = AnnSettings(links=2, build_width=2, search_width=1)
    index = ApproximateIndex.build(tmp_path / "ann", [unit_rows(3000)], DIM, built_from="v", settings=settings)
    assert index.settings == settings and index.recall < 0.95
    assert f"finds {100 * index.recall:.0f} % of the nearest vectors" in caplog.text


@needs_faiss
@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_what_was_kept_answers_alike(tmp_path, kind):
    rows = unit_rows(300)
    made = ApproximateIndex.build(tmp_path / "ann", [rows], DIM, kind, built_from="v1", settings=AnnSettings(probes=3))
    read = ApproximateIndex.load(tmp_path / "ann", workspace=tmp_path, built_from="v1")
    for one, other in zip(made.search(rows[:20], 7), read.search(rows[:20], 7), strict=True):
        assert np.array_equal(one, other)
    assert (read.kind, read.dim, len(read), read.built_from, read.settings) == (kind, DIM, 300, "v1", made.settings)
    assert sorted(os.listdir(tmp_path / "ann")) == ["ann.json", "vectors.faiss"]


@needs_faiss
def test_half_rows_and_few_vectors(tmp_path):
    rows = torch.from_numpy(unit_rows(3)).bfloat16()
    for kind in ("hnsw", "ivf"):
        index = ApproximateIndex.build(tmp_path / kind, [rows, rows[:0]], DIM, kind, built_from="v")
        similarities, numbers = index.search(rows, 50)
        assert numbers.shape == (3, 3) and numbers[:, 0].tolist() == [0, 1, 2]
        assert (similarities[numbers < 0] == -np.inf).all()
        with pytest.raises(BadInput, match="There is no vector to build"):
            ApproximateIndex.build(tmp_path / "none", [], DIM, kind, built_from="v")
    assert not (tmp_path / "none").exists()


@needs_faiss
@pytest.mark.parametrize("memory", [None, 60_000], ids=["one file", "lists beside"])
def test_codes_come_back_from_the_disk_and_nearly_all_of_the_nearest_are_among_them(tmp_path, memory):
    rows = unit_rows(3000)
    settings = AnnSettings(cells=20, code_bytes=16, recall_at=20)
    made = ApproximateIndex.build(
        tmp_path / "ann", lambda: in_blocks(rows, 400), DIM, "ivf-pq", built_from="v", settings=settings, memory=memory
    )
    files = {"ann.json", "vectors.faiss"} | ({"vectors.ivfdata"} if memory else set())
    assert set(os.listdir(tmp_path / "ann")) == files
    assert made.recall >= 0.95 and "ivf-pq over 3000 vectors: 20 cells, 16 bytes a vector" in made.line()
    (tmp_path / "ann").rename(tmp_path / "moved")
    read = ApproximateIndex.load(tmp_path / "moved", workspace=tmp_path, built_from="v")
    for one, other in zip(made.search(rows[:20], 80), read.search(rows[:20], 80), strict=True):
        assert np.array_equal(one, other)
    found, nearest = read.search(rows[::40], 80)[1], exact(rows[::40], rows, 20)
    assert np.mean([np.isin(near, there).mean() for near, there in zip(nearest, found, strict=True)]) > 0.9
    torn = tmp_path / "moved" / ("vectors.ivfdata" if memory else "vectors.faiss")
    torn.write_bytes(torn.read_bytes()[:-1] + b"?")
    with pytest.raises(DamagedEntry, match="does not match its checksum"):
        ApproximateIndex.load(tmp_path / "moved", workspace=tmp_path)


@needs_faiss
def test_lists_take_blocks_one_at_a_time_and_equal_those_of_all_at_once(tmp_path, capfd):
    rows = unit_rows(2000)
    most = 0

    def blocks():
        nonlocal most
        for block in in_blocks(rows, 100):
            most = max(most, len(block))
            yield block

    streamed = ApproximateIndex.build(tmp_path / "a", blocks, DIM, "ivf", built_from="v", memory=40_000)
    whole = ApproximateIndex.build(tmp_path / "b", [rows], DIM, "ivf", built_from="v", settings=AnnSettings())
    assert most == 100 and (tmp_path / "a" / "vectors.ivfdata").exists()
    assert capfd.readouterr().out == ""  # FAISS would name its files there
    probes = AnnSettings(probes=10**6)
    every = [ApproximateIndex(index.folder, index._index, {**vars(index), "settings": vars(probes)})
             for index in (streamed, whole)]  # fmt: skip
    (similarities, numbers), (others, _) = (index.search(rows[::50], 10) for index in every)
    assert np.array_equal(numbers, exact(rows[::50], rows, 10)) and np.allclose(similarities, others, atol=1e-6)


@pytest.mark.parametrize(
    ("vectors", "memory", "kind"),
    [(0, None, "hnsw"), (10**6, None, "hnsw"), (10**6 + 1, None, "ivf-pq"), (10**5, 10**7, "ivf-pq"), (99, 1, "ivf")],
)
def test_the_kind_follows_from_the_size_and_the_memory(vectors, memory, kind):
    assert kind_for(vectors, 256, memory) == kind


@needs_faiss
def test_what_own_queries_found_is_remembered_until_the_index_is_built_again(built, tmp_path):
    assert built.own_recall is None
    built.keep_own_recall(OwnRecall(0.75, 3, 10))
    assert ApproximateIndex.load(built.folder, workspace=tmp_path).own_recall == OwnRecall(0.75, 3, 10)
    (built.folder / "recall.json").write_text("{")
    assert built.own_recall is None
    built.keep_own_recall(OwnRecall(0.75, 3, 10))
    ApproximateIndex.build(built.folder, [unit_rows(9)], DIM, built_from="v2")
    assert built.own_recall is None


@needs_faiss
def test_codes_need_enough_vectors_and_a_divisor_of_the_width(tmp_path):
    with pytest.raises(BadInput, match="learnt from 1000 vectors on, got 300"):
        ApproximateIndex.build(tmp_path / "ann", [unit_rows(300)], DIM, "ivf-pq", built_from="v")
    with pytest.raises(BadInput, match="5 bytes do not divide vectors of width 32"):
        settings = AnnSettings(code_bytes=5)
        ApproximateIndex.build(tmp_path / "ann", [unit_rows(1000)], DIM, "ivf-pq", built_from="v", settings=settings)
    assert not (tmp_path / "ann").exists()


@needs_faiss
def test_an_index_of_other_vectors_is_refused(built, tmp_path):
    assert ApproximateIndex.is_current(built.folder, "v1") and not ApproximateIndex.is_current(built.folder, "v2")
    assert not ApproximateIndex.is_current(tmp_path / "none", "v1")
    with pytest.raises(BadInput, match=r"has changed since .*ann was built from it\. Build it again"):
        ApproximateIndex.load(built.folder, workspace=tmp_path, built_from="v2")
    ApproximateIndex.build(built.folder, [unit_rows(9)], DIM, built_from="v2")
    assert len(ApproximateIndex.load(built.folder, workspace=tmp_path, built_from="v2")) == 9


@needs_faiss
def test_only_own_files_are_opened(built, tmp_path):
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "link").symlink_to(built.folder)
    for folder in (built.folder, workspace / "link", workspace / ".." / "ann"):
        with pytest.raises(BadInput, match="FAISS files of others are not opened"):
            ApproximateIndex.load(folder, workspace=workspace)
    inside = workspace / "ann"
    inside.mkdir()
    (inside / "ann.json").write_text((built.folder / "ann.json").read_text())
    (inside / "vectors.faiss").symlink_to(built.folder / "vectors.faiss")
    with pytest.raises(DamagedEntry, match=r"vectors\.faiss is damaged"):
        ApproximateIndex.load(inside, workspace=workspace)


@needs_faiss
def test_edited_and_torn_files_are_one_line(built, tmp_path):
    vectors, facts = built.folder / "vectors.faiss", built.folder / "ann.json"
    good, good_facts = vectors.read_bytes(), facts.read_text()

    def refused(match, error=DamagedEntry):
        with pytest.raises(error, match=match) as caught:
            ApproximateIndex.load(built.folder, workspace=tmp_path)
        assert "\n" not in str(caught.value)
        vectors.write_bytes(good)
        facts.write_text(good_facts)

    vectors.write_bytes(good[:-1] + b"?")
    refused("does not match its checksum")
    vectors.unlink()
    refused(r"vectors\.faiss is damaged \(.*No such file")
    facts.write_text(good_facts.replace("vidlang.ann/1", "vidlang.ann/2"))
    refused("schema 'vidlang.ann/2', this vidlang reads 'vidlang.ann/1'")
    for change in ({"kind": "flat"}, {"dim": "32"}, {"settings": {"links": 32, "x": 1}}, {"num_vectors": 7}):
        facts.write_text(json.dumps({**json.loads(good_facts), **change}))
        refused("is damaged")
    facts.write_text("{")
    refused("is damaged")
    facts.unlink()
    refused("There is no approximate index in", BadInput)


@needs_faiss
def test_callers_mistakes_are_refused(built, tmp_path):
    for rows in (unit_rows(4)[:, :5], unit_rows(4)[0], unit_rows(4) * np.nan):
        with pytest.raises(ValueError, match=r"must be \[m, 32\]|not finite"):
            built.search(rows, 3)
        with pytest.raises(ValueError, match=r"must be \[m, 32\]|not finite"):
            ApproximateIndex.build(tmp_path / "other", [rows], DIM, built_from="v")
    with pytest.raises(ValueError, match="k must be at least 1"):
        built.search(unit_rows(1), 0)
    with pytest.raises(ValueError, match="kind must be one of 'hnsw', 'ivf', 'ivf-pq', got 'flat'"):
        ApproximateIndex.build(tmp_path / "other", [], DIM, "flat", built_from="v")
    with pytest.raises(ValueError, match="search_width must be positive"):
        AnnSettings(search_width=0)
    assert not (tmp_path / "other").exists()


def test_a_missing_faiss_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependency, match=r"Run: pip install faiss-cpu, or search exactly"):
        ApproximateIndex.build(tmp_path / "ann", [unit_rows(3)], DIM, built_from="v")
    assert not ApproximateIndex.is_current(tmp_path / "ann", "v")


def test_recall_counts_the_exact_nearest_that_were_found():
    nearest = np.array([[0, 1, 2, 3], [4, 5, 6, 7]])
    assert measure_recall(nearest, nearest[:, ::-1], 4) == 1.0
    assert measure_recall(nearest, np.array([[0, 9, 1, 8], [9, 8, -1, -1]]), 4) == 0.25  # 2 of 4, 0 of 4
    assert measure_recall(nearest, np.array([[1, 0, 9, 8], [5, 9, 9, 9]]), 2) == 0.75  # 2 of 2, 1 of 2
    assert measure_recall(nearest, nearest, 100) == 1.0
    with pytest.raises(ValueError, match="of the same queries"):
        measure_recall(nearest, nearest[:1], 2)
    with pytest.raises(ValueError, match="of the same queries"):
        measure_recall(nearest[:0], nearest[:0], 2)


def test_the_module_loads_neither_faiss_nor_torch():
    script = "import sys, vidlang.store.ann; assert not {'faiss', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert ann.SCHEMA == "vidlang.ann/1"
