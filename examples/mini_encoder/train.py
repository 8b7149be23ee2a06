"""Stage 4: trains the student in three phases over one schedule, and exports it.

text      the text tower takes over the cosines between genuine CLIP text vectors
image     the image tower takes over the teacher's features, their relations and its classes
contrast  images meet texts: soft captions from the teacher's classes, phrasings of the labelled clips
"""

from __future__ import annotations

import argparse
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from architecture import DIM, build_model, export
from captions import CLASS_TEMPLATES, CONCEPTS, UNTAUGHT, read_clip_names, read_imagenet_names
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTokenizer
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

logger = logging.getLogger("mini_encoder")


class Crops:
    """The teacher's shards, drawn in random batches."""

    def __init__(self, work: Path, rng: np.random.Generator) -> None:
        shards = sorted({int(path.name[5:].split("-")[0]) for path in work.glob("shard*-concepts.npy")})
        self.pixels = [np.load(work / f"shard{s}-crops.npy", mmap_mode="r") for s in shards]
        self.features = np.concatenate([np.load(work / f"shard{s}-features.npy") for s in shards])
        self.logits = np.concatenate([np.load(work / f"shard{s}-logits.npy") for s in shards])
        self.concepts = np.concatenate([np.load(work / f"shard{s}-concepts.npy") for s in shards])
        self.starts = np.cumsum([0, *(len(p) for p in self.pixels)])
        self.mean = torch.from_numpy(self.features.astype(np.float32).mean(0))
        self.std = torch.from_numpy(self.features.astype(np.float32).std(0)) + 0.05
        self.rng = rng

    def __len__(self) -> int:
        return len(self.features)

    def image(self, row: int) -> np.ndarray:
        """One of the two stored views, uint8 [112, 112, 3]."""
        shard = int(np.searchsorted(self.starts, row, "right")) - 1
        return self.pixels[shard][row - self.starts[shard], int(self.rng.random() < 0.6)]

    def batch(self, size: int) -> Batch:
        rows = self.rng.integers(0, len(self), size)
        pixels = torch.from_numpy(np.stack([self.image(int(row)) for row in rows]))
        features = (torch.from_numpy(self.features[rows]).float() - self.mean) / self.std
        return Batch(
            jitter(pixels.permute(0, 3, 1, 2).float() / 255),
            features.clamp(-6, 6),
            torch.from_numpy(self.logits[rows]).float(),
            torch.from_numpy(self.concepts[rows]),
        )


@dataclass(frozen=True)
class Batch:
    pixels: Tensor  # [B, 3, 112, 112], normalised
    features: Tensor  # [B, 1280], standardised
    logits: Tensor  # [B, 1000]
    concepts: Tensor  # [B], -1 for none


