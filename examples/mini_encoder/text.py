"""Stage "text": the text tower learns where each text belongs, and keeps the geometry of genuine CLIP texts."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from architecture import build_model
from captions import read_clip_names
from image import optimiser_of, schedule
from targets import Targets, collect, with_template
from torch import Tensor, nn
from transformers import CLIPTokenizer
from transformers.models.vision_text_dual_encoder.modeling_vision_text_dual_encoder import VisionTextDualEncoderModel

logger = logging.getLogger("mini_encoder")
# texts of each group in a batch
SHARES = {"classes": 96, "broader": 32, "captions": 24, "sentences": 32, "objects": 32, "words": 40}
TEMPLATED = ("classes", "broader", "objects")
SCALE = 20.0  # of cosines to the classes


class Reader:
    """The text tower with its tokenizer, for training."""

    def __init__(self, model: VisionTextDualEncoderModel, tokenizer: CLIPTokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer
        # for sequences of ten tokens plain attention is faster than the fused kind, and float32 than bfloat16
        model.text_model.config._attn_implementation = "eager"

    def __call__(self, texts: list[str]) -> Tensor:
        """[C, D] of length 1; short and long texts apart, which saves most of the padding"""
        rows = self.tokenizer(texts, truncation=True)["input_ids"]
        order = torch.tensor(sorted(range(len(rows)), key=lambda row: len(rows[row])))
        parts = []
        for part in order.chunk(3):
            tokens = self.tokenizer.pad({"input_ids": [rows[int(row)] for row in part]}, return_tensors="pt")
            parts.append(self.model.text_projection(self.model.text_model(**tokens).pooler_output))
        return F.normalize(torch.cat(parts)[order.argsort()], dim=-1)

    def parameters(self) -> list[nn.Parameter]:
        return [*self.model.text_model.parameters(), *self.model.text_projection.parameters()]


def centred_cosines(vectors: np.ndarray) -> Tensor:
    """Cosines [N, N] after the group's mean is taken away: CLIP's texts share a large common part."""
    values = F.normalize(torch.from_numpy(vectors).float(), dim=-1)
    values = F.normalize(values - values.mean(0), dim=-1)
    return values @ values.T


class Relations:
    """Texts with genuine CLIP vectors: cosines between ours follow theirs, inside each group."""

    def __init__(self, data: Path, rng: np.random.Generator) -> None:
        self.groups = [(texts, centred_cosines(vectors)) for texts, vectors in read_clip_names(data)]
        self.rng = rng

    def loss(self, read: Reader, count: int = 64) -> Tensor:
        lines: list[str] = []
        spans: list[tuple[int, int, Tensor]] = []
        for names, cosines in self.groups:
            rows = self.rng.permutation(len(names))[:count]
            spans.append((len(lines), len(lines) + len(rows), cosines[rows][:, rows]))
            lines += [names[int(row)] for row in rows]
        vectors = read(lines)
        losses = [relation_loss(vectors[a:b] @ vectors[a:b].T, cosines) for a, b, cosines in spans]
        return losses[0] + 0.3 * (losses[1] + losses[2])


def relation_loss(ours: Tensor, theirs: Tensor) -> Tensor:
    """Mean squared difference of two cosine matrices [N, N], off the diagonal."""
    count = len(ours)
    return (ours - theirs).square().fill_diagonal_(0).sum() / (count * (count - 1))


def draw(groups: dict[str, Targets], rng: np.random.Generator) -> Targets:
    """A batch: some texts of each group, names of things in a phrase."""
    texts: list[str] = []
    vectors, weights = [], []
    for name, group in groups.items():
        rows = rng.integers(0, len(group.texts), SHARES[name])
        chosen = [group.texts[int(row)] for row in rows]
        texts += [with_template(text, rng) for text in chosen] if name in TEMPLATED else chosen
        vectors.append(group.vectors[rows])
        weights.append(group.weights[rows])
    return Targets(texts, torch.cat(vectors), torch.cat(weights))


def place_loss(read: Reader, batch: Targets, directions: Tensor) -> Tensor:
    """Distance to the text's direction, and which of all directions [K, D] it is nearest to."""
    said = read(batch.texts)
    distance = 1 - (said * batch.vectors).sum(-1)
    wanted = (SCALE * batch.vectors @ directions.T).softmax(-1)
    found = (SCALE * said @ directions.T).log_softmax(-1)
    ranks = (wanted * (wanted.clamp_min(1e-9).log() - found)).sum(-1)
    return (batch.weights * (distance + 0.3 * ranks)).sum() / batch.weights.sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with clip_text/")
    parser.add_argument("--models", type=Path, required=True, help="folder with mobilenet_v2/")
    parser.add_argument("--sentences", type=Path, help="folder of a sentence encoder (all-MiniLM-L6-v2)")
    parser.add_argument("--work", type=Path, required=True, help="scratch folder with space.pt")
    parser.add_argument("--out", type=Path, required=True, help="folder of the encoder (its tokenizer)")
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--peak", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(args.threads)
    tokenizer = CLIPTokenizer.from_pretrained(args.out)
    read = Reader(build_model(tokenizer, args.seed), tokenizer)
    read.model.train()
    rng = np.random.default_rng(args.seed)
    space = torch.load(args.work / "space.pt", weights_only=True)
    groups = collect(space, args.data, args.models, args.sentences)
    logger.info(", ".join(f"{len(group.texts)} {name}" for name, group in groups.items()))
    relations = Relations(args.data, rng)
    directions = F.normalize(space["classes"], dim=-1)
    optimiser = optimiser_of(read.parameters(), args.peak, decay=0.02)
    for step in range(args.steps):
        for group in optimiser.param_groups:
            group["lr"] = schedule(args.peak, step / args.steps)
        loss = place_loss(read, draw(groups, rng), directions)
        if step % 2 == 0:
            loss = loss + relations.loss(read)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(read.parameters(), 1.0)
        optimiser.step()
        if step % 100 == 0:
            logger.info("step %d loss %.3f", step, loss.item())
    torch.save(read.model.text_model.state_dict(), args.work / "text.pt")
    torch.save(read.model.text_projection.state_dict(), args.work / "text_projection.pt")


if __name__ == "__main__":
    main()
