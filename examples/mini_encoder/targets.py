"""Where each text belongs in the common space: classes, broader names, captions, and words that lie between them.

A name that the space knows gets its direction. Any other gets a mixture of those that genuine text encoders find
nearest: CLIP's own vectors for the 1,600 object names, a sentence encoder for everything else.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from captions import (
    CLASS_TEMPLATES,
    CONCEPTS,
    EVERYDAY_WORDS,
    LIGHT_PHRASES,
    PLACE_PHRASES,
    TABLES,
    UCF_CLASSES,
    XD_CLASSES,
    read_clip_names,
    read_hypernyms,
    read_imagenet_names,
)
from torch import Tensor

NEAREST = 8  # anchors in a mixture
SURE, SUPPOSED = 1.0, 0.4  # weights of known directions and of mixtures


@dataclass(frozen=True)
class Targets:
    """Texts with their directions [N, D] of length 1, and how much each counts [N]."""

    texts: list[str]
    vectors: Tensor
    weights: Tensor

    def __add__(self, other: Targets) -> Targets:
        return Targets(
            self.texts + other.texts,
            torch.cat([self.vectors, other.vectors]),
            torch.cat([self.weights, other.weights]),
        )


def sure(pairs: list[tuple[str, Tensor]]) -> Targets:
    vectors = F.normalize(torch.stack([vector for _, vector in pairs]), dim=-1)
    return Targets([text for text, _ in pairs], vectors, torch.full((len(pairs),), SURE))


def class_targets(models: Path, classes: Tensor) -> list[tuple[str, Tensor]]:
    names = read_imagenet_names(models / "mobilenet_v2")
    return [(name, classes[row]) for row, synonyms in enumerate(names) for name in synonyms]


def hypernym_targets(classes: Tensor) -> list[tuple[str, Tensor]]:
    return [(name, F.normalize(classes[rows].mean(0), dim=-1)) for name, rows in read_hypernyms().items()]


def caption_targets(captions: list[Tensor]) -> list[tuple[str, Tensor]]:
    """Every phrasing of every table."""
    return [
        (phrase, directions[row])
        for table, directions in zip(TABLES, captions, strict=True)
        for row, phrases in enumerate(table.values())
        for phrase in phrases
    ]


def sentence_targets(captions: list[Tensor]) -> list[tuple[str, Tensor]]:
    """What, where and when in one sentence: the sum of their directions."""
    concepts, places, lights, _ = captions
    pairs = []
    whats = [(row, phrase) for row, phrases in enumerate(CONCEPTS.values()) for phrase in phrases[:3]]
    for (what, phrase), (where, place), (when, light) in itertools.product(
        whats, enumerate(PLACE_PHRASES.values()), enumerate(LIGHT_PHRASES.values())
    ):
        pairs.append((f"{phrase} {place[1]} {light[0]}", concepts[what] + 0.6 * places[where] + 0.5 * lights[when]))
        pairs.append((f"{phrase} {place[1]}", concepts[what] + 0.6 * places[where]))
        pairs.append((f"{phrase} {light[0]}", concepts[what] + 0.5 * lights[when]))
    return list({text: (text, vector) for text, vector in pairs}.values())


def mixtures(queries: np.ndarray, anchors: np.ndarray, vectors: Tensor, sharpness: float = 20.0) -> Tensor:
    """Mean direction of the nearest anchors of each query. queries [Q, E], anchors [A, E], vectors [A, D] → [Q, D]"""
    cosines = torch.from_numpy(queries @ anchors.T)
    nearest = cosines.topk(min(NEAREST, cosines.shape[1]), dim=-1)
    shares = (sharpness * nearest.values).softmax(-1)
    return F.normalize((shares[..., None] * vectors[nearest.indices]).sum(1), dim=-1)


def object_targets(data: Path, known: dict[str, Tensor]) -> Targets:
    """The 1,600 names with genuine CLIP vectors; those that the space knows are the anchors of the others."""
    texts, vectors = read_clip_names(data)[0]
    centred = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    centred = centred - centred.mean(0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    names = [text.removeprefix("a ") for text in texts]
    found = [row for row, name in enumerate(names) if name in known]
    others = [row for row, name in enumerate(names) if name not in known]
    anchors = torch.stack([known[names[row]] for row in found])
    guessed = mixtures(centred[others], centred[found], anchors)
    return Targets([names[row] for row in others], guessed, torch.full((len(others),), SUPPOSED))


def word_targets(words: list[str], known: Targets, sentences: Path) -> Targets:
    """Everyday words and prompts by a sentence encoder (a folder of transformers, mean pooling)."""
    queries, anchors = embed(words, sentences), embed(known.texts, sentences)
    return Targets(words, mixtures(queries, anchors, known.vectors), torch.full((len(words),), SUPPOSED))


@torch.inference_mode()
def embed(texts: list[str], folder: Path, batch: int = 128) -> np.ndarray:
    """Unit rows of a sentence encoder, [N, E]."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    rows = []
    for start in range(0, len(texts), batch):
        tokens = tokenizer(texts[start : start + batch], padding=True, truncation=True, return_tensors="pt")
        mask = tokens["attention_mask"][..., None]
        hidden = model(**tokens).last_hidden_state * mask
        rows.append(F.normalize(hidden.sum(1) / mask.sum(1), dim=-1).numpy())
    return np.concatenate(rows)


def collect(space: dict[str, Tensor], data: Path, models: Path, sentences: Path | None) -> dict[str, Targets]:
    """All texts in groups, from which training draws."""
    classes = F.normalize(space["classes"], dim=-1)
    captions = [F.normalize(space[f"captions.{row}"], dim=-1) for row in range(len(TABLES))]
    named = class_targets(models, classes)
    broader = hypernym_targets(classes)
    spoken = caption_targets(captions)
    # what images are known by has the last word on a text
    known = dict(broader) | dict(named) | dict(spoken)
    groups = {
        "classes": sure(named),
        "broader": sure(broader),
        "captions": sure(spoken),
        "sentences": sure(sentence_targets(captions)),
        "objects": object_targets(data, known),
    }
    if sentences is not None:
        words = dict.fromkeys([*EVERYDAY_WORDS.split(), *UCF_CLASSES, *XD_CLASSES])
        groups["words"] = word_targets(
            [word for word in words if word not in known], sure(list(known.items())), sentences
        )
    return groups


def with_template(text: str, rng: np.random.Generator) -> str:
    return CLASS_TEMPLATES[int(rng.integers(len(CLASS_TEMPLATES)))].format(text)
