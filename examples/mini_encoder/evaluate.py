"""Judges the encoder on files that it never saw, beside its own untrained self and beside its teacher."""

from __future__ import annotations

import argparse
import io
import logging
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from architecture import build_model, build_processor
from captions import read_imagenet_names
from frames import PHOTO_ENDINGS, photo_source, read_evenly, read_frames, spread
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from splits import HELD_OUT_FIRST, RETRIEVAL_TEXTS, TEST_FIRST, TRAIN_LAST, held_out_videos, surv_videos
from torch import Tensor
from transformers import (
    AutoImageProcessor,
    CLIPTokenizer,
    MobileNetV2ForImageClassification,
)
from transformers.models.vision_text_dual_encoder.modeling_vision_text_dual_encoder import VisionTextDualEncoderModel

Frames = list[np.ndarray]  # uint8 [H, W, 3] each
Encode = Callable[[Frames], np.ndarray]  # frames → [N, D]


@dataclass(frozen=True)
class Contestant:
    name: str
    encode: Encode
    clip: VisionTextDualEncoderModel | None = None


class Batched:
    """Runs a network over frames in batches of 64."""

    def __init__(self, prepare: Callable[..., Any], network: Callable[[Tensor], Tensor]) -> None:
        self.prepare, self.network = prepare, network

    @torch.inference_mode()
    def __call__(self, frames: Frames) -> np.ndarray:
        parts = []
        for start in range(0, len(frames), 64):
            pixels = self.prepare(frames[start : start + 64], return_tensors="pt")["pixel_values"]
            parts.append(self.network(pixels).float().numpy())
        return np.concatenate(parts)


def clip_contestant(name: str, model: VisionTextDualEncoderModel) -> Contestant:
    model = model.float().eval()
    return Contestant(name, Batched(build_processor(), lambda x: model.get_image_features(x).pooler_output), model)


def unit(values: np.ndarray) -> np.ndarray:
    return values / (np.linalg.norm(values, axis=-1, keepdims=True) + 1e-12)


def video_means(encode: Encode, videos: Iterable[Frames]) -> np.ndarray:
    """Mean of the unit frame features of each video, [M, D]."""
    return np.stack([unit(encode(frames)).mean(0) for frames in videos])


def classifier(shuffle: bool = False) -> GridSearchCV:
    """Standardise, logistic regression; C by cross-validation on the training videos alone."""
    steps = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    grid = {"logisticregression__C": [1e-4, 1e-3, 1e-2, 1e-1, 1.0]}
    return GridSearchCV(steps, grid, scoring="roc_auc", cv=folds(shuffle))


def folds(shuffle: bool) -> StratifiedKFold:
    """Five folds, either runs of consecutive numbers (neighbouring files may come from one recording) or shuffled."""
    return StratifiedKFold(5, shuffle=True, random_state=0) if shuffle else StratifiedKFold(5)


def bootstrap_interval(labels: np.ndarray, scores: np.ndarray, rounds: int = 2000) -> tuple[float, float]:
    """95 % interval of the AUC when the test videos are drawn anew."""
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, len(labels), len(labels)) for _ in range(rounds)]
    aucs = [roc_auc_score(labels[rows], scores[rows]) for rows in drawn if 0 < labels[rows].sum() < len(rows)]
    low, high = np.percentile(aucs, [2.5, 97.5])
    return float(low), float(high)


def fight_aucs(features: np.ndarray, labels: np.ndarray, numbers: np.ndarray) -> dict[str, float]:
    """Video-level AUC: five folds inside files 71..100, files 73..100 after training on 1..70, five folds over all.

    The first is of videos that the encoder never saw, in places of which the classifier has seen others; the second of
    places that the classifier has not seen either. C is chosen twice, with consecutive and with shuffled inner folds:
    the choice alone moves the held-out AUC a lot.
    """
    train, test, unseen = numbers <= TRAIN_LAST, numbers >= TEST_FIRST, numbers >= HELD_OUT_FIRST
    result = {}
    for kind, shuffle in (("consecutive", False), ("shuffled", True)):
        model = classifier(shuffle).fit(features[train], labels[train])
        scores = model.decision_function(features[test])
        name = f"fight AUC, files 73-100, C by {kind} folds"
        result[name] = float(roc_auc_score(labels[test], scores))
        result[f"{name}: low end of 95 %"], result[f"{name}: high end"] = bootstrap_interval(labels[test], scores)
        for part, rows in (("inside files 71-100", unseen), ("over all files", numbers > 0)):
            scores = cross_val_predict(
                classifier(shuffle), features[rows], labels[rows], cv=folds(shuffle), method="decision_function"
            )
            result[f"fight AUC, five {kind} folds {part}"] = float(roc_auc_score(labels[rows], scores))
    return result


