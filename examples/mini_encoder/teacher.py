"""Stage 3: crops of frames and rendered scenes, with the teacher's features and classes of each.

Writes one shard: ``crops`` uint8 [N, 2, 112, 112, 3] (as seen by the teacher; degraded),
``features`` float16 [N, 1280], ``logits`` float16 [N, 1000], ``concepts`` int64 [N] (-1: none).
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import numpy as np
import torch
from augment import degrade, random_crop
from captions import CONCEPTS
from frames import Video
from PIL import Image
from render import render
from torch import Tensor
from transformers import MobileNetV2ForImageClassification

TEACHER_SIZE, STUDENT_SIZE = 224, 112  # pixels
NAMES = list(CONCEPTS)


class CropMaker:
    """Draws training crops: photos, mixtures of two photos, and rendered scenes."""

    def __init__(self, videos: list[Video], rng: np.random.Generator) -> None:
        self.rng = rng
        self.frames = [(Image.fromarray(f), v["concept"]) for v in videos for f in v["frames"]]

    def photo(self) -> tuple[Image.Image, str | None]:
        frame, concept = self.frames[int(self.rng.integers(len(self.frames)))]
        return random_crop(frame, self.rng, TEACHER_SIZE), concept

    def mixture(self) -> Image.Image:
        """Half the time a blend of two photos, else one with a window of the other."""
        first, second = self.photo()[0], self.photo()[0]
        if self.rng.random() < 0.5:
            return Image.blend(first, second, self.rng.uniform(0.2, 0.8))
        sides = self.rng.integers(60, 180, 2)
        left, top = (int(self.rng.integers(0, TEACHER_SIZE - side)) for side in sides)
        window = (left, top, left + int(sides[0]), top + int(sides[1]))
        first.paste(second.crop(window), window)
        return first

    def draw(self) -> tuple[Image.Image, str | None]:
        dice = self.rng.random()
        if dice < 0.6:
            return self.photo()
        if dice < 0.78:
            return self.mixture(), None
        image, concept = render(self.rng, self.photo()[0] if self.rng.random() < 0.5 else None)
        return random_crop(image, self.rng, TEACHER_SIZE, least=0.5), concept


@torch.inference_mode()
def ask_teacher(teacher: MobileNetV2ForImageClassification, images: np.ndarray) -> tuple[Tensor, Tensor]:
    """images: uint8 [N, 224, 224, 3]    returns: features [N, 1280], logits of the 1,000 real classes [N, 1000]"""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = teacher.mobilenet_v2(pixels.contiguous(memory_format=torch.channels_last)).pooler_output
    features = features.float()
    return features, teacher.classifier(features)[:, 1:]  # class 0 is the background


def make_shard(
    maker: CropMaker, teacher: MobileNetV2ForImageClassification, count: int, batch: int = 64
) -> dict[str, np.ndarray]:
    crops = np.empty((count, 2, STUDENT_SIZE, STUDENT_SIZE, 3), np.uint8)
    features, logits = np.empty((count, 1280), np.float16), np.empty((count, 1000), np.float16)
    concepts = np.full(count, -1)
    for start in range(0, count, batch):
        seen = []
        for row in range(start, min(start + batch, count)):
            image, concept = maker.draw()
            image = degrade(image, maker.rng, strength=0.35)
            seen.append(np.asarray(image))
            small = image.resize((STUDENT_SIZE, STUDENT_SIZE), Image.Resampling.BICUBIC)
            crops[row] = np.stack([np.asarray(small), np.asarray(degrade(small, maker.rng))])
            concepts[row] = -1 if concept is None else NAMES.index(concept)
        rows = slice(start, start + len(seen))
        outputs = ask_teacher(teacher, np.stack(seen))
        features[rows], logits[rows] = (t.numpy().astype(np.float16) for t in outputs)
    return {"crops": crops, "features": features, "logits": logits, "concepts": concepts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder with mobilenet_v2/")
    parser.add_argument("--work", type=Path, required=True, help="scratch folder with frames.pkl")
    parser.add_argument("--count", type=int, default=24_000, help="crops in this shard")
    parser.add_argument("--shard", type=int, default=0, help="number of the shard, and its seed")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with open(args.work / "frames.pkl", "rb") as file:
        videos = pickle.load(file)  # our own file of stage 1
    teacher = MobileNetV2ForImageClassification.from_pretrained(args.models / "mobilenet_v2").eval()
    teacher = teacher.to(memory_format=torch.channels_last)
    shard = make_shard(CropMaker(videos, np.random.default_rng(args.shard)), teacher, args.count)
    for key, values in shard.items():
        np.save(args.work / f"shard{args.shard}-{key}.npy", values)
    print(f"shard {args.shard}: {args.count} crops")


if __name__ == "__main__":
    main()
