"""WTAL: CPU seconds of a training step and of a minute of video, and memory of a step with and without drawn pairs.

    python benchmarks/wtal.py                        # T = 250 and 1000, batch 16, 8 classes
    python benchmarks/wtal.py --rows 250 --classes 20 --repeat 5

Rows are random, of CLIP's width 512, so CBP reads 1536 numbers a snippet. The text tower has the shape of CLIP
ViT-B/16's (width 512, 12 layers) and random weights, which cost what real ones cost. A step includes making its batch:
differences of rows, padding, pseudo-labels. Pseudo-labels are drawn once: of each video a quarter of the snippets is
surely its class, half is surely background, the rest undecided.

One thread; CPU seconds of the process, wall seconds in brackets; the median of the repeats after one run to warm up;
what takes long (steps of more than 250 snippets, half an hour of video) runs once.
Memory: each figure is the peak of a process of its own above what that process held before (Linux only).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

from vidlang.encoders.text import TextTower
from vidlang.methods.wtal.config import preset
from vidlang.methods.wtal.data import LabelledVideo, training_set
from vidlang.methods.wtal.inputs import cbp_rows, rows_per
from vidlang.methods.wtal.loss import contrast
from vidlang.methods.wtal.predict import Predictor
from vidlang.methods.wtal.proposals import detect
from vidlang.methods.wtal.train import Trainer

START, END = 49406, 49407
DIM = 512
ROWS_PER_SECOND = 4
LONG = 30
"""Minutes of a video that is read in windows."""
MIB = 2**20


class LetterTokenizer:
    """One token per word, by length and first letter: the cost of a text does not depend on which tokens it has."""

    eos_token_id = END

    def __call__(self, texts: list[str]) -> dict[str, list[list[int]]]:
        rows = [[START, *(1000 + 97 * ord(word[0]) + len(word) for word in text.split()), END] for text in texts]
        return {"input_ids": rows}


def random_tower(num_layers: int = 12, seed: int = 0) -> TextTower:
    """ViT-B/16's text tower (width 512, 12 layers, 8 heads) with random weights; or some of its layers."""
    text = CLIPTextConfig(
        hidden_size=512, intermediate_size=2048, num_hidden_layers=num_layers, num_attention_heads=8,
        projection_dim=DIM, hidden_act="quick_gelu", vocab_size=49408, bos_token_id=START, eos_token_id=END,
    )  # fmt: skip
    vision = CLIPVisionConfig(hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=1)
    torch.manual_seed(seed)
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=DIM)
    return TextTower(CLIPModel(config).eval(), LetterTokenizer())


# What is worked on


