"""The losses against loops over videos, and against values known by hand."""

from __future__ import annotations

import math

import plain_vadclip
import pytest
import torch
from torch.testing import assert_close
from vadclip_small import small

from vidlang.methods.vadclip.loss import alignment_loss, bce_loss, contrastive_loss, vadclip_losses
from vidlang.methods.vadclip.model import VadOutput


def test_losses_equal_loops_over_videos():
    torch.manual_seed(0)
    output = VadOutput(torch.randn(3, 40), torch.randn(3, 40, 4))
    texts, lengths = torch.randn(4, 32), [40, 17, 1]
    labels = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]])
    ours = vadclip_losses(output, texts, labels, torch.tensor(lengths), small("ucf-crime"))
    plain = plain_vadclip.losses(*output, texts, labels, lengths, weight=0.1)
    assert_close(torch.stack([ours.bce, ours.alignment, ours.contrastive]), torch.stack(plain), atol=1e-6, rtol=1e-5)
    assert_close(ours.total, sum(plain), atol=1e-6, rtol=1e-5)


def test_sure_and_right_costs_nothing():
    logits_c = torch.tensor([[-40.0, -40.0], [-40.0, 40.0]])
    logits_a = torch.tensor([[[40.0, 0.0], [40.0, 0.0]], [[0.0, 40.0], [0.0, 40.0]]])
    labels, lengths = torch.eye(2), torch.tensor([2, 2])
    assert bce_loss(logits_c, labels, lengths) < 1e-6
    assert alignment_loss(logits_a, labels, lengths) < 1e-6


def test_a_coin_costs_its_entropy():
    labels, lengths = torch.eye(2), torch.tensor([3, 3])
    assert_close(bce_loss(torch.zeros(2, 3), labels, lengths), torch.tensor(math.log(2)))
    assert_close(alignment_loss(torch.zeros(2, 3, 2), labels, lengths), torch.tensor(math.log(2)))


def test_several_classes_share_the_target():
    logits = torch.zeros(1, 1, 4)
    both = torch.tensor([[0.0, 1.0, 1.0, 0.0]])
    assert_close(alignment_loss(logits, both, torch.tensor([1])), torch.tensor(math.log(4)))


@pytest.mark.parametrize(("hinge", "mean", "expected"), [(False, True, 0.75), (True, True, 0.25), (True, False, 0.5)])
def test_contrastive_loss_from_angles(hinge, mean, expected):
    def at(degrees: float) -> list[float]:
        return [3 * math.cos(math.radians(degrees)), 3 * math.sin(math.radians(degrees))]

    texts = torch.tensor([at(0), at(60), at(180)])  # cosines to the first: 1/2 and -1
    assert contrastive_loss(texts, hinge, mean).item() == pytest.approx(expected, abs=1e-6)


def test_padding_never_enters_the_losses():
    torch.manual_seed(0)
    labels, lengths = torch.eye(2), torch.tensor([2, 3])
    logits_c, logits_a = torch.randn(2, 5), torch.randn(2, 5, 2)
    high_c, high_a = logits_c.clone(), logits_a.clone()
    for b, length in enumerate(lengths):
        high_c[b, length:], high_a[b, length:] = 99.0, 99.0
    assert_close(bce_loss(high_c, labels, lengths), bce_loss(logits_c, labels, lengths))
    assert_close(alignment_loss(high_a, labels, lengths), alignment_loss(logits_a, labels, lengths))
