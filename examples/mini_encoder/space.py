"""Stage "space": the common space of images and texts, before any text is read.

A projection of image features and one direction for each of the teacher's classes, such that cosines rank the classes
as the teacher does; and one direction for each thing that captions speak of. The photographs at hand show few of the
1,000 classes, so features are also moved towards classes until the teacher's own classifier believes them.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from architecture import DIM, FEATURES
from captions import TABLES, with_who
from crops import Crops
from teacher import load_teacher
from torch import Tensor, nn

logger = logging.getLogger("mini_encoder")
CAPTION_SCALE = 12.0  # of cosines between images and captions: labels are those of whole videos, so none is sure


@dataclass(frozen=True)
class Known:
    """What images are known by: the teacher's features, and captions [N, 4] with -1 for none."""

    features: Tensor
    captions: Tensor

    @classmethod
    def of(cls, crops: Crops) -> Known:
        captions = torch.from_numpy(with_who(crops.captions))
        return cls(torch.from_numpy(crops.features.astype(np.float32)), captions)


class Space(nn.Module):
    """``projection`` [D, 1280], ``classes`` [1000, D], ``captions``: one [K, D] for each table of phrasings."""

    def __init__(self, features: Tensor, weight: Tensor) -> None:
        """Starts from the best D directions for the teacher's logits in pictures like these (singular values)."""
        super().__init__()
        mean = features.mean(0)
        covariance = (features - mean).T @ (features - mean) / len(features)
        covariance = 0.5 * covariance + 0.5 * torch.diag(covariance.diag()) + 1e-3 * torch.eye(FEATURES)
        values, vectors = torch.linalg.eigh(covariance)
        root, inverse = (vectors * values**power @ vectors.T for power in (0.5, -0.5))
        left, strength, right = torch.linalg.svd((weight - weight.mean(0)) @ root, full_matrices=False)
        projection = (strength[:DIM].sqrt()[:, None] * right[:DIM]) @ inverse
        # A CLIP's projection adds nothing, so what all pictures share has to vanish by the projection itself.
        projection = projection - (projection @ mean)[:, None] * mean / (mean @ mean)
        self.projection = nn.Parameter(projection * (0.03 / projection.std()))
        self.classes = nn.Parameter(F.normalize(left[:, :DIM] * strength[:DIM].sqrt(), dim=-1))
        self.captions = nn.ParameterList([0.1 * torch.randn(len(table), DIM) for table in TABLES])
        self.scale = nn.Parameter(torch.tensor(3.0))

    def images(self, features: Tensor) -> Tensor:
        """[N, 1280] → [N, D] of length 1"""
        return F.normalize(features @ self.projection.T, dim=-1)

    def class_loss(self, features: Tensor, logits: Tensor) -> Tensor:
        said = self.scale.exp() * self.images(features) @ F.normalize(self.classes, dim=-1).T
        return F.kl_div(said.log_softmax(-1), logits.log_softmax(-1), log_target=True, reduction="batchmean")

    def caption_loss(self, features: Tensor, captions: Tensor) -> Tensor:
        """Sum over the tables of the cross-entropy of the images that have an entry there."""
        images, total = self.images(features), features.new_zeros(())
        for column, directions in enumerate(self.captions):
            rows = captions[:, column]
            known = rows >= 0
            if known.any():
                logits = CAPTION_SCALE * images[known] @ F.normalize(directions, dim=-1).T
                total = total + F.cross_entropy(logits, rows[known], label_smoothing=0.1)
        return total


def believed(features: Tensor, weight: Tensor, rng: torch.Generator) -> Tensor:
    """Mixtures of features [N, 1280] moved towards a random class each, within the bounds of ReLU6."""
    count = len(features)
    other = features[torch.randperm(count, generator=rng)]
    share = 0.6 * torch.rand(count, 1, generator=rng)
    direction = F.normalize((weight - weight.mean(0))[torch.randint(len(weight), (count,), generator=rng)], dim=-1)
    step = 2 + 14 * torch.rand(count, 1, generator=rng)
    return ((1 - share) * features + share * other + step * direction).clamp(0, 6)


def fit(known: Known, classifier: nn.Linear, steps: int, batch: int, seed: int, caption_weight: float) -> Space:
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    weight, bias = classifier.weight[1:].detach(), classifier.bias[1:].detach()
    space = Space(known.features, weight)
    rates = {"projection": 2e-4, "classes": 1e-3, "captions": 2e-3, "scale": 1e-2}
    groups = [
        {"params": [p for name, p in space.named_parameters() if name.startswith(part)], "rate": rate}
        for part, rate in rates.items()
    ]
    optimiser = torch.optim.Adam(groups, lr=1e-3)
    captioned = torch.nonzero((known.captions >= 0).any(1))[:, 0]
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = group["rate"] * (1 - step / steps)
        rows = torch.randint(len(known.features), (batch,), generator=rng)
        real = known.features[rows]
        features = torch.cat([real, believed(real, weight, rng)])
        loss = space.class_loss(features, features @ weight.T + bias)
        if len(captioned):
            rows = captioned[torch.randint(len(captioned), (batch,), generator=rng)]
            loss = loss + caption_weight * space.caption_loss(known.features[rows], known.captions[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 250 == 249:
            logger.info("step %d loss %.3f", step + 1, loss.item())
    return space


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True, help="folder with mobilenet_v2/")
    parser.add_argument("--work", type=Path, required=True, help="scratch folder with the teacher's shards")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=192)
    parser.add_argument("--caption-weight", type=float, default=0.2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(args.threads)
    known = Known.of(Crops(args.work, args.seed))
    classifier = load_teacher(args.models).classifier
    space = fit(known, classifier, args.steps, args.batch, args.seed, args.caption_weight)
    torch.save(space.state_dict(), args.work / "space.pt")


if __name__ == "__main__":
    main()