def mean_average_precision(means: np.ndarray, group: np.ndarray) -> float:
    """Each video of the group asks for the others of its group among all videos."""
    vectors = unit(means)
    precisions = []
    for query in np.flatnonzero(group):
        order = np.argsort(-(vectors @ vectors[query]))
        hits = group[order[order != query]]
        precisions.append((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())
    return float(np.mean(precisions))


def degradations() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    def jpeg(frame: np.ndarray) -> np.ndarray:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "JPEG", quality=30)
        return np.asarray(Image.open(buffer))

    def half(frame: np.ndarray) -> np.ndarray:
        image = Image.fromarray(frame)
        return np.asarray(image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC))

    def grey(frame: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(frame).convert("L").convert("RGB"))

    return {"JPEG q30": jpeg, "half size": half, "grey": grey}


def stability(encode: Encode, frames: Frames) -> dict[str, float]:
    """How much nearer a degraded frame is to itself than other frames are, 1 being untouched and 0 a stranger.

    A plain cosine flatters encoders that map everything to one place (an untrained one reaches 0.999), so the mean
    cosine between different frames is the zero of the scale.
    """
    original = unit(encode(frames))
    count = len(frames)
    strangers = ((original @ original.T).sum() - count) / (count * (count - 1))
    result = {}
    for name, degrade in degradations().items():
        same = (original * unit(encode([degrade(f) for f in frames]))).sum(-1).mean()
        result[f"cosine, {name}"] = float(same)
        result[f"relative, {name}"] = float((same - strangers) / (1 - strangers))
    return result


@torch.inference_mode()
def class_agreement(
    clip: VisionTextDualEncoderModel,
    tokenizer: CLIPTokenizer,
    images: np.ndarray,
    truth: np.ndarray,
    names: list[str],
) -> tuple[float, float]:
    """Share of frames whose teacher's class is the nearest / among the five nearest of the 1,000 class texts."""
    texts = tokenizer([f"a photo of a {name}" for name in names], padding=True, truncation=True, return_tensors="pt")
    vectors = F.normalize(clip.get_text_features(**texts).pooler_output, dim=-1).numpy()
    nearest = np.argsort(-(unit(images) @ vectors.T), axis=-1)[:, :5]
    return float((nearest[:, 0] == truth).mean()), float((nearest == truth[:, None]).any(1).mean())


@torch.inference_mode()
def read(clip: VisionTextDualEncoderModel, tokenizer: CLIPTokenizer, texts: list[str]) -> np.ndarray:
    """Unit text features [C, D]."""
    tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    return F.normalize(clip.get_text_features(**tokens).pooler_output, dim=-1).numpy()


def zero_shot_fight(texts: np.ndarray, means: np.ndarray, labels: np.ndarray) -> float:
    """AUC of "people fighting" against "people walking" with no classifier at all."""
    fight, normal = texts
    return float(roc_auc_score(labels, unit(means) @ (fight - normal)))


def text_ranks(texts: np.ndarray, means: np.ndarray, wanted: Iterable[int]) -> list[int]:
    """Rank, from 1, of the video that each text means among all; the mean of all videos is taken away first."""
    cosines = texts @ unit(unit(means) - unit(means).mean(0)).T
    return [int((row > row[index]).sum()) + 1 for row, index in zip(cosines, wanted, strict=True)]


