"""An exported index in a vector database (LanceDB, on this machine): same neighbours, same order.

    python benchmarks/vector_database.py                        # 100,000 vectors of 256, 16 queries
    python benchmarks/vector_database.py --vectors 20000        # less

Needs: pip install "vidlang[arrow]" lancedb. The gallery is that of search_scale.py. LanceDB reads the Parquet files and
searches without an index of its own, so that both sides compare with every vector.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import lancedb
import numpy as np
import pyarrow.dataset
import torch
from search_scale import make, queries

from vidlang.nn.search import top_k
from vidlang.store.index import VideoIndex
from vidlang.workflows.index_export import export_index, vector_blocks


def main(options: argparse.Namespace, folder: Path) -> None:
    make(folder / "index", options)
    index = VideoIndex.open(folder / "index")
    began = time.process_time()
    report = export_index(index, folder / "export", "parquet", "vectors")
    exported = time.process_time() - began
    files = [str(path) for path in report.files if path.suffix == ".parquet"]
    size = sum(Path(file).stat().st_size for file in files) / 1e6
    print(
        f"{report.vectors} vectors of {report.width}: {len(files)} files, {size:.0f} MB, {exported:.1f} CPU s to export"
    )
    rows = pyarrow.dataset.dataset(files, format="parquet")
    table = lancedb.connect(folder / "lance").create_table("vectors", rows.scanner().to_reader())
    asked = torch.from_numpy(queries(index, options.queries))
    began = time.process_time()
    similarities, numbers = top_k(asked, (vectors for vectors, _ in index.vector_blocks()), options.k)
    ours = time.process_time() - began
    blocks = list(vector_blocks(index, "vectors"))
    names = [
        (index.ids[owner], int(row)) for block in blocks for owner, row in zip(block.owners, block.rows, strict=True)
    ]
    began, same, furthest = time.process_time(), 0, 0.0
    for query, values, places in zip(asked.numpy(), similarities.numpy(), numbers.tolist(), strict=True):
        hits = table.search(query).distance_type("dot").limit(options.k).to_list()
        same += [(hit["video"], hit["row"]) for hit in hits] == [names[place] for place in places]
        furthest = max(furthest, float(np.abs(1 - np.array([hit["_distance"] for hit in hits]) - values).max()))
    theirs = time.process_time() - began
    print(f"{same} of {len(asked)} lists of {options.k} equal in members and order; similarities within {furthest:.1e}")
    print(f"CPU s for {len(asked)} queries: vidlang {ours:.2f} (one pass), LanceDB {theirs:.2f} (one by one)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--queries", type=int, default=16)
    parser.add_argument("--k", type=int, default=100)
    parser.set_defaults(dtype="float32")
    with tempfile.TemporaryDirectory() as scratch:
        main(parser.parse_args(), Path(scratch))
