"""H follows the thresholds exactly, conflicts are left undecided, and shares are those of real snippets."""

from __future__ import annotations

import pytest
import torch
from wtal_golden import needs_golden, over_tolerance

from vidlang.methods.wtal.pseudo_labels import agreement, confident, frame_sets, hard, shares, without_conflicts


@needs_golden
def test_recorded_pseudo_labels_are_reached():
    assert over_tolerance("pseudo_labels", 2) == []


def everything_real(prob):
    return torch.ones(prob.shape[:2], dtype=torch.bool)


def test_both_thresholds_are_strict():
    prob = torch.tensor([[[0.3], [0.31], [0.1], [0.09], [0.2]]])
    for dtype in (torch.float32, torch.float64):
        # .3 and .1 as written, in either precision
        values = torch.tensor([0.3, 0.31, 0.1, 0.09, 0.2], dtype=dtype)[None, :, None]
        assert confident(values, torch.tensor([[1]]), everything_real(prob)).flatten().tolist() == [-1, 1, -1, 0, -1]


def test_a_class_that_is_not_the_videos_is_surely_absent():
    prob = torch.tensor([[[0.9, 0.9], [0.2, 0.2]]])
    assert confident(prob, torch.tensor([[1, 0]]), everything_real(prob)).tolist() == [[[1, 0], [-1, 0]]]


def test_a_video_without_classes_is_all_background():
    prob = torch.rand(1, 4, 3)
    assert frame_sets(confident(prob, torch.zeros(1, 3), everything_real(prob))).background.all()


def test_padding_is_undecided_even_for_absent_classes():
    prob = torch.tensor([[[0.9, 0.9], [0.9, 0.9]]])
    mask = torch.tensor([[True, False]])
    assert confident(prob, torch.tensor([[1, 0]]), mask).tolist() == [[[1, 0], [-1, -1]]]
    assert (confident(prob, torch.tensor([[1, 0]]), torch.zeros_like(mask)) == -1).all()


def test_a_background_column_is_not_read():
    prob = torch.rand(2, 5, 4)
    labels = torch.tensor([[1, 0, 1], [0, 1, 0]])
    H = confident(prob, labels, everything_real(prob))
    assert H.equal(confident(prob[..., :3], labels, everything_real(prob)))
    assert H.shape == (2, 5, 3)
    assert H.dtype == torch.int8


@pytest.mark.parametrize("seed", range(3))
def test_pseudo_labels_are_what_a_loop_decides(seed):
    generator = torch.Generator().manual_seed(seed)
    prob = torch.rand(2, 6, 3, generator=generator)
    labels = torch.randint(0, 2, (2, 3), generator=generator)
    mask = torch.arange(6) < torch.tensor([6, 4])[:, None]
    H = confident(prob, labels, mask, 0.6, 0.3)
    for b, t, c in torch.cartesian_prod(*map(torch.arange, H.shape)).tolist():
        p = float(prob[b, t, c])
        if not mask[b, t]:
            expected = -1
        elif not labels[b, c]:
            expected = 0
        else:
            expected = 1 if p > 0.6 else 0 if p < 0.3 else -1
        assert H[b, t, c] == expected


def test_without_a_gap_only_equality_is_undecided():
    prob = torch.tensor([[[0.4], [0.5], [0.6]]])
    assert confident(prob, torch.tensor([[1]]), everything_real(prob), 0.5, 0.5).flatten().tolist() == [0, -1, 1]


def test_the_teacher_gets_no_gradient():
    prob = torch.rand(1, 2, 1, requires_grad=True)
    assert not confident(prob, torch.tensor([[1]]), everything_real(prob)).requires_grad


def test_crossed_thresholds_and_wrong_shapes_are_refused():
    prob = torch.rand(1, 2, 3)
    with pytest.raises(ValueError, match="delta_l"):
        confident(prob, torch.ones(1, 3), everything_real(prob), 0.1, 0.3)
    with pytest.raises(ValueError, match="prob must"):
        confident(prob, torch.ones(1, 5), everything_real(prob))


def test_hard_labels_decide_every_real_snippet():
    # columns: two classes, background; the video shows class 0 alone
    prob = torch.tensor([[[0.5, 0.2, 0.3], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.9, 0.0, 0.1]]])
    mask = torch.tensor([[True, True, True, False]])
    assert hard(prob, torch.tensor([[1, 0]]), mask).tolist() == [[[1, 0], [0, 0], [0, 0], [-1, -1]]]


# -- conflicts

TEACHER = torch.tensor([[[1, 0], [1, 0], [0, 0], [0, 0], [-1, 0], [1, 0]]], dtype=torch.int8)
STUDENT = torch.tensor([[[0, 0], [1, 0], [0, 1], [0, 0], [0, 0], [-1, 0]]], dtype=torch.int8)


def test_foreground_against_background_is_undecided_in_both_directions():
    left = without_conflicts(TEACHER, STUDENT)
    assert left.tolist() == [[[-1, -1], [1, 0], [-1, -1], [0, 0], [-1, 0], [1, 0]]]
    assert TEACHER[0, 0].tolist() == [1, 0]  # the argument is left as it is


def test_two_that_agree_have_no_conflict():
    assert without_conflicts(TEACHER, TEACHER).equal(TEACHER)


# -- sets and shares


def test_frame_sets_share_out_all_snippets():
    sets = frame_sets(torch.tensor([[[1, -1], [0, 0], [0, -1], [-1, -1]]]))
    assert sets.foreground.tolist() == [[True, False, False, False]]
    assert sets.background.tolist() == [[False, True, False, False]]
    assert sets.undecided.tolist() == [[False, False, True, True]]


def test_shares_count_real_snippets():
    H = torch.tensor([[[1], [0], [0], [-1], [-1]]])
    found = shares(H, torch.tensor([[True, True, True, True, False]]))
    assert (found.foreground, found.background, found.undecided) == (0.25, 0.5, 0.25)


def test_shares_of_nothing_are_zero():
    for size in ((1, 3, 2), (0, 3, 2), (1, 0, 2)):
        H = torch.full(size, -1, dtype=torch.int8)
        found = shares(H, torch.zeros(size[:2], dtype=torch.bool))
        assert (found.foreground, found.background, found.undecided) == (0, 0, 0)
        assert agreement(H, H, torch.zeros(size[:2], dtype=torch.bool)) is None


def test_agreement_is_over_snippets_that_both_decide():
    mask = torch.ones(1, 6, dtype=torch.bool)
    # decided by both: 0 (foreground, background), 1 (equal), 2 (background, class 1), 3 (equal)
    assert agreement(TEACHER, STUDENT, mask) == 0.5
    assert agreement(TEACHER, TEACHER, mask) == 1.0
    mask[0, 0] = False
    assert agreement(TEACHER, STUDENT, mask) == pytest.approx(2 / 3)


def test_another_class_is_no_agreement():
    first, second = torch.tensor([[[1, 0]]]), torch.tensor([[[0, 1]]])
    assert agreement(first, second, torch.ones(1, 1, dtype=torch.bool)) == 0.0