def random_rows(num_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows [T, 512] and their intervals [T, 2]."""
    rows = np.random.default_rng(seed).normal(0, 0.45, (num_rows, DIM)).astype(np.float32)
    starts = np.arange(num_rows) / ROWS_PER_SECOND
    return rows, np.stack([starts, starts + 1 / ROWS_PER_SECOND], axis=1)


def trainer_of(text: TextTower, num_rows: int, batch: int, classes: int, **changes: Any) -> Trainer:
    names = [f"action number {c}" for c in range(classes)]
    config = preset("robust", batch_size=batch, num_rows=num_rows, **changes)
    videos = [LabelledVideo(f"v{b}", *random_rows(num_rows, b), [names[b % classes]]) for b in range(batch)]
    trainer = Trainer(training_set(videos, names, config), config, text)
    trainer.H = [drawn_labels(num_rows, classes, b % classes, b) for b in range(batch)]
    return trainer


def drawn_labels(num_rows: int, classes: int, own: int, seed: int) -> Tensor:
    """H [T, C]: the class ``own`` in a quarter of the snippets, background in half of them, -1 in the rest."""
    H = torch.zeros(num_rows, classes, dtype=torch.int8)
    order = torch.randperm(num_rows, generator=torch.Generator().manual_seed(seed))
    quarter = num_rows // 4
    H[order[:quarter], own] = 1
    H[order[quarter : 2 * quarter], own] = -1
    return H


def train_step(trainer: Trainer, step: Any) -> None:
    """One step with the making of its batch."""
    generator = torch.Generator().manual_seed(0)
    H = None if step == "warm-up" else trainer.H
    batch = trainer.videos.batch(range(len(trainer.videos)), trainer.config.num_rows, generator, H)
    trainer.step(step, batch, generator)


# Measuring


def cpu_seconds(work: Callable[[], Any], repeat: int) -> tuple[float, float]:
    """Median CPU and wall seconds of several runs after one to warm up; a single run is the first."""
    cpu, wall = [], []
    for run in range(repeat + (repeat > 1)):
        before = time.process_time(), time.perf_counter()
        work()
        if run or repeat == 1:
            cpu.append(time.process_time() - before[0])
            wall.append(time.perf_counter() - before[1])
    return statistics.median(cpu), statistics.median(wall)


def peak_above(work: Callable[[], Any]) -> int:
    """Bytes that this process holds at the highest point of the work, above what it held before."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = held_bytes("VmRSS")
    work()
    return held_bytes("VmHWM") - before


def held_bytes(name: str) -> int:
    """A line of the kernel's account of this process. ``getrusage`` would count the peak of the parent as well."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def memory_of_step(step: str, num_rows: int, batch: int, classes: int, max_pairs: int | None) -> int:
    """Peak of one step above what its model, videos and texts hold. max_pairs: None for no limit"""
    torch.set_num_threads(1)
    limit = batch * num_rows * classes if max_pairs is None else max_pairs
    trainer = trainer_of(random_tower(num_layers=1), num_rows, batch, classes, fb_max_pairs=limit, freeze_prompts=True)
    return peak_above(lambda: train_step(trainer, step))


def memory_of_contrast(num_rows: int, batch: int, classes: int, max_pairs: int | None) -> int:
    """Peak of L_fb and its gradient above the features [B, T, 512]."""
    torch.set_num_threads(1)
    features = torch.randn(batch, num_rows, DIM, requires_grad=True)
    H = torch.stack([drawn_labels(num_rows, classes, b % classes, b) for b in range(batch)])
    contrast(features[:1, :8], H[:1, :8]).backward()  # what loads at first use
    return peak_above(lambda: contrast(features, H, max_pairs=max_pairs).backward())


def in_own_process(work: Callable[..., int], *arguments: Any) -> int:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


# The tables


def line(name: str, first: tuple[float, float], second: tuple[float, float] | None = None) -> str:
    cells = [f"{cpu:8.3f} ({wall:7.3f})" for cpu, wall in (first, *([second] if second else []))]
    return f"{name:<58} {'  '.join(cells)}"


def training(text: TextTower, options: argparse.Namespace) -> list[str]:
    out = [f"{'training step, CPU seconds (wall)':<58} {'learned prompts':>18}  {'--freeze-prompts':>18}"]
    for num_rows in options.rows:
        size = num_rows, options.batch, options.classes
        learned = trainer_of(text, *size, precision=options.precision)
        frozen = trainer_of(text, *size, precision=options.precision, freeze_prompts=True)
        out += training_steps(learned, frozen, options)
    return out


def training_steps(learned: Trainer, frozen: Trainer, options: argparse.Namespace) -> list[str]:
    """Warm-up and F read no learned text, so they cost the same with frozen prompts."""
    num_rows = learned.config.num_rows
    repeat = options.repeat if num_rows <= 250 else 1
    out = []
    for step in ("warm-up", "B", "F"):
        times = [cpu_seconds(partial(train_step, learned, step), repeat)]
        times += [cpu_seconds(partial(train_step, frozen, step), repeat)] if step == "B" else []
        out.append(line(f"{step}, T = {num_rows}, batch {options.batch}", *times))
    return out


def inference(text: TextTower, options: argparse.Namespace) -> list[str]:
    trainer = trainer_of(text, 1000, options.classes, options.classes)
    predictor = trainer.predictor
    predictor.precision = options.precision
    predictor.predict(trainer.videos.vlp(0)[:8], trainer.videos.cbp(0)[:8])  # texts are encoded once
    out = [f"{f'a minute of video, {ROWS_PER_SECOND} rows a second, CPU seconds (wall)':<58} {options.precision:>18}"]
    for minutes, count in ((1, 1), (1, 16), (10, 1), (LONG, 1)):
        videos = [random_rows(60 * ROWS_PER_SECOND * minutes, seed) for seed in range(count)]
        repeat = options.repeat if minutes < LONG else 1
        times = cpu_seconds(partial(both_branches, predictor, videos), repeat)
        name = f"both branches, {f'{count} videos' if count > 1 else 'one video'} of {minutes} min"
        out.append(line(name, (times[0] / minutes / count, times[1] / minutes / count)))
        if count == 1:
            curve, score = moving_curves(len(videos[0][0]), options.classes), np.full(options.classes, 0.5)
            times = cpu_seconds(partial(detect, curve, videos[0][1], score), repeat)
            name = f"segments of all {options.classes} classes from curves, {minutes} min"
            out.append(line(name, (times[0] / minutes, times[1] / minutes)))
    return out


def both_branches(predictor: Predictor, videos: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Rows and intervals to curves, with the making of CBP's rows."""
    window = rows_per(videos[0][1], predictor.config.difference_seconds)
    predictor.predict_many([(rows, cbp_rows("differences", rows, window, None)) for rows, _ in videos])


def moving_curves(num_rows: int, classes: int) -> np.ndarray:
    """[T, C] in 0 to 1 with about one hill in ten seconds and a little noise."""
    rng = np.random.default_rng(0)
    phase = np.arange(num_rows)[:, None] / (10 * ROWS_PER_SECOND) * 2 * np.pi + rng.uniform(0, 6, classes)
    return np.clip(0.5 + 0.4 * np.sin(phase) + rng.normal(0, 0.05, (num_rows, classes)), 0, 1)


def memory(options: argparse.Namespace) -> list[str]:
    num_rows = max(options.rows)
    size = num_rows, options.batch, options.classes
    limit = preset("robust").fb_max_pairs
    out = [f"{f'peak memory, T = {num_rows}, batch {options.batch}':<58} {'MiB':>8}"]
    for name, pairs in ((f"L_fb alone, {limit} pairs", limit), ("L_fb alone, all pairs", None)):
        out.append(f"{name:<58} {in_own_process(memory_of_contrast, *size, pairs) / MIB:8.0f}")
    plain = (options.batch * num_rows) ** 2 * 4
    out.append(f"{'one float32 matrix of all snippets by all, for comparison':<58} {plain / MIB:8.0f}")
    for step in options.memory_steps:
        name = f"step {step}, {limit} pairs, prompts frozen"
        out.append(f"{name:<58} {in_own_process(memory_of_step, step, *size, limit) / MIB:8.0f}")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[250, 1000], help="T: snippets of every training video")
    parser.add_argument("--batch", type=int, default=16, help="videos per step")
    parser.add_argument("--classes", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=2, help="timed runs of what is short")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--memory-steps", nargs="*", choices=["B", "F"], default=["F"])
    parser.add_argument("--skip", nargs="*", choices=["training", "inference", "memory"], default=[])
    options = parser.parse_args()
    if options.batch < options.classes:
        parser.error("--batch must be at least --classes, so that each class has a video")
    torch.set_num_threads(1)
    text = random_tower()
    out = [f"{options.classes} classes, width {DIM}, text tower of ViT-B/16's shape, {torch.get_num_threads()} thread"]
    out += training(text, options) if "training" not in options.skip else []
    out += inference(text, options) if "inference" not in options.skip else []
    out += memory(options) if "memory" not in options.skip else []
    sys.stdout.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
