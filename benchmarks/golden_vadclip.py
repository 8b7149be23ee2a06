"""Compares VadCLIP with numbers recorded from the published implementation, array by array, and prints the table.

    python benchmarks/golden_vadclip.py --golden PATH

PATH is the folder with ``ucf_case.npz``, ``xd_case.npz`` and so on; its README describes the arrays. Each line shows
the largest difference found and the tolerance; the exit code is 1 if one is over. The text side runs through
``encoders.text.TextTower`` on the recorded CLIP weights.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidlang.encoders.openai_layout import clip_from_openai
from vidlang.encoders.text import TextTower
from vidlang.methods.vadclip.config import UCF_CRIME_PROMPTS, XD_VIOLENCE_PROMPTS, VadClipConfig, preset
from vidlang.methods.vadclip.data import Sample, TrainingSet, label_row
from vidlang.methods.vadclip.loss import contrastive_loss, vadclip_losses
from vidlang.methods.vadclip.model import VadClip, similarity_graph
from vidlang.methods.vadclip.official import read_official, write_official
from vidlang.methods.vadclip.predict import Predictor, load_model
from vidlang.methods.vadclip.train import Trainer
from vidlang.nn.padding import mask_of, pad_batch, pool_to_length
from vidlang.nn.prompt import PromptPlan, plan_prompts

END_TOKEN = 49407
PRESET_OF = {"ucf": "ucf-crime", "xd": "xd-violence"}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    tolerance: float
    difference: float

    @property
    def holds(self) -> bool:
        return self.difference <= self.tolerance


class RecordedTokens:
    """A tokenizer that knows the recorded prompts."""

    eos_token_id = END_TOKEN

    def __init__(self, prompts: list[str], tokens: np.ndarray) -> None:
        ends = (tokens == END_TOKEN).argmax(1)
        self.ids = {prompt: row[: end + 1].tolist() for prompt, row, end in zip(prompts, tokens, ends, strict=True)}

    def __call__(self, texts: list[str]) -> dict[str, list[list[int]]]:
        return {"input_ids": [self.ids[text] for text in texts]}


class Case:
    """Everything recorded for one data set, and our model with the recorded weights."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.meta: dict[str, Any] = json.loads((folder / f"{name}_meta.json").read_text())
        with np.load(folder / f"{name}_case.npz") as arrays:
            self.arrays = {key: arrays[key] for key in arrays.files}
        with np.load(folder / f"{name}_state.npz") as arrays:
            self.state = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
        sizes = self.meta["config"]
        self.config: VadClipConfig = preset(
            PRESET_OF[name],
            visual_length=sizes["visual_length"],
            attn_window=sizes["attn_window"],
            attn_heads=sizes["visual_head"],
            attn_layers=sizes["visual_layers"],
            prompt_prefix=sizes["prompt_prefix"],
            prompt_postfix=sizes["prompt_postfix"],
        )
        self.prompts: list[str] = self.meta["prompt_text"]
        self.class_names: list[str] = list(self.meta["label_map"])
        self.official = read_official(self.state, self.config)
        assert self.official.clip is not None
        tokenizer = RecordedTokens(self.prompts, self.arrays["tokens"])
        self.text = TextTower(clip_from_openai(self.official.clip), tokenizer)
        self.plan: PromptPlan = plan_prompts(
            self.text, self.prompts, self.config.prompt_prefix, self.config.prompt_postfix
        )

    def tensor(self, key: str) -> Tensor:
        return torch.from_numpy(self.arrays[key])

    def model(self) -> VadClip:
        return load_model(self.official.own, self.config, self.text)

    def videos(self, values: str, lengths: str) -> list[np.ndarray]:
        return np.split(self.arrays[values], np.cumsum(self.arrays[lengths])[:-1])


def compare(folder: Path) -> Iterator[Row]:
    """Every recorded array of the model against ours."""
    yield from _padding(folder)
    yield from _labels(folder)
    for name in PRESET_OF:
        case = Case(folder, name)
        for row in (*_inputs(case), *_forward(case), *_training(case), *_prediction(case), *_files(case)):
            yield Row(f"{name} {row.name}", row.tolerance, row.difference)


def _row(name: str, tolerance: float, ours: Any, theirs: Any) -> Row:
    ours, theirs = (
        value.detach().double().numpy() if isinstance(value, Tensor) else np.asarray(value, dtype=np.float64)
        for value in (ours, theirs)
    )
    assert ours.shape == theirs.shape, f"{name}: {ours.shape} instead of {theirs.shape}"
    return Row(name, tolerance, float(np.abs(ours - theirs).max()))


