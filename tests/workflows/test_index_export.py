"""What is exported is what the index compares: the same vectors, times and neighbours in the same order."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from stand_ins import DIM, ColourEncoder, put_seconds, recipe_of, unit_rows

from vidlang.core import BadInput, MissingDependency
from vidlang.nn.search import top_k
from vidlang.store.index import VideoIndex
from vidlang.workflows.gallery import GalleryOptions, open_gallery
from vidlang.workflows.index_export import export_gallery, export_index, vector_blocks

RECIPE = recipe_of(ColourEncoder())
KEEP = GalleryOptions(blank_frames="keep")


@pytest.fixture
def index(workspace, cache) -> VideoIndex:
    for number in range(12):
        put_seconds(cache, RECIPE, f"films/{number:02}.mp4", unit_rows(70 if number % 5 == 0 else 3, DIM, seed=number))
    return open_gallery(workspace, KEEP)[0].index


def expected(index: VideoIndex, what: str):
    """(video, row, start, end, vector) by loops."""
    for position, video in enumerate(index.ids):
        seconds = index.seconds(position)
        if what == "rows":
            for row, vector in enumerate(index.rows(position).numpy()):
                yield video, row, *seconds[row].tolist(), vector
        else:
            starts = [*range(0, 70 - 32, 16), 70 - 32] if len(seconds) == 70 else []
            spans = [(0, len(seconds)), *((start, start + 32) for start in starts)]
            for row, (vector, (first, last)) in enumerate(zip(index.vectors(position).numpy(), spans, strict=True)):
                yield video, row, seconds[first, 0], seconds[last - 1, 1], vector


def assert_same(found, index, what):
    rows = list(expected(index, what))
    assert [row[:4] for row in found] == [row[:4] for row in rows]
    assert np.array_equal(np.stack([row[4] for row in found]), np.stack([row[4] for row in rows]))


@pytest.mark.parametrize("what", ["rows", "vectors"])
@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_tables_hold_every_vector_with_its_time_and_recipe(workspace, index, tmp_path, format, what, monkeypatch):
    dataset = pytest.importorskip("pyarrow.dataset", reason='needs pyarrow: pip install "vidlang[arrow]"')
    monkeypatch.setattr("vidlang.workflows.index_export.BLOCK_ROWS", 50)  # blocks end inside videos
    report = export_gallery(workspace, tmp_path / "out", format, what, KEEP)
    files = [str(path) for path in report.files if path.suffix == f".{format}"]
    table = dataset.dataset(files, format="ipc" if format == "arrow" else format).to_table()
    assert table.column_names == ["video", "row", "start", "end", "vector"] and table.num_rows == report.vectors
    assert str(table.schema.field("vector").type.value_type) == "float" and table.schema.field("vector").type.list_size
    told = json.loads(table.schema.metadata[b"vidlang"])
    assert told["recipe"] == RECIPE.to_dict() and told["what"] == what and told["checkpoint"] is None
    columns = [table.column(name).to_pylist() for name in ("video", "row", "start", "end")]
    vectors = np.array(table.column("vector").to_pylist(), dtype=np.float32)
    assert_same(list(zip(*columns, vectors, strict=True)), index, what)
    kept = json.loads((tmp_path / "out" / "export.json").read_text())
    assert kept["vectors"] == report.vectors and kept["files"] == [path.name for path in report.files[:-1]]


@pytest.mark.parametrize("what", ["rows", "vectors"])
def test_numpy_holds_the_same(index, tmp_path, what, monkeypatch):
    monkeypatch.setattr("vidlang.workflows.index_export.BLOCK_ROWS", 50)
    export_index(index, tmp_path / "out", "npy", what)
    read = {name: np.load(tmp_path / "out" / f"{name}.npy") for name in ("vectors", "seconds", "videos", "rows")}
    ids = json.loads((tmp_path / "out" / "videos.json").read_text())
    rows = zip(read["videos"].tolist(), read["rows"].tolist(), read["seconds"].tolist(), read["vectors"], strict=True)
    assert_same([(ids[video], row, start, end, vector) for video, row, (start, end), vector in rows], index, what)


def test_a_folder_that_exists_is_left_alone_and_a_failure_leaves_none(index, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(BadInput, match=r"exists\. Name a folder that does not"):
        export_index(index, out, "npy", "rows")
    assert list(out.iterdir()) == []

    def breaking(index, what):
        yield next(vector_blocks(index, what))
        raise OSError("disk")

    monkeypatch.setattr("vidlang.workflows.index_export.vector_blocks", breaking)
    with pytest.raises(OSError, match="disk"):
        export_index(index, tmp_path / "other", "npy", "rows")
    assert not (tmp_path / "other").exists() and not list(tmp_path.glob(".vidlang-*"))


def test_without_pyarrow_it_says_what_to_run(index, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependency, match=r'pip install "vidlang\[arrow\]", or take npy'):
        export_index(index, tmp_path / "out", "parquet", "rows")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["rows", "vectors"])
def test_a_vector_database_answers_with_the_same_neighbours_in_the_same_order(index, tmp_path, what):
    lancedb = pytest.importorskip("lancedb", reason="needs LanceDB: pip install lancedb")
    dataset = pytest.importorskip("pyarrow.dataset")
    report = export_index(index, tmp_path / "out", "parquet", what)
    files = [str(path) for path in report.files if path.suffix == ".parquet"]
    table = lancedb.connect(tmp_path / "lance").create_table(
        "films", dataset.dataset(files, format="parquet").to_table()
    )
    assert table.count_rows() == report.vectors
    blocks = [torch.from_numpy(block.vectors) for block in vector_blocks(index, what)]
    names = [row[:2] for row in expected(index, what)]
    queries = torch.from_numpy(unit_rows(5, DIM, seed=99))
    similarities, numbers = top_k(queries, blocks, 10)
    for query, values, places in zip(queries.numpy(), similarities, numbers, strict=True):
        hits = table.search(query).distance_type("dot").limit(10).to_list()
        assert [(hit["video"], hit["row"]) for hit in hits] == [names[place] for place in places]
        assert np.allclose([1 - hit["_distance"] for hit in hits], values.numpy(), atol=1e-5)
