"""Stage "contrast": images as the finished tower sees them meet texts as the text tower reads them; writes the encoder.

Soft captions from the teacher's classes, phrasings of what labelled clips and rendered scenes show, and the relations
of genuine CLIP texts, all at once. The image tower stays as it is, so its features are computed once.
"""

from __future__ import annotations

import argparse
import logging
import math
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from architecture import FEATURES, build_model, export, normalise
from captions import CLASS_TEMPLATES, TABLES, read_imagenet_names, with_who
from crops import Crops
from image import optimiser_of, schedule
from space import CAPTION_SCALE, believed
from targets import Targets, collect
from teacher import load_teacher
from text import Reader, Relations, draw, place_loss
from torch import Tensor, nn
from transformers import CLIPTokenizer
from transformers.models.vision_text_dual_encoder.modeling_vision_text_dual_encoder import VisionTextDualEncoderModel

from vidlang.encoders.towers import ConvolutionalTower

logger = logging.getLogger("mini_encoder")


@dataclass(frozen=True)
class Seen:
    """Features [M, 1280] of images as the finished tower sees them, and which crop [M] each is of."""

    features: Tensor
    rows: Tensor


@torch.inference_mode()
def see(model: VisionTextDualEncoderModel, crops: Crops, degraded: float, batch: int = 16) -> Seen:
    """Every crop, and a share of them degraded, through the tower as vidlang runs it, which is faster."""
    tower = ConvolutionalTower(deepcopy(model)).to(torch.device("cpu"), torch.float32)
    count = len(crops)
    views = [(row, 0) for row in range(count)] + [(row, 1) for row in range(round(degraded * count))]
    parts = []
    for start in range(0, len(views), batch):
        images = np.stack([crops.image(row, view) for row, view in views[start : start + batch]])
        pixels = normalise(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
        parts.append(tower.last_map(pixels).mean((2, 3)))
    return Seen(torch.cat(parts).clone(), torch.tensor([row for row, _ in views]))


class Meeting:
    """Draws batches of images and the texts that they meet."""

    def __init__(self, seen: Seen, crops: Crops, classifier: nn.Linear, models: Path, seed: int) -> None:
        self.features = seen.features
        self.logits = torch.from_numpy(crops.logits).float()[seen.rows]
        self.captions = torch.from_numpy(with_who(crops.captions))[seen.rows]
        self.captioned = torch.nonzero((self.captions >= 0).any(1))[:, 0]
        self.weight, self.bias = classifier.weight[1:].detach(), classifier.bias[1:].detach()
        self.names = read_imagenet_names(models / "mobilenet_v2")
        self.rng, self.dice = np.random.default_rng(seed), torch.Generator().manual_seed(seed)

    def rows(self, pool: Tensor | None, count: int) -> Tensor:
        drawn = torch.randint(len(self.features if pool is None else pool), (count,), generator=self.dice)
        return drawn if pool is None else pool[drawn]

    def class_text(self, row: int) -> str:
        synonyms = self.names[row]
        # the first synonym is the plainest one, so it comes half the time
        name = synonyms[0] if self.rng.random() < 0.5 else synonyms[int(self.rng.integers(len(synonyms)))]
        return CLASS_TEMPLATES[int(self.rng.integers(len(CLASS_TEMPLATES)))].format(name)

    def class_loss(self, model: VisionTextDualEncoderModel, read: Reader, count: int, classes: int) -> Tensor:
        """Images and believed features against the texts of some classes, both ways, by the teacher's probabilities."""
        rows = self.rows(None, count)
        seen = self.features[rows]
        supposed = believed(seen, self.weight, self.dice)
        truth = torch.cat([self.logits[rows], supposed @ self.weight.T + self.bias])
        # the likeliest classes of the batch are asked for, and some others
        top = truth.argmax(-1).unique().numpy()
        rest = self.rng.permutation(np.setdiff1d(np.arange(len(self.names)), top))
        chosen = np.concatenate([self.rng.permutation(top), rest])[:classes]
        texts = read([self.class_text(int(row)) for row in chosen])
        images = F.normalize(model.visual_projection(torch.cat([seen, supposed])), dim=-1)
        said = model.logit_scale.exp() * images @ texts.T
        wanted = truth[:, chosen].log_softmax(-1)
        loss = F.kl_div(said.log_softmax(-1), wanted, log_target=True, reduction="batchmean")
        share = wanted.exp() / wanted.exp().sum(0).clamp_min(1e-6)
        return loss - 0.1 * (share * said.log_softmax(0)).sum(0).mean()

    def caption_loss(self, model: VisionTextDualEncoderModel, read: Reader, count: int) -> Tensor:
        """Captioned images against one phrasing of every entry of each table."""
        rows = self.rows(self.captioned, count)
        images = F.normalize(model.visual_projection(self.features[rows]), dim=-1)
        total = images.new_zeros(())
        for column, table in enumerate(TABLES):
            wanted = self.captions[rows, column]
            known = wanted >= 0
            if known.any():
                phrases = [options[int(self.rng.integers(len(options)))] for options in table.values()]
                logits = CAPTION_SCALE * images[known] @ read(phrases).T
                total = total + F.cross_entropy(logits, wanted[known], label_smoothing=0.1)
        return total


def fit(model: VisionTextDualEncoderModel, read: Reader, meeting: Meeting, groups: dict[str, Targets],
        relations: Relations, directions: Tensor, steps: int, peak: float, batch: int) -> None:  # fmt: skip
    parameters = [*read.parameters(), model.visual_projection.weight, model.logit_scale]
    optimiser = optimiser_of(parameters, peak, decay=0.01)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = schedule(peak, step / steps)
        loss = meeting.class_loss(model, read, batch, 128) + 0.3 * meeting.caption_loss(model, read, batch)
        loss = loss + 0.5 * place_loss(read, draw(groups, meeting.rng), directions) + relations.loss(read)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=math.log(100))
        if step % 50 == 0:
            logger.info("step %d loss %.3f", step, loss.item())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with clip_text/")
    parser.add_argument("--models", type=Path, required=True, help="folder with mobilenet_v2/")
    parser.add_argument("--sentences", type=Path, help="folder of a sentence encoder (all-MiniLM-L6-v2)")
    parser.add_argument("--work", type=Path, required=True, help="scratch folder of the stages before")
    parser.add_argument("--out", type=Path, required=True, help="folder of the encoder")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--peak", type=float, default=3e-4)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--degraded", type=float, default=0.3, help="share of the crops that are seen degraded too")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(args.threads)
    tokenizer = CLIPTokenizer.from_pretrained(args.out)
    model = build_model(tokenizer, args.seed)
    read = Reader(model, tokenizer)
    for part, file in (
        (model.vision_model, "tower"),
        (model.text_model, "text"),
        (model.text_projection, "text_projection"),
    ):
        part.load_state_dict(torch.load(args.work / f"{file}.pt", weights_only=True))
    space = torch.load(args.work / "space.pt", weights_only=True)
    assert space["projection"].shape[1] == FEATURES
    with torch.no_grad():
        model.visual_projection.weight.copy_(space["projection"])
        model.logit_scale.copy_(space["scale"])
    crops = Crops(args.work, args.seed)
    seen = see(model, crops, args.degraded)
    logger.info("%d images seen", len(seen.rows))
    meeting = Meeting(seen, crops, load_teacher(args.models).classifier, args.models, args.seed)
    groups = collect(space, args.data, args.models, args.sentences)
    relations = Relations(args.data, meeting.rng)
    directions = F.normalize(space["classes"], dim=-1)
    fit(model, read, meeting, groups, relations, directions, args.steps, args.peak, args.batch)
    export(model, args.out)


if __name__ == "__main__":
    main()
