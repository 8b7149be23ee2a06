"""From labelled features to batches."""

from __future__ import annotations

import numpy as np
import pytest
from vadclip_small import CLASSES, small, video

from vidlang.core.errors import BadInput
from vidlang.methods.vadclip.data import default_prompts, epoch_batches, join_normal, label_row, training_set


def kinds(num_normal: int, num_abnormal: int) -> np.ndarray:
    return np.array([[1.0, 0.0]] * num_normal + [[0.0, 1.0]] * num_abnormal, dtype=np.float32)


def test_long_videos_are_pooled_once_and_short_ones_kept():
    videos = training_set([("a", video(30), ["Normal"]), ("b", video(3), ["Fighting"])], CLASSES, small())
    assert [len(v) for v in videos.videos] == [12, 3]
    assert videos.labels.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert videos.prompts == ("normal", "fighting", "car accident")


def test_each_crop_is_a_sample_of_its_own():
    ten = np.stack([video(4, seed=k) for k in range(10)])
    videos = training_set([("a", ten, ["Fighting"]), ("b", video(4), ["Normal"])], CLASSES, small())
    assert len(videos) == 11
    assert videos.labels[:10, 1].sum() == 10


def test_unknown_label_is_an_error_and_not_a_row_of_zeros():
    with pytest.raises(BadInput, match=r"v\.mp4 is labelled 'Fihgting', which is not one of Normal, Fighting"):
        label_row("v.mp4", ["Fihgting"], CLASSES, multi_label=False)


@pytest.mark.parametrize(
    ("names", "multi_label", "message"),
    [
        ([], False, "has no label"),
        (["Fighting", "CarAccident"], False, "train with multi_label"),
        (["Normal", "Fighting"], True, "a normal video shows nothing else"),
    ],
)
def test_labels_that_contradict_are_refused(names, multi_label, message):
    with pytest.raises(BadInput, match=message):
        label_row("v.mp4", names, CLASSES, multi_label)


def test_several_classes_are_ones_in_one_row():
    assert label_row("v", ["CarAccident", "Fighting"], CLASSES, multi_label=True).tolist() == [0, 1, 1]


def test_seven_classes_are_not_taken_for_multi_label():
    names = ["normal", *"abcdef"]
    with pytest.raises(BadInput, match="train with multi_label"):
        training_set([("v", video(3), ["a", "b"])], names, small(multi_label=False))


def test_features_of_two_encoders_are_refused():
    with pytest.raises(BadInput, match="b has features of dimension 16, expected 32"):
        training_set([("a", video(3), ["Normal"]), ("b", video(3, dim=16), ["Fighting"])], CLASSES, small())


@pytest.mark.parametrize("values", [np.zeros((0, 32), np.float32), np.full((2, 32), np.nan, np.float32)])
def test_features_that_cannot_be_read_are_refused(values):
    with pytest.raises(BadInput, match=r"empty\.mp4 has"):
        training_set([("empty.mp4", values, ["Normal"])], CLASSES, small())


def test_no_videos_or_one_class_is_refused():
    with pytest.raises(BadInput, match="no labelled videos"):
        training_set([], CLASSES, small())
    with pytest.raises(BadInput, match="two or more different classes"):
        training_set([("a", video(3), ["Normal"])], ["Normal"], small())


def test_prompts_are_words_and_published_classes_have_theirs():
    assert default_prompts(["NoEvent", "RoadRage", "car_accident", "fall-down"]) == {
        "NoEvent": "normal",
        "RoadRage": "road rage",
        "car_accident": "car accident",
        "fall-down": "fall down",
    }
    assert default_prompts(["A", "B1", "B2", "B4", "B5", "B6", "G"])["B6"] == "car accident"


def test_balanced_batches_hold_normal_videos_first_and_as_many_abnormal():
    labels = kinds(9, 5)
    batches = epoch_batches(labels, small(batch_size=4, epoch_length="shorter", drop_last=True), epoch=0)
    assert [len(batch) for batch in batches] == [8]
    assert [labels[row, 0] for row in batches[0]] == [1] * 4 + [0] * 4


def test_longer_epochs_show_every_video_and_repeat_the_rarer_kind():
    batches = epoch_batches(kinds(9, 2), small(batch_size=4, epoch_length="longer", drop_last=False), epoch=0)
    rows = [row for batch in batches for row in batch]
    assert sorted(row for row in rows if row < 9) == list(range(9))
    assert {rows.count(9), rows.count(10)} == {4, 5}


def test_few_videos_come_several_times_until_the_epoch_is_long_enough():
    batches = epoch_batches(kinds(3, 2), small(batch_size=4, min_batches=3), epoch=0)
    assert [len(batch) for batch in batches] == [8, 8, 8]
    rows = [row for batch in batches for row in batch]
    assert [rows.count(row) for row in range(5)] == [4, 4, 4, 6, 6]


def test_plain_batches_are_one_shuffle_with_the_rest_kept():
    batches = epoch_batches(kinds(6, 5), small("xd-violence", batch_size=4), epoch=0)
    assert [len(batch) for batch in batches] == [4, 4, 3]
    assert sorted(row for batch in batches for row in batch) == list(range(11))


def test_shuffles_depend_on_seed_and_epoch_alone():
    labels, config = kinds(20, 20), small()
    assert epoch_batches(labels, config, 3) == epoch_batches(labels, config, 3)
    assert epoch_batches(labels, config, 3) != epoch_batches(labels, config, 4)
    assert epoch_batches(labels, config, 3) != epoch_batches(labels, small(seed=1), 3)


def test_too_few_videos_for_a_batch_are_named():
    with pytest.raises(BadInput, match="at least 64 normal and 64 abnormal videos, got 9 and 5"):
        epoch_batches(kinds(9, 5), small("ucf-crime", batch_size=64), 0)
    with pytest.raises(BadInput, match="at least 1 normal and 1 abnormal videos, got 9 and 0"):
        epoch_batches(kinds(9, 0), small("custom"), 0)


def test_joined_videos_keep_their_label_and_get_normal_company():
    config = small(join=3, visual_length=12)
    rows = [(f"n{i}", video(2 + i, seed=i), ["Normal"]) for i in range(3)]
    videos = training_set([*rows, ("f", video(4), ["Fighting"])], CLASSES, config)
    batches = [[0, 1, 3], [2, 3, 3]] * 10
    samples = [sample for batch in join_normal(batches, videos, config, epoch=0) for sample in batch]
    assert [sample.labelled for sample in samples] == [row for batch in batches for row in batch]
    assert {len(sample.rows) for sample in samples} > {1, 2}
    for sample in samples:
        company = list(sample.rows)
        company.remove(sample.labelled)
        assert 3 not in company
        assert len(company) <= 3
        assert sum(len(videos.videos[row]) for row in sample.rows) <= 12
    fights = [sample.rows.index(3) for sample in samples if sample.labelled == 3]
    assert len(set(fights)) > 1  # not always at the same place
    features, lengths, labels = videos.batch(samples[:2], None)
    assert (
        features.shape[1] == int(lengths.max()) == max(sum(len(videos.videos[r]) for r in s.rows) for s in samples[:2])
    )
    assert labels.tolist() == videos.labels[[s.labelled for s in samples[:2]]].tolist()


def test_without_join_each_video_stands_alone():
    config = small(join=0)
    videos = training_set([("n", video(3), ["Normal"]), ("f", video(4), ["Fighting"])], CLASSES, config)
    assert join_normal([[0, 1]], videos, config, 0) == [[((0,), 0), ((1,), 1)]]
