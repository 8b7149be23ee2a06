"""Compares TCA with numbers recorded from the published implementation, array by array, and prints the table.

    python benchmarks/golden_tca.py --golden PATH

PATH is the folder with ``encoder.npz``, ``results.json`` and so on; its README describes the arrays. Sizes, numbers of
steps and names of runs are read from the files, so another recording of the same layout is compared as well. Each line
shows the largest difference found and the tolerance; the exit code is 1 if one is over. What was recorded and nothing
here reads is listed at the end.

``euclidean_asshipped`` is computed here alone: its scale depends on the other queries, and vidlang does not offer it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from golden_table import Row, show
from numpy.typing import NDArray
from torch import Tensor

from vidlang.core.results import Hit, Ranking
from vidlang.core.retrieval import Rankings, RetrievalTruth, Similarities
from vidlang.methods.tca.alignment import temporal_network_score
from vidlang.methods.tca.baselines import Gru, Lstm, NetVlad, NextVlad
from vidlang.methods.tca.comparator import comparator_similarity, load_comparator
from vidlang.methods.tca.config import TcaConfig, preset
from vidlang.methods.tca.data import pad_or_crop
from vidlang.methods.tca.loss import circle, circle_as_shipped, contrastive_loss, cosines_of, infonce, triplet
from vidlang.methods.tca.memory_bank import NO_GROUP, Batch, MemoryBank
from vidlang.methods.tca.model import TcaEncoder
from vidlang.methods.tca.predict import Embedder, PlainEmbedder
from vidlang.methods.tca.reference_sampling import CROP_SIDE, center_crop_256, reference_frames
from vidlang.methods.tca.similarity import chamfer, chamfer_many, cosine, symmetric_chamfer, symmetric_chamfer_many
from vidlang.methods.tca.video_encoder import VideoEncoder, row_weights
from vidlang.methods.tca.whitening import Whitening, fit
from vidlang.metrics.retrieval import RetrievalScores, evaluate
from vidlang.nn.padding import mask_of
from vidlang.nn.region_pooling import concatenate, imac, rmac

Arrays = dict[str, NDArray[Any]]
LAYER = "transformer_encoder.layers"
HEADS = 8
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-4
"""Of the recorded training steps, where results.json does not say."""
TEMPORAL_NETWORK = {"top_K": 3, "min_sim": 0.35, "max_step": 10}
"""Likewise."""
PRINTED = 5.1e-5
"""Printed numbers have four decimals."""


class Golden:
    """The recorded files. It remembers what was read, so that what was not can be named."""

    def __init__(self, folder: Path, heads: int | None) -> None:
        from safetensors.torch import load_file

        self.arrays: dict[str, Arrays] = {}
        for path in sorted(folder.glob("*.npz")):
            with np.load(path, allow_pickle=False) as file:
                self.arrays[path.name] = {key: file[key] for key in file.files}
        self.tensors = {path.name: load_file(path) for path in sorted(folder.glob("*.safetensors"))}
        self.json = {path.name: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}
        if not self.arrays:
            raise SystemExit(f"{folder} holds no recorded arrays (*.npz)")
        self.seen: set[tuple[str, ...]] = set()
        self.heads = heads if heads is not None else int(self.fact(("config", "nhead"), HEADS))

    def names(self, file: str) -> list[str]:
        """Keys of ``<file>.npz``; none where there is no such file."""
        return list(self.arrays.get(f"{file}.npz", {}))

    def array(self, file: str, key: str) -> NDArray[Any]:
        self.seen.add((f"{file}.npz", key))
        return self.arrays[f"{file}.npz"][key]

    def tensor(self, file: str, key: str) -> Tensor:
        return torch.from_numpy(self.array(file, key))

    def clips(self, file: str, name: str) -> list[NDArray[Any]]:
        """``<name>_flat`` cut at ``<name>_offsets``."""
        flat, offsets = self.array(file, f"{name}_flat"), self.array(file, f"{name}_offsets")
        return [flat[first:last] for first, last in itertools.pairwise(offsets)]

    def weights(self, file: str, prefix: str = "") -> dict[str, Tensor]:
        """Tensors whose key starts with the prefix, which is taken off."""
        found = {}
        for key, value in self.tensors[f"{file}_weights.safetensors"].items():
            if key.startswith(prefix):
                self.seen.add((f"{file}_weights.safetensors", key))
                found[key.removeprefix(prefix)] = value
        return found

    def result(self, *path: str) -> Any:
        """What results.json holds there; all of it counts as read."""
        return self._at("results.json", path)

    def annotation(self, name: str, *path: str) -> Any:
        return self._at(f"eval_{name}_annotation.json", path)

    def has(self, *path: str) -> bool:
        value: Any = self.json.get("results.json", {})
        for key in path:
            if not isinstance(value, Mapping) or key not in value:
                return False
            value = value[key]
        return True

    def fact(self, path: tuple[str, ...], default: Any) -> Any:
        return self.result(*path) if self.has(*path) else default

    def keys(self, *path: str) -> list[str]:
        """Names below a place in results.json, which do not count as read."""
        value: Any = self.json.get("results.json", {})
        for key in path:
            value = value.get(key, {})
        return list(value)

    def _at(self, file: str, path: tuple[str, ...]) -> Any:
        value = self.json[file]
        for key in path:
            value = value[key]
        self.seen.add((file, *path))
        return value

    def num_recorded(self) -> int:
        """Arrays and tensors; what lies in JSON files is not counted."""
        return sum(map(len, self.arrays.values())) + sum(map(len, self.tensors.values()))

    def unread(self) -> list[str]:
        """Everything that was recorded and not read: one line per file and, in JSON, per place."""
        places: dict[str, list[str]] = {}
        for file, table in {**self.arrays, **self.tensors}.items():
            if missing := [key for key in table if (file, key) not in self.seen]:
                places[file] = missing
        for file, content in self.json.items():
            for path in self._unread_parts((file,), content):
                places.setdefault("/".join((file, *path[:-1])), []).append(path[-1])
        return [f"{place}: {', '.join(names)}" for place, names in places.items()]

    def _unread_parts(self, path: tuple[str, ...], value: Any) -> list[tuple[str, ...]]:
        if path in self.seen:
            return []
        touched = any(seen[: len(path)] == path for seen in self.seen)
        if not touched or not isinstance(value, Mapping):
            return [path[1:] or ("all of it",)]
        return [part for key, below in value.items() for part in self._unread_parts((*path, key), below)]


def compare(golden: Golden) -> Iterator[Row]:
    """Every recorded array against ours, section by section. A file that is not there is left out."""
    sections: tuple[tuple[str, Callable[[Golden], Iterable[Row]]], ...] = (
        ("encoder", _encoder),
        ("baselines", _baselines),
        ("memory_bank", _memory_bank),
        ("losses", _losses),
        ("similarity", _similarity),
        ("pca", _pca),
        ("region_pooling", _region_pooling),
    )
    for file, section in sections:
        if f"{file}.npz" in golden.arrays:
            with torch.no_grad() if section not in (_memory_bank, _losses) else torch.enable_grad():
                yield from section(golden)
    yield from _sampling(golden)
    yield from _evaluation(golden)


def _numbers(value: Any) -> NDArray[np.float64]:
    return value.detach().double().numpy() if isinstance(value, Tensor) else np.asarray(value, dtype=np.float64)


def _difference(ours: Any, theirs: Any) -> float:
    """The largest absolute difference; infinite where shapes differ or a value is not finite."""
    mine, recorded = _numbers(ours), _numbers(theirs)
    if mine.shape != recorded.shape or not np.isfinite(mine).all():
        return float("inf")
    return float(np.abs(mine - recorded).max(initial=0.0))


def _row(group: str, what: str, tolerance: float, pairs: Iterable[tuple[Any, Any]], relative: bool = False) -> Row:
    """The worst of several pairs (ours, recorded). relative: to the largest recorded value of each pair"""
    found = []
    for ours, theirs in pairs:
        scale = max(float(np.abs(_numbers(theirs)).max(initial=0.0)), 1e-30) if relative else 1.0
        found.append(_difference(ours, theirs) / scale)
    return Row(group, what + (", relative" if relative else ""), len(found), max(found, default=0.0), tolerance)


def _time_first(x: Tensor) -> Tensor:
    """[..., C, T] → [..., T, C]"""
    return x.transpose(-1, -2)


# 1. encoder


def _new_encoder(state: Mapping[str, Tensor], heads: int) -> TcaEncoder:
    """An encoder of the sizes that the weights show."""
    layers = {name.split(".")[2] for name in state if name.startswith(f"{LAYER}.")}
    feedforward, width = state[f"{LAYER}.0.linear1.weight"].shape
    encoder = TcaEncoder(width, heads, len(layers), feedforward, dropout=0.0)
    encoder.load_state_dict(dict(state))
    return encoder.eval()


def _encoder(golden: Golden) -> Iterator[Row]:
    file, group = "encoder", "1 encoder"
    encoder = _new_encoder(golden.weights(file), golden.heads)
    x, lengths = _time_first(golden.tensor(file, "x")), golden.tensor(file, "lengths").long()
    tokens, video = golden.array(file, "tokens_masked"), golden.array(file, "video")
    frames = golden.clips(file, "frames")
    yield _row(group, "mask", 0, [(mask_of(lengths, x.shape[1]), golden.array(file, "mask"))])
    yield _row(group, "tokens_masked", 1e-5, [(encoder(x, lengths), tokens)])
    yield _row(group, "video", 1e-5, [(encoder.video(x, lengths), video)])
    ours = encoder.frames(x, lengths)
    yield _row(group, "frames, and where clips end", 1e-5, zip(ours, frames, strict=True))
    garbage = _time_first(golden.tensor(file, "x_garbage_padding"))
    again = [(encoder(garbage, lengths), tokens), (encoder.video(garbage, lengths), video)]
    yield _row(group, "both, garbage in the padding", 1e-5, again)
    same = [(encoder(garbage, lengths), encoder(x, lengths))]
    yield _row(group, "ours with garbage and without, same bits", 0, same)
    clips = [one[:length].numpy() for one, length in zip(x, lengths.tolist(), strict=True)]
    embedded = Embedder(encoder).embed_many(clips)
    pairs = [*zip((vector for vector, _ in embedded), video, strict=True)]
    pairs += zip((rows for _, rows in embedded), frames, strict=True)
    yield _row(group, "video and frames by Embedder, clip by clip", 1e-5, pairs)


# 2. baselines


def _new_baseline(name: str, state: Mapping[str, Tensor]) -> VideoEncoder:
    """A baseline of the sizes that the weights show."""
    encoder: VideoEncoder
    if name in ("netvlad", "nextvlad"):
        output_dim, num_clusters = len(state["fc1.weight"]), len(state["centroids"])
        reduction = output_dim // len(state["fc2.weight"])
        if name == "netvlad":
            encoder = NetVlad(state["centroids"].shape[1], num_clusters, output_dim, reduction)
        else:
            wide, width = state["conv1.weight"].shape[:2]
            groups = len(state["conv2.weight"])
            encoder = NextVlad(width, num_clusters, output_dim, reduction, groups=groups, expansion=wide // width)
    else:
        kind, part = (Lstm, "LSTM") if name == "lstm" else (Gru, "GRU")
        hidden, width = state[f"{part}.weight_hh_l0"].shape[1], state[f"{part}.weight_ih_l0"].shape[1]
        encoder = kind(width, hidden, sum(key.startswith(f"{part}.weight_hh_l") for key in state))
    encoder.load_state_dict(dict(state))
    return encoder.eval()


def _baselines(golden: Golden) -> Iterator[Row]:
    file, group = "baselines", "2 baselines"
    names = [key.removesuffix("_x") for key in golden.names(file) if key.endswith("_x")]
    lengths = golden.tensor(file, "lengths").long()
    for name in names:
        encoder = _new_baseline(name, golden.weights(file, f"{name}."))
        x = _time_first(golden.tensor(file, f"{name}_x"))
        yield _row(group, f"{name}_video", 1e-5, [(encoder.video(x, lengths), golden.array(file, f"{name}_video"))])
        if f"{name}_residuals" in golden.names(file):
            assert isinstance(encoder, NetVlad | NextVlad)
            residuals = encoder.residuals(x, row_weights(lengths, x.shape[1], None))
            yield _row(group, f"{name}_residuals", 1e-5, [(residuals, golden.array(file, f"{name}_residuals"))])
        if f"{name}_frames_flat" in golden.names(file):
            frames = zip(encoder.frames(x, lengths), golden.clips(file, f"{name}_frames"), strict=True)
            yield _row(group, f"{name}_frames", 1e-5, frames)


# 3. memory bank


@dataclass(frozen=True)
class Run:
    """One recorded training."""

    name: str
    momentum: float
    temperature: float
    loss: str
    total: str | None
    """Its name among the losses of results.json."""

    @property
    def tolerance(self) -> float:
        return 5e-5 if self.loss == "infonce" else 5e-4


RUN_LOSSES = {"nce": "infonce", "circle_paper": "circle", "circle_asshipped": "circle-as-shipped", "triplet": "triplet"}


def _runs(golden: Golden) -> Iterator[Run]:
    """The arrays name a run ``nce_m09``, results.json ``nce_m0.9_T0.07``."""
    totals = {}
    for key in golden.keys("train_losses"):
        if match := re.fullmatch(r"(.+)_m([\d.]+)_T([\d.]+)", key):
            totals[f"{match[1]}_m{match[2].replace('.', '')}"] = (key, float(match[2]), float(match[3]))
    for key in golden.names("memory_bank"):
        match = re.fullmatch(r"(.+)_m(\d+)", key.removesuffix("_losses"))
        if not key.endswith("_losses") or match is None or match[1] not in RUN_LOSSES:
            continue
        digits, loss = match[2], RUN_LOSSES[match[1]]
        guessed = (None, float(f"{digits[0]}.{digits[1:] or 0}"), 0.07 if loss == "infonce" else 1.0)
        total, momentum, temperature = totals.get(match[0], guessed)
        yield Run(match[0], momentum, temperature, loss, total)


def _recorded_batch(golden: Golden, step: int) -> Batch:
    parts: list[Tensor] = []
    for part in "apn":
        x = _time_first(golden.tensor("memory_bank", f"step{step}_{part}"))  # [B, T, C], negatives [B, M, T, C]
        parts += [x.flatten(0, -3), golden.tensor("memory_bank", f"step{step}_len_{part}").flatten().long()]
    groups = [torch.full((len(parts[place]),), NO_GROUP) for place in (0, 4)]
    return Batch(*parts, *groups)


def _memory_bank(golden: Golden) -> Iterator[Row]:
    file = "memory_bank"
    rate = float(golden.fact(("config", "moco", "lr"), LEARNING_RATE))
    decay = float(golden.fact(("config", "moco", "wd"), WEIGHT_DECAY))
    batch_size, num_negatives = golden.array(file, "step0_n").shape[:2]
    for run in _runs(golden):
        group = f"3 bank, {run.name}"
        config = preset(
            "code", batch_size=batch_size, num_negatives=num_negatives,
            bank_size=golden.array(file, "queue_init").shape[1], momentum=run.momentum, temperature=run.temperature,
            loss=run.loss, dropout=0.0, learning_rate=rate, weight_decay=decay,
        )  # fmt: skip
        yield from _training(golden, run, group, config)


def _training(golden: Golden, run: Run, group: str, config: TcaConfig) -> Iterator[Row]:
    file = "memory_bank"
    encoder = _new_encoder(golden.weights(file, "init."), golden.heads)
    bank = MemoryBank(encoder, config).train()
    bank.queue.copy_(golden.tensor(file, "queue_init"))
    optimizer = torch.optim.Adam(encoder.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    recorded = golden.array(file, f"{run.name}_losses")
    losses, cosines, queues, pointers = [], [], [], []
    for step in range(len(recorded)):
        compared = bank(_recorded_batch(golden, step))
        loss = contrastive_loss(compared.cosines, config, compared.ignored)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        name = f"{run.name}_step{step}"
        losses.append(loss.item())
        cosines.append((compared.cosines, golden.array(file, f"{name}_logits") * run.temperature))
        queues.append((bank.queue.clone(), golden.array(file, f"{name}_queue_after")))
        pointers.append((int(bank.queue_ptr), golden.array(file, f"{name}_ptr_after")))
    yield _row(group, "cosines", run.tolerance, cosines)
    yield _row(group, "bank", run.tolerance, queues)
    yield _row(group, "pointer", 0, pointers)
    pairs = [*zip(losses, recorded, strict=True)]
    if run.total is not None:
        pairs += zip(losses, golden.result("train_losses", run.total), strict=True)
    yield _row(group, "losses", 1e-3, pairs, relative=True)
    for part, trained in (("encoder_q", bank.encoder_q), ("encoder_k", bank.encoder_k)):
        state = trained.state_dict()
        weights = golden.weights(file, f"{run.name}.{part}.")
        if weights:
            pairs = [(state[name], value) for name, value in weights.items()]
            yield _row(group, f"{part} after {len(recorded)} steps", 2 * config.learning_rate, pairs)


# 4. losses


def _loss_of(tag: str) -> Callable[[Tensor], Tensor] | None:
    """The function that a tag such as ``circle_paper_g64_m0.4`` names."""
    if match := re.fullmatch(r"infonce_T([\d.]+)", tag):
        return partial(infonce, temperature=float(match[1]))
    if match := re.fullmatch(r"circle_(paper|asshipped)_g([\d.]+)_m([\d.]+)", tag):
        function = circle if match[1] == "paper" else circle_as_shipped
        return partial(function, gamma=float(match[2]), margin=float(match[3]))
    if match := re.fullmatch(r"triplet_spec_m([\d.]+)", tag):
        return partial(triplet, margin=float(match[1]))
    return None


def _losses(golden: Golden) -> Iterator[Row]:
    file, group = "losses", "4 losses"
    w_a, w_p, bank = (golden.tensor(file, name) for name in ("w_a", "w_p", "bank"))
    yield _row(group, "cosines", 1e-5, [(cosines_of(w_a, w_p, bank.T), golden.array(file, "cosines"))])
    tags = [key.removesuffix("_grad_wa") for key in golden.names(file) if key.endswith("_grad_wa")]
    kinds: dict[str, list[str]] = {}
    for tag in tags:
        kinds.setdefault(tag.split("_g")[0].split("_T")[0].split("_m")[0], []).append(tag)
    for kind, members in kinds.items():
        values: list[tuple[Any, Any]] = []
        gradients: list[tuple[Any, Any]] = []
        for tag in members:
            if (function := _loss_of(tag)) is None:
                continue
            anchors = w_a.clone().requires_grad_()
            cosines = cosines_of(anchors, w_p, bank.T)
            alone = cosines.detach().requires_grad_()
            loss = function(cosines)
            loss.backward()
            function(alone).backward()
            values.append((loss, golden.array(file, tag)))
            if golden.has("losses", tag):
                values.append((loss, golden.result("losses", tag)))
            gradients.append((anchors.grad, golden.array(file, f"{tag}_grad_wa")))
            gradients.append((alone.grad, golden.array(file, f"{tag}_grad_s")))
        yield _row(group, f"{kind}", 1e-5, values, relative=True)
        yield _row(group, f"{kind} gradients", 1e-4, gradients, relative=True)


# 5. similarity


def _similarity(golden: Golden) -> Iterator[Row]:
    file, group = "similarity", "5 similarity"
    clips = [torch.from_numpy(clip) for clip in golden.clips(file, "frames")]
    recorded = golden.tensor(file, "video")
    videos = [torch.from_numpy(PlainEmbedder().embed(clip.numpy())[0]) for clip in clips]

    def table(function: Callable[[Tensor, Tensor], Any], items: Sequence[Tensor]) -> list[list[float]]:
        return [[float(function(query, target)) for target in items] for query in items]

    yield _row(group, "video", 1e-5, [(torch.stack(videos), recorded)])
    yield _row(group, "cosine", 1e-5, [(table(cosine, videos), golden.array(file, "cosine"))])
    stored = golden.array(file, "euclidean_asshipped")
    yield _row(group, "euclidean_asshipped (computed here)", 1e-5, [(_euclidean(torch.stack(videos)), stored)])
    stored = golden.array(file, "chamfer")
    yield _row(group, "chamfer, pair by pair", 1e-5, [(table(chamfer, clips), stored)])
    both = [chamfer_many(clip, clips) for clip in clips]
    there, back = (torch.stack([one[direction] for one in both]) for direction in (0, 1))
    yield _row(group, "chamfer, one query against all, both ways", 1e-5, [(there, stored), (back.T, stored)])
    stored = golden.array(file, "symmetric_chamfer")
    many = torch.stack([symmetric_chamfer_many(clip, clips) for clip in clips])
    yield _row(group, "symmetric_chamfer, both ways", 1e-5, [(table(symmetric_chamfer, clips), stored), (many, stored)])
    yield from _comparator(golden, clips, table)
    options = golden.fact(("config", "tn"), TEMPORAL_NETWORK)
    limits = (options["top_K"], options["min_sim"], options["max_step"])
    scores = table(lambda q, t: temporal_network_score((q @ t.T).numpy(), *limits), clips)
    yield _row(group, "tn_score", 1e-5, [(scores, golden.array(file, "tn_score"))])


def _comparator(
    golden: Golden, clips: Sequence[Tensor], table: Callable[[Callable[[Tensor, Tensor], Any], Sequence[Tensor]], Any]
) -> Iterator[Row]:
    file, group = "similarity", "5 similarity"
    comparator = load_comparator(golden.weights("comparator"))
    inputs, outputs = [], []
    for key in golden.names(file):
        if match := re.fullmatch(r"comparator_in_(\d+)_(\d+)", key):
            matrix = golden.tensor(file, key)
            inputs.append((clips[int(match[1])] @ clips[int(match[2])].T, matrix))
            outputs.append((comparator(matrix), golden.array(file, key.replace("_in_", "_out_"))))
    yield _row(group, "comparator_in", 1e-5, inputs)
    yield _row(group, "comparator_out", 1e-4, outputs)
    for key, symmetric in (("comparator_chamfer", False), ("comparator_symmetric", True)):
        ours = table(lambda q, t, s=symmetric: comparator_similarity(comparator, q @ t.T, symmetric=s), clips)  # type: ignore[misc]
        yield _row(group, key, 1e-4, [(ours, golden.array(file, key))])


def _euclidean(videos: Tensor) -> Tensor:
    """1 - d / (the largest d of any query), target by target. videos: [N, E]    returns: [N, N]"""
    distances = torch.cdist(videos.double(), videos.double(), compute_mode="donot_use_mm_for_euclid_dist")
    return 1 - distances / distances.amax(0).clamp(min=1e-30)


# 6. PCA whitening


def _pca(golden: Golden) -> Iterator[Row]:
    file = "pca"
    test = golden.array(file, "test")
    for tag in (key.removesuffix("_U") for key in golden.names(file) if key.endswith("_U")):
        group = f"6 pca, {tag}"
        stored = {name: golden.array(file, f"{tag}_{name}") for name in ("U", "lams", "mu", "Utmu")}
        fitted = fit(golden.array(file, f"train_{tag}"), stored["lams"].size, order="published")
        yield _row(group, "lams", 1e-4, [(fitted.variances / stored["lams"], np.ones_like(stored["lams"]))])
        yield _row(group, "mu", 1e-5, [(fitted.mu[:, None], stored["mu"])])
        signs = np.sign((fitted.components * stored["U"]).sum(0))  # [k]
        pairs = [(fitted.components * signs, stored["U"])]
        pairs += [(fitted.to_npz_arrays()["Utmu"] * signs[:, None], stored["Utmu"])]
        yield _row(group, "U and Utmu, up to signs", 1e-3, pairs)
        read = Whitening.from_npz_arrays(stored)
        weight, bias = golden.array(file, f"{tag}_weight"), golden.array(file, f"{tag}_bias")
        divided = (read.components / np.sqrt(read.variances)).T
        affine = [(divided, weight), (-divided.astype(np.float64) @ read.mu, bias)]
        yield _row(group, "weight and bias from U, lams, mu", 1e-5, affine, relative=True)
        by_hand = F.normalize(torch.from_numpy(test @ weight.T + bias), dim=1)
        outputs: list[tuple[Any, Any]] = [(by_hand, golden.array(file, f"{tag}_whiten_out"))]
        grams, fits = [], []
        for name, divide in (("whiten", True), ("nowhiten", False)):
            out = golden.array(file, f"{tag}_{name}_out")
            outputs.append((read.apply(test, divide=divide), out))
            ours = fitted.apply(test, divide=divide)
            grams.append((ours @ ours.T, golden.array(file, f"{tag}_{name}_gram")))
            fits.append((ours * signs, out))
        yield _row(group, "outputs of the recorded file", 1e-5, outputs)
        yield _row(group, "gram of outputs of our fit", 1e-4, grams)
        yield _row(group, "outputs of our fit, up to signs", 1e-3, fits)


# 7. region pooling


def _region_pooling(golden: Golden) -> Iterator[Row]:
    file = "region_pooling"
    cases = sorted({key.split("_")[0] for key in golden.names(file)})
    for name, pool in (("imac", imac), ("rmac", rmac)):
        pairs = []
        for case in cases:
            layers = sorted(
                (key for key in golden.names(file) if key.startswith(f"{case}_layer")),
                key=lambda key: int(re.sub(r".*\D", "", key)),
            )
            maps = [golden.tensor(file, layer) for layer in layers]
            pairs.append((concatenate(maps, pool), golden.array(file, f"{case}_{name}")))
        yield _row("7 region pooling", name, 1e-5, pairs)


# 8. frames, crops, windows


def _sampling(golden: Golden) -> Iterator[Row]:
    group = "8 sampling"
    if golden.has("frame_sampling"):
        cases = golden.result("frame_sampling")
        pairs = [(reference_frames(case["n_frames"], case["fps"]), case["indices"]) for case in cases]
        yield _row(group, "frame_sampling", 0, pairs)
    if golden.has("center_crop_256"):
        pairs = []
        for case in golden.result("center_crop_256"):
            sides = [min(case["h"], CROP_SIDE), min(case["w"], CROP_SIDE)]
            ours = [*center_crop_256(case["h"], case["w"]), *sides]
            pairs.append((ours, [case["top"], case["left"], *case["out"]]))
        yield _row(group, "center_crop_256", 0, pairs)
    if golden.has("pad_or_crop"):
        cases = golden.result("pad_or_crop")
        yield _row(group, "pad_or_crop: padding", 0, [(_windows(case)[2], case["pad_rows"]) for case in cases])
        yield _row(group, "pad_or_crop: crop starts seen", 0, [_start_range(case) for case in cases])


def _windows(case: Mapping[str, int]) -> tuple[int, int, int]:
    """First and last start of many random windows, and the rows of padding."""
    rows = np.arange(1, case["length"] + 1, dtype=np.float32)[:, None]
    random = np.random.default_rng(0)
    draws = 40 * max(case["length"] - case["new_size"], 1)
    made = [pad_or_crop(rows, case["new_size"], random, starts="published")[:, 0] for _ in range(draws)]
    starts = [int(window[0]) - 1 for window in made]
    return min(starts), max(starts), int((made[0] == 0).sum())


def _start_range(case: Mapping[str, int]) -> tuple[list[int], list[int]]:
    """Ours and the recorded. Random draws need not meet the ends of a long range: one in a hundred starts is let go."""
    first, last, _ = _windows(case)
    recorded = [case["starts_seen_min"], case["starts_seen_max"]]
    slack = (case["length"] - case["new_size"]) // 100
    ours = [seen if abs(seen - ours) <= slack else ours for ours, seen in zip((first, last), recorded, strict=True)]
    return ours, recorded


# 9. evaluators

CC_WEB = {"plain_all": "cc", "star_all": "cc*", "plain_clean": "cc_c", "star_clean": "cc_c*"}


def _evaluation(golden: Golden) -> Iterator[Row]:
    for name, section in (("cc_web", _cc_web), ("fivr", _fivr), ("evve", _evve), ("vcdb", _vcdb)):
        if golden.has("eval", name):
            yield from section(golden)


def _similarities(golden: Golden, name: str) -> Similarities:
    queries, ids = (tuple(golden.array(f"eval_{name}", key).tolist()) for key in ("queries", "ids"))
    return Similarities(queries, ids, golden.array(f"eval_{name}", "sim"))


def _truth(dataset: str, relevant: Mapping[str, Mapping[str, Iterable[str]]], **more: Any) -> RetrievalTruth:
    labels = {query: {label: frozenset(ids) for label, ids in found.items()} for query, found in relevant.items()}
    return RetrievalTruth(dataset, "recorded", tuple(relevant), labels, **more)


def _printed(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"mAP\s*[:=]\s*([\d.]+)", text)]


def _cc_web(golden: Golden) -> Iterator[Row]:
    group, name = "9 cc_web", "cc_web"
    queries = golden.annotation(name, "queries")
    positives = golden.annotation(name, "positive_labels")
    videos = {index: video for video, index in golden.annotation(name, "id_to_index").items()}
    relevant: dict[str, dict[str, list[str]]] = {}
    for query, labels in zip(queries, golden.annotation(name, "ground_truth"), strict=True):
        relevant[query] = {label: [] for label in labels.values()}
        for index, label in labels.items():
            relevant[query][label].append(videos.get(int(index), f"#{index}"))
    dropped = {
        query: frozenset(videos.get(index, f"#{index}") for index in indices)
        for query, indices in zip(queries, golden.annotation(name, "excluded"), strict=True)
    }
    truth = _truth("cc-web", relevant, excluded=dropped)
    full = _similarities(golden, name)
    counted = sum(len(truth.positives(query, positives)) for query in full.queries)
    results = {
        "full": full,
        "missing_last_two_queries": Similarities(full.queries[:-2], full.ids, full.values[:-2]),
        "ties_round1": Similarities(full.queries, full.ids, np.round(full.values, 1)),
    }
    for case, given in results.items():
        if not golden.has("eval", name, case):
            continue
        scores = evaluate(truth, given, "reference")
        recorded = golden.result("eval", name, case)
        pairs: list[tuple[Any, Any]] = [(scores.task(CC_WEB[key]).mean_ap, value) for key, value in recorded.items()]
        yield _row(group, f"{case}: mAP", 1e-9, pairs)
        if case != "full":
            continue
        yield _row(group, "positives that count", 0, [(scores.task("cc*").num_positives, counted)])
        per_query = golden.result("eval", name, "per_query")
        pairs = [(list(scores.task(CC_WEB[key]).per_query.values()), values) for key, values in per_query.items()]
        yield _row(group, "per_query", 1e-9, pairs)
        ours = [scores.task(CC_WEB[key]).mean_ap for key in CC_WEB]
        yield _row(group, "printed", PRINTED, [(ours, _printed(golden.result("eval", name, "printed")))])


def _fivr(golden: Golden) -> Iterator[Row]:
    annotation, tasks = golden.annotation("fivr", "annotation"), golden.annotation("fivr", "tasks")
    kinds = list(dict.fromkeys(label for labels in tasks.values() for label in labels))
    for split in golden.keys("eval", "fivr"):
        group = f"9 fivr {split}"
        results = _similarities(golden, f"fivr_{split}")
        relevant = {
            query: {label: ids for label, ids in annotation[query].items() if label in kinds}
            for query in results.queries
        }
        scores = evaluate(_truth(f"fivr-{split}", relevant), results, "reference")
        maps = [(scores.task(task).mean_ap, golden.result("eval", "fivr", split, task, "mAP")) for task in tasks]
        yield _row(group, "mAP", 1e-9, maps)
        per_query = [
            (list(scores.task(task).per_query.values()), golden.result("eval", "fivr", split, task, "per_query"))
            for task in tasks
        ]
        yield _row(group, "per_query", 1e-9, per_query)
        printed = _printed(golden.result("eval", "fivr", split, "printed"))
        yield _row(group, "printed", PRINTED, [([scores.task(task).mean_ap for task in tasks], printed)])


def _evve(golden: Golden) -> Iterator[Row]:
    events = golden.annotation("evve", "events")
    event_of = {query: name for name, parts in events.items() for query in parts["queries"]}
    queries, database = golden.annotation("evve", "queries"), golden.annotation("evve", "database")
    relevant = {query: {"event": events[event_of[query]]["positives"]} for query in queries}
    truth = _truth("evve", relevant, groups=event_of, database=tuple(database))
    full = _similarities(golden, "evve")
    results: dict[str, Similarities | Rankings] = {"restricted": full, "all_db_none": _of_unknown_gallery(full)}
    for case, given in results.items():
        if not golden.has("eval", "evve", case):
            continue
        group = f"9 evve {case}"
        recorded = golden.result("eval", "evve", case)
        task = evaluate(truth, given, "reference").task("events")
        yield _row(group, "overall", 1e-9, [(task.mean_ap, recorded["overall"])])
        yield _row(group, "per_query", 1e-9, [(list(task.per_query.values()), recorded["per_query"])])
        groups = recorded["per_event"]
        yield _row(group, "per_event", 1e-9, [(task.groups.get(name, np.nan), groups[name]) for name in groups])
        ours = [*(task.groups.get(name, np.nan) for name in groups), task.mean_ap]
        yield _row(group, "printed", PRINTED, [(ours, _printed(recorded["printed"]))])


def _of_unknown_gallery(full: Similarities) -> Rankings:
    """The same results without a word on what was searched: positives are then those of the whole data set."""
    return Rankings(
        tuple(
            Ranking(query, tuple(Hit(video, float(value)) for video, value in zip(full.ids, row, strict=True)))
            for query, row in zip(full.queries, full.values, strict=True)
        )
    )


def _vcdb(golden: Golden) -> Iterator[Row]:
    lists = golden.annotation("vcdb", "positives_including_query")
    relevant = {query: {"copy": [video for video in ids if video != query]} for query, ids in lists.items()}
    results = _similarities(golden, "vcdb")
    modes = {"asshipped": "reference", "query_removed_from_positives": "clean"}
    for case, mode in modes.items():
        if not golden.has("eval", "vcdb", case):
            continue
        recorded = golden.result("eval", "vcdb", case)
        scores: RetrievalScores = evaluate(_truth("vcdb", relevant), results, mode)  # type: ignore[arg-type]
        task = scores.task("copies")
        ours = [task.per_query.get(query, np.nan) for query in results.queries]
        yield _row(f"9 vcdb {case}", "mAP", 1e-9, [(task.mean_ap, recorded["mAP"])])
        yield _row(f"9 vcdb {case}", "per_query", 1e-9, [(ours, recorded["per_query"])])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--golden", type=Path, required=True, help="folder with the recorded arrays")
    parser.add_argument(
        "--heads", type=int, help=f"heads of self-attention (default: as results.json says, else {HEADS})"
    )
    torch.set_num_threads(1)
    options = parser.parse_args()
    golden = Golden(options.golden, options.heads)
    rows = [row for row in compare(golden) if row.num_arrays]
    status = show(rows, golden.unread())
    sys.stdout.write(f"{golden.num_recorded()} recorded arrays read or compared, less those named\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
