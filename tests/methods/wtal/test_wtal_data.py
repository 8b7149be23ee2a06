"""Training videos: one grid for both branches, the same run for all that has rows, labels that can teach."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from wtal_small import DIM, SECOND_DIM, Toy, small

from vidlang.core.errors import BadInput
from vidlang.methods.wtal.data import LabelledVideo, epoch_batches, training_set
from vidlang.nn.seed import epoch_generator


def clip(length: int = 6, names: tuple[str, ...] = ("jump",), second: bool = True, seed: int = 0) -> LabelledVideo:
    random = np.random.default_rng(seed)
    seconds = np.arange(length)[:, None] * 0.5 + np.array([0.0, 0.5])
    other = (random.normal(size=(3, SECOND_DIM)), np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]))
    return LabelledVideo(f"v{seed}.mp4", random.normal(size=(length, DIM)), seconds, names, other if second else None)


def labelled(*labels: tuple[str, ...]) -> list[LabelledVideo]:
    return [clip(names=names, seed=seed) for seed, names in enumerate(labels)]


def test_second_rows_are_brought_onto_the_grid_of_the_first():
    videos = training_set(labelled(("jump",), ("swim",)), ("jump", "swim"), small())
    assert_allclose(videos.cbp(0)[[0, 1]], videos.cbp(0)[[0, 0]])  # two half seconds in one second row
    assert videos.cbp(0).shape == (6, SECOND_DIM)
    assert videos.vlp(0).shape == (6, DIM)


def test_differences_need_no_second_encoder():
    config = small(cbp_inputs="differences", difference_seconds=1.0)
    videos = training_set([clip(second=False), clip(names=(), second=False, seed=1)], ["jump"], config)
    assert videos.cbp(0).shape == (6, 3 * DIM)
    assert videos.windows == (2, 2)  # rows every half second


def test_a_missing_second_encoder_is_named():
    with pytest.raises(BadInput, match=r"v0\.mp4 has no features of the second encoder"):
        training_set([clip(second=False)], ["jump"], small())


def test_statistics_are_those_of_all_rows_together():
    videos = training_set([clip(6), clip(9, (), seed=1)], ["jump"], small())
    mean, deviation = videos.statistics()
    rows = np.concatenate([videos.cbp(0), videos.cbp(1)])
    assert_allclose(mean, rows.mean(0), atol=1e-5)
    assert_allclose(deviation, rows.std(0), atol=1e-5)


def test_a_column_that_never_changes_stays_finite():
    flat = clip()._replace(second=(np.full((3, 2), 7.0), clip().second[1]))
    videos = training_set([flat, flat._replace(classes=())], ["jump"], small())
    assert videos.statistics()[1].tolist() == [1.0, 1.0]


def test_a_long_video_gives_the_same_run_to_both_branches_and_its_pseudo_labels():
    toy = Toy(2)
    videos = toy.training_set([toy.video(0, 1, 30), toy.video(1, 2, 9)], small())
    H = [torch.arange(30)[:, None].repeat(1, 2).to(torch.int8), torch.zeros(9, 2, dtype=torch.int8)]
    starts = set()
    for epoch in range(20):
        batch = videos.batch([0, 1], 12, epoch_generator(0, epoch), H)
        first = int(batch.H[0, 0, 0])
        starts.add(first)
        assert_allclose(batch.vlp_rows[0], videos.vlp(0)[first : first + 12], rtol=1e-6)
        assert_allclose(batch.cbp_rows[0], videos.cbp(0)[first : first + 12], rtol=1e-6)
        assert batch.H[0, :, 0].tolist() == list(range(first, first + 12))
        assert batch.mask.sum(1).tolist() == [12, 9]
        assert (batch.H[1, 9:] == -1).all()
    assert len(starts) > 8
    assert min(starts) >= 0
    assert max(starts) <= 18


def test_an_epoch_is_whole_passes_of_nearly_equal_batches():
    batches = epoch_batches(17, small(batch_size=8, min_batches=4), epoch_generator(0, 0))
    assert [len(batch) for batch in batches] == [6, 5, 6] * 2
    assert sorted(chain(*batches[:3])) == sorted(chain(*batches[3:])) == list(range(17))
    assert batches == epoch_batches(17, small(batch_size=8, min_batches=4), epoch_generator(0, 0))
    assert batches != epoch_batches(17, small(batch_size=8, min_batches=4), epoch_generator(0, 1))


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([("jump",), ("jump",)], ("jump",), "All videos have the same classes, such as 'jump'"),
        ([("jump", "swim"), ("jump", "swim")], ("jump", "swim"), "All videos have the same classes"),
        ([("jump",), ("jump", "swim")], ("jump", "swim"), "All videos show one class, such as 'jump'"),
        ([("jump",), ("swim",)], ("jump", "swim", "throw"), "No training video shows 'throw'"),
        ([("jump",), ("fly",)], ("jump", "swim"), "labelled 'fly', which is not one of jump, swim"),
        ([], ("jump",), "no labelled videos"),
        ([("jump",)], (), "needs classes"),
    ],
)
def test_labels_without_signal_are_refused(labels, names, message):
    with pytest.raises(BadInput) as caught:
        training_set(labelled(*labels), names, small())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_class_is_refused_until_there_are_normal_videos():
    with pytest.raises(BadInput, match=r"it needs videos without it\. Add normal videos"):
        training_set(labelled(("jump",), ("jump",)), ["jump"], small())
    training_set(labelled(("jump",), ()), ["jump"], small())
    with pytest.raises(BadInput, match="without the background column its probability is 1"):
        training_set(labelled(("jump",), ()), ["jump"], small("paper"))


def test_weak_labels_are_warned_of():
    few = training_set(labelled(("jump",), ("swim",)), ("jump", "swim"), small())
    assert few.notes == ("under 10 videos of jump (1), swim (1): expect weak results, ten or more per class help most",)
    many = training_set(labelled(*[("jump",), ("swim",)] * 10), ("jump", "swim"), small())
    assert many.notes == ()
    twins = training_set(labelled(*[("jump", "swim"), ()] * 10), ("jump", "swim"), small())
    assert twins.notes == ("jump and swim occur in the same videos only: their labels cannot tell them apart",)


def test_prompts_are_the_names_in_words_unless_given():
    videos = training_set(labelled(("LongJump",), ("swim",)), ("LongJump", "swim"), small(), {"swim": "swimming"})
    assert videos.prompts == ("long jump", "swimming")


def test_features_that_do_not_fit_together_are_named():
    with pytest.raises(BadInput, match=r"v1\.mp4 has features of dimension 5, expected 32"):
        training_set([clip(), clip(seed=1)._replace(rows=np.ones((6, 5)))], ["jump"], small())
    short = clip(seed=1)._replace(seconds=clip(5).seconds)
    with pytest.raises(ValueError, match="6 rows but seconds"):
        training_set([short], ["jump"], small())
