"""From features to anomaly scores and class probabilities, snippet by snippet.

Source: official src/ucf_test.py, src/xd_test.py at f643c91.
Differs: class texts are encoded once per model, pieces of many videos share a batch, one-snippet videos work, and the
all-zero piece behind a video whose length is a multiple of L is left out (its output was cut away).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vidlang.core.errors import BadCheckpoint, BadInput
from vidlang.methods.vadclip.config import VadClipConfig
from vidlang.methods.vadclip.model import VadClip, VadOutput
from vidlang.nn.padding import check_features, pad_batch
from vidlang.nn.precision import Precision, arithmetic
from vidlang.nn.prompt import plan_prompts
from vidlang.nn.text import TextEncoder

Array = NDArray[np.floating]

ZERO_SHOT_TEMPLATES = (
    "{}",
    "a photo of {}.",
    "a video of {}.",
    "surveillance footage of {}.",
    "a CCTV image showing {}.",
)
"""Sentences around a class text; the mean of their normalised features stands for the class."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What VadCLIP says of one video; every number lies in [0, 1]."""

    c_branch: NDArray[np.float32]
    """[T] anomaly score: sigmoid of the C-branch."""
    a_branch: NDArray[np.float32]
    """[T] anomaly score: 1 - probability of the normal class."""
    classes: NDArray[np.float32]
    """[T, C] class probabilities, class 0 normal; rows sum to 1."""

    @property
    def fusion(self) -> NDArray[np.float32]:
        """[T] mean of both branches."""
        return ((self.c_branch + self.a_branch) / 2).astype(np.float32)


class _Piece(NamedTuple):
    """Rows of one video that the model sees together, and the first row that it is asked about."""

    video: int
    start: int
    stop: int
    asked_from: int


class Predictor:
    """A trained model, ready for any number of videos of any length. Texts are encoded once, here."""

    def __init__(
        self,
        state: Mapping[str, Tensor],
        config: VadClipConfig,
        class_names: Sequence[str],
        prompts: Sequence[str],
        text: TextEncoder,
        device: str | torch.device = "cpu",
        precision: Precision = "float32",
    ) -> None:
        """state: own weights    class_names, prompts: one of each per class, the normal class first

        precision: bfloat16 is faster where processor or GPU have it; scores then differ in the third digit.

        Raises:
            BadCheckpoint: the weights are not those of such a model, or of another text encoder.
        """
        model = load_model(state, config, text).to(device)
        self._setup(model, class_names, prompts, text, precision)

    @classmethod
    def from_model(
        cls, model: VadClip, class_names: Sequence[str], prompts: Sequence[str], text: TextEncoder
    ) -> Predictor:
        """The same for a model in memory, such as one in training; its texts stay as they are at this moment."""
        predictor = cls.__new__(cls)
        predictor._setup(model, class_names, prompts, text, "float32")
        return predictor

    def _setup(
        self,
        model: VadClip,
        class_names: Sequence[str],
        prompts: Sequence[str],
        text: TextEncoder,
        precision: Precision,
    ) -> None:
        if len(class_names) != len(prompts):
            raise ValueError(f"each class needs one prompt, got {len(class_names)} classes and {len(prompts)} prompts")
        self.model, self.precision = model.eval(), precision
        self.config = model.config
        self.class_names = tuple(class_names)
        plan = plan_prompts(text, prompts, self.config.prompt_prefix, self.config.prompt_postfix)
        self.device = model.classifier.weight.device
        with torch.no_grad():
            self.text_features = model.encode_text(text, plan).float().to(self.device)  # [C, D]

    def predict(self, features: Array) -> Prediction:
        """Scores of one video. features: [T, D], or [K, T, D]: the mean over K crops

        Raises:
            BadInput: no rows, or another dimension than the model's.
        """
        return self.predict_many([features])[0]

    def predict_many(self, videos: Sequence[Array], batch_chunks: int = 16) -> list[Prediction]:
        """Scores of many videos. Memory grows with ``batch_chunks`` pieces of visual_length, not with the videos.

        videos: arrays [T, D] or [K, T, D]

        Raises:
            BadInput: a video has no rows, or another dimension than the model's.
        """
        crops = [video if video.ndim == 3 else video[None] for video in videos]
        flat: list[Array] = [crop for video in crops for crop in video]
        for index, crop in enumerate(flat):
            check_features(crop, f"video {index} of {len(flat)}", self.model.dim)
        done = iter(self._predict_flat(flat, batch_chunks))
        return [_mean(list(islice(done, len(video)))) for video in crops]

    def _predict_flat(self, videos: Sequence[Array], batch_chunks: int) -> list[Prediction]:
        scores = [np.empty(len(video), dtype=np.float32) for video in videos]
        classes = [np.empty((len(video), len(self.class_names)), dtype=np.float32) for video in videos]
        for pieces in _batched(self._pieces(videos), batch_chunks):
            output = self._forward([videos[piece.video][piece.start : piece.stop] for piece in pieces])
            anomaly = output.logits_c.sigmoid().cpu().numpy()  # [B, T]
            probability = output.logits_a.softmax(-1).cpu().numpy()  # [B, T, C]
            for row, piece in enumerate(pieces):
                rows = slice(piece.asked_from - piece.start, piece.stop - piece.start)
                scores[piece.video][piece.asked_from : piece.stop] = anomaly[row, rows]
                classes[piece.video][piece.asked_from : piece.stop] = probability[row, rows]
        return [
            Prediction(score, np.clip(1 - probability[:, 0], 0, 1), probability)
            for score, probability in zip(scores, classes, strict=True)
        ]

    def _pieces(self, videos: Sequence[Array]) -> Iterator[_Piece]:
        """Consecutive runs of visual_length rows; the rest alone, or as the end of a full run.

        10 rows, length 4: 0-3, 4-7 and 8-9 (short) or 6-9, asked from 8 (overlap).
        """
        limit = self.config.visual_length
        for index, video in enumerate(videos):
            for start in range(0, len(video), limit):
                stop = min(start + limit, len(video))
                overlap = self.config.chunk_tail == "overlap"
                yield _Piece(index, max(0, stop - limit) if overlap else start, stop, start)

    @torch.no_grad()
    def _forward(self, pieces: Sequence[Array]) -> VadOutput:
        num_rows = self.config.visual_length if self.config.padding == "leak" else None
        features, lengths = pad_batch(pieces, num_rows)
        with arithmetic(self.device, self.precision):
            output = self.model(features.to(self.device), lengths.to(self.device), self.text_features)
        return VadOutput(output.logits_c.float(), output.logits_a.float())


