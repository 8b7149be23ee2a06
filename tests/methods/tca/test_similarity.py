from __future__ import annotations

import itertools
import math

import pytest
import torch
from tca_golden import arrays, largest_difference, needs_golden, sequences
from torch import Tensor

from vidlang.methods.tca import similarity
from vidlang.methods.tca.similarity import (
    bfloat16_products_are_faster,
    chamfer,
    chamfer_many,
    cosine,
    count_of,
    symmetric_chamfer,
    symmetric_chamfer_many,
    top_k_chamfer,
    top_k_chamfer_many,
)

RAGGED = [5, 1, 64, 17, 3, 200, 1, 1, 40, 9, 64, 64, 2]


def video(length: int, seed: int, width: int = 24) -> Tensor:
    """Rows with weights between 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.nn.functional.normalize(torch.randn(length, width, generator=generator), dim=1)
    return rows * torch.rand(length, 1, generator=generator)


def videos(lengths: list[int]) -> list[Tensor]:
    return [video(length, seed) for seed, length in enumerate(lengths, start=1)]


def plain_chamfer(x: Tensor, y: Tensor, k: int = 1) -> float:
    """By the definition, row by row."""
    total = matches = 0.0
    for row in x.double():
        best = sorted((float(row @ other) for other in y.double()), reverse=True)[:k]
        matches += sum(best) / len(best)
        total += float(row.norm())
    return matches / total


def unit(degrees: float) -> list[float]:
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


@needs_golden
def test_recorded_similarities_are_reached():
    stored = arrays("similarity")
    clips = [torch.from_numpy(clip) for clip in sequences(stored, "frames")]
    vectors = [torch.nn.functional.normalize(clip.mean(0), dim=0) for clip in clips]
    assert largest_difference(torch.stack(vectors), stored["video"]) < 1e-5
    for name, function, items in (
        ("cosine", cosine, vectors),
        ("chamfer", chamfer, clips),
        ("symmetric_chamfer", symmetric_chamfer, clips),
    ):
        ours = [[float(function(x, y)) for y in items] for x in items]
        assert largest_difference(ours, stored[name]) < 1e-5, name


@needs_golden
def test_recorded_similarities_are_reached_by_one_product():
    stored = arrays("similarity")
    clips = [torch.from_numpy(clip) for clip in sequences(stored, "frames")]
    both = [chamfer_many(clip, clips, block=1) for clip in clips]
    assert largest_difference(torch.stack([forward for forward, _ in both]), stored["chamfer"]) < 1e-5
    assert largest_difference(torch.stack([backward for _, backward in both]).T, stored["chamfer"]) < 1e-5
    symmetric = torch.stack([symmetric_chamfer_many(clip, clips) for clip in clips])
    assert largest_difference(symmetric, stored["symmetric_chamfer"]) < 1e-5


def test_chamfer_is_the_mean_of_the_best_cosines():
    x, y = torch.tensor([unit(0), unit(90)]), torch.tensor([unit(60), unit(30), unit(180)])
    assert float(chamfer(x, y)) == pytest.approx((math.cos(math.radians(30)) * 2) / 2)
    back = (math.cos(math.radians(30)) * 2 + math.cos(math.radians(90))) / 3
    assert float(chamfer(y, x)) == pytest.approx(back)
    assert float(symmetric_chamfer(x, y)) == pytest.approx((math.cos(math.radians(30)) + back) / 2)


def test_a_row_counts_by_its_weight():
    x, y = torch.tensor([unit(0), unit(90)]), torch.tensor([unit(0)])
    assert float(chamfer(x, y)) == pytest.approx(0.5)
    x[1] *= 0.25  # the row that is not found is hardly informative: 1 of 1.25
    assert float(chamfer(x, y)) == pytest.approx(0.8)


def test_a_clip_lies_whole_in_its_film():
    film = torch.nn.functional.normalize(video(40, 1), dim=1)
    clip = film[10:17]
    assert float(chamfer(clip, film)) == pytest.approx(1, abs=1e-6)
    assert float(chamfer(film, clip)) < 0.7


@pytest.mark.parametrize("empty", [torch.zeros(3, 24), torch.zeros(0, 24)], ids=["black", "no rows"])
def test_a_video_without_informative_rows_is_similar_to_nothing(empty: Tensor):
    film = video(12, 1)
    for function in (chamfer, symmetric_chamfer, lambda x, y: top_k_chamfer(x, y, 3)):
        assert float(function(empty, film)) == float(function(film, empty)) == 0
    assert float(cosine(torch.zeros(4), torch.ones(4))) == 0
    for query, gallery in ((empty, [film, film[:2]]), (film, [film, empty, film[:2]])):
        forward, backward = chamfer_many(query, gallery)
        assert forward.tolist() == pytest.approx([float(chamfer(query, y)) for y in gallery], abs=1e-6)
        assert backward.tolist() == pytest.approx([float(chamfer(y, query)) for y in gallery], abs=1e-6)
        for k in (2, 0.5):
            forward, backward = top_k_chamfer_many(query, gallery, k)
            assert forward.tolist() == pytest.approx([float(top_k_chamfer(query, y, k)) for y in gallery], abs=1e-6)
            assert backward.tolist() == pytest.approx([float(top_k_chamfer(y, query, k)) for y in gallery], abs=1e-6)


@pytest.mark.parametrize("block", [1, 2, 3, 100])
@pytest.mark.parametrize("length", [1, 7, 70, 300])
def test_ragged_videos_in_blocks_of_every_size_give_the_plain_sums(
    block: int, length: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(similarity, "SCORES_AT_ONCE", 64 * 64)  # queries of 70 and 300 rows go in parts
    query, gallery = video(length, 99), videos(RAGGED)
    forward, backward = chamfer_many(query, gallery, block=block)
    assert forward.tolist() == pytest.approx([plain_chamfer(query, y) for y in gallery], abs=1e-5)
    assert backward.tolist() == pytest.approx([plain_chamfer(y, query) for y in gallery], abs=1e-5)


def test_videos_longer_than_a_block_go_in_pieces(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(similarity, "ROWS_PER_VIDEO", 8)
    monkeypatch.setattr(similarity, "SCORES_AT_ONCE", 64)
    largest, multiply = 0, torch.Tensor.__matmul__

    def watched(a: Tensor, b: Tensor) -> Tensor:
        nonlocal largest
        product = multiply(a, b)
        largest = max(largest, product.numel())
        return product

    query, gallery = video(50, 99), videos([30, 2, 100])
    expected = [float(chamfer(query, y)) for y in gallery], [float(chamfer(y, query)) for y in gallery]
    monkeypatch.setattr(torch.Tensor, "__matmul__", watched)
    forward, backward = chamfer_many(query, gallery, block=2)
    assert 0 < largest <= 2 * 8 * 8
    assert forward.tolist() == pytest.approx(expected[0], abs=1e-6)
    assert backward.tolist() == pytest.approx(expected[1], abs=1e-6)


def test_slices_of_one_tensor_are_read_in_place(monkeypatch: pytest.MonkeyPatch):
    rows = torch.cat(videos(RAGGED))
    query, cuts = video(11, 99), list(rows.split(RAGGED))
    expected = chamfer_many(query, [cut.clone() for cut in cuts])

    def refused(parts: list[Tensor], dim: int = 0) -> Tensor:
        assert dim == 1, "rows were copied"
        return joined(parts, dim)

    joined = torch.cat
    monkeypatch.setattr(torch, "cat", refused)
    for found, wanted in zip(chamfer_many(query, cuts), expected, strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[1:], ids=str)
def test_slices_in_another_order_are_not_mistaken_for_neighbours(order: tuple[int, ...]):
    cuts = torch.cat(videos([4, 9, 5])).split([4, 9, 5])
    gallery = [cuts[at] for at in order]
    query = video(6, 99)
    forward, _ = chamfer_many(query, gallery)
    assert forward.tolist() == pytest.approx([plain_chamfer(query, y) for y in gallery], abs=1e-5)


def test_strided_and_overlapping_rows_are_read_right():
    rows, query = video(40, 1), video(6, 99)
    gallery = [rows[0:10:2], rows[10:20:2], rows[5:12], rows[5:12], video(10, 2, width=48)[:, :24]]
    forward, backward = chamfer_many(query, gallery)
    assert forward.tolist() == pytest.approx([plain_chamfer(query, y) for y in gallery], abs=1e-5)
    assert backward.tolist() == pytest.approx([plain_chamfer(y, query) for y in gallery], abs=1e-5)


@pytest.mark.parametrize("block", [1, 3, 32])
def test_one_tensor_of_equal_videos_is_the_list_of_them(block: int):
    gallery, query = torch.stack(videos([20] * 11)), video(30, 99)
    packed, listed = chamfer_many(query, gallery, block=block), chamfer_many(query, list(gallery), block=block)
    for found, wanted in zip(packed, listed, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
    assert packed[0].tolist() == pytest.approx([plain_chamfer(query, y) for y in gallery], abs=1e-5)


def test_symmetric_of_many_is_that_of_the_pairs():
    query, gallery = video(9, 99), videos(RAGGED)
    symmetric = [float(symmetric_chamfer(query, y)) for y in gallery]
    assert symmetric_chamfer_many(query, gallery, block=2).tolist() == pytest.approx(symmetric, abs=1e-6)


def test_known_weights_take_the_place_of_computed_ones():
    query, gallery = video(9, 99), videos(RAGGED)
    known = torch.stack([y.norm(dim=1).sum() for y in gallery])
    for found, wanted in zip(chamfer_many(query, gallery, weights=known), chamfer_many(query, gallery), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
    assert torch.allclose(chamfer_many(query, gallery, weights=2 * known)[1], chamfer_many(query, gallery)[1] / 2)


@pytest.mark.parametrize("products", ["float32", "bfloat16", "auto"])
def test_bfloat16_rows_are_close_and_exact_when_widened(products: similarity.Products):
    query, gallery = video(64, 99, width=512), [video(64, seed, width=512).bfloat16() for seed in range(20)]
    forward, backward = chamfer_many(query, gallery, products=products)
    wide = chamfer_many(query, [y.float() for y in gallery], products="float32")
    tolerance = 1e-6 if products == "float32" else 1e-3
    torch.testing.assert_close(forward, wide[0], atol=tolerance, rtol=0)
    torch.testing.assert_close(backward, wide[1], atol=tolerance, rtol=0)
    assert forward.dtype == backward.dtype == torch.float32


def test_float32_rows_are_never_rounded():
    query, gallery = video(8, 99), videos([9, 4])
    exact = chamfer_many(query, gallery, products="float32")
    assert all(map(torch.equal, chamfer_many(query, gallery, products="bfloat16"), exact))


def test_the_faster_precision_is_measured_once():
    assert bfloat16_products_are_faster("cpu") is bfloat16_products_are_faster("cpu")
    assert bfloat16_products_are_faster("cuda") is True


@pytest.mark.parametrize("k", [1, 3, 1000, 0.3, 1.0])
@pytest.mark.parametrize("length", [1, 70])
def test_top_k_chamfer_averages_the_best_matches_of_each_row(
    k: int | float, length: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(similarity, "SCORES_AT_ONCE", 64 * 64)
    query, gallery = video(length, 99), videos(RAGGED)
    forward, backward = top_k_chamfer_many(query, gallery, k, block=2)
    for at, y in enumerate(gallery):
        there, back = plain_chamfer(query, y, count_of(k, len(y))), plain_chamfer(y, query, count_of(k, length))
        assert float(top_k_chamfer(query, y, k)) == pytest.approx(there, abs=1e-5)
        assert (float(forward[at]), float(backward[at])) == pytest.approx((there, back), abs=1e-5)


def test_one_of_the_best_is_chamfer_and_all_of_them_is_the_mean():
    x, y = torch.nn.functional.normalize(video(5, 1), dim=1), torch.nn.functional.normalize(video(8, 2), dim=1)
    assert float(top_k_chamfer(x, y, 1)) == float(chamfer(x, y))
    assert float(top_k_chamfer(x, y, 1.0)) == pytest.approx(float((x @ y.T).mean()), abs=1e-6)


def test_a_share_is_rounded_and_at_least_one_row():
    assert [count_of(0.3, m) for m in (1, 2, 10, 64)] == [1, 1, 3, 19]
    assert [count_of(3, m) for m in (1, 2, 64)] == [1, 2, 3]


def test_similarity_learns():
    x, y = video(5, 1).requires_grad_(), video(6, 2)
    symmetric_chamfer(x, y).backward()
    assert x.grad is not None and float(x.grad.abs().sum()) > 0


def test_an_empty_gallery_gives_empty_results():
    for gallery in ([], torch.zeros(0, 5, 24)):
        assert [len(part) for part in chamfer_many(video(3, 1), gallery)] == [0, 0]
        assert len(symmetric_chamfer_many(video(3, 1), gallery)) == 0
        assert [len(part) for part in top_k_chamfer_many(video(3, 1), gallery, 2)] == [0, 0]


def test_callers_mistakes_are_refused():
    with pytest.raises(ValueError, match="at least one video"):
        chamfer_many(video(3, 1), [video(2, 2)], block=0)
    with pytest.raises(ValueError, match="as many weights"):
        chamfer_many(video(3, 1), [video(2, 2)], weights=torch.ones(2))
    for k in (0, 0.0, 1.5):
        with pytest.raises(ValueError, match="number of rows from 1 on"):
            top_k_chamfer(video(3, 1), video(2, 2), k)
