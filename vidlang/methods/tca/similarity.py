"""How similar two videos are: cosine of their vectors, chamfer of their rows, one pair or one query against many.

A row of a video has the length of its informative weight, w in [0, 1]: near 0 for black, constant and title frames.
One product of rows is then w_i · w_j · cos_ij, and the chamfer similarity divides by the lengths instead of the count:

    chamfer(x, y) = Σ_i max_j x_i·y_j / Σ_i |x_i|

With all weights 1 this is the published one. A video without informative rows has similarity 0 to everything.

Source: TCA (Shao et al., WACV 2021), sections 3.4 and 4; ViSiL (Kordopatis-Zilos et al., ICCV 2019), equation 4.
Differs: the weights.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Products = Literal["auto", "float32", "bfloat16"]

ROWS_PER_VIDEO = 64
SCORES_AT_ONCE = 2**18
"""Products held at a time where a query is long: 1 MB of float32, about a core's own cache."""
BFLOAT16_GAIN = 1.3
"""How many times faster bfloat16 products must be to be chosen over exact ones."""


# One pair


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """Cosine of two video vectors; 0 where one has no length. x, y: [E]    returns: []"""
    lengths = x.float().norm() * y.float().norm()
    return x.float() @ y.float() / lengths if lengths > 0 else lengths


def chamfer(x: Tensor, y: Tensor) -> Tensor:
    """How much of x is found in y: the best match of each row of x, averaged by the rows' lengths.

    x: [n, E] the query    y: [m, E]    returns: [] in [-1, 1]

    Asymmetric: a clip lies whole in the film that it was cut from, and the film does not lie in the clip.
    """
    return top_k_chamfer(x, y, 1)


def symmetric_chamfer(x: Tensor, y: Tensor) -> Tensor:
    """Mean of both directions of ``chamfer``. x: [n, E]    y: [m, E]    returns: []"""
    return (chamfer(x, y) + chamfer(y, x)) / 2


def top_k_chamfer(x: Tensor, y: Tensor, k: int | float) -> Tensor:
    """Chamfer whose match of a row is the mean of its k best instead of the one best: less moved by single lucky rows.

    x: [n, E] the query    y: [m, E]    k: rows of y; a float is their share    returns: []

    Of m rows, k takes part as ``count_of(k, m)``. Published: a share of 0.3.

    Source: HAP-VR (Liu et al., ACM MM 2024), TopK-Chamfer Similarity.
    """
    total = _weight(x)
    if not len(y) or total == 0:
        return total * 0
    products = x.float() @ y.float().T  # [n, m]
    count = count_of(k, len(y))
    matches = products.amax(1) if count == 1 else products.topk(count, dim=1).values.mean(1)
    return matches.sum() / total


def count_of(k: int | float, num_rows: int) -> int:
    """How many of the rows are averaged: k of them, or a share of them rounded; at least 1, at most all.

    k = 3, 64 rows → 3;    k = 0.3, 64 rows → 19;    k = 3, 2 rows → 2

    Raises:
        ValueError: a number below 1, or a share outside of (0, 1].
    """
    if (isinstance(k, float) and not 0 < k <= 1) or (isinstance(k, int) and k < 1):
        raise ValueError(f"k is a number of rows from 1 on, or a share in (0, 1]; got {k!r}")
    count = round(k * num_rows) if isinstance(k, float) else k
    return min(max(count, 1), num_rows)


def _weight(rows: Tensor) -> Tensor:
    """Total informative weight: sum of the rows' lengths. rows: [n, E]    returns: []"""
    return rows.float().norm(dim=1).sum()


# One query against many


@torch.no_grad()
def chamfer_many(
    query: Tensor,
    gallery: Sequence[Tensor] | Tensor,
    *,
    block: int = 16,
    weights: Tensor | None = None,
    products: Products = "auto",
) -> tuple[Tensor, Tensor]:
    """``chamfer(query, video)`` and ``chamfer(video, query)`` of each video, both from one product per block.

    query: [n, E]    gallery: G tensors [m_i, E], or one tensor [G, m, E]; float32, bfloat16 or float16
    weights: [G] total weight of each video (sum of its rows' lengths) where it is known; else it is computed
    returns: forward [G], backward [G], float32

    Neighbouring slices of one tensor are read in place; other rows are copied block by block. A product has at most
    64 · ``block`` rows, whatever the lengths are, and memory does not grow with the videos.

    products: ``float32`` widens rows of half precision and is exact. ``bfloat16`` multiplies bfloat16 rows as they are:
    each similarity is rounded to 8 bits, and their mean over 64 rows is within about 1e-4. ``auto`` takes it where
    this machine is faster with it. float32 rows are always multiplied in float32.
    """
    forward, backward, weights = _sums(query, gallery, block, weights, products)
    return _divided(forward, _weight(query)), _divided(backward, weights)


