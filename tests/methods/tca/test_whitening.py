"""Whitening of rows whose mean and spread are chosen here, and of the recorded ones."""

from __future__ import annotations

import io

import numpy as np
import pytest
from tca_golden import arrays, largest_difference, needs_golden

from vidlang.core.errors import BadInput
from vidlang.methods.tca import whitening
from vidlang.methods.tca.whitening import Whitening, WhiteningFit, fit, fit_within_groups

DEVIATIONS = np.array([5.0, 3.0, 2.0, 1.0, 0.5, 0.1])


def spread_rows(num_rows: int = 4000, seed: int = 0) -> np.ndarray:
    """[N, 6] float32 rows with the mean 7 and DEVIATIONS along turned axes."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    return (rng.standard_normal((num_rows, 6)) * DEVIATIONS @ turn.T + 7).astype(np.float32)


def same(first: Whitening, second: Whitening, rows: np.ndarray, tolerance: float = 1e-5) -> bool:
    assert first.kind == second.kind
    return largest_difference(first.apply(rows), second.apply(rows)) <= tolerance


def test_whitened_training_rows_have_variance_one_before_they_are_normalised():
    rows = spread_rows()
    done = fit(rows)
    assert done.variances == pytest.approx(DEVIATIONS**2, rel=0.1)
    centred = rows - rows.mean(0, dtype=np.float64)
    whitened = centred @ done.components / np.sqrt(done.variances)
    assert np.cov(whitened.T) == pytest.approx(np.eye(6), abs=1e-4)
    lengths = np.linalg.norm(whitened, axis=1, keepdims=True)
    assert largest_difference(done.apply(rows), whitened / lengths) <= 1e-5


def test_without_division_rows_keep_their_shape():
    rows = spread_rows(100)
    turned = fit(rows).apply(rows, divide=False)
    centred = fit(rows, kind="center").apply(rows)
    assert largest_difference(turned @ turned.T, centred @ centred.T) <= 1e-5


def test_rows_come_out_with_length_one():
    rows = spread_rows(50)
    for kind in ("none", "center", "whiten"):
        done = fit(rows, kind=kind).apply(rows)
        assert done.dtype == np.float32
        assert np.linalg.norm(done, axis=1) == pytest.approx(np.ones(50), abs=1e-6)


def test_the_mean_row_becomes_zero_and_not_nan():
    rows = np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 1.0], [2.0, -1.0]], dtype=np.float32)
    assert (fit(rows).apply(np.array([[2.0, 0.0]])) == 0).all()


def test_center_only_subtracts_the_mean():
    rows = np.array([[3.0, 1.0], [1.0, 1.0]], dtype=np.float32)
    assert fit(rows, kind="center").apply(rows).tolist() == [[1.0, 0.0], [-1.0, 0.0]]
    assert fit(rows, kind="none").apply(3 * rows) == pytest.approx(rows / np.linalg.norm(rows, axis=1)[:, None])


@pytest.mark.parametrize("num_components", [1, 3, 6])
def test_components_are_the_largest_in_falling_order(num_components):
    done = fit(spread_rows(), num_components)
    assert done.components.shape == (6, num_components)
    assert done.width_out == num_components
    assert (np.diff(done.variances) < 0).all()
    assert np.sqrt(done.variances) == pytest.approx(DEVIATIONS[:num_components], rel=0.05)


def test_the_published_order_is_rising_and_uncut_where_all_are_kept():
    rows = spread_rows()
    assert (np.diff(fit(rows, 5, order="published").variances) < 0).all()
    for count in (6, 7, None):
        whole = fit(rows, count, order="published")
        assert whole.components.shape == (6, 6)
        assert (np.diff(whole.variances) > 0).all()
    few = fit(rows[:4], 9, order="published")
    assert few.components.shape == (6, 4)  # min(N, D); the first is the direction of no variance
    assert few.variances[0] == np.float32(whitening.LEAST_VARIANCE)


def test_few_rows_give_the_same_subspace_by_the_gram_matrix():
    rows, others = np.random.default_rng(1).standard_normal((2, 12, 40)).astype(np.float32)
    sums = WhiteningFit()
    sums.update(rows)
    for order in ("descending", "published"):
        assert same(fit(rows, 5, order=order), sums.finish(5, order=order), others, 1e-4)
    kept = fit(rows)
    assert kept.components.shape == (40, 11)  # twelve rows less their mean span eleven directions
    assert np.linalg.norm(kept.components, axis=0) == pytest.approx(np.ones(11), abs=1e-5)


@pytest.mark.parametrize("sizes", [[4000], [1, 3999], [1, 1, 1, 3997], [0, 2000, 0, 2000], [1000] * 4])
def test_blocks_add_up_to_the_direct_fit(sizes):
    rows = spread_rows()
    sums = WhiteningFit()
    for block in np.split(rows, np.cumsum(sizes)[:-1]):
        sums.update(block)
    exact = np.cov(rows.astype(np.float64).T)
    done = sums.finish(4)
    assert sums.num_rows == 4000
    assert done.mu == pytest.approx(rows.mean(0, dtype=np.float64), rel=1e-6)
    assert done.variances == pytest.approx(np.linalg.eigvalsh(exact)[::-1][:4], rel=1e-5)
    assert same(done, fit(rows, 4), rows)
    assert same(sums.finish(kind="center"), fit(rows, kind="center"), rows)


def test_a_mean_far_from_zero_costs_no_precision():
    rows = spread_rows().astype(np.float64) + 1e4
    sums = WhiteningFit()
    for block in np.split(rows, 40):
        sums.update(block)
    assert sums.finish().variances == pytest.approx(np.linalg.eigvalsh(np.cov(rows.T))[::-1], rel=1e-6)


def test_directions_without_variance_are_left_out():
    rows = spread_rows(100) * np.array([1, 1, 1, 0, 0, 0], dtype=np.float32)
    assert fit(rows).components.shape == (6, 3)
    assert fit(rows, 5).variances[3:] == pytest.approx([1e-9, 1e-9])


def test_many_rows_are_whitened_in_blocks(monkeypatch):
    rows = spread_rows(100)
    done = fit(rows, 4)
    whole = done.apply(rows)
    monkeypatch.setattr(whitening, "_BLOCK", 7)
    assert largest_difference(done.apply(rows), whole) <= 1e-6
    assert done.apply(rows[:0]).shape == (0, 4)
    assert same(fit(rows, 4), done, rows)


@pytest.mark.parametrize("kind", ["none", "center", "whiten"])
def test_a_file_gives_back_the_same_rows(kind):
    rows = spread_rows(100)
    done = fit(rows, 4 if kind == "whiten" else None, kind=kind)
    stored = done.to_npz_arrays()
    count = 4 if kind == "whiten" else 0
    shapes = {name: array.shape for name, array in stored.items()}
    assert shapes == {"U": (6, count), "lams": (count,), "mu": (6, 1), "Utmu": (count, 1)}
    assert {array.dtype for array in stored.values()} == {np.dtype(np.float32)}
    file = io.BytesIO()
    np.savez(file, **stored)
    file.seek(0)
    read = Whitening.from_npz_arrays(np.load(file, allow_pickle=False))
    assert read.kind == kind
    assert np.array_equal(read.apply(rows), done.apply(rows))


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("U", lambda array: array[:, 0], r"U of a whitening file is \(D, k\)"),
        ("U", lambda array: array[:5], "mu of the whitening file"),
        ("lams", lambda array: array[:3], "lams of the whitening file"),
        ("lams", lambda array: 0 * array, "variances of 0"),
        ("mu", lambda array: array[:, 0], "mu of the whitening file"),
        ("mu", lambda array: array * np.nan, "not finite"),
        ("mu", lambda array: array.astype(str), "not numbers"),
        ("Utmu", lambda array: array.T, "Utmu of the whitening file"),
        ("Utmu", None, "lacks Utmu"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(name, change, words):
    stored = dict(fit(spread_rows(100), 4).to_npz_arrays())
    if change is None:
        del stored[name]
    else:
        stored[name] = change(stored[name])
    with pytest.raises(BadInput, match=words):
        Whitening.from_npz_arrays(stored)


def test_what_cannot_be_fitted_is_refused():
    rows = spread_rows(5)
    for count in (0, 5):
        with pytest.raises(BadInput, match="have 1 to 4 components"):
            fit(rows, count)
    for few in (rows[:1], rows[:0]):
        with pytest.raises(BadInput, match="at least 2 rows"):
            fit(few)
    with pytest.raises(BadInput, match="do not vary"):
        fit(np.ones((9, 3)))
    with pytest.raises(BadInput, match="no rows"):
        WhiteningFit().finish(kind="center")
    with pytest.raises(ValueError, match="matrix"):
        fit(rows[0])
    with pytest.raises(ValueError, match="not finite"):
        fit(rows * np.nan)
    sums = WhiteningFit()
    sums.update(rows)
    with pytest.raises(ValueError, match="width 4 follow rows of width 6"):
        sums.update(rows[:, :4])
    with pytest.raises(BadInput, match="for rows of width 6"):
        fit(rows).apply(rows[:, :4])


@needs_golden
@pytest.mark.parametrize("tag", ["primal", "dual"])
def test_the_recorded_components_are_reached(tag):
    stored = arrays("pca")
    done = fit(stored[f"train_{tag}"], stored[f"{tag}_lams"].size)
    assert done.variances == pytest.approx(stored[f"{tag}_lams"], rel=1e-4)
    assert done.mu == pytest.approx(stored[f"{tag}_mu"][:, 0], abs=1e-6)
    for name, divide in (("whiten", True), ("nowhiten", False)):
        ours = done.apply(stored["test"], divide=divide)
        theirs = stored[f"{tag}_{name}_out"]
        assert largest_difference(ours @ ours.T, stored[f"{tag}_{name}_gram"]) <= 1e-4
        assert largest_difference(ours * np.sign((ours * theirs).sum(0)), theirs) <= 1e-3


@needs_golden
@pytest.mark.parametrize("tag", ["primal", "dual"])
def test_the_recorded_file_is_applied_as_published(tag):
    stored = arrays("pca")
    file = {name: stored[f"{tag}_{name}"] for name in ("U", "lams", "mu", "Utmu")}
    read = Whitening.from_npz_arrays(file)
    assert largest_difference(read.apply(stored["test"]), stored[f"{tag}_whiten_out"]) <= 1e-5
    assert largest_difference(read.apply(stored["test"], divide=False), stored[f"{tag}_nowhiten_out"]) <= 1e-5
    for name, array in read.to_npz_arrays().items():
        assert largest_difference(array, file[name]) <= 1e-6


def test_a_direction_that_edits_change_counts_little_after_whitening_by_groups():
    """Groups differ along x, their members along y, ten times as far."""
    random = np.random.default_rng(3)
    groups = []
    for place in np.linspace(-1, 1, 20):
        vectors = np.zeros((4, 3))
        vectors[:, 0] = place
        vectors[:, 1] = random.normal(0, 10, 4)
        groups.append(vectors)
    whitening = fit_within_groups(groups, np.zeros(3))

    def cosine(a, b):
        one, other = whitening.apply(np.array([a, b]))
        return float(one @ other)

    same, different = ([0.8, 9.0, 0.0], [0.8, -6.0, 0.0]), ([0.8, 5.0, 0.0], [-0.8, 5.0, 0.0])
    assert np.dot(*same) < 0 < np.dot(*different)
    assert cosine(*same) > 0.5
    assert cosine(*different) < 0.0


def test_whitening_by_groups_gives_unit_variance_within_them():
    random = np.random.default_rng(4)
    groups = [random.normal(size=5) + random.normal(size=(6, 5)) * [1, 2, 3, 4, 5] for _ in range(400)]
    whitening = fit_within_groups(groups, np.zeros(5), shrinkage=0.0)
    matrix = whitening.components / np.sqrt(whitening.variances)
    within = np.concatenate([(group - group.mean(axis=0)) @ matrix for group in groups])
    np.testing.assert_allclose(within.T @ within / (400 * 5), np.eye(5), atol=1e-5)


def test_whitening_by_groups_needs_a_group_that_differs():
    for groups in ([], [np.ones((1, 3))], [np.ones((2, 3))]):
        with pytest.raises(BadInput, match="videos that show the same and differ"):
            fit_within_groups(groups, np.zeros(3))
