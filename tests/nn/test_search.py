from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vidlang.nn import search
from vidlang.nn.search import top_k, top_k_by_owner


def whole_numbers(*shape: int, seed: int = 0, most: int = 3) -> Tensor:
    """Small integers: products are exact in every precision and order of summation, and many of them are equal."""
    return torch.randint(-most, most + 1, shape, generator=torch.Generator().manual_seed(seed)).float()


def full_sort(queries: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    similarities, positions = (queries @ rows.T).sort(dim=1, descending=True, stable=True)
    return similarities[:, :k], positions[:, :k]


def full_sort_by_owner(query: Tensor, rows: Tensor, owners: Tensor, k: int) -> list[tuple[float, int, int]]:
    """(similarity, owner, position) of the best k owners of one query, owner by owner."""
    best: dict[int, tuple[float, int]] = {}
    for position, (similarity, owner) in enumerate(zip((rows @ query).tolist(), owners.tolist(), strict=True)):
        if owner not in best or similarity > best[owner][0]:
            best[owner] = (similarity, position)
    ranked = sorted(best.items(), key=lambda item: (-item[1][0], item[1][1]))
    return [(similarity, owner, position) for owner, (similarity, position) in ranked[:k]]


@pytest.mark.parametrize("num_queries", [1, 2, 5])
@pytest.mark.parametrize("block", [1, 7, 300, 2000])
@pytest.mark.parametrize("k", [1, 10, 400])
def test_blocks_of_every_size_give_the_full_sort_with_ties_in_order(num_queries: int, block: int, k: int):
    queries, rows = whole_numbers(num_queries, 6), whole_numbers(900, 6, seed=1)
    similarities, positions = top_k(queries, rows.split(block), k)
    expected = full_sort(queries, rows, k)
    assert len(expected[0].unique()) < expected[0].numel() or k == 1, "the case has ties"
    assert torch.equal(similarities, expected[0]) and torch.equal(positions, expected[1])
    assert (similarities.dtype, positions.dtype) == (torch.float32, torch.int64)


@pytest.mark.parametrize("num_queries", [1, 70])
def test_one_large_block_is_searched_in_growing_pieces(num_queries: int):
    queries, rows = whole_numbers(num_queries, 8), whole_numbers(20_000, 8, seed=1, most=50)
    pieces = list(search._pieces(0, len(rows), num_queries))
    assert len(pieces) > 1 and [a for a, _ in pieces[1:]] == [b for _, b in pieces[:-1]] and pieces[-1][1] == 20_000
    similarities, positions = top_k(queries, [rows], 30)
    expected = full_sort(queries, rows, 30)
    assert torch.equal(similarities, expected[0]) and torch.equal(positions, expected[1])


def test_more_queries_than_are_searched_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search, "QUERIES_AT_ONCE", 3)
    monkeypatch.setattr(search, "SCORES_AT_ONCE", 30)
    queries, rows = whole_numbers(8, 5), whole_numbers(500, 5, seed=1)
    similarities, positions = top_k(queries, rows.split(90), 12)
    expected = full_sort(queries, rows, 12)
    assert torch.equal(similarities, expected[0]) and torch.equal(positions, expected[1])


def test_rows_that_get_better_and_better_are_all_found():
    rows = torch.arange(3000.0)[:, None]
    similarities, positions = top_k(torch.ones(1, 1), rows.split(100), 3)
    assert similarities.tolist() == [[2999.0, 2998.0, 2997.0]] and positions.tolist() == [[2999, 2998, 2997]]


def test_equal_rows_keep_their_order_across_blocks():
    similarities, positions = top_k(torch.ones(2, 4), torch.ones(1000, 4).split(30), 5)
    assert positions.tolist() == [[0, 1, 2, 3, 4]] * 2
    assert similarities.tolist() == [[4.0] * 5] * 2


def test_k_larger_than_the_number_of_rows_ranks_all_of_them():
    queries, rows = whole_numbers(2, 4), whole_numbers(3, 4, seed=1)
    similarities, positions = top_k(queries, [rows[:1], rows[1:]], 50)
    expected = full_sort(queries, rows, 3)
    assert torch.equal(similarities, expected[0]) and torch.equal(positions, expected[1])


def test_no_rows_give_no_results():
    similarities, positions = top_k(torch.ones(2, 4), [], 5)
    assert similarities.shape == positions.shape == (2, 0)
    assert top_k(torch.ones(2, 4), [torch.ones(0, 4)], 5)[1].shape == (2, 0)


def test_no_queries_give_no_lists():
    similarities, positions = top_k(torch.ones(0, 4), [torch.ones(9, 4)], 5)
    assert similarities.shape == positions.shape == (0, 5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("num_queries", [1, 4])
def test_half_precision_rows_are_summed_in_float32(dtype: torch.dtype, num_queries: int):
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(num_queries, 64, generator=generator)
    rows = torch.randn(700, 64, generator=generator).to(dtype)
    similarities, positions = top_k(queries, rows.split(333), 20)
    expected = full_sort(queries, rows.float(), 20)
    torch.testing.assert_close(similarities, expected[0], atol=1e-5, rtol=0)
    assert torch.equal(positions, expected[1])


@pytest.mark.parametrize("num_queries", [1, 4])
@pytest.mark.parametrize("block", [1, 64, 5000])
@pytest.mark.parametrize("k", [1, 6, 1000])
def test_an_owner_counts_by_its_best_row_and_once(num_queries: int, block: int, k: int):
    queries, rows = whole_numbers(num_queries, 6), whole_numbers(800, 6, seed=1)
    owners = torch.randint(0, 40, (800,), generator=torch.Generator().manual_seed(2))
    found = top_k_by_owner(queries, zip(rows.split(block), owners.split(block), strict=True), k)
    assert all(part.shape == (num_queries, min(k, 40)) for part in found)
    for query, *lists in zip(queries, *(part.tolist() for part in found), strict=True):
        assert list(zip(*lists, strict=True)) == full_sort_by_owner(query, rows, owners, k)


def test_a_row_each_owner_is_the_plain_search():
    queries, rows = whole_numbers(3, 6), whole_numbers(600, 6, seed=1)
    similarities, owners, positions = top_k_by_owner(queries, [(rows, torch.arange(600) + 5)], 20)
    expected = top_k(queries, [rows], 20)
    assert torch.equal(similarities, expected[0]) and torch.equal(positions, expected[1])
    assert torch.equal(owners, expected[1] + 5)


def test_callers_mistakes_are_refused():
    rows = torch.ones(3, 4)
    with pytest.raises(ValueError, match="k of at least 1"):
        top_k(rows, [rows], 0)
    with pytest.raises(ValueError, match="do not fit a block"):
        top_k(rows, [torch.ones(3, 5)], 1)
    with pytest.raises(ValueError, match="as many owners"):
        top_k_by_owner(rows, [(rows, torch.zeros(2, dtype=torch.int64))], 1)
    with pytest.raises(ValueError, match="none negative"):
        top_k_by_owner(rows, [(rows, torch.tensor([0, -1, 2]))], 1)
    with pytest.raises(ValueError, match="not finite"):
        top_k(torch.full((1, 4), torch.nan), [rows], 1)
