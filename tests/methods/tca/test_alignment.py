"""Matched passages of copies whose cuts, speed and order are chosen here."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from tca_golden import arrays, largest_difference, needs_golden, sequences

from vidlang.core.segments import Segment
from vidlang.methods.tca import alignment
from vidlang.methods.tca.alignment import Match, matched_runs, temporal_network_score, to_segments

THRESHOLD = 0.8


def video(num_rows: int, seed: int = 0, background: float = 0.6) -> np.ndarray:
    """[T, 65] unit rows whose cosines lie near ``background``: unrelated frames that look a bit alike."""
    rows = np.random.default_rng(seed).standard_normal((num_rows, 64))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.hstack([np.full((num_rows, 1), background**0.5), (1 - background) ** 0.5 * rows])


def edited(rows: np.ndarray, seed: int = 9) -> np.ndarray:
    """Rows as another encoding shows them: cosine about .95 to the original."""
    noise = np.random.default_rng(seed).standard_normal(rows.shape) / rows.shape[1] ** 0.5
    rows = rows + 0.33 * noise
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def spans(query: np.ndarray, gallery: np.ndarray, **options) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    matches = matched_runs(query @ gallery.T, THRESHOLD, **options)
    return [(match.query_rows, match.gallery_rows) for match in matches]


def near(found, expected, rows: int = 1) -> bool:
    """Same number of matches, and each end right to so many rows."""
    return np.shape(found) == np.shape(expected) and np.abs(np.array(found) - np.array(expected)).max() <= rows


ORIGINAL, OTHER = video(120), video(80, seed=1)


def test_a_video_matches_itself_whole():
    assert spans(ORIGINAL, ORIGINAL) == [((0, 120), (0, 120))]
    assert matched_runs(ORIGINAL @ ORIGINAL.T, THRESHOLD)[0].similarity == pytest.approx(1.0, abs=1e-6)


def test_similarity_is_the_mean_along_the_path():
    similarity = np.full((4, 6), 0.1)
    similarity[[1, 2, 3], [2, 3, 4]] = [0.9, 0.95, 1.0]
    assert matched_runs(similarity, THRESHOLD, min_score=0.1) == [Match((1, 4), (2, 5), pytest.approx(0.95))]


@pytest.mark.parametrize("first", [0, 1, 57, 108])
def test_a_clip_is_found_where_it_lies(first):
    clip = edited(ORIGINAL[first : first + 12])
    assert spans(clip, ORIGINAL) == [((0, 12), (first, first + 12))]
    assert spans(ORIGINAL, clip) == [((first, first + 12), (0, 12))]


def test_a_clip_of_one_row_is_found():
    assert spans(edited(ORIGINAL[40:41]), ORIGINAL) == [((0, 1), (40, 41))]
    assert spans(ORIGINAL, edited(ORIGINAL[119:])) == [((119, 120), (0, 1))]


def test_one_equal_frame_is_no_match_between_longer_videos():
    stranger = OTHER.copy()
    stranger[10] = ORIGINAL[70]
    assert spans(stranger, ORIGINAL) == []
    assert spans(stranger, ORIGINAL, min_score=0.5) == [((10, 11), (70, 71))]


def test_a_hidden_clip_has_its_ends():
    query = np.vstack([OTHER[:30], edited(ORIGINAL[50:75]), OTHER[30:50]])
    assert near(spans(query, ORIGINAL), [((30, 55), (50, 75))])


def test_unrelated_videos_do_not_match():
    assert spans(OTHER, ORIGINAL) == []


def test_a_middle_cut_out_gives_two_matches():
    query = edited(np.vstack([ORIGINAL[:40], ORIGINAL[70:]]))
    assert near(spans(query, ORIGINAL), [((0, 40), (0, 40)), ((40, 90), (70, 120))])


@pytest.mark.parametrize("lost", [1, 2])
def test_lost_frames_do_not_break_a_match(lost):
    query = edited(np.vstack([ORIGINAL[:40], ORIGINAL[40 + lost :]]))
    assert spans(query, ORIGINAL) == [((0, 120 - lost), (0, 120))]


def test_a_few_foreign_frames_do_not_break_a_match():
    query = edited(ORIGINAL)
    query[50:54] = OTHER[:4]
    assert spans(query, ORIGINAL) == [((0, 120), (0, 120))]


def test_a_long_insertion_breaks_a_match():
    query = np.vstack([edited(ORIGINAL[:60]), OTHER[:20], edited(ORIGINAL[60:])])
    assert near(spans(query, ORIGINAL), [((0, 60), (0, 60)), ((80, 140), (60, 120))])


def test_black_frames_cost_no_more_than_foreign_ones():
    query = edited(ORIGINAL)
    query[50:54] = 0.0  # rows of weight 0: similarity 0 to everything
    assert spans(query, ORIGINAL) == [((0, 120), (0, 120))]


def test_a_compilation_gives_a_match_for_each_part():
    parts = [OTHER[:10], ORIGINAL[50:65], OTHER[10:20], ORIGINAL[5:12], OTHER[20:23], ORIGINAL[90:120]]
    found = spans(np.vstack(parts), ORIGINAL)
    assert found == [((10, 25), (50, 65)), ((35, 42), (5, 12)), ((45, 75), (90, 120))]


def test_a_passage_that_one_side_repeats_is_reported_once():
    looped = np.vstack([ORIGINAL[:20], OTHER[:30], ORIGINAL[:20]])
    assert spans(ORIGINAL[:20], looped) == [((0, 20), (0, 20))]


@pytest.mark.parametrize(
    ("rows", "gallery_rows"),
    [
        (np.arange(0, 120, 2), (0, 120)),  # twice as fast
        (np.arange(30, 90, 3), (30, 90)),  # three times
        (np.repeat(np.arange(20, 60), 2), (20, 60)),  # half as fast
        (np.repeat(np.arange(20, 60), 3), (20, 60)),  # a third
        (np.arange(20, 80, 1.5).astype(int), (20, 80)),
        (np.arange(20, 50, 0.75).astype(int), (20, 50)),
    ],
    ids=["2x", "3x", "1/2x", "1/3x", "1.5x", "3/4x"],
)
def test_other_speeds_are_followed(rows, gallery_rows):
    # the last row of a fast copy shows the first of the two or three it stands for
    assert near(spans(edited(ORIGINAL[rows]), ORIGINAL), [((0, len(rows)), gallery_rows)], rows=2)


def test_slower_playing_takes_every_repeated_row():
    query = edited(np.repeat(ORIGINAL[20:60], 3, axis=0))
    assert near(spans(query, ORIGINAL), [((0, 120), (20, 60))])
    assert near(spans(ORIGINAL, query), [((20, 60), (0, 120))])


def still_shots(num_rows: int, seed: int) -> np.ndarray:
    """Shots of two to eight rows whose cosine is about .99 within a shot and near .6 between shots."""
    rng = np.random.default_rng(seed)
    shots = np.repeat(video(num_rows, seed), rng.integers(2, 9, num_rows), axis=0)[:num_rows]
    rows = shots + 0.1 * rng.standard_normal(shots.shape) / shots.shape[1] ** 0.5
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("speed", [0.5, 0.75, 1.0, 1.5, 2.0])
def test_still_shots_do_not_blur_the_ends(seed, speed):
    gallery = still_shots(120, seed)
    rows = np.arange(20, 80, speed).astype(int)
    assert near(spans(edited(gallery[rows]), gallery), [((0, len(rows)), (20, 80))], rows=2 if speed < 1 else 1)


def test_max_ratio_bounds_the_speed():
    query = edited(ORIGINAL[::3])
    assert spans(query, ORIGINAL, max_ratio=2) == []
    assert len(spans(query, ORIGINAL, max_ratio=3)) == 1


def test_a_reversed_copy_is_no_run():
    assert spans(edited(ORIGINAL[::-1]), ORIGINAL) == []


def test_shuffled_parts_match_one_by_one():
    query = edited(np.vstack([ORIGINAL[80:120], ORIGINAL[:40], ORIGINAL[79:39:-1]]))
    assert near(spans(query, ORIGINAL), [((0, 40), (80, 120)), ((40, 80), (0, 40))])


def test_still_pictures_give_one_straight_match():
    still = np.ones((100, 150))
    assert matched_runs(still, THRESHOLD) == [Match((0, 100), (0, 100), 1.0)]
    assert matched_runs(still.T, THRESHOLD) == [Match((0, 100), (0, 100), 1.0)]


def test_a_still_passage_does_not_fragment_a_match():
    original = ORIGINAL.copy()
    original[30:90] = original[30]
    assert spans(edited(original, seed=3), edited(original, seed=4)) == [((0, 120), (0, 120))]


def test_max_matches_keeps_the_best():
    query = np.vstack([ORIGINAL[:10], OTHER[:20], ORIGINAL[60:100], OTHER[20:40], ORIGINAL[20:40]])
    assert spans(query, ORIGINAL, max_matches=2) == [((30, 70), (60, 100)), ((90, 110), (20, 40))]
    assert spans(query, ORIGINAL, max_matches=0) == []


def test_matches_share_no_row():
    similarity = np.random.default_rng(0).uniform(0, 1, (60, 50))
    matches = matched_runs(similarity, 0.9, min_score=0.5, max_matches=20)
    assert len(matches) >= 3
    for first, second in itertools.combinations(matches, 2):
        assert first.query_rows[1] <= second.query_rows[0]
        apart = (first.gallery_rows[1] <= second.gallery_rows[0], second.gallery_rows[1] <= first.gallery_rows[0])
        assert any(apart)


def plain_best(gains: np.ndarray) -> float:
    """Every path of every start, by recursion."""

    def onward(i: int, j: int) -> float:
        sums = [0.0]
        for di, dj in itertools.product((1, 2, 3), repeat=2):
            if i + di < gains.shape[0] and j + dj < gains.shape[1]:
                sums.append(onward(i + di, j + dj) - alignment.SKIP_PENALTY * (di + dj - 2))
        return gains[i, j] + max(sums)

    return max(onward(i, j) for i in range(gains.shape[0]) for j in range(gains.shape[1]))


@pytest.mark.parametrize("seed", range(20))
def test_the_best_path_equals_the_exhaustive_search(seed, monkeypatch):
    monkeypatch.setattr(alignment, "MAX_DROP", np.inf)
    rng = np.random.default_rng(seed)
    similarity = rng.uniform(0, 1, rng.integers(3, 9, 2)).astype(np.float32)
    gains = np.maximum((similarity - 0.7) / 0.3, -1)
    score, cells = alignment._align(similarity, 0.7, alignment._steps(3))
    assert score == pytest.approx(plain_best(gains), abs=1e-5)
    advance = np.diff(cells, axis=0)
    assert ((advance >= 1) & (advance <= 3)).all()
    assert gains[tuple(cells.T)].sum() - alignment.SKIP_PENALTY * (advance - 1).sum() == pytest.approx(score, abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_no_path_falls_further_than_allowed(seed):
    similarity = np.random.default_rng(seed).uniform(0, 1, (40, 60)).astype(np.float32)
    _, cells = alignment._align(similarity, 0.5, alignment._steps(3))
    gains = np.maximum((similarity[tuple(cells.T)] - 0.5) / 0.5, -1)
    costs = alignment.SKIP_PENALTY * np.concatenate([[0], (np.diff(cells, axis=0) - 1).sum(1)])
    sums = np.cumsum(gains - costs)
    assert (np.maximum.accumulate(sums) - sums).max() <= alignment.MAX_DROP + 1e-5


@pytest.mark.parametrize("speed", [1, 2])
def test_matches_that_continue_one_another_are_joined(speed):
    rows = np.arange(20)
    first, second = (np.stack([part, speed * part], axis=1) for part in (rows[:9], rows[11:]))
    similarity = np.ones((20, 60), dtype=np.float32)
    assert [m.query_rows for m in alignment._as_matches(similarity, 1.0, [second, first])] == [(0, 20)]
    later = second + np.array([3, 3 * speed])
    assert not alignment._continues(first, later)
    assert not alignment._continues(first, second + np.array([0, 5]))
    assert not alignment._continues(first, np.stack([rows[11:], 3 * speed * rows[11:] - 20 * speed], axis=1))
    assert not alignment._continues(second, first)


def test_an_hour_against_an_hour_takes_seconds():
    similarity = np.full((3600, 3600), 0.6, dtype=np.float32)
    similarity[np.arange(1000, 1600), np.arange(200, 800)] = 0.95
    similarity[:, 3000] = 0.9  # so that no row is ruled out beforehand
    begin = time.process_time()
    assert [m.query_rows for m in matched_runs(similarity, THRESHOLD)] == [(1000, 1600)]
    assert time.process_time() - begin < 30  # about 2


@pytest.mark.parametrize(
    ("similarity", "threshold", "options", "words"),
    [
        (np.ones(3), 0.8, {}, r"matrix \[n, m\]"),
        (np.ones((0, 3)), 0.8, {}, "at least one row"),
        (np.full((2, 2), np.nan), 0.8, {}, "not finite"),
        (np.ones((2, 2)), 1.0, {}, "threshold"),
        (np.ones((2, 2)), 0.8, {"max_ratio": 4}, "max_ratio"),
    ],
)
def test_what_cannot_be_aligned_is_refused(similarity, threshold, options, words):
    with pytest.raises(ValueError, match=words):
        matched_runs(similarity, threshold, **options)


def test_rows_become_seconds():
    query_seconds = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 2.5]])
    gallery_seconds = np.array([[10.0, 12.0], [12.0, 14.0]])
    found = to_segments([Match((1, 3), (0, 1), 0.9)], query_seconds, gallery_seconds)
    assert found == ((Segment(1.0, 2.5), Segment(10.0, 12.0)),)
    assert to_segments([], query_seconds, gallery_seconds) == ()


@needs_golden
def test_the_temporal_network_scores_as_published():
    stored = arrays("similarity")
    clips = sequences(stored, "frames")
    ours = [[temporal_network_score(query @ target.T) for target in clips] for query in clips]
    assert largest_difference(ours, stored["tn_score"]) <= 1e-5


def plain_temporal_network(similarity: np.ndarray, top_k: int, min_similarity: float, max_step: int) -> float:
    """Nodes and edges one by one; the heaviest path of edges, then the sum over its nodes."""
    nodes = [(-1, -1)]
    for i, row in enumerate(similarity):
        nodes += [(i, int(j)) for j in np.argsort(-row)[:top_k] if row[j] >= min_similarity]
    best = [(0.0, [0])]
    for number, (i, j) in enumerate(nodes[1:], start=1):
        before = [
            best[k] for k in range(number) if 1 <= i - nodes[k][0] <= max_step and 1 <= j - nodes[k][1] <= max_step
        ]
        weight, path = max(before, key=lambda known: known[0], default=(-similarity[i, j], []))
        best.append((weight + similarity[i, j], [*path, number]))
    _, path = max(best, key=lambda known: known[0])
    return sum(similarity[nodes[number]] for number in path if number)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (30, 40), (50, 20)])
@pytest.mark.parametrize("options", [(3, 0.35, 10), (1, 0.9, 4), (100, 0.6, 2)])
def test_the_temporal_network_equals_the_plain_one(shape, options):
    similarity = np.random.default_rng(sum(shape)).uniform(0, 1, shape)
    assert temporal_network_score(similarity, *options) == pytest.approx(plain_temporal_network(similarity, *options))


def test_a_chain_far_from_the_source_still_counts_its_first_node():
    similarity = np.zeros((40, 40))
    similarity[[20, 21, 22], [30, 31, 32]] = 0.5
    assert temporal_network_score(similarity, top_k=1) == pytest.approx(1.5)
    assert temporal_network_score(np.zeros((5, 5))) == 0.0
    assert temporal_network_score(np.zeros((0, 5))) == 0.0


def drifting(num_rows: int, seed: int) -> np.ndarray:
    """[T, 32] unit rows of a camera that moves: neighbours are alike, rows ten apart are not."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(num_rows + 6, 32))
    rows = np.stack([noise[t : t + 6].sum(axis=0) for t in range(num_rows)])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(6))
def test_a_cut_that_a_path_could_bridge_ends_one_match_and_begins_another(seed):
    rows = drifting(50, seed)
    copy = np.concatenate([rows[:20], rows[25:]])
    first, second = matched_runs(rows @ copy.T, threshold=0.6)
    for match, query, gallery in ((first, (0, 20), (0, 20)), (second, (25, 50), (20, 45))):
        np.testing.assert_allclose((*match.query_rows, *match.gallery_rows), (*query, *gallery), atol=1)


@pytest.mark.parametrize("seed", range(6))
def test_a_moving_camera_without_a_cut_is_one_match(seed):
    rows = drifting(50, seed)
    (match,) = matched_runs(rows @ rows[5:].T, threshold=0.6)
    assert (match.query_rows, match.gallery_rows) == ((5, 50), (0, 45))


@pytest.mark.parametrize("seed", range(6))
def test_a_moving_camera_at_half_speed_is_one_match(seed):
    rows = drifting(40, seed)
    (match,) = matched_runs(rows @ rows.repeat(2, axis=0).T, threshold=0.6)
    np.testing.assert_allclose((*match.query_rows, *match.gallery_rows), (0, 40, 0, 80), atol=1)
