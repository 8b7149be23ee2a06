"""Compares motion masks and merging with recorded numbers, stage by stage, and prints the table.

    python benchmarks/golden_fame.py --golden PATH

PATH is the folder with one ``.npz`` of masks per case and ``variants_*.npz``; its README describes the arrays. Cases,
sizes and betas are read from the files, so another recording of the same layout is compared as well. Every stage is fed
the recorded output of the one before; ``end to end`` is given the clips alone. Each line shows the largest difference
found and the tolerance; the exit code is 1 if one is over. What was recorded in these files and nothing here reads is
listed at the end. Networks, contrast, retrieval and schedules are not compared here.

Where pixels tie at a cut, only their number is fixed, so such clips count in the lines that say so and nowhere else.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from golden_table import Differences, Recorded, Row, show
from numpy.typing import NDArray
from torch import Tensor

from vidlang.methods.fame.mask import (
    ClipMasks,
    Hsv,
    Samples,
    clip_masks,
    colour_codes,
    colour_histogram,
    mean_picture,
    posterior,
    sample_pixels,
    seed_energy,
    smooth_and_scale,
    to_hsv,
    top,
)
from vidlang.methods.fame.merge import draw_order, merge
from vidlang.methods.fame.options import Hue, MaskOptions, blur_size
from vidlang.methods.fame.variants import grid_mask, grid_sums
from vidlang.methods.fame.windows import WindowMask


class Golden(Recorded):
    """The recorded files of masks; others may lie beside them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(path for path in sorted(folder.glob("*.npz")) if _is_of_masks(path))
        if not self.arrays:
            raise SystemExit(f"{folder} holds no recorded masks (*.npz)")

    @property
    def cases(self) -> list[Case]:
        return [Case(self, name) for name in self.arrays if not name.startswith("variants_")]


def _is_of_masks(path: Path) -> bool:
    with np.load(path, allow_pickle=False) as file:
        return {"clips_u8", "seed_raw"} <= set(file.files) or path.stem.startswith("variants_")


@dataclass(frozen=True)
class Case:
    """One file of masks."""

    golden: Golden
    name: str

    def __contains__(self, key: str) -> bool:
        return key in self.golden.arrays[self.name]

    def array(self, key: str) -> NDArray[Any]:
        return self.golden.array(self.name, key)

    def tensor(self, key: str) -> Tensor:
        return torch.from_numpy(self.array(key))

    @property
    def clips(self) -> Tensor:
        """As the published code was given them, [B, 3, T, H, W] in 0..1."""
        return self.tensor("clips_u8").float() / 255

    @property
    def crop_size(self) -> int:
        return int(self.array("crop_size"))

    @property
    def untied(self) -> Tensor:
        """[B] clips whose samples are unique."""
        return (self.tensor("ties_fg") == 0) & (self.tensor("ties_bg") == 0)

    @property
    def samples(self) -> Samples:
        return Samples(self.tensor("fg_sample"), self.tensor("bg_sample"))


class Lines(Differences):
    """Differences of one section, ours against recorded."""

    def add(self, what: str, tolerance: float, difference: Tensor | float) -> None:
        """The largest of the differences."""
        self.keep(what, tolerance, float(torch.as_tensor(difference).double().max()))


def gap(ours: Tensor, recorded: Tensor) -> Tensor:
    """Largest absolute difference; infinite where shapes differ or something is not a number."""
    if ours.shape != recorded.shape:
        return torch.tensor(torch.inf)
    return (ours.double() - recorded.double()).abs().nan_to_num(nan=torch.inf).max()


def wrong(ours: Tensor, recorded: Tensor) -> Tensor:
    """Pixels of each clip that differ, [B]."""
    return (ours != recorded.to(ours.dtype)).flatten(1).sum(1)


def compare(golden: Golden) -> Iterator[Row]:
    """Every recorded array against ours, section by section."""
    for section in SECTIONS.values():
        yield from section(golden)