def load_model(state: Mapping[str, Tensor], config: VadClipConfig, text: TextEncoder) -> VadClip:
    """A model with these own weights.

    Raises:
        BadCheckpoint: names or shapes of weights do not fit the config or the text tower.
    """
    model = VadClip(config, text.dim, text.width, text.context_length)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    got = {name: tuple(value.shape) for name, value in state.items()}
    wrong = sorted(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
    if wrong:
        name = wrong[0]
        raise BadCheckpoint(
            f"The weights do not fit this model or text encoder: {name} is {got.get(name, 'missing')}, "
            f"expected {expected.get(name, 'nothing of that name')} ({len(wrong)} such)."
        )
    model.load_state_dict(dict(state))
    return model


def zero_shot(
    features: Array, text_features: Tensor | Array, *, scale: float = 100.0, balanced: bool = False
) -> Prediction:
    """Scores without any training: softmax over the cosines between snippets and class texts.

    features: [T, D] or [K, T, D]    text_features: [C, D], class 0 normal, such as ``ensemble`` makes
    scale: cosines are multiplied by it; 100 is what CLIP learned
    balanced: the normal class starts with as much probability as all the others together, so that naming more
        anomalies does not make every snippet more anomalous

    There is one anomaly score, 1 - probability of the normal class, and it stands in both branches.

    Raises:
        BadInput: no rows, or another dimension than the texts'.
    """
    texts = F.normalize(torch.as_tensor(text_features, dtype=torch.float32).cpu(), dim=-1)
    if texts.ndim != 2 or len(texts) < 2:
        raise ValueError(f"text_features must be [C, D] with two classes or more, got {tuple(texts.shape)}")
    prior = torch.zeros(len(texts))
    if balanced:
        prior[0] = math.log(len(texts) - 1)
    crops = features if features.ndim == 3 else features[None]
    predictions = []
    for crop in crops:
        check_features(crop, "the video", texts.shape[1])
        rows = F.normalize(torch.from_numpy(np.asarray(crop, dtype=np.float32)), dim=-1)  # [T, D]
        classes = (scale * rows @ texts.T + prior).softmax(-1).numpy()  # [T, C]
        anomaly = np.clip(1 - classes[:, 0], 0, 1)
        predictions.append(Prediction(anomaly, anomaly, classes))
    return _mean(predictions)


def ensemble(text_features: Tensor) -> Tensor:
    """Mean of normalised features over sentences. text_features: [C, P, D]    returns: [C, D]"""
    return F.normalize(text_features, dim=-1).mean(1)


def _mean(predictions: Sequence[Prediction]) -> Prediction:
    if not predictions:
        raise BadInput("A video has no crops to score. Extract it again.")
    if len(predictions) == 1:
        return predictions[0]
    return Prediction(
        c_branch=np.mean([crop.c_branch for crop in predictions], axis=0, dtype=np.float32),
        a_branch=np.mean([crop.a_branch for crop in predictions], axis=0, dtype=np.float32),
        classes=np.mean([crop.classes for crop in predictions], axis=0, dtype=np.float32),
    )


def _batched(pieces: Iterable[_Piece], size: int) -> Iterator[list[_Piece]]:
    rest = iter(pieces)
    while batch := list(islice(rest, size)):
        yield batch