class Judge:
    """Holds the held-out material, decoded once."""

    def __init__(self, data: Path, models: Path, tokenizer: CLIPTokenizer, photos: list[Path]) -> None:
        self.tokenizer = tokenizer
        self.names = [synonyms[0] for synonyms in read_imagenet_names(models / "mobilenet_v2")]
        videos = surv_videos(data, 1, 100)
        self.surv = [read_evenly(path, 8) for path, _ in videos]
        self.labels = np.array([label for _, label in videos])
        self.numbers = np.array([int(path.stem[-3:]) for path, _ in videos])
        gallery = [*sorted((data / "near_dup").glob("*.mp4")), *sorted((data / "clips").glob("*.*"))]
        self.group = np.array([path.name.startswith("chair-") for path in gallery])
        self.gallery = [[f for f in read_frames(path, every=16, short_side=256)] for path in gallery]
        self.names_of_gallery = [path.name for path in gallery]
        self.held_out = self.mixed_frames(data)
        files = [
            path for folder in photos for path in sorted(folder.rglob("*")) if path.suffix.lower() in PHOTO_ENDINGS
        ]
        self.photos = [photo_source(path, 320).frames[0] for path in files]

    def mixed_frames(self, data: Path) -> Frames:
        """Up to four frames of every held-out video."""
        frames: Frames = []
        for path in held_out_videos(data):
            read = list(read_frames(path, every=8, short_side=360))
            frames += [read[i] for i in spread(len(read), 24 if "charades" in path.name else 4)]
        return frames

    def judge(self, contestant: Contestant, classes: dict[str, np.ndarray]) -> dict[str, float]:
        """classes: the teacher's class of each held-out frame and photograph"""
        surv, gallery = video_means(contestant.encode, self.surv), video_means(contestant.encode, self.gallery)
        row = fight_aucs(surv, self.labels, self.numbers)
        row["near-duplicate mAP"] = mean_average_precision(gallery, self.group)
        if contestant.clip is not None:
            row |= self.judge_words(contestant, contestant.clip, surv, gallery, classes)
        return row | stability(contestant.encode, self.held_out[::2])

    def judge_words(
        self,
        contestant: Contestant,
        clip: VisionTextDualEncoderModel,
        surv: np.ndarray,
        gallery: np.ndarray,
        classes: dict[str, np.ndarray],
    ) -> dict[str, float]:
        test = self.numbers >= TEST_FIRST
        pair = read(clip, self.tokenizer, ["people fighting", "people walking"])
        row = {"zero-shot fight AUC, files 73-100": zero_shot_fight(pair, surv[test], self.labels[test])}
        for name, frames in (("frames", self.held_out), ("photographs", self.photos)):
            if frames:
                top = class_agreement(clip, self.tokenizer, contestant.encode(frames), classes[name], self.names)
                row[f"class agreement on {name}, top 1"], row[f"class agreement on {name}, top 5"] = top
        wanted = [self.names_of_gallery.index(name) for name in RETRIEVAL_TEXTS.values()]
        ranks = text_ranks(read(clip, self.tokenizer, list(RETRIEVAL_TEXTS)), gallery, wanted)
        row["text to video: median rank"] = float(np.median(ranks))
        row["text to video: among the first 5"] = float(np.mean([rank <= 5 for rank in ranks]))
        return row


def teacher_contestant(models: Path) -> tuple[Contestant, Encode]:
    """MobileNetV2's mean feature, and its logits over the 1,000 classes."""
    folder = models / "mobilenet_v2"
    teacher = MobileNetV2ForImageClassification.from_pretrained(folder).eval()
    processor = AutoImageProcessor.from_pretrained(folder)
    features = Batched(processor, lambda x: teacher.mobilenet_v2(x).pooler_output)
    return Contestant("MobileNetV2", features), Batched(processor, lambda x: teacher(x).logits[:, 1:])


def table(rows: dict[str, dict[str, float]], untrained: list[dict[str, float]]) -> str:
    """A Markdown table; the untrained column is mean and range over its seeds."""
    lines = ["| measure | mini | untrained mini (mean; range of seeds) | MobileNetV2 |", "| --- | --- | --- | --- |"]
    for key in rows["mini"]:
        seeds = [row[key] for row in untrained]
        plain = f"{np.mean(seeds):.3f}; {min(seeds):.3f} to {max(seeds):.3f}" if seeds else ""
        teacher = f"{rows['MobileNetV2'][key]:.3f}" if key in rows["MobileNetV2"] else ""
        lines.append(f"| {key} | {rows['mini'][key]:.3f} | {plain} | {teacher} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True, help="folder with mobilenet_v2/")
    parser.add_argument("--encoder", type=Path, required=True, help="folder of the trained encoder")
    parser.add_argument("--photos", type=Path, nargs="*", default=[], help="folders of photographs never trained on")
    parser.add_argument("--seeds", type=int, default=3, help="untrained encoders to compare with")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logging.getLogger("libav").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore")
    tokenizer = CLIPTokenizer.from_pretrained(args.encoder)
    judge = Judge(args.data, args.models, tokenizer, args.photos)
    teacher, classify = teacher_contestant(args.models)
    classes = {
        name: classify(frames).argmax(-1) if frames else np.zeros(0, int)
        for name, frames in (("frames", judge.held_out), ("photographs", judge.photos))
    }
    mini = clip_contestant("mini", VisionTextDualEncoderModel.from_pretrained(args.encoder))
    rows = {c.name: judge.judge(c, classes) for c in (mini, teacher)}
    untrained = [
        judge.judge(clip_contestant(f"untrained {seed}", build_model(tokenizer, seed)), classes)
        for seed in range(100, 100 + args.seeds)
    ]
    held_out = f"{len(judge.held_out)} held-out frames, {len(judge.photos)} photographs"
    print(f"{held_out}, {int(judge.group.sum())} near-duplicates, {len(judge.group)} videos")
    print(table(rows, untrained))


if __name__ == "__main__":
    main()