def symmetric_chamfer_many(
    query: Tensor,
    gallery: Sequence[Tensor] | Tensor,
    *,
    block: int = 16,
    weights: Tensor | None = None,
    products: Products = "auto",
) -> Tensor:
    """``symmetric_chamfer`` of the query and each video; arguments as for ``chamfer_many``. returns: [G]"""
    forward, backward = chamfer_many(query, gallery, block=block, weights=weights, products=products)
    return (forward + backward) / 2


@torch.no_grad()
def top_k_chamfer_many(
    query: Tensor, gallery: Sequence[Tensor] | Tensor, k: int | float, *, block: int = 16
) -> tuple[Tensor, Tensor]:
    """``top_k_chamfer(query, video, k)`` and ``top_k_chamfer(video, query, k)`` of each video.

    query: [n, E]    gallery: G tensors [m_i, E], or one tensor [G, m, E]    returns: forward [G], backward [G]

    Memory: the products of a block, or of the longest video, with a part of the query, and the k best of each row.
    """
    count = count_of(k, max(len(query), 1))
    query = query.float()
    forward, backward, weights = query.new_zeros(3, len(gallery))
    parts = _query_parts(query, block)
    for first, lengths, rows in _blocks(gallery, block * ROWS_PER_VIDEO):
        own, segments = slice(first, first + len(lengths)), _Segments.of(lengths, query.device)
        rows = rows.to(query)
        weights[own] = segments.sums(rows.norm(dim=1))
        best = rows.new_zeros(len(rows), 0)  # [r, <= k] products with the query's rows
        for part in parts:
            scores = rows @ part  # [r, c]
            best = torch.cat([best, scores], 1)
            best = best.topk(min(count, best.shape[1]), dim=1).values
            for at, video in enumerate(scores.split(lengths)):
                if len(video):
                    forward[first + at] += video.topk(count_of(k, len(video)), dim=0).values.mean(0).sum()
        if len(query):
            backward[own] = segments.sums(best.mean(1))
    return _divided(forward, _weight(query)), _divided(backward, weights)


def _sums(
    query: Tensor, gallery: Sequence[Tensor] | Tensor, block: int, weights: Tensor | None, products: Products
) -> tuple[Tensor, Tensor, Tensor]:
    """Numerators of the forward and the backward direction and the weights of the videos: [G] each"""
    if weights is not None and weights.shape != (len(gallery),):
        raise ValueError(f"{len(gallery)} videos need as many weights, got {tuple(weights.shape)}")
    if not len(query):
        query = query.new_zeros(1, query.shape[1])  # similar to nothing, as a video without rows is
    query = query.float()
    forward, backward, totals = query.new_zeros(3, len(gallery))
    if weights is not None:
        totals = weights.to(totals)
    parts, most = _query_parts(query, block), block * ROWS_PER_VIDEO
    for first, lengths, rows in _blocks(gallery, most):
        own, segments = slice(first, first + len(lengths)), _Segments.of(lengths, query.device)
        if len(rows) <= most:
            columns, matches, norms = _products(rows, parts, segments, products, weights is None)
            forward[own], backward[own] = columns.sum(1), segments.sums(matches)
            if norms is not None:
                totals[own] = segments.sums(norms)
            continue
        best = query.new_full((1, len(query)), -torch.inf)
        for piece in rows.split(most):
            whole = _Segments.of([len(piece)], query.device)
            columns, matches, norms = _products(piece, parts, whole, products, weights is None)
            best = torch.maximum(best, columns)
            backward[own] += matches.sum()
            if norms is not None:
                totals[own] += norms.sum()
        forward[own] = best.sum()
    return forward, backward, totals