def _padding(folder: Path) -> Iterator[Row]:
    """Videos of twelve lengths, fitted for training and cut for testing."""
    with np.load(folder / "preprocess.npz") as recorded:
        length = int(recorded["L"])
        train, test = [], []
        for n in recorded["ns"]:
            video = recorded[f"in_{n}"]
            ours, real = pad_batch([pool_to_length(video, length)], length)
            assert int(real) == int(recorded[f"trainlen_{n}"])
            train.append(_row("", 0, ours[0], recorded[f"train_{n}"]).difference)
            pieces, real = pad_batch([video[at : at + length] for at in range(0, n, length)], length)
            assert int(real.sum()) == int(recorded[f"testlen_{n}"])
            theirs = recorded[f"test_{n}"].reshape(-1, *pieces.shape[1:])
            if n % length == 0:  # the published code appends a piece of zeros, whose output it cuts away
                assert not theirs[-1].any()
            test.append(_row("", 0, pieces, theirs[: len(pieces)]).difference)
    yield Row("preprocess train_n (12 lengths)", 1e-6, max(train))
    yield Row("preprocess test_n (12 lengths)", 1e-6, max(test))


def _labels(folder: Path) -> Iterator[Row]:
    """Rows of 0 and 1; unknown labels, which the published code turns into rows of 0, are errors here."""
    recorded = json.loads((folder / "labels.json").read_text())
    ucf = [label_row(name, [name], list(UCF_CRIME_PROMPTS), False) for name in recorded["ucf_labels"][:3]]
    yield _row("labels ucf (known)", 0.0, ucf, recorded["ucf_matrix"][:3])
    named = [[part for part in label.split("-") if part != "0"] for label in recorded["xd_labels"][:5]]
    xd = [label_row("-".join(names), names, list(XD_VIOLENCE_PROMPTS), True) for names in named]
    yield _row("labels xd (known)", 0.0, xd, recorded["xd_matrix"][:5])


def _inputs(case: Case) -> Iterator[Row]:
    videos = [pool_to_length(video, case.config.visual_length) for video in case.videos("raw_concat", "raw_lengths")]
    features, lengths = pad_batch(videos, case.config.visual_length)
    yield _row("features (from raw_concat)", 1e-6, features, case.arrays["features"])
    yield _row("lengths", 0.0, lengths, case.arrays["lengths"])


def _forward(case: Case) -> Iterator[Row]:
    """Text features, intermediates, logits."""
    model, seen = case.model(), {}
    parts = {
        "temporal": model.temporal, "gc1": model.gc1, "gc2": model.gc2, "gc3": model.gc3, "gc4": model.gc4,
        "visual": model.linear, "mlp1": model.mlp1,
    }  # fmt: skip
    for name, part in parts.items():
        part.register_forward_hook(lambda _, given, out, name=name: seen.update({name: (given, out)}))
    with torch.no_grad():
        texts = model.encode_text(case.text, case.plan)
        output = model(case.tensor("features"), case.tensor("lengths"), texts)
        real = mask_of(case.tensor("lengths"), case.config.visual_length)
        near = similarity_graph(seen["temporal"][1], real, case.config.similarity_threshold)
    far = seen["gc3"][0][1].expand_as(near)
    yield _row("text_features", 1e-4, texts, case.arrays["text_features"])
    yield _row("inter temporal_out", 1e-4, seen["temporal"][1].transpose(0, 1), case.arrays["inter::temporal_out_LBD"])
    yield _row("inter sim_adj", 1e-4, near, case.arrays["inter::sim_adj"])
    yield _row("inter dis_adj", 1e-4, far, case.arrays["inter::dis_adj"])
    for name in ("gc1", "gc2", "gc3", "gc4"):
        yield _row(f"inter {name}_preact", 1e-4, seen[name][1], case.arrays[f"inter::{name}_preact"])
    yield _row("inter visual_features", 1e-4, seen["visual"][1], case.arrays["inter::visual_features"])
    yield _row("inter mlp1_in", 1e-4, seen["mlp1"][0][0], case.arrays["inter::mlp1_in"])
    yield _row("inter mlp1_out", 1e-4, seen["mlp1"][1], case.arrays["inter::mlp1_out"])
    yield _row("logits1", 1e-4, output.logits_c, case.arrays["logits1"][..., 0])
    yield _row("logits2", 1e-4, output.logits_a, case.arrays["logits2"])