def jitter(pixels: Tensor) -> Tensor:
    """Small zooms, shifts, flips and changes of colour of each image; [B, 3, H, W] in [0, 1] → normalised."""
    count = len(pixels)
    zoom = torch.empty(count).uniform_(0.8, 1.05)
    affine = torch.zeros(count, 2, 3)
    affine[:, 0, 0] = zoom * torch.randint(0, 2, (count,)).mul(2).sub(1)  # negative: flipped
    affine[:, 1, 1] = zoom
    affine[:, :, 2] = torch.empty(count, 2).uniform_(-0.12, 0.12)
    grid = F.affine_grid(affine, list(pixels.shape), align_corners=False)
    pixels = F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    # a third turns grey: colour is the first thing a young student leans on
    grey = (pixels * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    pixels = torch.where(torch.rand(count, 1, 1, 1) < 0.33, grey, pixels)
    gain = torch.empty(count, 3, 1, 1).uniform_(0.9, 1.1) * torch.empty(count, 1, 1, 1).uniform_(0.75, 1.25)
    centre = pixels.mean((1, 2, 3), keepdim=True)
    contrast = torch.empty(count, 1, 1, 1).uniform_(0.75, 1.25)
    pixels = (((pixels - centre) * contrast + centre) * gain).clamp(0, 1)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
    return (pixels - mean) / std


class Texts:
    """All sentences, tokenised when asked."""

    def __init__(self, tokenizer: CLIPTokenizer, data: Path, models: Path, rng: np.random.Generator) -> None:
        self.tokenizer, self.rng = tokenizer, rng
        self.classes = read_imagenet_names(models / "mobilenet_v2")
        self.groups = [(texts, centred_cosines(vectors)) for texts, vectors in read_clip_names(data)]

    def tokens(self, texts: list[str]) -> dict[str, Tensor]:
        return dict(self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt"))

    def class_text(self, index: int) -> str:
        synonyms = self.classes[index]
        # the first synonym is the plainest one, so it comes half the time
        name = synonyms[0] if self.rng.random() < 0.5 else synonyms[int(self.rng.integers(len(synonyms)))]
        return CLASS_TEMPLATES[int(self.rng.integers(len(CLASS_TEMPLATES)))].format(name)

    def concept_texts(self) -> list[str]:
        """One phrasing of every taught concept, in order."""
        taught = [phrasings for concept, phrasings in CONCEPTS.items() if concept not in UNTAUGHT]
        return [phrasings[int(self.rng.integers(len(phrasings)))] for phrasings in taught]


def centred_cosines(vectors: np.ndarray) -> Tensor:
    """Cosines [N, N] after the group's mean is taken away: CLIP's texts share a large common part."""
    values = torch.from_numpy(vectors).float()
    values = F.normalize(values, dim=-1)
    values = F.normalize(values - values.mean(0), dim=-1)
    return values @ values.T


class Student(nn.Module):
    """The encoder with the two linear heads that are thrown away afterwards."""

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.clip = clip
        self.to_features = nn.Linear(DIM, 1280)
        self.to_classes = nn.Linear(DIM, 1000)
        # on a CPU the backward pass of the fused attention takes a third of the step; plain attention is faster
        for config in (clip.config.vision_config, clip.config.text_config):
            config._attn_implementation = "eager"

    def encode_images(self, pixels: Tensor, keep: float = 1.0) -> Tensor:
        """[B, 3, 112, 112] → [B, D] of length 1, from a random share ``keep`` of each image's patches."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            pooled = self.pool(some_patches(self.clip.vision_model.embeddings(pixels), keep))
            projected = self.clip.visual_projection(pooled)
        return F.normalize(projected.float(), dim=-1)

    def pool(self, tokens: Tensor) -> Tensor:
        """Patch embeddings [B, 1 + P, W] → [B, W]; the image tower behind its embedding."""
        tower = self.clip.vision_model
        hidden = tower.encoder(inputs_embeds=tower.pre_layrnorm(tokens)).last_hidden_state
        return tower.post_layernorm(hidden[:, 0])

    def encode_texts(self, tokens: dict[str, Tensor]) -> Tensor:
        """tokens of C texts → [C, D] of length 1"""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            projected = self.clip.text_projection(self.clip.text_model(**tokens).pooler_output)
        return F.normalize(projected.float(), dim=-1)


def some_patches(tokens: Tensor, keep: float) -> Tensor:
    """[B, 1 + P, W] → [B, 1 + keep * P, W]: the class token and patches of each image's own choice.

    Source: FLIP (Li et al., CVPR 2023): half the patches teach nearly as much in half the time.
    """
    if keep >= 1:
        return tokens
    count, patches = len(tokens), tokens.shape[1] - 1
    chosen = 1 + torch.rand(count, patches).argsort(-1)[:, : round(keep * patches)]
    chosen = torch.cat([torch.zeros(count, 1, dtype=chosen.dtype), chosen], dim=1)
    return tokens.gather(1, chosen[..., None].expand(-1, -1, tokens.shape[-1]))


def relation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of two cosine matrices [N, N], off the diagonal."""
    count = len(student)
    return (student - teacher).square().fill_diagonal_(0).sum() / (count * (count - 1))


def text_loss(student: Student, texts: Texts, count: int = 160) -> Tensor:
    """Relations inside the object names and inside each list of anomaly prompts."""
    lines: list[str] = []
    spans: list[tuple[int, int, Tensor]] = []
    for names, cosines in texts.groups:
        rows = texts.rng.permutation(len(names))[:count]
        spans.append((len(lines), len(lines) + len(rows), cosines[rows][:, rows]))
        lines += [names[int(row)] for row in rows]
    vectors = student.encode_texts(texts.tokens(lines))
    losses = [relation_loss(vectors[a:b] @ vectors[a:b].T, cosines) for a, b, cosines in spans]
    return losses[0] + 0.3 * (losses[1] + losses[2])


def image_loss(student: Student, images: Tensor, batch: Batch) -> Tensor:
    """Features (direction and size), relations between the images of the batch, classes."""
    predicted = student.to_features(images * math.sqrt(DIM))
    direction = 1 - F.cosine_similarity(predicted, batch.features, dim=-1).mean()
    size = F.mse_loss(predicted, batch.features)
    truth = F.normalize(batch.features, dim=-1)
    relation = relation_loss(images @ images.T, truth @ truth.T)
    classes = soft_cross_entropy(student.to_classes(images * math.sqrt(DIM)), batch.logits.softmax(-1))
    return direction + 0.5 * size + 10 * relation + 0.2 * classes


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return -(target * logits.log_softmax(-1)).sum(-1).mean()


def contrast_loss(student: Student, texts: Texts, images: Tensor, batch: Batch, count: int = 112) -> Tensor:
    """Images against the texts of ``count`` classes, both ways, with the teacher's probabilities as targets."""
    top = batch.logits.topk(2, dim=-1).indices.flatten().unique().numpy()
    rest = np.setdiff1d(np.arange(1000), top)
    chosen = np.concatenate([texts.rng.permutation(top), texts.rng.permutation(rest)])[:count]
    vectors = student.encode_texts(texts.tokens([texts.class_text(int(c)) for c in chosen]))
    logits = student.clip.logit_scale.exp() * images @ vectors.T  # [B, count]
    target = batch.logits[:, chosen].softmax(-1)
    image_to_text = soft_cross_entropy(logits, target)
    weight = target.sum(0)  # classes that nothing in the batch resembles say nothing about images
    per_class = -((target / weight.clamp_min(1e-6)) * logits.log_softmax(0)).sum(0)
    text_to_image = (per_class * weight).sum() / weight.sum()
    return image_to_text + 0.3 * text_to_image


def taught_rows() -> Tensor:
    """Row of each concept among the taught ones, -1 for the untaught, and a last -1 for "no concept"."""
    taught = [concept for concept in CONCEPTS if concept not in UNTAUGHT]
    return torch.tensor([taught.index(c) if c in taught else -1 for c in CONCEPTS] + [-1])


def concept_loss(student: Student, texts: Texts, images: Tensor, concepts: Tensor) -> Tensor:
    """Images of taught concepts against one phrasing of each of them; concepts: [B], rows of CONCEPTS, -1 for none."""
    rows = taught_rows()[concepts]  # -1 picks the last entry, which is -1 again
    known = rows >= 0
    vectors = student.encode_texts(texts.tokens(texts.concept_texts()))
    logits = student.clip.logit_scale.exp() * images[known] @ vectors.T
    # a tenth is spread over the other concepts: the labels are those of whole videos, crops may show something else
    return F.cross_entropy(logits, rows[known], label_smoothing=0.1)


@dataclass(frozen=True)
class Plan:
    minutes: float
    batch: int = 128
    peak: float = 1e-3
    text_until: float = 0.02  # share of the time after which the image phase begins
    contrast_from: float = 0.35  # share of the time after which images meet texts
    concept_weight: float = 0.2
    all_patches_from: float = 0.85  # share of the time after which images are seen whole
    keep: float = 0.5  # share of the patches seen before
    start: float = 0.0  # share of the schedule that lies behind already
    save_every: float = 180.0  # seconds

    def rate(self, share: float) -> float:
        """Learning rate: a short rise, then a cosine to zero."""
        return self.peak * min(1.0, share / 0.02 + 0.02) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def step_loss(student: Student, crops: Crops, texts: Texts, plan: Plan, share: float) -> Tensor:
    if share < plan.text_until:
        return text_loss(student, texts)
    batch = crops.batch(plan.batch)
    images = student.encode_images(batch.pixels, 1.0 if share >= plan.all_patches_from else plan.keep)
    loss = image_loss(student, images, batch)
    if share >= plan.contrast_from:
        loss = loss + 0.5 * contrast_loss(student, texts, images, batch) + 2 * text_loss(student, texts, 64)
        loss = loss + plan.concept_weight * concept_loss(student, texts, images, batch.concepts)
    return loss


def train(student: Student, crops: Crops, texts: Texts, plan: Plan, out: Path) -> None:
    """Runs the plan by the clock; the state of every few minutes is a complete encoder in ``out``."""
    decay = [p for p in student.parameters() if p.ndim >= 2]
    plain = [p for p in student.parameters() if p.ndim < 2]
    optimiser = torch.optim.AdamW([{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
                                  lr=plan.peak, betas=(0.9, 0.98), fused=True)  # fmt: skip
    student.train()
    began = saved = time.monotonic()
    step, average = 0, 0.0
    while (share := plan.start + (1 - plan.start) * (time.monotonic() - began) / (60 * plan.minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = plan.rate(share) * min(1.0, (step + 1) / 50)
        loss = step_loss(student, crops, texts, plan, share)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            student.clip.logit_scale.clamp_(max=math.log(100))
        average += (loss.item() - average) / min(step + 1, 50)
        step += 1
        if step % 50 == 0:
            logger.info("%4.1f %% step %d loss %.3f", 100 * share, step, average)
        if time.monotonic() - saved > plan.save_every:
            save(student, out)
            saved = time.monotonic()
    save(student, out)
    logger.info("%d steps", step)


def save(student: Student, out: Path) -> None:
    export(student.clip, out)
    torch.save(student.state_dict(), out.parent / "student.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with clip_text/")
    parser.add_argument("--models", type=Path, required=True, help="folder with mobilenet_v2/")
    parser.add_argument("--work", type=Path, required=True, help="scratch folder with the teacher's shards")
    parser.add_argument("--out", type=Path, required=True, help="folder of the encoder, with its tokenizer")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--concept-weight", type=float, default=Plan.concept_weight)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="compile the image tower; needs a C++ compiler")
    parser.add_argument("--resume", type=Path, help="student.pt of an interrupted run")
    parser.add_argument("--start", type=float, default=0.0, help="with --resume: share of the schedule behind it")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(args.seed)
    tokenizer = CLIPTokenizer.from_pretrained(args.out)
    student = Student(build_model(tokenizer, args.seed))
    if args.resume:
        student.load_state_dict(torch.load(args.resume, weights_only=True))
    if args.compile:
        student.clip.vision_model.encoder.compile(dynamic=False)
    crops, texts = Crops(args.work, rng), Texts(tokenizer, args.data, args.models, rng)
    logger.info("%d crops, %d parameters", len(crops), sum(p.numel() for p in student.clip.parameters()))
    train(student, crops, texts, Plan(args.minutes, concept_weight=args.concept_weight, start=args.start), args.out)


if __name__ == "__main__":
    main()
