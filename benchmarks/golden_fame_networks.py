"""Compares FAME's networks and contrast with recorded numbers, array by array, and prints the table.

    python benchmarks/golden_fame_networks.py --golden PATH

PATH is the folder with ``moco_*.npz``, ``backbones.npz``, ``state_keys.json`` and ``lr_schedules.json``; its README
describes the arrays. Steps, sizes, stages and schedules are read from the files, so another recording of the same
layout is compared as well. Each line shows the largest difference found and the tolerance; the exit code is 1 if one is
over. What was recorded in these files and nothing here reads is listed at the end. Masks, merging and retrieval are not
compared here.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from golden_table import Differences, Recorded, Row, show
from torch import Tensor, nn

from vidlang.methods.fame.architectures import Head
from vidlang.methods.fame.backbones import Backbone, build_backbone
from vidlang.methods.fame.moco import MoCo
from vidlang.methods.fame.schedule import RateSchedule

FILES = ("moco_plain", "moco_mlp", "moco_bn", "backbones")
NETWORKS: dict[str, tuple[str, Head]] = {
    "r2plus1d_18": ("r2plus1d_18", "classes"),
    "i3d_classifier": ("i3d", "classes"),
    "i3d_embed": ("i3d", "embed"),
}
"""Recorded name → architecture and head."""


class Golden(Recorded):
    """The recorded files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / f"{name}.npz" for name in FILES)
        self.state_keys = json.loads((folder / "state_keys.json").read_text("utf-8"))
        self.schedules = json.loads((folder / "lr_schedules.json").read_text("utf-8"))

    def tensor(self, file: str, key: str) -> Tensor:
        return torch.from_numpy(np.array(self.array(file, key)))

    def below(self, file: str, prefix: str) -> dict[str, Tensor]:
        """All tensors whose name begins so, without that beginning."""
        names = [name for name in self.arrays[file] if name.startswith(prefix)]
        return {name.removeprefix(prefix): self.tensor(file, name) for name in names}


class Lines(Differences):
    """Differences of one section, ours against recorded."""

    def add(self, what: str, tolerance: float, ours: Any, theirs: Any, relative: bool = False) -> None:
        """The largest difference, as a share of the largest recorded value if relative; infinite for other shapes."""
        mine, recorded = (
            value.detach().double().numpy() if isinstance(value, Tensor) else np.asarray(value, dtype=np.float64)
            for value in (ours, theirs)
        )
        gap = np.inf
        if mine.shape == recorded.shape and np.isfinite(mine).all():
            gap = float(np.abs(mine - recorded).max(initial=0.0))
            gap /= float(np.abs(recorded).max(initial=0.0)) if relative else 1.0
        self.keep(what, tolerance, gap)


# -- moco_*.npz --------------------------------------------------------------------------------------------------------


class RecordedEncoder(nn.Module):
    """The small encoder of the recordings: convolution, perhaps batch norm, ReLU, mean, ``fc``."""

    def __init__(self, width: int, dim: int, bn: bool, mlp: bool) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, width, 3, stride=2, padding=1, bias=False)
        self.bn: nn.Module = nn.BatchNorm3d(width) if bn else nn.Identity()
        last = nn.Linear(width, dim)
        self.fc: nn.Module = nn.Sequential(nn.Linear(width, width), nn.ReLU(), last) if mlp else last

    def forward(self, clips: Tensor) -> Tensor:
        out: Tensor = self.fc(self.bn(self.conv(clips)).relu().mean((2, 3, 4)))
        return out


def recorded_moco(golden: Golden, file: str) -> MoCo:
    """MoCo as it was before the first recorded step."""
    dim, places = (int(golden.array(file, key)) for key in ("dim", "K"))
    bn, mlp = (bool(golden.array(file, key)) for key in ("bn", "mlp"))
    init = golden.below(file, "init/")
    moco = MoCo(
        lambda: RecordedEncoder(len(init["encoder_q.conv.weight"]), dim, bn, mlp),
        dim=dim,
        queue_size=places,
        momentum=float(golden.array(file, "m")),
        temperature=float(golden.array(file, "T")),
    )
    moco.load_state_dict(init)
    return moco