def _seed(golden: Golden) -> Iterator[Row]:
    lines = Lines("seed")
    for case in golden.cases:
        lines.add("seed_raw", 1e-6, gap(seed_energy(case.clips), case.tensor("seed_raw")))
        scaled = smooth_and_scale(case.tensor("seed_raw"), blur_size(case.crop_size))
        lines.add("seed_norm", 5e-6, gap(scaled, case.tensor("seed_norm")))
    yield from lines.rows()


def _colours(golden: Golden) -> Iterator[Row]:
    lines = Lines("colours")
    for case in golden.cases:
        hsv = case.tensor("hsv")
        lines.add("hsv", 5e-6, gap(torch.stack(to_hsv(mean_picture(case.clips)), 1), hsv))
        for prefix, hue in _hues(case):
            codes, recorded = colour_codes(Hsv(*hsv.unbind(1)), hue), case.tensor(f"{prefix}color_code")
            differ = codes != recorded
            lines.add(f"{prefix}color_code, surely: pixels", 3, (differ & ~case.tensor("fragile")).sum())
            lines.add(f"{prefix}color_code, all: share", 0.003, differ.float().mean())
    yield from lines.rows()


def _hues(case: Case) -> list[tuple[str, Hue]]:
    """Prefix of the arrays, and how the hue was read for them."""
    return [("", "reference"), *([("hf_", "exact")] if "hf_color_code" in case else [])]  # type: ignore[list-item]


def _samples(golden: Golden) -> Iterator[Row]:
    lines = Lines("samples")
    for case in golden.cases:
        ours = sample_pixels(case.tensor("seed_norm"))
        for name, mine in (("fg", ours.foreground), ("bg", ours.background)):
            recorded = case.tensor(f"{name}_sample")
            lines.add(f"{name}_sample: size", 0, gap(mine.flatten(1).sum(1), recorded.flatten(1).sum(1)))
            if (unique := case.tensor(f"ties_{name}") == 0).any():
                lines.add(f"{name}_sample: pixels of a clip", 4, wrong(mine[unique], recorded[unique]))
            counts = colour_histogram(case.tensor("color_code").int(), recorded)
            lines.add(f"hist_{name}", 0, gap(counts, case.tensor(f"hist_{name}")))
    yield from lines.rows()


def _scores(golden: Golden) -> Iterator[Row]:
    lines = Lines("scores")
    for case in golden.cases:
        for prefix, _ in _hues(case):
            found = posterior(case.tensor(f"{prefix}color_code").int(), case.samples)
            lines.add(f"{prefix}posterior", 1e-6, gap(found, case.tensor(f"{prefix}posterior")))
            scaled = smooth_and_scale(case.tensor(f"{prefix}posterior"), blur_size(case.crop_size))
            lines.add(f"{prefix}score", 1e-5, gap(scaled, case.tensor(f"{prefix}score")))
    yield from lines.rows()


def _masks(golden: Golden) -> Iterator[Row]:
    lines = Lines("masks")
    for case in golden.cases:
        recorded = [(float(beta), case.tensor("masks")[i], "") for i, beta in enumerate(case.array("betas"))]
        if "hf_mask_b50" in case:
            recorded.append((0.5, case.tensor("hf_mask_b50"), "hf_"))
        for beta, mask, prefix in recorded:
            score = case.tensor(f"{prefix}score")
            ours = top(score, MaskOptions(beta=beta).covered(*score.shape[1:]))
            lines.add(f"{prefix}mask: size", 0, gap(ours.flatten(1).sum(1), mask.flatten(1).sum(1)))
            if (unique := _unique_cut(score, mask)).any():
                lines.add(f"{prefix}mask: pixels", 0, wrong(ours[unique], mask[unique]))
    yield from lines.rows()


def _unique_cut(score: Tensor, mask: Tensor) -> Tensor:
    """[B] clips of which no value inside the mask equals one outside."""
    inside = score.masked_fill(~mask.bool(), torch.inf).amin((1, 2))
    outside = score.masked_fill(mask.bool(), -torch.inf).amax((1, 2))
    return inside > outside


