"""Losses of cosines: recorded numbers, loops, angles, and what the gradient is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tca_golden import largest_difference, needs_golden, tensors
from tca_plain import circle as plain_circle
from tca_plain import infonce as plain_infonce
from tca_plain import triplet as plain_triplet

from vidlang.methods.tca.config import preset
from vidlang.methods.tca.loss import circle, circle_as_shipped, contrastive_loss, cosines_of, infonce, triplet

RECORDED = {
    **{f"infonce_T{t}": (lambda s, t=t: infonce(s, t)) for t in (0.07, 0.1, 1.0)},
    **{
        f"circle_{kind}_g{gamma}_m{margin}": (lambda s, f=function, g=gamma, m=margin: f(s, g, m))
        for kind, function in (("paper", circle), ("asshipped", circle_as_shipped))
        for gamma, margin in ((256, 0.25), (64, 0.4), (32, 0.25))
    },
    "triplet_spec_m0.2": lambda s: triplet(s, 0.2),
}


@needs_golden
@pytest.mark.parametrize("tag", RECORDED)
def test_recorded_losses_and_gradients_are_reached(tag):
    recorded = tensors("losses")
    anchors = recorded["w_a"].clone().requires_grad_()
    cosines = cosines_of(anchors, recorded["w_p"], recorded["bank"].T)
    assert largest_difference(cosines.detach(), recorded["cosines"]) < 1e-6
    alone = cosines.detach().requires_grad_()
    loss = RECORDED[tag](cosines)
    loss.backward()
    RECORDED[tag](alone).backward()
    assert loss.item() == pytest.approx(float(recorded[tag]), rel=1e-5)
    for ours, name in ((anchors.grad, f"{tag}_grad_wa"), (alone.grad, f"{tag}_grad_s")):
        assert largest_difference(ours, recorded[name]) < 1e-4 * float(recorded[name].abs().max())


@pytest.fixture
def cosines():
    return torch.rand(4, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1


def test_losses_follow_the_loops(cosines):
    rows = cosines.tolist()
    assert infonce(cosines, 0.1).item() == pytest.approx(plain_infonce(rows, 0.1))
    assert circle(cosines, 32, 0.25).item() == pytest.approx(plain_circle(rows, 32, 0.25))
    assert triplet(cosines, 0.2).item() == pytest.approx(plain_triplet(rows, 0.2))


def test_losses_by_head():
    level = torch.zeros(1, 4)
    assert infonce(level).item() == pytest.approx(math.log(4))  # nothing tells the positive from three others
    assert triplet(level, 0.2).item() == pytest.approx(0.2)
    told = torch.tensor([[1.0, -1.0]])
    assert infonce(told, 1.0).item() == pytest.approx(math.log(1 + math.exp(-2)))
    assert triplet(told, 0.2).item() == 0
    # s_p = 0.75 and s_n = 0.25 are the optima: both logits are 0
    assert circle(torch.tensor([[0.75, 0.25]]), 256, 0.25).item() == pytest.approx(math.log(2))


def test_as_shipped_the_first_row_is_positive_throughout_and_the_others_negative(cosines):
    gamma, margin = 32, 0.25
    rows = cosines.numpy()
    logits = gamma * np.maximum(rows + margin, 0) * (rows - margin)
    logits[0] = gamma * np.maximum(1 + margin - rows[0], 0) * (rows[0] - (1 - margin))
    expected = np.mean([np.logaddexp.reduce(row) - row[0] for row in logits])
    assert circle_as_shipped(cosines, gamma, margin).item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", [infonce, circle, circle_as_shipped, triplet])
def test_ignored_columns_might_as_well_not_be_there(loss, cosines):
    ignored = torch.zeros(4, 6, dtype=torch.bool)
    ignored[:, [1, 4]] = True
    kept = cosines[:, [0, 1, 3, 4, 6]]
    torch.testing.assert_close(loss(cosines, ignored=ignored), loss(kept))
    wild = cosines.clone().requires_grad_()
    loss(wild, ignored=ignored).backward()
    assert wild.grad.isfinite().all()
    assert not wild.grad[:, [2, 5]].any()


def test_an_anchor_without_others_costs_nothing(cosines):
    ignored = torch.ones(4, 6, dtype=torch.bool)
    assert infonce(cosines, ignored=ignored).item() == 0
    assert triplet(cosines, ignored=ignored).item() == 0


def test_the_gradient_weighs_negatives_by_their_share_and_their_angle():
    """dL/dw_a = ((1 - q_p) ((z_a . z_p) z_a - z_p) + sum_j q_j (z_j - (z_a . z_j) z_a)) / (t |w_a|)."""
    generator = torch.Generator().manual_seed(3)
    anchor = torch.randn(1, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    positive = torch.randn(1, 8, generator=generator, dtype=torch.float64)
    others = torch.randn(5, 8, generator=generator, dtype=torch.float64)
    temperature = 0.2
    cosines = cosines_of(anchor, positive, others)
    infonce(cosines, temperature).backward()
    share = (cosines.detach()[0] / temperature).softmax(0)
    a, p, n = (F.normalize(vectors.detach(), dim=1) for vectors in (anchor, positive, others))
    expected = (1 - share[0]) * ((a @ p.T) * a - p)
    parts = [share[1 + j] * (n[j] - (a[0] @ n[j]) * a[0]) for j in range(5)]
    expected = (expected + sum(parts)) / (temperature * anchor.detach().norm())
    torch.testing.assert_close(anchor.grad, expected, atol=1e-12, rtol=1e-9)
    for j, part in enumerate(parts):  # size of a negative's share: q_j sin of its angle, 0 for the opposite direction
        sine = math.sqrt(1 - float(a[0] @ n[j]) ** 2)
        assert float(part.norm()) == pytest.approx(float(share[1 + j]) * sine)


def test_the_weights_of_circle_get_no_gradient(cosines):
    free = cosines.clone().requires_grad_()
    circle(free, 32, 0.25).backward()
    weight = torch.cat([(1.25 - cosines[:, :1]).clamp(min=0), (cosines[:, 1:] + 0.25).clamp(min=0)], dim=1)
    optimum = torch.tensor([0.75] + [0.25] * 6)
    share = (32 * weight * (cosines - optimum)).softmax(1)
    share[:, 0] -= 1
    torch.testing.assert_close(free.grad, 32 * weight * share / 4)


def test_the_config_names_the_loss(cosines):
    assert contrastive_loss(cosines, preset("custom", temperature=0.3)) == infonce(cosines, 0.3)
    assert contrastive_loss(cosines, preset("paper")) == circle(cosines, 256, 0.25)
    assert contrastive_loss(cosines, preset("code")) == circle_as_shipped(cosines, 256, 0.25)
    assert contrastive_loss(cosines, preset("custom", loss="triplet", margin=0.1)) == triplet(cosines, 0.1)