def _moco(golden: Golden, file: str) -> Iterator[Row]:
    lines, moco = Lines(file), recorded_moco(golden, file)
    rate, momentum, decay = (float(golden.array(file, key)) for key in ("lr", "sgd_momentum", "weight_decay"))
    optimizer = torch.optim.SGD(moco.encoder_q.parameters(), rate, momentum, weight_decay=decay)
    steps = sorted({match[1] for key in golden.arrays[file] if (match := re.match(r"(s\d+)/", key))})
    batch = int(golden.array(file, "batch"))
    for step in steps:
        im_q, im_k = (golden.tensor(file, f"{step}/{name}").float() for name in ("im_q", "im_k"))
        lines.add("batch", 0.0, len(im_q), batch)
        optimizer.zero_grad()
        done = moco(im_q, im_k)
        done.loss.backward()
        for half in (0, 1):
            lines.add(
                f"logits, half {half + 1}", 5e-5, done.logits[half], golden.tensor(file, f"{step}/logits_{half + 1}")
            )
            lines.add("labels", 0.0, done.labels, golden.tensor(file, f"{step}/labels_{half + 1}"))
        lines.add("loss", 1e-5, done.loss, golden.tensor(file, f"{step}/loss"))
        gradients = {name: parameter.grad for name, parameter in moco.encoder_q.named_parameters()}
        _add_state(lines, "gradients", gradients, golden.below(file, f"{step}/grad/"))
        optimizer.step()
        lines.add("queue", 5e-6, moco.queue, golden.tensor(file, f"{step}/queue"))
        lines.add("queue_ptr", 0.0, moco.queue_ptr, golden.tensor(file, f"{step}/queue_ptr"))
        _add_state(lines, "key encoder", moco.encoder_k.state_dict(), golden.below(file, f"{step}/key/"))
        _add_state(lines, "query encoder", moco.encoder_q.state_dict(), golden.below(file, f"{step}/query_after/"))
    yield from lines.rows()


def _add_state(lines: Lines, what: str, ours: Any, theirs: dict[str, Tensor]) -> None:
    lines.add(f"{what}: names", 0.0, float(ours.keys() == theirs.keys()), 1.0)
    for name, recorded in theirs.items():
        lines.add(what, 5e-6, ours[name], recorded)


def _all_moco(golden: Golden) -> Iterator[Row]:
    for file in FILES[:3]:
        yield from _moco(golden, file)


# -- backbones.npz, state_keys.json ------------------------------------------------------------------------------------


def formula_weights(model: nn.Module) -> None:
    """Sets every tensor by the recordings' formula of its name and size."""
    for name, value in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        phase = zlib.crc32(name.encode("ascii")) % 9973
        wave = np.sin(0.7391 * np.arange(value.numel(), dtype=np.float64) + phase)
        if name.endswith("running_var"):
            wave = 1 + 0.25 * wave
        elif name.endswith("running_mean"):
            wave *= 0.05
        elif value.ndim >= 2:
            wave *= 2 / np.sqrt(np.prod(value.shape[1:], dtype=np.float64))
        elif name.endswith("weight"):
            wave = 1 + 0.1 * wave
        else:
            wave *= 0.05
        value.copy_(torch.from_numpy(wave).float().reshape(value.shape))


def recorded_network(name: str) -> Backbone:
    """One of ``NETWORKS`` with the formula's weights, ready to predict."""
    arch, head = NETWORKS[name]
    with torch.device("meta"):  # draws nothing
        model = build_backbone(arch, head=head, num_classes=101 if head == "classes" else None)
    model.to_empty(device="cpu")
    formula_weights(model)
    return model.eval()


