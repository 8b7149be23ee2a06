"""Retrieval: chamfer, nearest vectors and both in a row, beside a plain way of doing the same.

    python benchmarks/retrieval.py                       # 1000 videos of 64 rows, 100,000 vectors of 1024: 0.5 GB
    python benchmarks/retrieval.py --videos 200 --vectors 20000 --repeat 3

The plain side takes one pair at a time: an einsum, the maximum and the mean; for vectors one product and torch's top-k
over all scores, and scipy's cdist where scipy is installed. Results are compared before they are timed. One thread; CPU
seconds of the process; the median and the best of the repeats. All ways of a table take turns within each repeat, so
that a busy neighbour slows them alike, and the machine's own limits are measured as one of them: the rate of a large
float32 product, of the very product that chamfer needs, of the bfloat16 one, and the rate at which memory is read. The
share is the arithmetic (or the reading) that the way needs at that rate, divided by its time.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vidlang.methods.tca.similarity import (
    bfloat16_products_are_faster,
    chamfer,
    chamfer_many,
    symmetric_chamfer_many,
    top_k_chamfer_many,
)
from vidlang.nn.search import top_k, top_k_by_owner

PEAK_SIDE = 1024
Work = Callable[[], Any]


def cpu_seconds(ways: Mapping[str, Work], repeat: int) -> dict[str, tuple[float, float]]:
    """Median and least CPU seconds of each way; all take turns, and the first turn is for warming up."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeat + 1):
        for name, work in ways.items():
            before = time.process_time()
            work()
            if turn:
                taken[name].append(time.process_time() - before)
    return {name: (statistics.median(values), min(values)) for name, values in taken.items()}


