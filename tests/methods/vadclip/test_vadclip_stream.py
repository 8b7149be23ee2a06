"""Videos that memory does not hold: the same rows, each once in an epoch, and a training that learns from them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from vadclip_small import CLASSES, small, video

from vidlang.core.errors import BadInput
from vidlang.methods.vadclip.data import Sample, StoredVideo, epoch_batches, streamed_set, training_set
from vidlang.methods.vadclip.train import fit
from vidlang.nn.stream import StreamedRows


def crops_of(number: int) -> np.ndarray:
    """Two crops [2, T, 32] of a video, T from 3 to 20."""
    event = (None, 0, 1)[number % 3]
    return np.stack([video(3 + number * 17 % 18, seed=2 * number + crop, event=event) for crop in (0, 1)])


def both(config, most_rows: int, num: int = 12):
    """The set in memory and the set that is read as it is needed."""
    names = [[CLASSES[i % 3]] for i in range(num)]
    held = training_set([(f"v{i}", crops_of(i), names[i]) for i in range(num)], CLASSES, config)
    stored = [StoredVideo(f"v{i}", crops_of(i).shape, partial(crops_of, i), names[i]) for i in range(num)]
    return held, streamed_set(stored, CLASSES, config, most_rows)


def test_batches_hold_the_same_rows_and_labels():
    held, streamed = both(small(), most_rows=60)
    assert list(streamed.lengths) == list(held.lengths) and len(streamed) == len(held) == 24
    assert (streamed.dim, streamed.prompts) == (held.dim, held.prompts)
    samples = [Sample((row,), row) for row in (3, 0, 23, 11)]
    for one, other in zip(held.batch(samples, None), streamed.batch(samples, None), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("batches", ["plain", "balanced"])
def test_an_epoch_reads_every_row_once_and_stays_within_memory(batches):
    config = small(batches=batches, epoch_length="longer", drop_last=False, batch_size=2)
    _, streamed = both(config, most_rows=70)
    rows = streamed.videos
    assert isinstance(rows, StreamedRows)
    chosen = [row for batch in epoch_batches(streamed.labels, config, 0, streamed.shuffle) for row in batch]
    for row in chosen:
        assert len(rows[row]) == streamed.lengths[row]
    abnormal = [row for row in chosen if streamed.labels[row, 0] == 0]
    assert sorted(abnormal) == np.flatnonzero(streamed.labels[:, 0] == 0).tolist()
    assert set(chosen) == set(range(24))
    assert 24 < rows.most_resident <= 70 < sum(rows.lengths)
    other = [row for batch in epoch_batches(streamed.labels, config, 1, streamed.shuffle) for row in batch]
    assert other != chosen and sorted(set(other)) == sorted(set(chosen))


def test_a_training_learns_from_rows_that_it_reads(tower):
    config = small(epochs=30, learning_rate=3e-3, join=1)
    _, streamed = both(config, most_rows=60)
    result = fit(streamed, config, tower)
    assert result.history[-1]["total"] < 0.4 * result.history[0]["total"]
    assert isinstance(streamed.videos, StreamedRows) and streamed.videos.most_resident <= 60


def test_what_is_wrong_with_a_video_is_said_when_it_is_read():
    broken = StoredVideo("bad.mp4", (4, 32), lambda: np.full((4, 32), np.nan, np.float32), ["Normal"])
    fine = StoredVideo("good.mp4", (4, 32), lambda: video(4), ["Fighting"])
    videos = streamed_set([broken, fine], CLASSES, small(), most_rows=100)
    with pytest.raises(BadInput, match=r"bad\.mp4"):
        videos.batch([Sample((0,), 0)], None)
    with pytest.raises(BadInput, match="no labelled videos"):
        streamed_set([], CLASSES, small(), most_rows=100)


@pytest.mark.parametrize("classes", [["Normal"], ["Normal", "Fighting", "Fighting"]])
def test_classes_that_teach_nothing_are_refused_as_in_memory(classes):
    stored = StoredVideo("v.mp4", (4, 32), lambda: video(4), ["Normal"])
    with pytest.raises(BadInput, match="two or more different classes"):
        streamed_set([stored], classes, small(), most_rows=100)