def _batch_losses(case: Case, model: VadClip) -> list[Tensor]:
    """bce, alignment, contrastive as recorded (xd: before its weight) and as added, total."""
    texts = model.encode_text(case.text, case.plan)
    output = model(case.tensor("features"), case.tensor("lengths"), texts)
    losses = vadclip_losses(output, texts, case.tensor("label_matrix"), case.tensor("lengths"), case.config)
    recorded = losses.contrastive if case.name == "ucf" else contrastive_loss(texts)
    return [losses.bce, losses.alignment, recorded, losses.contrastive, losses.total]


def _training(case: Case) -> Iterator[Row]:
    """Losses, gradients, five steps of AdamW."""
    model = case.model()
    losses = _batch_losses(case, model)
    yield _row("losses (5)", 1e-5, torch.stack(losses), case.arrays["losses"])
    synthetic = contrastive_loss(case.tensor("loss3_synth_text_features"))
    weighted = synthetic * case.config.contrastive_weight
    ours = [weighted, weighted] if case.name == "ucf" else [synthetic, weighted]
    yield _row("loss3_synth", 1e-5, torch.stack(ours), case.arrays["loss3_synth"])

    losses[-1].backward()
    yield Row("gradient norms (relative)", 1e-3, _worst_norm(case, model))
    for key in case.arrays:
        if key.startswith("grad::"):
            gradient = model.get_parameter(key.removeprefix("grad::")).grad
            yield _row(f"gradient {key.removeprefix('grad::')}", 1e-4, gradient, case.arrays[key])

    yield _row("adamw_loss_trajectory (5 steps)", 2e-3, _trajectory(case), case.arrays["adamw_loss_trajectory"])


def _trajectory(case: Case) -> list[list[float]]:
    """Losses before each step of the trainer, from the videos on: bce, alignment, contrastive as recorded, total."""
    options = case.meta["adamw"]
    config = replace(case.config, learning_rate=options["lr"], weight_decay=options["weight_decay"])
    videos = _training_set(case)
    trainer = Trainer(videos, config, case.text)
    trainer.model.load_state_dict(case.official.own)
    samples = [Sample((row,), row) for row in range(len(videos))]
    unweighted = 1.0 if case.name == "ucf" else config.contrastive_weight
    rows = []
    for _ in range(options["steps"]):
        losses = trainer.step(samples)
        parts = (losses.bce, losses.alignment, losses.contrastive / unweighted, losses.total)
        rows.append([part.item() for part in parts])
    return rows


def _worst_norm(case: Case, model: VadClip) -> float:
    worst = 0.0
    for name, recorded in case.meta["grad_norms"].items():
        gradient = model.get_parameter(name).grad
        if recorded is None:
            assert gradient is None, f"{name} has a gradient"
        elif recorded >= 1e-6:
            assert gradient is not None, f"{name} has no gradient"
            worst = max(worst, abs(gradient.norm().item() - recorded) / recorded)
    return worst


def _prediction(case: Case) -> Iterator[Row]:
    predictor = Predictor(case.official.own, case.config, case.class_names, case.prompts, case.text)
    predictions = predictor.predict_many(case.videos("video_concat", "video_lengths"))
    for key, name in (("prob1", "c_branch"), ("prob2", "a_branch"), ("class_probs", "classes")):
        ours = np.concatenate([getattr(prediction, name) for prediction in predictions])
        yield _row(f"{key} (test videos)", 1e-5, ours, case.arrays[key])


def _files(case: Case) -> Iterator[Row]:
    """Reading the published dict and writing it again."""
    assert case.official.clip is not None
    written = write_official(copy.copy(case.official.own), case.official.clip)
    assert list(written) == list(case.state), "other names or another order than published"
    worst = max(float((written[name] - value).abs().max()) for name, value in case.state.items())
    yield Row(f"state dict round trip ({len(written)} tensors)", 0.0, worst)


def _training_set(case: Case) -> TrainingSet:
    """The recorded batch as a training set."""
    videos = [pool_to_length(video, case.config.visual_length) for video in case.videos("raw_concat", "raw_lengths")]
    return TrainingSet(tuple(videos), case.arrays["label_matrix"], tuple(case.class_names), tuple(case.prompts))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--golden", type=Path, required=True, help="folder with the recorded arrays")
    torch.set_num_threads(1)
    rows = list(compare(parser.parse_args().golden))
    sys.stdout.write(f"{'array':<62} {'tolerance':>9} {'found':>9}\n")
    for row in rows:
        sys.stdout.write(f"{row.name:<62} {row.tolerance:9.0e} {row.difference:9.1e}{'' if row.holds else '  OVER'}\n")
    over = sum(not row.holds for row in rows)
    sys.stdout.write(f"{len(rows)} lines, {over} over their tolerance\n")
    return int(over > 0)


if __name__ == "__main__":
    sys.exit(main())