def _products(
    rows: Tensor, parts: Sequence[Tensor], segments: _Segments, products: Products, with_norms: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Best matches of the query's rows in each video, and of the videos' rows in the query.

    rows: [r, E] of b videos    parts: the query, [E, c] each    returns: [b, n], [r], lengths of the rows [r] if asked
    """
    device = parts[0].device
    native = rows.dtype == torch.bfloat16 and (
        products == "bfloat16" or (products == "auto" and bfloat16_products_are_faster(device.type))
    )
    wide = rows.to(device) if native else rows.to(device, torch.float32)
    norms = torch.linalg.vector_norm(wide, dim=1, dtype=torch.float32) if with_norms else None
    columns: list[Tensor] = []
    matches: Tensor | None = None
    for part in parts:
        scores = (wide @ part.to(wide)).float()  # [r, c]
        columns.append(segments.maxima(scores))
        best = scores.amax(1)
        matches = best if matches is None else torch.maximum(matches, best)
    assert matches is not None
    return columns[0] if len(columns) == 1 else torch.cat(columns, 1), matches, norms


@dataclass(frozen=True, eq=False)
class _Segments:
    """Rows of several videos, one video after the other, reduced video by video."""

    lengths: Sequence[int]
    owner: Tensor | None
    """[r] video of each row; None where all videos have the same number of rows, and a view does."""

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> _Segments:
        if min(lengths) == max(lengths) > 0:
            return cls(lengths, None)
        return cls(lengths, torch.repeat_interleave(torch.tensor(lengths)).to(device))

    def maxima(self, scores: Tensor) -> Tensor:
        """[r, c] → [b, c]; 0 where a video has no rows."""
        num_videos, width = len(self.lengths), scores.shape[1]
        if self.owner is None:
            return scores.view(num_videos, self.lengths[0], width).amax(1)
        best = scores.new_full((num_videos, width), -torch.inf)
        best.scatter_reduce_(0, self.owner[:, None].expand(-1, width), scores, "amax")
        return best.masked_fill_(best == -torch.inf, 0) if 0 in self.lengths else best

    def sums(self, values: Tensor) -> Tensor:
        """[r] → [b]"""
        if self.owner is None:
            return values.view(len(self.lengths), -1).sum(1)
        return values.new_zeros(len(self.lengths)).index_add_(0, self.owner, values)


def _query_parts(query: Tensor, block: int) -> list[Tensor]:
    """The query's rows as columns, in parts whose products with a block stay small. [n, E] → [E, c] each"""
    if block < 1:
        raise ValueError(f"a block holds at least one video, got {block}")
    most = max(SCORES_AT_ONCE // (block * ROWS_PER_VIDEO), ROWS_PER_VIDEO)
    return [part.T.contiguous() for part in query.split(most)]


def _blocks(gallery: Sequence[Tensor] | Tensor, num_rows: int) -> Iterator[tuple[int, list[int], Tensor]]:
    """First video, rows of each video, and the rows [r, E] of consecutive videos: at most num_rows, or one video."""
    if isinstance(gallery, Tensor):
        length = gallery.shape[1]
        step = max(num_rows // max(length, 1), 1)
        for first in range(0, len(gallery), step):
            part = gallery[first : first + step]
            yield first, [length] * len(part), part.reshape(len(part) * length, gallery.shape[2])
        return
    first, videos, total = 0, list[Tensor](), 0
    for video in gallery:
        if videos and total + len(video) > num_rows:
            yield first, [len(one) for one in videos], _joined(videos, total)
            first, videos, total = first + len(videos), [], 0
        videos.append(video)
        total += len(video)
    if videos:
        yield first, [len(one) for one in videos], _joined(videos, total)


def _joined(videos: Sequence[Tensor], num_rows: int) -> Tensor:
    """The rows of all videos, in place where they are neighbouring slices of one tensor. returns: [num_rows, E]"""
    head = videos[0]
    if len(videos) == 1:
        return head
    step, storage = head.shape[1] * head.element_size(), head.untyped_storage().data_ptr()
    expected = head.data_ptr()
    for video in videos:
        if (
            video.data_ptr() != expected
            or video.dtype != head.dtype
            or not video.is_contiguous()
            or video.untyped_storage().data_ptr() != storage
        ):
            return torch.cat(list(videos))
        expected += len(video) * step
    return head.as_strided((num_rows, head.shape[1]), (head.shape[1], 1))


def _divided(sums: Tensor, weights: Tensor) -> Tensor:
    """sums / weights, and 0 where there is no weight."""
    return torch.where(weights > 0, sums / weights, torch.zeros_like(sums))


@functools.cache
def bfloat16_products_are_faster(device_type: str) -> bool:
    """Whether bfloat16 rows are multiplied faster as they are than as float32, measured once (about 10 ms).

    Processors differ: with bfloat16 at twice the float32 rate (Zen 4, AMX) yes; where the instruction exists at half
    the rate, as on Intel without AMX, no. Other devices than processors have matrix units for it.
    """
    if device_type != "cpu":
        return True
    rows, query = torch.ones(512, 512, dtype=torch.bfloat16), torch.ones(512, 64)

    def seconds(dtype: torch.dtype) -> float:
        taken = []
        for _ in range(6):
            start = time.perf_counter()
            _ = rows.to(dtype) @ query.to(dtype)
            taken.append(time.perf_counter() - start)
        return min(taken[1:])

    return seconds(torch.float32) > BFLOAT16_GAIN * seconds(torch.bfloat16)
