"""MIL, distillation and contrast equal plain loops, stay finite on empty sets, and never see padding."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close
from wtal_golden import needs_golden, over_tolerance

from vidlang.methods.wtal.loss import (
    contrast,
    distillation,
    log_probabilities,
    mil_loss,
    video_logits,
    video_probability,
)

KINDS = ("bernoulli", "element", "categorical")


@needs_golden
@pytest.mark.parametrize(("section", "least"), [("mil", 10), ("distillation", 20), ("contrast", 24)])
def test_recorded_losses_are_reached(section, least):
    assert over_tolerance(section, least) == []


def random_case(seed=0, lengths=(9, 4, 1), num_rows=9, num_classes=3, dim=5):
    """Logits [B, T, C + 1], H [B, T, C] with all of -1, 0 and 1, mask [B, T], features [B, T, D]."""
    generator = torch.Generator().manual_seed(seed)
    size = (len(lengths), num_rows)
    logits = torch.randn(*size, num_classes + 1, generator=generator, dtype=torch.float64) * 3
    H = torch.randint(-1, 2, (*size, num_classes), generator=generator, dtype=torch.int8)
    H[torch.rand(size, generator=generator) < 0.4] = 0  # rows of zeros alone are rare otherwise
    mask = torch.arange(num_rows) < torch.tensor(lengths)[:, None]
    H[~mask] = -1
    features = torch.randn(*size, dim, generator=generator, dtype=torch.float64)
    return logits, H, mask, features


# -- MIL


def plain_video_logits(logits, lengths, r):
    """Sort, take k, average; lists only."""
    rows = []
    for video, length in zip(logits.tolist(), lengths, strict=True):
        k = max(1, math.floor(length / r))
        columns = [[row[c] for row in video[:length]] for c in range(len(video[0]))]
        rows.append([sum(sorted(column)[-k:]) / k for column in columns])
    return torch.tensor(rows, dtype=logits.dtype)


@pytest.mark.parametrize("r", [1, 2, 2.5, 8])
def test_video_logits_are_means_of_the_k_highest(r):
    logits, _, mask, _ = random_case()
    assert_close(video_logits(logits, mask, r), plain_video_logits(logits, (9, 4, 1), r))


def test_mil_loss_of_a_video_followed_by_hand():
    logits = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [9.0, 9.0]]])  # the third row is padding
    mask = torch.tensor([[True, True, False]])
    # k = 1: the highest are 2 and 1, so class 0 has e^2 / (e^2 + e)
    p = math.e / (math.e + 1)
    assert_close(video_probability(logits, mask, 2), torch.tensor([[p, 1 - p]]))
    assert_close(mil_loss(logits, mask, torch.tensor([[1, 0]]), 2), torch.tensor([-math.log(p)]))


def test_two_labels_count_half_each_or_one_each():
    logits, _, mask, _ = random_case()
    labels = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 0], [1, 1, 1, 1]])
    shared, full = mil_loss(logits, mask, labels, 2), mil_loss(logits, mask, labels, 2, normalise=False)
    assert_close(full, shared * torch.tensor([2.0, 1.0, 4.0], dtype=torch.float64))


def test_a_video_without_labels_costs_nothing():
    logits, _, mask, _ = random_case()
    assert mil_loss(logits, mask, torch.zeros(3, 4), 8).tolist() == [0, 0, 0]


def test_mil_of_one_class_has_nothing_to_learn():
    loss = mil_loss(torch.randn(2, 5, 1), torch.ones(2, 5, dtype=torch.bool), torch.ones(2, 1), 8)
    assert loss.tolist() == [0, 0]


def test_real_snippets_need_not_come_first():
    logits, _, mask, _ = random_case()
    assert_close(video_logits(logits.flip(1), mask.flip(1), 2), video_logits(logits, mask, 2))


def test_a_video_of_padding_alone_is_refused():
    with pytest.raises(ValueError, match="at least one snippet"):
        mil_loss(torch.zeros(1, 3, 2), torch.zeros(1, 3, dtype=torch.bool), torch.ones(1, 2), 8)


def test_a_ratio_under_one_is_refused():
    with pytest.raises(ValueError, match="r must be"):
        video_logits(torch.zeros(1, 3, 2), torch.ones(1, 3, dtype=torch.bool), 0.5)


# -- distillation


def plain_distillation(kind, logits, H, mask, frames, activation):
    """Snippet by snippet and class by class, from probabilities."""
    frame_costs, class_costs = [], [[] for _ in range(H.shape[-1])]
    for b in range(H.shape[0]):
        for t in range(H.shape[1]):
            h, z = H[b, t].tolist(), logits[b, t].tolist()
            wanted = {"both": True, "foreground": 1 in h, "background": set(h) == {0}}[frames]
            if not mask[b, t] or not wanted:
                continue
            total = sum(math.exp(value) for value in z)
            p = [math.exp(v) / total if activation == "softmax" else 1 / (1 + math.exp(-v)) for v in z]
            costs = [-math.log(p[c]) if h[c] == 1 else -math.log(1 - p[c]) for c in range(len(h))]
            for c, value in enumerate(h):
                if value >= 0:
                    class_costs[c].append(costs[c])
            if -1 in h:
                continue
            if kind == "bernoulli":
                frame_costs.append(sum(costs))
            else:
                shown = [c for c, value in enumerate(h) if value == 1] or [len(h)]
                frame_costs.append(sum(math.log(1 / len(shown) / p[c]) / len(shown) for c in shown))
    if kind == "element":
        return sum(sum(costs) / len(costs) for costs in class_costs if costs)
    return sum(frame_costs) / len(frame_costs) if frame_costs else 0.0


@pytest.mark.parametrize("frames", ["both", "foreground", "background"])
@pytest.mark.parametrize(
    ("kind", "activation"),
    [("bernoulli", "softmax"), ("bernoulli", "sigmoid"), ("element", "softmax"), ("categorical", "softmax")],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_distillation_is_what_a_loop_computes(kind, activation, frames, seed):
    logits, H, mask, _ = random_case(seed, lengths=(9, 6, 3))
    ours = distillation(kind, logits, H, mask, frames, activation)
    plain = plain_distillation(kind, logits, H, mask, frames, activation)
    assert plain > 0
    assert ours.item() == pytest.approx(plain, rel=1e-9)


def test_without_a_background_column_probabilities_are_over_the_classes():
    logits, H, mask, _ = random_case()
    ours = distillation("bernoulli", logits[..., :3], H, mask)
    assert ours.item() == pytest.approx(plain_distillation("bernoulli", logits[..., :3], H, mask, "both", "softmax"))


def test_categorical_targets_followed_by_hand():
    logits, mask = torch.zeros(1, 1, 3), torch.ones(1, 1, dtype=torch.bool)
    # the student says a third each; the teacher both classes of two, or background
    both = distillation("categorical", logits, torch.tensor([[[1, 1]]]), mask)
    nothing = distillation("categorical", logits, torch.tensor([[[0, 0]]]), mask)
    assert [both.item(), nothing.item()] == pytest.approx([math.log(3 / 2), math.log(3)])


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_towards_background_lowers_the_classes(kind):
    logits = torch.tensor([[[2.0, 0.0, 0.0]]], requires_grad=True)
    distillation(kind, logits, torch.tensor([[[0, 0]]]), torch.ones(1, 1, dtype=torch.bool)).backward()
    assert logits.grad[0, 0, 0] > 0 > logits.grad[0, 0, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_sure_costs_nothing_and_keeps_the_graph(kind):
    logits = torch.randn(2, 4, 3, requires_grad=True)
    loss = distillation(kind, logits, torch.full((2, 4, 2), -1), torch.ones(2, 4, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_padding_teaches_nothing_whatever_it_holds(kind):
    logits, H, mask, _ = random_case()
    expected = distillation(kind, logits, H, mask)
    H[~mask], logits[~mask] = 1, torch.nan
    logits.requires_grad_()
    loss = distillation(kind, logits, H, mask)
    loss.backward()
    assert_close(loss, expected)
    assert logits.grad.isfinite().all()
    assert logits.grad[~mask].abs().max() == 0


@pytest.mark.parametrize("kind", ["bernoulli", "element"])
def test_one_class_without_background_is_finite(kind):
    logits = torch.randn(1, 3, 1, requires_grad=True)
    loss = distillation(kind, logits, torch.tensor([[[0], [1], [0]]]), torch.ones(1, 3, dtype=torch.bool))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_log_probabilities_have_no_cancellation():
    logits = torch.tensor([[40.0, 0.0, -3.0], [0.1, 0.0, 0.2], [1000.0, -1000.0, 0.0], [5.0, 5.0, -50.0]])
    log_p, log_not = log_probabilities(logits)
    wide = logits.double()
    others = torch.stack([wide[:, [j for j in range(3) if j != c]].logsumexp(1) for c in range(3)], dim=1)
    assert_close(log_p.double(), wide - wide.logsumexp(1, keepdim=True), rtol=1e-5, atol=1e-6)
    assert_close(log_not.double(), others - wide.logsumexp(1, keepdim=True), rtol=1e-5, atol=1e-6)


def test_the_most_wrong_snippet_still_has_a_gradient():
    logits = torch.tensor([[[60.0, 0.0, 0.0]]], requires_grad=True)
    distillation("bernoulli", logits, torch.tensor([[[0, 1]]]), torch.ones(1, 1, dtype=torch.bool)).backward()
    assert logits.grad[0, 0, 0] > 0.5


def test_categorical_without_a_background_column_is_refused():
    with pytest.raises(ValueError, match="columns"):
        distillation("categorical", torch.zeros(1, 1, 2), torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.bool))


@pytest.mark.parametrize("change", [{"kind": "huber"}, {"frames": "side"}, {"H": torch.zeros(1, 2, 5)}])
def test_unknown_kinds_and_wrong_shapes_are_refused(change):
    call = {"kind": "bernoulli", "H": torch.zeros(1, 2, 2), "frames": "both", **change}
    with pytest.raises(ValueError, match=r"huber|side|logits must"):
        distillation(call["kind"], torch.zeros(1, 2, 2), call["H"], torch.ones(1, 2, dtype=torch.bool), call["frames"])


# -- contrast


def plain_contrast(features, H, tau, scope, include_self):
    """Anchor by anchor, with every cosine on its own."""
    unit = features / features.norm(dim=-1, keepdim=True)
    num_videos, num_rows, num_classes = H.shape
    everywhere = [(b, t) for b in range(num_videos) for t in range(num_rows)]
    costs = []
    for b, t in everywhere:
        for c in range(num_classes):
            if H[b, t, c] != 1:
                continue
            reach = [(i, j) for i, j in everywhere if scope == "batch" or i == b]
            positives = [at for at in reach if H[at][c] == 1 and (include_self or at != (b, t))]
            negatives = [at for at in reach if set(H[at].tolist()) == {0}]
            if positives and negatives:
                near, far = (
                    sum(math.exp(float(unit[b, t] @ unit[at]) / tau) for at in part) for part in (positives, negatives)
                )
                costs.append(-math.log(near / (near + far)))
    return costs


@pytest.mark.parametrize("include_self", [False, True])
@pytest.mark.parametrize("scope", ["batch", "video"])
@pytest.mark.parametrize("seed", [0, 3])
def test_contrast_is_what_a_loop_computes(seed, scope, include_self):
    _, H, _, features = random_case(seed, lengths=(9, 7, 5))
    plain = plain_contrast(features, H, 0.2, scope, include_self)
    assert len(plain) > 5
    ours = contrast(features, H, tau=0.2, scope=scope, include_self=include_self, reduction="none")
    assert ours.tolist() == pytest.approx(plain, rel=1e-9)
    total = contrast(features, H, tau=0.2, scope=scope, include_self=include_self, reduction="sum")
    assert total.item() == pytest.approx(sum(plain))


def test_contrast_of_three_directions():
    # anchors at 0 and 0 degrees, background at 90: e^(1/tau) against e^0
    features = torch.tensor([[[1.0, 0.0], [5.0, 0.0], [0.0, 2.0]]])
    H = torch.tensor([[[1], [1], [0]]])
    assert contrast(features, H, tau=0.5).item() == pytest.approx(math.log(1 + math.exp(-2)))


def test_an_anchor_that_is_its_own_positive_has_little_to_learn():
    _, H, _, features = random_case(0, lengths=(9, 7, 5))
    alone = contrast(features, H, tau=0.07, include_self=True)
    assert alone < contrast(features, H, tau=0.07) / 5


@pytest.mark.parametrize("rows", [[[-1], [-1], [-1]], [[1], [1], [-1]], [[0], [0], [0]], [[1], [0], [0]]], ids=str)
@pytest.mark.parametrize("scope", ["batch", "video"])
def test_without_positives_or_negatives_contrast_is_zero_and_keeps_the_graph(rows, scope):
    features = torch.randn(1, 3, 4, requires_grad=True)
    for reduction in ("mean", "sum"):
        loss = contrast(features, torch.tensor([rows]), scope=scope, reduction=reduction)
        loss.backward()
        assert loss.item() == 0
        assert features.grad.abs().max() == 0
    assert contrast(features, torch.tensor([rows]), scope=scope, reduction="none").shape == (0,)


def test_padding_takes_no_part_in_contrast():
    _, H, mask, features = random_case()
    expected = contrast(features, H)
    features[~mask] = torch.nan
    assert_close(contrast(features, H), expected)


def test_a_snippet_of_two_classes_is_an_anchor_of_both():
    features = torch.eye(3)[None]
    H = torch.tensor([[[1, 1], [1, 1], [0, 0]]])
    assert contrast(features, H, reduction="none").shape == (4,)


def long_case(num_videos=3, num_rows=120):
    generator = torch.Generator().manual_seed(5)
    H = torch.randint(-1, 2, (num_videos, num_rows, 2), generator=generator, dtype=torch.int8)
    H[:, ::2] = 0
    centres = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    noise = torch.randn(num_videos, num_rows, 6, generator=generator, dtype=torch.float64)
    return centres[(H.clamp(min=0) * torch.tensor([1, 2])).sum(-1)] + noise, H


@pytest.mark.parametrize("include_self", [False, True])
@pytest.mark.parametrize("scope", ["batch", "video"])
def test_a_draw_estimates_the_whole(scope, include_self):
    features, H = long_case()
    options = {"tau": 0.5, "scope": scope, "include_self": include_self}
    whole = {r: contrast(features, H, max_pairs=None, reduction=r, **options).item() for r in ("mean", "sum")}
    for reduction, expected in whole.items():
        drawn = [
            contrast(
                features, H, max_pairs=24, reduction=reduction, generator=torch.Generator().manual_seed(n), **options
            ).item()
            for n in range(60)
        ]
        assert sum(drawn) / len(drawn) == pytest.approx(expected, rel=0.05)
        assert max(drawn) > min(drawn)


def test_the_same_seed_draws_the_same():
    features, H = long_case()
    first, second, other = (
        contrast(features, H, max_pairs=8, generator=torch.Generator().manual_seed(n)) for n in (1, 1, 2)
    )
    assert first == second != other


@pytest.mark.parametrize("max_pairs", [1, 2, 3])
def test_the_smallest_draws_are_finite(max_pairs):
    features, H = long_case()
    features.requires_grad_()
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        losses = contrast(features, H, max_pairs=max_pairs, generator=generator, reduction="none")
        assert len(losses) == max_pairs
        losses.sum().backward()
        assert losses.isfinite().all()
    assert features.grad.isfinite().all()


def test_a_draw_of_one_never_draws_the_anchor_as_its_positive():
    features, H = torch.randn(1, 3, 4), torch.tensor([[[1], [1], [0]]])
    for seed in range(10):
        assert contrast(features, H, max_pairs=1, generator=torch.Generator().manual_seed(seed)).isfinite()


@pytest.mark.parametrize("scope", ["batch", "video"])
def test_memory_of_long_videos_is_bounded(scope):
    """What is kept for the gradient: every cosine of 16 videos of 1000 snippets would be 256 million numbers."""
    H = torch.zeros(16, 1000, 20, dtype=torch.int8)
    for b in range(16):
        H[b, 200:700, b % 5] = 1
    features = torch.randn(16, 1000, 16, requires_grad=True)
    kept = []

    def remember(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        contrast(features, H, scope=scope, generator=torch.Generator().manual_seed(0)).backward()
    assert max(kept) <= 512 * 513
    assert sum(kept) < 20 * 512 * 512


def test_half_precision_is_computed_in_full():
    features, H = long_case()
    half = features.to(torch.bfloat16)
    assert_close(contrast(half, H), contrast(half.float(), H))
    logits, H, mask, _ = random_case()
    half = logits.to(torch.bfloat16)
    assert_close(distillation("categorical", half, H, mask), distillation("categorical", half.float(), H, mask))
    assert video_logits(half, mask, 8).dtype == torch.float32


@pytest.mark.parametrize("change", [{"tau": 0.0}, {"max_pairs": 0}, {"H": torch.zeros(1, 9, 1)}])
def test_contrast_refuses_what_cannot_be(change):
    options = {"tau": 0.07, "max_pairs": 4, "H": torch.zeros(1, 3, 1), **change}
    with pytest.raises(ValueError, match=r"tau|features must"):
        contrast(torch.randn(1, 3, 2), options["H"], tau=options["tau"], max_pairs=options["max_pairs"])