def _backbone(golden: Golden, name: str) -> Iterator[Row]:
    lines, model = Lines(name), recorded_network(name)
    clips = (golden.tensor("backbones", "clips_u8").float() / 255 - 0.45) / 0.225
    stages: dict[str, Tensor] = {}

    def keep(stage: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda _module, _inputs, output: stages.__setitem__(stage, output)

    keys = golden.arrays["backbones"]
    recorded = [match[1] for key in keys if (match := re.fullmatch(rf"{name}/(\w+)/shape", key))]
    for stage in recorded:
        if hasattr(model, stage):
            getattr(model, stage).register_forward_hook(keep(stage))
    with torch.no_grad():
        out, pooled = model(clips), model.features(clips)
    stages["avgpool"] = pooled[:, :, None, None, None]
    for stage in recorded:
        x = stages[stage]
        lines.add("stages: shapes", 0.0, x.shape, golden.array("backbones", f"{name}/{stage}/shape"))
        means = golden.tensor("backbones", f"{name}/{stage}/mean_c")
        lines.add("stages: means (relative)", 1e-3, x.mean((2, 3, 4)), means, relative=True)
        if f"{name}/{stage}" in keys:
            whole = golden.tensor("backbones", f"{name}/{stage}")
            lines.add(f"{stage}, whole (relative)", 1e-3, x, whole, relative=True)
    last = "fc" if name == "r2plus1d_18" else "out"
    lines.add("output (relative)", 1e-3, out, golden.tensor("backbones", f"{name}/{last}"), relative=True)
    yield from lines.rows()


def _all_backbones(golden: Golden) -> Iterator[Row]:
    for name in NETWORKS:
        yield from _backbone(golden, name)


def _state_keys(golden: Golden) -> Iterator[Row]:
    lines = Lines("state_keys")
    with torch.device("meta"):
        models: dict[str, nn.Module] = {
            name: build_backbone(arch, head=head, num_classes=101 if head == "classes" else None)
            for name, (arch, head) in NETWORKS.items()
        }
        models["moco_r2plus1d_18"] = MoCo(lambda: build_backbone("r2plus1d_18", head="embed"), queue_size=2048)
    for name, recorded in golden.state_keys.items():
        ours = {key: list(value.shape) for key, value in models[name].state_dict().items()}
        same = sum(ours.get(key) == shape for key, shape in recorded.items())
        lines.add(f"{name}: names not found or of other shape", 0.0, same, len(recorded))
        lines.add(f"{name}: names too many", 0.0, len(ours.keys() - recorded.keys()), 0)
    yield from lines.rows()


# -- lr_schedules.json -------------------------------------------------------------------------------------------------


def recorded_schedule(args: dict[str, Any]) -> RateSchedule:
    """The published options as a schedule. With warm-up the first of the milestones is its length."""
    milestones = list(args["schedule"])
    warmup = milestones.pop(0) if args["warmup"] else 0
    return RateSchedule(
        start=args["lr"],
        epochs=args["epochs"],
        kind="cosine" if args["cos"] else "steps",
        milestones=() if args["cos"] else tuple(milestones),
        gamma=args["lr_decay"],
        warmup_epochs=warmup,
        warmup_start=args["wp_lr"],
    )


def _schedules(golden: Golden) -> Iterator[Row]:
    lines = Lines("lr_schedules")
    for entry in golden.schedules:
        schedule, recorded = recorded_schedule(entry["args"]), np.array(entry["lr"])
        ratios = np.array([schedule.rate(epoch) for epoch in range(len(recorded))]) / recorded
        what = f"{schedule.kind}{', warm-up' if schedule.warmup_epochs else ''}, {len(recorded)} epochs (relative)"
        lines.add(what, 1e-12, ratios, np.ones_like(recorded))
    yield from lines.rows()


SECTIONS: dict[str, Callable[[Golden], Iterator[Row]]] = {
    "moco": _all_moco,
    "backbones": _all_backbones,
    "state_keys": _state_keys,
    "schedules": _schedules,
}


def compare(golden: Golden) -> Iterator[Row]:
    """Every recorded array against ours, section by section."""
    for section in SECTIONS.values():
        yield from section(golden)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--golden", type=Path, required=True, help="folder with the recorded arrays")
    torch.set_num_threads(1)
    golden = Golden(parser.parse_args().golden)
    return show(list(compare(golden)), golden.unread())


if __name__ == "__main__":
    sys.exit(main())
