"""MoCo against recorded steps, against arithmetic by hand, and in two processes against one."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.testing import assert_close

from vidlang.methods.fame.moco import MoCo, MoCoStep
from vidlang.nn.distributed import current_group, replicated
from vidlang.nn.seed import seeded

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))
import golden_fame_networks as recorded

DIM, PLACES = 6, 16


class Encoder(nn.Module):
    """Convolution, perhaps batch norm, mean, linear layer. It remembers the clips that it was given."""

    def __init__(self, bn: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 5, 3, padding=1)
        self.bn: nn.Module = nn.BatchNorm3d(5) if bn else nn.Identity()
        self.fc = nn.Linear(5, DIM)
        self.seen: list[Tensor] = []

    def forward(self, clips: Tensor) -> Tensor:
        self.seen.append(clips.detach())
        out: Tensor = self.fc(self.bn(self.conv(clips)).relu().mean((2, 3, 4)))
        return out


def small_moco(bn: bool = False, momentum: float = 0.9, places: int = PLACES) -> MoCo:
    with seeded(0):
        return MoCo(lambda: Encoder(bn), queue_size=places, dim=DIM, momentum=momentum, temperature=0.1)


def views(batch: int = 4, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, batch, 3, 2, 4, 4, generator=generator)
    return first, second


def run_steps(moco: MoCo, model: nn.Module, rows: slice, generator: torch.Generator | None) -> list[MoCoStep]:
    """Three steps of SGD on these clips of the batches."""
    optimizer = torch.optim.SGD(moco.encoder_q.parameters(), 0.5, 0.9)
    steps = []
    for seed in range(3):
        im_q, im_k = views(seed=seed)
        optimizer.zero_grad()
        step = model(im_q[rows], im_k[rows], generator)
        step.loss.backward()
        optimizer.step()
        steps.append(step)
    return steps


@pytest.mark.parametrize("file", ["moco_plain", "moco_mlp", "moco_bn"])
def test_steps_equal_the_recorded_ones(golden_dir, file):
    golden = recorded.Golden(golden_dir / "fame")
    rows = list(recorded._moco(golden, file))
    assert sum(row.num_arrays for row in rows) > 50
    assert [row for row in rows if not row.holds] == []


def test_the_second_half_meets_the_keys_of_the_first():
    """Both encoders are the same at first, so in the second half a query and the own key in the queue have cosine 1."""
    step = small_moco(momentum=1.0)(*views())
    own = 1 + torch.arange(4)
    assert_close(step.logits[1][torch.arange(4), own], torch.full((4,), 10.0))
    assert (step.logits[0][torch.arange(4), own] < 9.99).all()


def test_logits_are_cosines_with_the_other_view_and_the_queue():
    moco = small_moco(momentum=1.0)
    queue, (im_q, im_k) = moco.queue.clone(), views()
    q, k = moco.encoder_q(im_q), moco.encoder_q(im_k)
    step = moco(im_q, im_k)
    for i in range(4):
        cosines = [torch.cosine_similarity(q[i], other, dim=0) for other in (k[i], *queue.T)]
        assert_close(step.logits[0][i], torch.stack(cosines).detach() * 10)


def test_the_loss_is_the_mean_of_two_cross_entropies():
    step = small_moco()(*views())
    expected = [-logits.log_softmax(1)[:, 0].mean() for logits in step.logits]
    assert_close(step.loss.detach(), (expected[0] + expected[1]) / 2)


def test_a_step_writes_two_keys_per_clip_over_the_oldest():
    moco, places = small_moco(momentum=1.0), []
    before = moco.queue.clone()
    for seed in range(3):  # 3 x 8 keys into 16 places
        moco(*views(seed=seed))
        places.append(int(moco.queue_ptr))
        if seed == 0:
            assert torch.equal(moco.queue[:, 8:], before[:, 8:])
    assert places == [8, 0, 8]
    with torch.no_grad():
        last = [moco.encoder_k(view) for view in (views(seed=2)[1], views(seed=2)[0])]
        older = [moco.encoder_k(view) for view in (views(seed=1)[1], views(seed=1)[0])]
    assert_close(moco.queue, nn.functional.normalize(torch.cat(last + older), dim=1).T)


def test_keys_move_towards_queries_and_have_no_gradient():
    moco = small_moco(momentum=0.75)
    with torch.no_grad():
        moco.encoder_q.fc.bias += 4.0
    key = moco.encoder_k.fc.bias.clone()
    moco(*views()).loss.backward()
    assert_close(moco.encoder_k.fc.bias, key + 1.0)
    assert all(parameter.grad is None for parameter in moco.encoder_k.parameters())
    assert all(parameter.grad is not None for parameter in moco.encoder_q.parameters())


def test_running_statistics_of_keys_are_their_own():
    moco = small_moco(bn=True, momentum=0.0)
    im_q, _ = views()
    moco(im_q, im_q + 1)
    assert int(moco.encoder_k.bn.num_batches_tracked) == 2
    assert not torch.equal(moco.encoder_k.bn.running_mean, moco.encoder_q.bn.running_mean)


def test_a_queue_that_batches_do_not_fill_evenly_is_refused():
    with pytest.raises(ValueError, match="multiple of 3 places"):
        small_moco()(*views(batch=3))


def test_the_queue_is_drawn_by_its_generator_alone():
    def drawn(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return MoCo(lambda: nn.Linear(1, 1), queue_size=8, dim=4, generator=generator).queue

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    assert_close(drawn(1).norm(dim=0), torch.ones(8))


def test_under_bfloat16_contrast_stays_float32():
    plain, moco = small_moco()(*views()), small_moco()
    with torch.autocast("cpu", torch.bfloat16):
        step = moco(*views())
    assert step.loss.dtype == step.logits[0].dtype == moco.queue.dtype == torch.float32
    assert_close(moco.queue.norm(dim=0), torch.ones(PLACES), rtol=1e-6, atol=1e-6)
    assert_close(step.loss, plain.loss, rtol=0.05, atol=0.05)
    assert not torch.equal(step.loss, plain.loss)  # the encoders did run in bfloat16


def test_accuracy_counts_on_the_mean_of_both_halves():
    first = torch.tensor([[3.0, 1.0, 2.0], [1.0, 2.0, 9.0], [0.0, 5.0, 4.0]])
    second = torch.tensor([[3.0, 1.0, 2.0], [9.0, 2.0, 3.0], [0.0, 5.0, 4.0]])
    step = MoCoStep(torch.tensor(0.0), (first, second), torch.zeros(3, dtype=torch.int64))
    assert step.accuracy() == pytest.approx(1 / 3)  # means: [3 1 2], [5 2 6], [0 5 4]
    assert step.accuracy(2) == pytest.approx(2 / 3)
    assert step.accuracy(3) == 1.0


@pytest.mark.parametrize("value", [1.0, math.nan])
def test_a_network_that_sees_no_difference_is_never_right(value):
    logits = torch.full((2, 4), value)
    assert MoCoStep(torch.tensor(0.0), (logits, logits), torch.zeros(2, dtype=torch.int64)).accuracy() == 0.0


def _two_processes(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    rows = slice(2 * rank, 2 * rank + 2)
    found: dict[str, Tensor] = {}
    for bn in (False, True):
        moco = small_moco(bn=bn)
        model = replicated(moco, current_group(), torch.device("cpu"))
        # each rank's generator differs: only the first one's may decide
        steps = run_steps(moco, model, rows, torch.Generator().manual_seed(5 + rank))
        for i, step in enumerate(steps):
            found |= {f"{bn} loss {i}": step.loss.detach(), f"{bn} logits {i}": torch.stack(step.logits)}
        found |= {f"{bn} state {name}": value for name, value in moco.state_dict().items()}
        found[f"{bn} seen"] = torch.stack(moco.encoder_k.seen)
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> list[dict[str, Tensor]]:
    """What each of two processes had after three steps."""
    folder = tmp_path_factory.mktemp("two")
    mp.spawn(_two_processes, (str(folder),), nprocs=2)  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_two_processes_train_like_one(two):
    moco = small_moco()
    for i, step in enumerate(run_steps(moco, moco, slice(0, 4), None)):
        together = torch.cat([found[f"False logits {i}"] for found in two], 1)
        assert_close(together, torch.stack(step.logits), rtol=1e-5, atol=1e-4)
        assert_close((two[0][f"False loss {i}"] + two[1][f"False loss {i}"]) / 2, step.loss.detach())
    for found in two:
        for name, value in moco.state_dict().items():
            assert_close(found[f"False state {name}"], value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bn", [False, True])
def test_all_processes_have_the_same_queue(two, bn):
    assert torch.equal(two[0][f"{bn} state queue"], two[1][f"{bn} state queue"])
    assert int(two[0][f"{bn} state queue_ptr"]) == 3 * 8 % PLACES
    assert math.isclose(float(two[1][f"{bn} state queue"].norm(dim=0).mean()), 1.0, rel_tol=1e-6)


def test_keys_are_shuffled_over_processes_by_the_first_ones_generator(two):
    generator, order = torch.Generator().manual_seed(5), []
    for call in range(6):  # three steps of two halves
        keys = views(seed=call // 2)[1 - call % 2]
        order.append(torch.randperm(4, generator=generator))
        seen = torch.cat([found["True seen"][call] for found in two])
        assert torch.equal(seen, keys[order[-1]])
    assert any(not torch.equal(places.sort().values, places) for places in order)
