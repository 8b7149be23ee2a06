"""Stage "clips": a snippet shows one thing, whichever of its frames is looked at, and however blurred."""

from __future__ import annotations

import argparse
import logging
import pickle
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from architecture import IMAGE_SIZE, build_model, normalise
from augment import random_crop
from crops import Crops, jitter
from frames import Source
from image import Eyes, optimiser_of, schedule
from PIL import Image
from teacher import load_teacher
from torch import Tensor, nn
from transformers import CLIPTokenizer

logger = logging.getLogger("mini_encoder")


class Snippets:
    """Two frames and a blurred one of a snippet, through one crop."""

    def __init__(self, sources: list[Source], seed: int) -> None:
        self.members = [snippet for source in sources for snippet in source.snippets]
        self.rng = np.random.default_rng(seed)

    def batch(self, size: int) -> Tensor:
        """[3 * size, 3, S, S], normalised: first frames, middle frames, blurred ones"""
        views: list[list[np.ndarray]] = [[], [], []]
        for row in self.rng.integers(0, len(self.members), size):
            state = self.rng.bit_generator.state
            for view, frame in zip(views, self.members[int(row)], strict=True):
                self.rng.bit_generator.state = state  # the same crop of all three
                view.append(np.asarray(random_crop(Image.fromarray(frame), self.rng, IMAGE_SIZE, least=0.3)))
        pixels = torch.from_numpy(np.stack([image for view in views for image in view]))
        return normalise(jitter(pixels.permute(0, 3, 1, 2).float() / 255))


def snippet_loss(eyes: Eyes, pixels: Tensor) -> Tensor:
    """Standardised features of both frames and of the blurred one point to their common middle."""
    first, middle, blurred = F.normalize((eyes.features(pixels) - eyes.mean) / eyes.std, dim=-1).chunk(3)
    # The middle is no target to be moved: that would be a way to say the same of everything.
    common = F.normalize(first + middle, dim=-1).detach()
    return sum((1 - (view * common).sum(-1).mean() for view in (first, middle, blurred)), first.new_zeros(()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True, help="folder with mobilenet_v2/")
    parser.add_argument("--work", type=Path, required=True, help="scratch folder with frames.pkl, shards and tower.pt")
    parser.add_argument("--out", type=Path, required=True, help="folder of the encoder (its tokenizer)")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--peak", type=float, default=2e-5, help="highest learning rate")
    parser.add_argument(
        "--batch", type=int, default=12, help="snippets, of three images each; twice as many crops beside"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(args.threads)
    with open(args.work / "frames.pkl", "rb") as file:
        snippets = Snippets(pickle.load(file), args.seed)  # our own file
    crops = Crops(args.work, args.seed)
    model = build_model(CLIPTokenizer.from_pretrained(args.out), args.seed)
    model.vision_model.load_state_dict(torch.load(args.work / "tower.pt", weights_only=True))
    features = torch.from_numpy(crops.features).float()
    eyes = Eyes(model.vision_model, load_teacher(args.models).classifier, features.mean(0), features.std(0) + 0.05)
    parameters = [p for p in eyes.tower.parameters() if p.requires_grad]
    optimiser = optimiser_of(parameters, args.peak)
    eyes.train()
    for step in range(args.steps):
        for group in optimiser.param_groups:
            group["lr"] = schedule(args.peak, step / args.steps)
        together = snippet_loss(eyes, snippets.batch(args.batch))
        loss = together + eyes.loss(crops.batch(2 * args.batch))  # what the teacher says stays said
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        if step % 10 == 9:
            said = step + 1, args.steps, together.item(), loss.item()
            logger.info("step %d of %d snippets %.3f all %.3f", *said)
    torch.save(eyes.tower.state_dict(), args.work / "tower.pt")


if __name__ == "__main__":
    main()
