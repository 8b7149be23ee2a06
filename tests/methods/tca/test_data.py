"""Windows, edits and negatives; what an epoch draws."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from tca_golden import needs_golden, results
from tca_small import WIDTH, small, small_set, video

from vidlang.core.errors import BadInput
from vidlang.methods.tca.config import preset
from vidlang.methods.tca.data import (
    TrainingSet,
    at_speed,
    edited,
    epoch_batches,
    epoch_random,
    pad_or_crop,
    put_into,
    window,
    with_gaps,
    without_middle,
)


def numbered(length: int, first: int = 1) -> np.ndarray:
    """[length, 2] rows (n, n), n from ``first`` on."""
    return np.repeat(np.arange(first, first + length, dtype=np.float32)[:, None], 2, axis=1)


def numbers(rows: np.ndarray) -> list[int]:
    return [int(row[0]) for row in rows]


@needs_golden
def test_recorded_windows_are_reached():
    for case in results()["pad_or_crop"]:
        random, starts = np.random.default_rng(0), set()
        for _ in range(2000):
            rows = pad_or_crop(numbered(case["length"]), case["new_size"], random, starts="published")
            starts.add(numbers(rows)[0] - 1)
        assert rows.shape == (case["new_size"], 2)
        assert (min(starts), max(starts)) == (case["starts_seen_min"], case["starts_seen_max"])
        assert int((rows == 0).all(1).sum()) == case["pad_rows"]


@pytest.mark.parametrize(("starts", "expected"), [("all", {1, 2, 3}), ("published", {1, 2})])
def test_crops_are_runs_and_the_published_ones_never_reach_the_end(starts, expected):
    random = np.random.default_rng(0)
    crops = [numbers(pad_or_crop(numbered(5), 3, random, starts=starts)) for _ in range(100)]
    assert {crop[0] for crop in crops} == expected
    assert all(crop == [crop[0], crop[0] + 1, crop[0] + 2] for crop in crops)


def test_short_videos_are_padded_behind():
    assert numbers(pad_or_crop(numbered(2), 4, np.random.default_rng(0))) == [1, 2, 0, 0]
    assert numbers(window(numbered(2), 4, np.random.default_rng(0))) == [1, 2]


def test_sampling_draws_with_repetition_and_leaves_short_videos_alone():
    random = np.random.default_rng(0)
    draws = [numbers(window(numbered(5), 4, random, "sample")) for _ in range(50)]
    assert any(len(set(draw)) < 4 for draw in draws)
    assert any(draw != sorted(draw) for draw in draws)
    assert numbers(window(numbered(4), 4, random, "sample")) == [1, 2, 3, 4]


def test_edits_by_hand():
    rows = numbered(6)
    assert numbers(at_speed(rows, 2.0)) == [1, 3, 5]
    assert numbers(at_speed(rows, 0.5)) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    assert numbers(at_speed(numbered(1), 2.0)) == [1]
    assert numbers(without_middle(rows, 0.5, 0.0)) == [1, 5, 6]
    assert numbers(without_middle(rows, 0.5, 0.999)) == [1, 2, 6]
    assert numbers(without_middle(numbered(2), 0.9, 0.5)) == [1, 2]
    assert numbers(with_gaps(rows, 1.0, np.random.default_rng(0))) == [1, 2, 3, 4, 5, 6]
    assert len(with_gaps(rows, 0.0, np.random.default_rng(0))) == 1


def test_a_video_put_into_another_stays_in_one_piece():
    random = np.random.default_rng(0)
    for _ in range(50):
        mixed = numbers(put_into(numbered(6), numbered(30, first=101), 0.5, random))
        assert len(mixed) == 12
        own = [index for index, number in enumerate(mixed) if number < 100]
        assert [mixed[index] for index in own] == [1, 2, 3, 4, 5, 6]
        assert own == list(range(own[0], own[0] + 6))
        around = [number for number in mixed if number > 100]
        assert around == list(range(around[0], around[0] + 6))


def test_edited_copies_are_never_empty_and_mostly_changed():
    random = np.random.default_rng(0)
    for length in (1, 2, 9):
        copies = [edited(numbered(length), lambda: numbered(1, first=101), random) for _ in range(200)]
        assert all(len(copy) >= 1 and copy.shape[1] == 2 for copy in copies)
        assert all(any(number < 100 for number in numbers(copy)) for copy in copies)
    assert sum(numbers(copy) != numbers(numbered(9)) for copy in copies) > 150


def test_negatives_never_show_what_the_anchor_shows():
    videos = small_set(num=4, distractors=None)  # all videos, so copies and anchors too
    random = np.random.default_rng(0)
    for anchor in range(4):
        drawn = {int(index) for _ in range(50) for index in videos.negatives(anchor, 6, random)}
        assert drawn == set(range(12)) - {anchor, anchor + 4}


def test_negatives_repeat_only_where_there_are_too_few():
    videos = small_set(num=4)  # 4 distractors
    random = np.random.default_rng(0)
    assert all(len(set(videos.negatives(0, 4, random).tolist())) == 4 for _ in range(20))
    assert Counter(len(videos.negatives(0, 9, random)) for _ in range(5)) == {9: 5}


def test_videos_that_pairs_connect_are_one_group():
    rows = [video(3, seed=i) for i in range(6)]
    videos = TrainingSet(rows, [(4, 2), (2, 0), (1, 5)])
    batch = videos.batch([0, 1, 2], small(), np.random.default_rng(0))
    assert batch.anchor_groups.tolist() == [0, 0, 1]


def test_an_epoch_of_full_batches():
    config = small(batch_size=4)
    batches = epoch_batches(10, config, np.random.default_rng(0))
    assert [len(batch) for batch in batches] == [4, 4, 4]
    assert sorted([pair for batch in batches for pair in batch][:10]) == list(range(10))
    dropped = epoch_batches(10, small(batch_size=4, drop_last=True), np.random.default_rng(0))
    assert [len(batch) for batch in dropped] == [4, 4]
    assert len({pair for batch in dropped for pair in batch}) == 8
    few = epoch_batches(1, small(batch_size=4, min_batches=3), np.random.default_rng(0))
    assert few == [[0] * 4] * 3
    assert len(epoch_batches(5612, preset("code"), epoch_random(0, 0))) == 87  # steps of a published epoch


def test_draws_depend_on_seed_and_epoch_alone():
    first, again = (epoch_random(3, 5).random(4).tolist() for _ in range(2))
    assert first == again
    assert first != epoch_random(3, 6).random(4).tolist()
    assert first != epoch_random(4, 5).random(4).tolist()
    assert epoch_random(-1, 0).random() != epoch_random(1, 0).random()


def test_a_batch_holds_windows_of_its_pairs():
    videos = small_set(num=4)
    config = small(temporal_edits=False, window=5)
    batch = videos.batch([2, 0], config, np.random.default_rng(0))
    assert batch.anchors.shape == (2, 5, WIDTH)
    assert batch.negatives.shape == (4, 5, WIDTH)
    assert batch.anchor_lengths.tolist() == [5, 3]  # video 2 has 7 rows, video 0 has 3
    starts = [torch.equal(batch.anchors[0], torch.from_numpy(videos.rows[2][first : first + 5])) for first in range(3)]
    assert sum(starts) == 1
    assert torch.equal(batch.positives[1, :3], torch.from_numpy(videos.rows[4]))
    assert not batch.positives[1, 3:].any()


def test_a_video_beside_itself_shares_the_window():
    rows = [video(30, seed=1), video(4, seed=2)]
    videos = TrainingSet(rows, [(0, 0)])
    batch = videos.batch([0] * 4, small(temporal_edits=False), np.random.default_rng(0))
    assert torch.equal(batch.anchors, batch.positives)
    changed = videos.batch([0] * 4, small(), np.random.default_rng(0))
    assert not torch.equal(changed.anchors, changed.positives)


def test_baselines_get_windows_padded_to_full_length():
    batch = small_set().batch([0], small(encoder="gru", batch_size=1, bank_size=0), np.random.default_rng(0))
    assert batch.anchors.shape[1] == 8


def test_rows_are_read_when_asked_for_and_once_per_batch():
    class Lazy:
        asked: list[int] = []  # noqa: RUF012

        def __len__(self) -> int:
            return 12

        def __getitem__(self, index: int) -> np.ndarray:
            self.asked.append(index)
            return video(5, seed=index)

    videos = TrainingSet(Lazy(), [(0, 1), (2, 3)], range(4, 12))
    assert Lazy.asked == []
    videos.batch([0, 1, 0, 1], small(temporal_edits=False), np.random.default_rng(0))
    used = [index for index, count in Counter(Lazy.asked).items() for _ in range(count) if index > 0]
    assert len(used) == len(set(used))
    assert set(used) >= {1, 2, 3}


def test_sets_that_cannot_train_are_refused():
    rows = [video(3, seed=i) for i in range(3)]
    with pytest.raises(BadInput, match="no pairs to train on"):
        TrainingSet(rows, [])
    with pytest.raises(BadInput, match="no other video to be told from"):
        TrainingSet(rows[:2], [(0, 1)])
    with pytest.raises(BadInput, match="no other video to be told from"):
        TrainingSet(rows, [(0, 1)], distractors=[])
    with pytest.raises(ValueError, match="pairs must be indices of the 3 videos"):
        TrainingSet(rows, [(0, 3)])
    with pytest.raises(ValueError, match="both videos of a pair must be of one group"):
        TrainingSet(rows, [(0, 1)], groups=[0, 1, 2])
    with pytest.raises(BadInput, match=r"One batch needs 4 pairs, got 3\. Lower batch_size"):
        epoch_batches(3, small(drop_last=True), np.random.default_rng(0))
    with pytest.raises(BadInput, match="video 1 of 3 has no feature rows"):
        TrainingSet([rows[0], rows[1][:0], rows[2]], [(0, 1)]).batch([0], small(), np.random.default_rng(0))
    with pytest.raises(BadInput, match="features of dimension 4, expected 16"):
        TrainingSet([rows[0], video(3, width=4), rows[2]], [(0, 1)]).batch([0], small(), np.random.default_rng(0))
