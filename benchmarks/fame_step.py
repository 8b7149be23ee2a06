"""FAME: time and memory of one training step of each video network at its published size.

    python benchmarks/fame_step.py                                       # the table, one thread
    python benchmarks/fame_step.py --cases r2plus1d_18:4 --repeat 2      # one network, four clips
    python benchmarks/fame_step.py --cases i3d:64 --device cuda --precision bfloat16 --peak 990

A step is what pretraining does with a batch: both halves of MoCo (each clip goes through the query encoder and through
the key encoder twice), the backward pass, SGD. Views are random numbers, already merged and augmented. Work is counted
on shapes alone, by torch's own counter: multiplications and additions of convolutions and matrix products. Memory is
the peak of a process of its own less what it held before the network was built; on a GPU, what torch allocated there.
``--peak`` (trillions of operations per second of the device at that precision) adds the share of it that is reached.

The median of the repeats after a step of a single clip to warm up; CPU seconds of the process beside wall seconds.
Operations per second are by CPU seconds on a CPU, by wall seconds on a GPU.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vidlang.methods.fame.architectures import EMBED_DIM, find_architecture
from vidlang.methods.fame.backbones import build_backbone
from vidlang.methods.fame.moco import MoCo
from vidlang.nn.precision import Precision, arithmetic

CASES = ("tiny:16", "r2plus1d_18:2", "r2plus1d_18:4", "i3d:2")
QUEUE_SIZE = 65536
MIB = 2**20


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    arch: str
    batch: int
    device: str
    precision: Precision
    threads: int
    repeat: int

    def views(self, device: str) -> Tensor:
        """[2, B, 3, T, H, W]"""
        spec = find_architecture(self.arch)
        return torch.randn(2, self.batch, 3, spec.num_frames, spec.size, spec.size, device=device)


@dataclass(frozen=True)
class Measured:
    """Medians of one case."""

    wall_seconds: float
    cpu_seconds: float
    operations: float
    memory_mib: float


class Pretraining:
    """A network in MoCo, with its optimizer."""

    def __init__(self, case: Case) -> None:
        self.case, self.device = case, torch.device(case.device)
        moco = MoCo(lambda: build_backbone(case.arch, head="embed"), dim=EMBED_DIM, queue_size=QUEUE_SIZE)
        self.moco = moco.to(self.device)
        weights = self.moco.encoder_q.parameters()
        self.optimizer = torch.optim.SGD(weights, lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step(self, views: Tensor) -> None:
        with arithmetic(self.device, self.case.precision):
            loss = self.moco(views[0], views[1]).loss
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def num_operations(case: Case) -> float:
    """Multiplications and additions of the two encoders in a step, from shapes alone; those of the queue are few."""
    with torch.device("meta"):
        encoder = build_backbone(case.arch, head="embed")
    clips = case.views("meta")[0]
    with FlopCounterMode(display=False) as learning:
        encoder(clips).sum().backward()
    with FlopCounterMode(display=False) as keys, torch.no_grad():
        encoder(clips)
    return 2.0 * (learning.get_total_flops() + keys.get_total_flops())


def measure(case: Case) -> Measured:
    """Runs a case in this process."""
    torch.set_num_threads(case.threads)
    operations = num_operations(case)
    on_gpu, before = case.device.startswith("cuda"), _peak_mib()
    training, views = Pretraining(case), case.views(case.device)
    training.step(views[:, :1])
    wall, cpu = [], []
    for _ in range(case.repeat):
        start, start_cpu = time.perf_counter(), time.process_time()
        training.step(views)
        if on_gpu:
            torch.cuda.synchronize()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    memory = torch.cuda.max_memory_allocated() / MIB if on_gpu else _peak_mib() - before
    return Measured(statistics.median(wall), statistics.median(cpu), operations, memory)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _line(case: Case, measured: Measured, peak: float | None) -> str:
    spec = find_architecture(case.arch)
    on_gpu = case.device.startswith("cuda")
    rate = measured.operations / (measured.wall_seconds if on_gpu else measured.cpu_seconds)
    cells = [
        f"{case.arch}, {case.batch} x {spec.num_frames} x {spec.size} x {spec.size}",
        f"{measured.wall_seconds:.3g}",
        f"{measured.cpu_seconds:.3g}",
        f"{case.batch / measured.wall_seconds:.3g}",
        f"{case.batch / measured.cpu_seconds:.3g}",
        f"{measured.operations / 1e9:.0f}",
        f"{rate / 1e9:.0f}",
        f"{measured.memory_mib:.0f}",
    ]
    if peak is not None:
        cells.append(f"{rate / (peak * 1e12):.0%}")
    return f"| {' | '.join(cells)} |\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=CASES, metavar="NETWORK:CLIPS")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--peak", type=float, help="trillions of operations per second that the device can do")
    options = parser.parse_args()
    heads = ["step", "wall s", "CPU s", "clips/s", "clips/CPU s", "10⁹ operations", "10⁹ per s", "MiB"]
    heads += ["of the peak"] if options.peak is not None else []
    sys.stdout.write(f"{options.device}, {options.precision}, {options.threads} threads, torch {torch.__version__}\n\n")
    sys.stdout.write(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n")
    for name in options.cases:
        arch, batch = name.split(":")
        case = Case(arch, int(batch), options.device, options.precision, options.threads, options.repeat)
        # a process of its own: a peak of memory never goes down again
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            measured = pool.submit(measure, case).result()
        sys.stdout.write(_line(case, measured, options.peak))
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