def unit_rows(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def ragged_lengths(count: int, mean: int, seed: int = 0) -> list[int]:
    """Lengths spread as those of web videos are: log-normal about the mean, from 1 row to 8 times the mean."""
    drawn = torch.randn(count, generator=torch.Generator().manual_seed(seed)).mul(0.8).sub(0.32).exp() * mean
    return [int(n) for n in drawn.clamp(1, 8 * mean)]


def large_product(dtype: torch.dtype) -> tuple[Work, float]:
    """A square product, and its GFLOP."""
    first, second = unit_rows(PEAK_SIDE, PEAK_SIDE).to(dtype), unit_rows(PEAK_SIDE, PEAK_SIDE, seed=1).to(dtype)
    return lambda: first @ second, 2 * PEAK_SIDE**3 / 1e9


def bare_products(query: Tensor, gallery: Tensor, block: int = 16) -> Work:
    """The products that chamfer needs, and nothing else."""
    columns, (length, width) = query.T.contiguous(), gallery.shape[1:]
    out = torch.empty(block * length, len(query))

    def work() -> None:
        for part in gallery.split(block):
            torch.mm(part.view(-1, width), columns, out=out[: len(part) * length])

    return work


def plain_chamfer(query: Tensor, gallery: Any) -> Tensor:
    return torch.stack([torch.einsum("ne,me->nm", query, video).amax(1).mean() for video in gallery])


def plain_symmetric(query: Tensor, gallery: Any) -> Tensor:
    found = []
    for video in gallery:
        scores = torch.einsum("ne,me->nm", query, video)
        found.append((scores.amax(1).mean() + scores.amax(0).mean()) / 2)
    return torch.stack(found)


def chamfer_table(options: argparse.Namespace) -> list[str]:
    num, length, width = options.videos, options.rows, options.width
    query, gallery = unit_rows(length, width, seed=1), unit_rows(num, length, width, seed=2)
    half, weights = gallery.bfloat16(), torch.full((num,), float(length))
    lengths = ragged_lengths(num, length)
    joined = unit_rows(sum(lengths), width, seed=3)
    cut, loose = list(joined.split(lengths)), [part.clone() for part in joined.split(lengths)]
    cut_weights = torch.tensor(lengths).float()

    expected = plain_chamfer(query, gallery)
    assert torch.allclose(chamfer_many(query, gallery)[0], expected, atol=1e-5)
    assert torch.allclose(chamfer_many(query, half)[0], expected, atol=2e-3)
    assert torch.allclose(symmetric_chamfer_many(query, cut), plain_symmetric(query, cut), atol=1e-5)
    error = float((chamfer_many(query, half, products="bfloat16")[0] - expected).abs().max())

    peak, peak_flop = large_product(torch.float32)
    half_peak, _ = large_product(torch.bfloat16)
    ways: dict[str, Work] = {
        "large product, float32": peak,
        "large product, bfloat16": half_peak,
        "the products alone, float32": bare_products(query, gallery),
        "plain, one pair at a time": lambda: plain_chamfer(query, gallery),
        "plain, both directions": lambda: plain_symmetric(query, gallery),
        "both directions, float32": lambda: chamfer_many(query, gallery, weights=weights),
        "both directions, weights computed": lambda: chamfer_many(query, gallery),
        "symmetric, float32": lambda: symmetric_chamfer_many(query, gallery, weights=weights),
        "both directions, bfloat16 rows, auto": lambda: chamfer_many(query, half, weights=weights),
        "both directions, bfloat16 rows, widened": lambda: chamfer_many(
            query, half, weights=weights, products="float32"
        ),
        "both directions, bfloat16 products": lambda: chamfer_many(query, half, weights=weights, products="bfloat16"),
        "ragged, slices of one tensor": lambda: chamfer_many(query, cut, weights=cut_weights),
        "ragged, tensors anywhere": lambda: chamfer_many(query, loose, weights=cut_weights),
        "top-k chamfer, k = 3": lambda: top_k_chamfer_many(query, gallery, 3),
    }
    flop = {name: 2 * length * length * width * num / 1e9 for name in ways}
    for name in ("ragged, slices of one tensor", "ragged, tensors anywhere"):
        flop[name] = 2 * length * sum(lengths) * width / 1e9
    for other in options.widths:
        wide_query, wide = unit_rows(length, other, seed=1), unit_rows(num, length, other, seed=2)
        name = f"both directions, float32, width {other}"
        ways[name] = lambda q=wide_query, g=wide: chamfer_many(q, g, weights=weights)
        flop[name] = 2 * length * length * other * num / 1e9

    seconds = cpu_seconds(ways, options.repeat)
    rate = peak_flop / seconds["large product, float32"][0]
    best_rate = peak_flop / seconds["large product, float32"][1]
    out = [
        f"chamfer: {length} × {width} against {num} videos of {length} rows; ragged: {sum(lengths) / num:.0f} rows on "
        f"average, {min(lengths)} to {max(lengths)}",
        f"large float32 product {rate:.0f} GFLOP/s (best {best_rate:.0f}), bfloat16 "
        f"{peak_flop / seconds['large product, bfloat16'][0]:.0f}, error of bfloat16 products {error:.0e}; "
        f"auto multiplies bfloat16 rows {'as they are' if bfloat16_products_are_faster('cpu') else 'widened'}",
        f"{'pairs per core-second':<44} {'median':>8} {'best':>8} {'GFLOP/s':>8} {'of peak':>8} {'of best peak':>13}",
    ]
    for name, (median, least) in seconds.items():
        if not name.startswith("large"):
            speed, best = flop[name] / median, flop[name] / least
            out.append(
                f"{name:<44} {num / median:8.0f} {num / least:8.0f} {speed:8.0f} {speed / rate:8.0%} "
                f"{best / best_rate:13.0%}"
            )
    return out


def vector_table(options: argparse.Namespace) -> list[str]:
    num, width, k = options.vectors, options.vector_width, options.top
    rows, queries = unit_rows(num, width, seed=4), unit_rows(max(options.batches), width, seed=5)
    half, owners = rows.bfloat16(), torch.arange(num) // 4
    block = options.block_rows

    def plain(many: Tensor) -> Any:
        return (torch.mv(rows, many[0])[None] if len(many) == 1 else many @ rows.T).topk(k)

    found, expected = top_k(queries[:3], rows.split(block), k), plain(queries[:3])
    assert torch.allclose(found[0], expected.values, atol=1e-5)
    agreeing = float((found[1] == expected.indices).float().mean())
    assert agreeing > 0.99, f"only {agreeing:.0%} of the positions are the plain way's"

    peak, peak_flop = large_product(torch.float32)
    single: dict[str, Work] = {
        "reading the rows once (their sum)": lambda: rows.sum(),
        "the product alone": lambda: torch.mv(rows, queries[0]),
        "plain: product, torch top-k": lambda: plain(queries[:1]),
        "top_k, float32": lambda: top_k(queries[:1], rows.split(block), k),
        "top_k, bfloat16 rows": lambda: top_k(queries[:1], half.split(block), k),
        "top_k_by_owner, float32": lambda: top_k_by_owner(
            queries[:1], zip(rows.split(block), owners.split(block), strict=True), k
        ),
    }
    try:
        from scipy.spatial.distance import cdist
    except ImportError:
        pass
    else:
        array, one = rows.numpy(), queries[:1].numpy()
        single["scipy cdist, no top-k"] = lambda: 1 - cdist(one, array, "cosine")
    seconds = cpu_seconds(single, options.repeat)
    reading = seconds["reading the rows once (their sum)"]
    out = [
        f"vectors: {num} × {width}, top {k} included, blocks of {block} rows; memory is read at "
        f"{rows.nbytes / reading[0] / 1e9:.1f} GB/s (best {rows.nbytes / reading[1] / 1e9:.1f})",
        f"{'one query, CPU milliseconds':<44} {'median':>8} {'best':>8} {'of reading':>11}",
    ]
    for name, (median, least) in seconds.items():
        out.append(f"{name:<44} {median * 1e3:8.1f} {least * 1e3:8.1f} {reading[0] / median:11.0%}")

    for batch in options.batches:
        many = queries[:batch]
        ways: dict[str, Work] = {
            "large product, float32": peak,
            "plain: product, torch top-k": lambda many=many: plain(many),
            "top_k, float32": lambda many=many: top_k(many, rows.split(block), k),
            "top_k, bfloat16 rows": lambda many=many: top_k(many, half.split(block), k),
            "top_k_by_owner, float32": lambda many=many: top_k_by_owner(
                many, zip(rows.split(block), owners.split(block), strict=True), k
            ),
        }
        seconds = cpu_seconds(ways, options.batch_repeat)
        rate, best_rate = (peak_flop / value for value in seconds.pop("large product, float32"))
        flop = 2 * batch * num * width / 1e9
        out.append(
            f"{f'{batch} queries, CPU milliseconds per query':<44} {'median':>8} {'best':>8} {'of peak':>8} "
            f"{'of best peak':>13}   (peak {rate:.0f}, best {best_rate:.0f} GFLOP/s)"
        )
        for name, (median, least) in seconds.items():
            out.append(
                f"{name:<44} {median / batch * 1e3:8.2f} {least / batch * 1e3:8.2f} {flop / median / rate:8.0%} "
                f"{flop / least / best_rate:13.0%}"
            )
    return out


def two_stage_table(options: argparse.Namespace) -> list[str]:
    """Shortlist by cosine, then chamfer of the shortlist; its rows lie in memory, as a mapped file's would."""
    rows, query = unit_rows(options.vectors, options.vector_width, seed=4), unit_rows(1, options.vector_width, seed=5)
    shortlist = min(options.shortlist, options.vectors)
    frames = unit_rows(shortlist, options.rows, options.width, seed=6)
    half, weights = frames.bfloat16(), torch.full((shortlist,), float(options.rows))
    query_rows = unit_rows(options.rows, options.width, seed=7)
    block = options.block_rows

    def ours(gallery: Tensor) -> Tensor:
        _, chosen = top_k(query, rows.split(block), shortlist)
        scores = symmetric_chamfer_many(query_rows, gallery, weights=weights)
        return chosen[0][scores.argsort(descending=True, stable=True)]

    def plain() -> Tensor:
        chosen = torch.mv(rows, query[0]).topk(shortlist).indices
        return chosen[plain_symmetric(query_rows, frames).argsort(descending=True)]

    ways = {"plain": plain, "float32": lambda: ours(frames), "bfloat16 rows": lambda: ours(half)}
    out = [
        f"two stages: the best {shortlist} of {options.vectors} vectors, then symmetric chamfer of their rows",
        f"{'CPU milliseconds per query':<44} {'median':>8} {'best':>8}",
    ]
    for name, (median, least) in cpu_seconds(ways, options.repeat).items():
        out.append(f"{name:<44} {median * 1e3:8.1f} {least * 1e3:8.1f}")
    return out


def long_table(options: argparse.Namespace) -> list[str]:
    """Two videos of an hour, and which seconds of a pair match."""
    hour = unit_rows(3600, options.width, seed=8), unit_rows(3600, options.width, seed=9)
    ways: dict[str, Work] = {
        "chamfer of 3600 × 3600 rows, plain": lambda: chamfer(*hour),
        "chamfer of 3600 × 3600 rows, both directions": lambda: chamfer_many(hour[0], [hour[1]]),
    }
    try:
        from vidlang.methods.tca.alignment import matched_runs
    except ImportError:
        pass
    else:
        for side in (64, 600):
            x, y = unit_rows(side, options.width, seed=10), unit_rows(side, options.width, seed=11)
            y[side // 4 : side // 2] = x[side // 3 : side // 3 + side // 2 - side // 4]
            similarity = (x @ y.T).numpy()
            ways[f"matched runs of {side} × {side} rows"] = lambda similarity=similarity: matched_runs(similarity, 0.5)
    out = [f"{'CPU milliseconds':<44} {'median':>8} {'best':>8}"]
    for name, (median, least) in cpu_seconds(ways, options.batch_repeat).items():
        out.append(f"{name:<44} {median * 1e3:8.1f} {least * 1e3:8.1f}")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=64, help="rows of a video and of the query")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--widths", type=int, nargs="*", default=[256, 768, 1024], help="other widths for chamfer")
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--vector-width", type=int, default=1024)
    parser.add_argument("--top", type=int, default=100)
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--block-rows", type=int, default=25_000, help="rows of a block of vectors")
    parser.add_argument("--shortlist", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--batch-repeat", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=["chamfer", "vectors", "two-stage", "long"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    tables = {"chamfer": chamfer_table, "vectors": vector_table, "two-stage": two_stage_table, "long": long_table}
    for name in options.only or tables:
        sys.stdout.write("\n".join(tables[name](options)) + "\n\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
