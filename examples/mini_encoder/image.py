"""Stage "image": the tower keeps what the teacher sees through grey, blur, night and compression.

The tower starts with the teacher's own weights. What it has to learn is to say of a degraded picture what the teacher
says of the clean one: the same features, and with them the same classes.
"""

from __future__ import annotations

import argparse
import logging
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from architecture import build_model, pad_by_need, take_teachers_eyes
from crops import Batch, Crops
from teacher import load_teacher
from torch import Tensor, nn
from transformers import CLIPTokenizer
from transformers.models.mobilenet_v2.modeling_mobilenet_v2 import MobileNetV2Model

logger = logging.getLogger("mini_encoder")


class Eyes(nn.Module):
    """The image tower and the teacher's own classifier, which stays as it is."""

    def __init__(self, tower: MobileNetV2Model, classifier: nn.Linear, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        pad_by_need(tower)
        self.tower = tower.to(memory_format=torch.channels_last)
        self.classifier = classifier.requires_grad_(False)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def features(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S] → [B, 1280]"""
        return self.tower(pixels.contiguous(memory_format=torch.channels_last)).pooler_output

    def loss(self, batch: Batch) -> Tensor:
        """Classes (soft cross-entropy less the teacher's own entropy), direction and size of standardised features."""
        features = self.features(batch.pixels)
        logits = self.classifier(features)[:, 1:]
        classes = F.kl_div(logits.log_softmax(-1), batch.logits.log_softmax(-1), log_target=True, reduction="batchmean")
        seen, truth = (features - self.mean) / self.std, (batch.features - self.mean) / self.std
        direction = 1 - F.cosine_similarity(seen, truth, dim=-1).mean()
        return classes + 2 * direction + 0.3 * F.smooth_l1_loss(seen, truth)

    def train(self, mode: bool = True) -> Eyes:
        """Statistics of batch normalisation stay the teacher's: they know more pictures than are here."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


def optimiser_of(parameters: list[nn.Parameter], rate: float, decay: float = 0.01) -> torch.optim.AdamW:
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)


def schedule(peak: float, share: float) -> float:
    """Learning rate: a short rise, then a cosine to zero. share: of the time, 0 to 1"""
    return peak * min(1.0, share / 0.03 + 0.02) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def train(eyes: Eyes, crops: Crops, steps: int, peak: float, size: int) -> None:
    parameters = [p for p in eyes.tower.parameters() if p.requires_grad]
    optimiser = optimiser_of(parameters, peak)
    eyes.train()
    average = 0.0
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = schedule(peak, step / steps)
        loss = eyes.loss(crops.batch(size))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        average += (loss.item() - average) / min(step + 1, 50)
        if step % 25 == 24:
            logger.info("step %d of %d loss %.3f", step + 1, steps, average)


def between(before: dict[str, Tensor], after: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights that went ``share`` of the way that training went.

    Source: Wortsman et al., Robust fine-tuning of zero-shot models (CVPR 2022): most of what is learned stays, and what
    was known before is not forgotten.
    """
    return {
        name: torch.lerp(value, after[name], share) if value.is_floating_point() else value
        for name, value in before.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True, help="folder with mobilenet_v2/")
    parser.add_argument("--work", type=Path, required=True, help="scratch folder with the teacher's shards")
    parser.add_argument("--out", type=Path, required=True, help="folder of the encoder (its tokenizer)")
    parser.add_argument("--steps", type=int, default=480)
    parser.add_argument("--peak", type=float, default=1e-4, help="highest learning rate")
    parser.add_argument("--batch", type=int, default=40)
    parser.add_argument("--share", type=float, default=0.25, help="of the way from the teacher's weights to keep")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(args.threads)
    teacher = load_teacher(args.models)
    model = build_model(CLIPTokenizer.from_pretrained(args.out), args.seed)
    take_teachers_eyes(model, teacher)
    crops = Crops(args.work, args.seed)
    features = torch.from_numpy(crops.features).float()
    eyes = Eyes(model.vision_model, teacher.classifier, features.mean(0), features.std(0) + 0.05)
    logger.info("%d crops", len(crops))
    before = {name: value.clone() for name, value in eyes.tower.state_dict().items()}
    train(eyes, crops, args.steps, args.peak, args.batch)
    torch.save(between(before, eyes.tower.state_dict(), args.share), args.work / "tower.pt")


if __name__ == "__main__":
    main()
