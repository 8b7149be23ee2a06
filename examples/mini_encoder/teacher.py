"""Stage "teacher": crops of photographs, video frames and rendered scenes, with what the teacher says of each.

Writes one shard: ``crops`` uint8 [N, 2, S, S, 3] (as seen by the teacher; degraded), ``features`` float16 [N, 1280],
``logits`` float16 [N, 1000], ``captions`` int16 [N, 3] (rows of concept, place, light in ``captions.py``; -1: none).
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import numpy as np
import torch
from architecture import IMAGE_SIZE
from augment import degrade, random_crop
from captions import CONCEPTS, Caption
from frames import Source
from PIL import Image
from render import render
from torch import Tensor
from transformers import MobileNetV2ForImageClassification

TEACHER_SIZE = 224  # pixels
SHARES = {"photo": 0.4, "clip": 0.25, "cctv": 0.2, "rendered": 0.15}  # of the frames that are cropped
NOTHING = Caption(None)


class CropMaker:
    """Draws training crops: photographs and frames, mixtures of two, and drawings."""

    def __init__(self, sources: list[Source], rng: np.random.Generator) -> None:
        self.rng = rng
        self.sources = {kind: [s for s in sources if s.kind == kind] for kind in SHARES}
        self.kinds = [kind for kind, members in self.sources.items() if members]
        shares = np.array([SHARES[kind] for kind in self.kinds])
        self.shares = shares / shares.sum()

    def frame(self) -> tuple[Image.Image, Caption]:
        """Every source of a kind is as likely as the others, however long it is."""
        members = self.sources[self.kinds[int(self.rng.choice(len(self.kinds), p=self.shares))]]
        source = members[int(self.rng.integers(len(members)))]
        row = int(self.rng.integers(len(source.frames)))
        return Image.fromarray(source.frames[row]), source.captions[row]

    def crop(self) -> tuple[Image.Image, Caption]:
        image, caption = self.frame()
        # half of what a caption speaks of has to be in the picture
        least = 0.1 if caption.concept is None else 0.45
        return random_crop(image, self.rng, TEACHER_SIZE, least), caption

    def mixture(self) -> Image.Image:
        """Half the time a blend of two crops, else one with a window of the other."""
        first, second = self.crop()[0], self.crop()[0]
        if self.rng.random() < 0.5:
            return Image.blend(first, second, self.rng.uniform(0.2, 0.8))
        sides = self.rng.integers(60, 180, 2)
        left, top = (int(self.rng.integers(0, TEACHER_SIZE - side)) for side in sides)
        window = (left, top, left + int(sides[0]), top + int(sides[1]))
        first.paste(second.crop(window), window)
        return first

    def draw(self) -> tuple[Image.Image, Caption]:
        dice = self.rng.random()
        if dice < 0.72:
            return self.crop()
        if dice < 0.9:
            return self.mixture(), NOTHING
        image, concept = render(self.rng, self.crop()[0] if self.rng.random() < 0.5 else None)
        return random_crop(image, self.rng, TEACHER_SIZE, least=0.5), Caption(concept)


@torch.inference_mode()
def ask_teacher(teacher: MobileNetV2ForImageClassification, images: np.ndarray) -> tuple[Tensor, Tensor]:
    """images: uint8 [N, 224, 224, 3]    returns: features [N, 1280], logits of the 1,000 real classes [N, 1000]"""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = teacher.mobilenet_v2(pixels.contiguous(memory_format=torch.channels_last)).pooler_output
    features = features.float()
    return features, teacher.classifier(features)[:, 1:]  # class 0 is the background


def make_shard(
    maker: CropMaker, teacher: MobileNetV2ForImageClassification, count: int, batch: int = 16
) -> dict[str, np.ndarray]:
    crops = np.empty((count, 2, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    features, logits = np.empty((count, 1280), np.float16), np.empty((count, 1000), np.float16)
    captions = np.full((count, 3), -1, np.int16)
    for start in range(0, count, batch):
        seen = []
        for row in range(start, min(start + batch, count)):
            image, caption = maker.draw()
            image = degrade(image, maker.rng, strength=0.2)
            seen.append(np.asarray(image))
            small = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)
            crops[row] = np.stack([np.asarray(small), np.asarray(degrade(small, maker.rng))])
            captions[row] = caption.numbers
        rows = slice(start, start + len(seen))
        features[rows], logits[rows] = (t.numpy().astype(np.float16) for t in ask_teacher(teacher, np.stack(seen)))
    return {"crops": crops, "features": features, "logits": logits, "captions": captions}


def load_teacher(models: Path) -> MobileNetV2ForImageClassification:
    """MobileNetV2 for ImageNet, the published weights."""
    teacher = MobileNetV2ForImageClassification.from_pretrained(models / "mobilenet_v2").eval()
    return teacher.to(memory_format=torch.channels_last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder with mobilenet_v2/")
    parser.add_argument("--work", type=Path, required=True, help="scratch folder with frames.pkl")
    parser.add_argument("--count", type=int, default=12_000, help="crops in this shard")
    parser.add_argument("--shard", type=int, default=0, help="number of the shard, and its seed")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with open(args.work / "frames.pkl", "rb") as file:
        sources = pickle.load(file)  # our own file of the stage before
    shard = make_shard(CropMaker(sources, np.random.default_rng(args.shard)), load_teacher(args.models), args.count)
    for key, values in shard.items():
        np.save(args.work / f"shard{args.shard}-{key}.npy", values)
    named = {name: int((shard["captions"][:, 0] == row).sum()) for row, name in enumerate(CONCEPTS)}
    print(f"shard {args.shard}: {args.count} crops; captions {named}")


if __name__ == "__main__":
    main()