def _merging(golden: Golden) -> Iterator[Row]:
    lines = Lines("merging")
    for case in golden.cases:
        clips, order = case.tensor("clips_u8"), case.tensor("merge_index")
        generator = torch.Generator().manual_seed(int(case.array("merge_seed")))
        lines.add("merge_index", 0, gap(draw_order(len(clips), generator), order))
        mask = case.tensor("masks")[list(case.array("betas")).index(0.5)].bool()
        batch = torch.ones(len(clips))
        masks = ClipMasks(mask, batch.bool(), batch, mask.float())  # the published code merges what does not move too
        lines.add("merged, bytes", 0, gap(merge(clips, masks, order), case.tensor("merged_u8")))
        floats = merge(case.clips, masks, order)
        lines.add("merged, floats", 0, gap(floats, case.tensor("merged_u8").float() / 255))
    yield from lines.rows()


def _end_to_end(golden: Golden) -> Iterator[Row]:
    """Share of a clip's mask that differs, of clips without ties."""
    lines = Lines("end to end")
    for case in golden.cases:
        if not case.untied.any():
            continue
        recorded = [(float(beta), case.tensor("masks")[i], "reference") for i, beta in enumerate(case.array("betas"))]
        if "hf_mask_b50" in case:
            recorded.append((0.5, case.tensor("hf_mask_b50"), "exact"))
        for beta, mask, hue in recorded:
            options = MaskOptions(hue=hue, beta=beta, crop_size=case.crop_size)  # type: ignore[arg-type]
            for name, ours in _three_ways(case, options):
                share = wrong(ours[case.untied], mask[case.untied]) / mask[0].numel()
                lines.add(f"{name}, hue {hue}: share", 0.01, share)
    yield from lines.rows()


def _three_ways(case: Case, options: MaskOptions) -> Iterator[tuple[str, Tensor]]:
    """Masks of the clips as floats, as bytes, and of their frames one by one."""
    clips = case.tensor("clips_u8")
    yield "floats", clip_masks(case.clips, options).mask
    yield "bytes", clip_masks(clips, options).mask
    window, masks = WindowMask((clips.shape[3], clips.shape[4]), options), []
    for clip in clips.numpy():
        for frame in clip.transpose(1, 2, 3, 0):
            window.push(frame)
        masks.append(torch.from_numpy(window.finish().mask))
    yield "frame by frame", torch.stack(masks)


def _variants(golden: Golden) -> Iterator[Row]:
    lines = Lines("variants")
    for name in golden.arrays:
        if not (match := re.fullmatch(r"variants_(.+)", name)) or match[1] not in golden.arrays:
            continue
        variant, case = Case(golden, name), Case(golden, match[1])
        raw, scaled = case.tensor("seed_raw"), case.tensor("seed_norm")
        for i, beta in enumerate(variant.array("betas")):
            count = MaskOptions(beta=float(beta)).covered(*raw.shape[1:])
            for key, values in (("seed_mask_raw", raw), ("seed_mask_norm", scaled)):
                lines.add(f"{key}: pixels", 0, wrong(top(values, count), variant.tensor(key)[i]))
        sums = variant.tensor("grid_sums")
        lines.add("grid_sums (relative)", 1e-3, gap(grid_sums(raw) / sums, torch.ones_like(sums)))
        lines.add("grid_mask: pixels", 0, wrong(grid_mask(raw)[0], variant.tensor("grid_mask")))
    yield from lines.rows()


SECTIONS: dict[str, Callable[[Golden], Iterator[Row]]] = {
    "seed": _seed,
    "colours": _colours,
    "samples": _samples,
    "scores": _scores,
    "masks": _masks,
    "merging": _merging,
    "end_to_end": _end_to_end,
    "variants": _variants,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--golden", type=Path, required=True, help="folder with the recorded arrays")
    torch.set_num_threads(1)
    golden = Golden(parser.parse_args().golden)
    return show(list(compare(golden)), golden.unread())


if __name__ == "__main__":
    sys.exit(main())
