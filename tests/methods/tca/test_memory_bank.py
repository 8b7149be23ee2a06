"""The bank: the published order of operations, recorded runs, a ring by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tca_golden import largest_difference, needs_golden, tensors, weights
from tca_small import small

from vidlang.methods.tca import memory_bank as bank_module
from vidlang.methods.tca.config import TcaConfig
from vidlang.methods.tca.loss import contrastive_loss
from vidlang.methods.tca.memory_bank import EMPTY, NO_GROUP, Batch, MemoryBank
from vidlang.methods.tca.model import TcaEncoder
from vidlang.nn.seed import seeded

RUNS = {  # momentum, temperature, loss, tolerance of cosines and bank
    "nce_m0": (0.0, 0.07, "infonce", 5e-5),
    "nce_m09": (0.9, 0.07, "infonce", 5e-5),
    "circle_paper_m0": (0.0, 1.0, "circle", 5e-4),
    "circle_asshipped_m0": (0.0, 1.0, "circle-as-shipped", 5e-4),
}


def recorded_batch(recorded, step: int) -> Batch:
    a, p, n = (recorded[f"step{step}_{part}"] for part in "apn")
    lengths = [recorded[f"step{step}_len_{part}"].flatten().long() for part in "apn"]
    n = n.flatten(0, 1)
    groups = [torch.full((len(part),), NO_GROUP) for part in (a, n)]
    parts = [a.transpose(1, 2), lengths[0], p.transpose(1, 2), lengths[1], n.transpose(1, 2), lengths[2], *groups]
    return Batch(*parts)


@needs_golden
@pytest.mark.parametrize("run", RUNS)
def test_recorded_training_steps_are_reached(run):
    momentum, temperature, loss, tolerance = RUNS[run]
    recorded = tensors("memory_bank")
    config = small(
        "code", batch_size=4, num_negatives=3, bank_size=24, momentum=momentum, temperature=temperature, loss=loss,
        dropout=0.0, learning_rate=1e-3,
    )  # fmt: skip
    encoder = TcaEncoder(32, dropout=0.0)
    encoder.load_state_dict(weights("memory_bank", "init."))
    bank = MemoryBank(encoder, config).train()
    bank.queue.copy_(recorded["queue_init"])
    optimizer = torch.optim.Adam(encoder.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    for step, expected_loss in enumerate(recorded[f"{run}_losses"].tolist()):
        compared = bank(recorded_batch(recorded, step))
        loss_now = contrastive_loss(compared.cosines, config, compared.ignored)
        optimizer.zero_grad()
        loss_now.backward()
        optimizer.step()
        name = f"{run}_step{step}"
        expected = recorded[f"{name}_logits"] * temperature
        assert compared.ignored is None
        assert largest_difference(compared.cosines.detach(), expected) < tolerance
        assert largest_difference(bank.queue, recorded[f"{name}_queue_after"]) < tolerance
        assert int(bank.queue_ptr) == int(recorded[f"{name}_ptr_after"])
        assert loss_now.item() == pytest.approx(expected_loss, rel=1e-3)
    for prefix, trained in ((f"{run}.encoder_q.", bank.encoder_q), (f"{run}.encoder_k.", bank.encoder_k)):
        state = trained.state_dict()
        for name, value in weights("memory_bank", prefix).items():
            assert largest_difference(state[name], value) < 2 * config.learning_rate, name


def bank_of(**changes) -> MemoryBank:
    config = small(**{"bank_start": "random", "dropout": 0.0, "residual": False, **changes})
    with seeded(0):
        return MemoryBank(TcaEncoder(8, 2, 1, 16, config.dropout), config, torch.Generator().manual_seed(1))


def batch_of(config: TcaConfig, seed: int = 0, anchor_groups=None, negative_groups=None) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    count = config.keys_per_step
    a, p, n = (torch.randn(size, 5, 8, generator=generator) for size in (config.batch_size, config.batch_size, count))
    full = [torch.full((size,), 5) for size in (config.batch_size, config.batch_size, count)]
    groups = torch.arange(config.batch_size) if anchor_groups is None else torch.tensor(anchor_groups)
    others = torch.arange(100, 100 + count) if negative_groups is None else torch.tensor(negative_groups)
    return Batch(a, full[0], p, full[1], n, full[2], groups, others)


@pytest.mark.parametrize("order", ["before", "after"])
def test_cosines_are_with_the_bank_before_or_after_this_steps_keys(order):
    bank = bank_of(bank_order=order)
    batch = batch_of(bank.config)
    before = bank.queue.clone()
    cosines = bank(batch).cosines
    queries = bank.encoder_q.video(batch.anchors, batch.anchor_lengths)
    positives = bank.encoder_q.video(batch.positives, batch.positive_lengths)  # momentum 0: both encoders are one
    torch.testing.assert_close(cosines[:, 0], (queries * positives).sum(1))
    torch.testing.assert_close(cosines[:, 1:], queries @ (bank.queue if order == "before" else before))
    keys = bank.encoder_q.video(batch.negatives, batch.negative_lengths)
    torch.testing.assert_close(bank.queue[:, : len(keys)], keys.T)
    torch.testing.assert_close(bank.queue[:, len(keys) :], before[:, len(keys) :])


def test_the_bank_is_a_ring_of_the_newest_keys():
    bank = bank_of(bank_size=16)  # 8 keys per step
    for step in range(3):
        bank.enqueue(torch.full((8, 8), float(step)), torch.full((8,), step))
    assert int(bank.queue_ptr) == 8
    assert bank.queue[0].tolist() == [2.0] * 8 + [1.0] * 8
    assert bank.queue_groups.tolist() == [2] * 8 + [1] * 8
    with pytest.raises(ValueError, match="must divide the bank's 16 columns, got 5"):
        bank.enqueue(torch.zeros(5, 8), torch.zeros(5, dtype=torch.long))


def test_only_anchors_get_gradients():
    bank = bank_of()
    batch = batch_of(bank.config)
    parts = [batch.anchors.requires_grad_(), batch.positives.requires_grad_(), batch.negatives.requires_grad_()]
    bank(batch).cosines.sum().backward()
    assert parts[0].grad.abs().sum() > 0
    assert parts[1].grad is None
    assert parts[2].grad is None
    assert all(parameter.grad is None for parameter in bank.encoder_k.parameters())
    assert all(parameter.grad is not None for parameter in bank.encoder_q.parameters())


def test_the_key_encoder_keeps_its_share():
    bank = bank_of(momentum=0.75)
    start = {name: value.clone() for name, value in bank.encoder_k.named_parameters()}
    for parameter in bank.encoder_q.parameters():
        parameter.data += 1
    bank.move_key_encoder()
    for name, value in bank.encoder_k.named_parameters():
        torch.testing.assert_close(value, start[name] + 0.25)


def test_the_key_encoder_moves_before_it_reads():
    bank = bank_of()
    for parameter in bank.encoder_k.parameters():
        parameter.data.zero_()  # with momentum 0 nothing of this is left when keys are computed
    batch = batch_of(bank.config)
    expected = bank.encoder_q.video(batch.negatives, batch.negative_lengths)
    bank(batch)
    torch.testing.assert_close(bank.queue[:, : len(expected)], expected.T)


def test_columns_of_ones_own_group_and_empty_ones_are_ignored():
    bank = bank_of(bank_start="empty", bank_size=16, batch_size=2, num_negatives=4)
    batch = batch_of(bank.config, anchor_groups=[7, 8], negative_groups=[7, 7, 8, 9, 1, 2, 3, 7])
    ignored = bank(batch).ignored
    assert ignored[0].tolist() == [True, True, False, False, False, False, False, True] + [True] * 8
    assert ignored[1].tolist() == [False, False, True, False, False, False, False, False] + [True] * 8
    assert bank.queue_groups.tolist()[8:] == [EMPTY] * 8


def test_random_columns_count_as_others_and_have_length_1():
    bank = bank_of(bank_start="random", bank_order="after")
    torch.testing.assert_close(bank.queue, F.normalize(bank.queue, dim=0))
    assert bank(batch_of(bank.config, anchor_groups=[NO_GROUP] * 4)).ignored is None


def test_keys_in_runs_are_the_same_keys(monkeypatch):
    bank = bank_of()
    batch = batch_of(bank.config)
    whole = bank.keys(batch.negatives, batch.negative_lengths)
    monkeypatch.setattr(bank_module, "KEYS_AT_ONCE", 3)
    torch.testing.assert_close(bank.keys(batch.negatives, batch.negative_lengths), whole, atol=1e-6, rtol=0)


def test_dropout_is_at_work_in_the_key_encoder_too():
    bank = bank_of(dropout=0.5).train()
    batch = batch_of(bank.config)
    first, second = (bank.keys(batch.positives, batch.positive_lengths) for _ in range(2))
    assert not torch.equal(first, second)
