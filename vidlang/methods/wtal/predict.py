"""From rows to probabilities over time: both branches, at the full length of any video.

Letters: T snippets, D and Din widths of VLP's and CBP's rows, C classes, K columns (C, and the background last where it
is on).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vidlang.core.errors import BadInput
from vidlang.methods.wtal.config import WtalConfig
from vidlang.methods.wtal.loss import video_probability
from vidlang.methods.wtal.model import Wtal, load_model
from vidlang.methods.wtal.vlp import TEMPLATES, TextRows, in_words, plain_rows
from vidlang.nn.padding import check_features, mask_of, pad_batch
from vidlang.nn.precision import Precision, arithmetic
from vidlang.nn.text import TextEncoder

Array = NDArray[np.floating]
Branch = Literal["cbp", "vlp", "average", "weighted"]

WINDOW_FACTOR = 4
"""A video longer than so many training lengths is read in windows of that length, half over each other."""
ROWS_AT_ONCE = 8192
"""Rows, padding included, that share a batch; a longer window is a batch of its own."""


@dataclass(frozen=True, eq=False)
class Curves:
    """What both branches say of one video; every number lies in [0, 1]."""

    cbp: NDArray[np.float32]
    """[T, C] probability of each class; what is missing to 1 is background, where the model has it."""
    vlp: NDArray[np.float32]
    """[T, C]"""
    video_score_cbp: NDArray[np.float32]
    """[C] probability that the video shows the class, among all columns."""
    video_score_vlp: NDArray[np.float32]
    """[C]"""

    def of(self, branch: Branch = "cbp", weight: float = 0.5) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Curve [T, C] and video score [C] of one branch or of both together.

        weight: share of CBP where the branch is ``weighted``; ``average`` is 0.5

        Raises:
            BadInput: no such branch, or a weight outside 0 to 1.
        """
        if not 0 <= weight <= 1:
            raise BadInput(f"The weight of CBP must be in 0 to 1, got {weight}.")
        shares = {"cbp": 1.0, "vlp": 0.0, "average": 0.5, "weighted": weight}
        if branch not in shares:
            raise BadInput(f"There is no branch {branch!r}. Use one of: {', '.join(shares)}.")
        share = shares[branch]
        if share in (0.0, 1.0):
            return (self.cbp, self.video_score_cbp) if share else (self.vlp, self.video_score_vlp)
        curve = share * self.cbp + (1 - share) * self.vlp
        score = share * self.video_score_cbp + (1 - share) * self.video_score_vlp
        return curve.astype(np.float32), score.astype(np.float32)


class Predictor:
    """A trained model, ready for any number of videos of any length."""

    def __init__(
        self,
        model: Wtal,
        texts: TextRows,
        class_names: Sequence[str],
        device: str | torch.device = "cpu",
        precision: Precision = "float32",
    ) -> None:
        """model: is read as it is at each call, so one in training may be given; it is put into evaluation mode"""
        self.model, self.texts, self.class_names = model.to(device), texts, tuple(class_names)
        self.config = model.config
        self.device, self.precision = torch.device(device), precision

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, Tensor],
        config: WtalConfig,
        class_names: Sequence[str],
        prompts: Sequence[str],
        text: TextEncoder,
        device: str | torch.device = "cpu",
        precision: Precision = "float32",
    ) -> Predictor:
        """The model with these weights. class_names, prompts: one of each per class, without background

        precision: bfloat16 is faster where processor or GPU have it; probabilities then differ in the third digit.

        Raises:
            BadCheckpoint: the weights are not those of such a model, or of another text encoder.
        """
        if len(class_names) != len(prompts):
            raise ValueError(f"each class needs one prompt, got {len(class_names)} classes and {len(prompts)} prompts")
        model = load_model(state, config, text, len(class_names))
        return cls(model, TextRows(text, prompts, config), class_names, device, precision)

    def predict(self, vlp_rows: Array, cbp_rows: Array) -> Curves:
        """One video. vlp_rows: [T, D] of CLIP    cbp_rows: [T, Din] of ``inputs.cbp_rows``, not standardised

        Raises:
            BadInput: no rows, or other widths than the model's.
        """
        return self.predict_many([(vlp_rows, cbp_rows)])[0]

    def predict_many(self, videos: Sequence[tuple[Array, Array]]) -> list[Curves]:
        """Many videos, in their order. Those of similar length share batches; that changes no number.

        videos: (vlp_rows [T, D], cbp_rows [T, Din])

        Raises:
            BadInput: as ``predict``.
        """
        for index, (vlp_rows, cbp_rows) in enumerate(videos):
            where = f"video {index + 1} of {len(videos)}"
            check_features(vlp_rows, f"{where} (VLP)", self.model.dim)
            check_features(cbp_rows, f"{where} (CBP)", self.model.input_width)
            if len(vlp_rows) != len(cbp_rows):
                raise ValueError(f"{where} has {len(vlp_rows)} rows for VLP and {len(cbp_rows)} for CBP")
        self.model.eval()
        texts = self.texts.of(self.model.vlp).to(self.device)
        width = self.texts.num_rows
        size = WINDOW_FACTOR * self.config.num_rows
        sums = [np.zeros((2, len(rows), width)) for rows, _ in videos]
        counts = [np.zeros(len(rows)) for rows, _ in videos]
        pieces = [(v, a, b) for v, (rows, _) in enumerate(videos) for a, b in windows(len(rows), size)]
        for batch in _batches(pieces):
            both = self._logits([tuple(part[a:b] for part in videos[v]) for v, a, b in batch], texts)
            for (v, a, b), logits in zip(batch, both, strict=True):
                sums[v][:, a:b] += logits[:, : b - a]
                counts[v][a:b] += 1
        return [self._curves(total / count[:, None]) for total, count in zip(sums, counts, strict=True)]

    @torch.no_grad()
    def _logits(self, pieces: Sequence[tuple[Array, ...]], texts: Tensor) -> NDArray[np.float32]:
        """Of CBP, then VLP. returns: [B, 2, T, K]"""
        vlp_rows, lengths = pad_batch([piece[0] for piece in pieces])
        cbp_rows, _ = pad_batch([piece[1] for piece in pieces])
        mask = mask_of(lengths, vlp_rows.shape[1]).to(self.device)
        with arithmetic(self.device, self.precision):
            cbp = self.model.cbp(cbp_rows.to(self.device), mask).logits
            vlp = self.model.vlp(vlp_rows.to(self.device), mask, texts).logits
        return torch.stack([cbp.float(), vlp.float()], dim=1).cpu().numpy()

    def _curves(self, logits: NDArray[np.float64]) -> Curves:
        """logits: [2, T, K]"""
        both = torch.from_numpy(logits)
        probability, scores = _probabilities(both, self.config.mil_ratio, len(self.class_names))
        return Curves(probability[0], probability[1], scores[0], scores[1])


class ZeroShotPredictor:
    """VLP without any training: cosines of CLIP's rows with texts, and a background row where the config has it."""

    def __init__(
        self,
        config: WtalConfig,
        class_names: Sequence[str],
        text: TextEncoder,
        prompts: Sequence[str] | None = None,
        clip_scale: float = 100.0,
    ) -> None:
        """prompts: one per class; None: the names in words    clip_scale: what the encoder multiplies cosines by

        Raises:
            BadInput: no classes, or a text that the tower cannot read.
        """
        if not class_names or len(set(class_names)) < len(class_names):
            raise BadInput(f"Localization needs classes to look for, each named once, got {list(class_names)}.")
        if len(class_names) == 1 and not config.background:
            raise BadInput("One class alone is everywhere without the background column. Turn background on.")
        self.config, self.class_names = config, tuple(class_names)
        texts = list(prompts) if prompts is not None else [in_words(name) for name in class_names]
        texts += [config.background_text] if config.background else []
        self.text_rows = plain_rows(text, texts, TEMPLATES[config.templates]).cpu()  # [K, D]
        self.scale = config.scale_of(clip_scale)

    def predict(self, vlp_rows: Array, cbp_rows: Array | None = None) -> Curves:
        """One video. vlp_rows: [T, D] of CLIP    cbp_rows: not read; there is no CBP, and VLP stands in its place

        Raises:
            BadInput: no rows, or another dimension than the texts'.
        """
        check_features(vlp_rows, "the video", self.text_rows.shape[1])
        rows = F.normalize(torch.from_numpy(np.asarray(vlp_rows, dtype=np.float32)), dim=-1)
        logits = (self.scale * rows @ self.text_rows.T).double()  # [T, K]
        probability, scores = _probabilities(logits[None], self.config.mil_ratio, len(self.class_names))
        return Curves(probability[0], probability[0], scores[0], scores[0])


def windows(length: int, size: int) -> list[tuple[int, int]]:
    """Runs of ``size`` rows, half over each other, that cover a video; the last one ends with it.

    length 10, size 4 → (0, 4) (2, 6) (4, 8) (6, 10)
    """
    if length <= size:
        return [(0, length)]
    starts = range(0, length - size, max(1, size // 2))
    return [*((start, start + size) for start in starts), (length - size, length)]


def _probabilities(logits: Tensor, ratio: float, num_classes: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """logits: [B, T, K] of one length    returns: [B, T, C], [B, C]"""
    mask = torch.ones(logits.shape[:2], dtype=torch.bool)
    curves = logits.softmax(-1)[..., :num_classes].float().numpy()
    return curves, video_probability(logits, mask, ratio)[..., :num_classes].float().numpy()


def _batches(pieces: Sequence[tuple[int, int, int]]) -> Iterator[list[tuple[int, int, int]]]:
    """Runs (video, first, last) of similar length together, ROWS_AT_ONCE rows at most unless one alone has more."""
    batch: list[tuple[int, int, int]] = []
    for piece in sorted(pieces, key=lambda piece: piece[2] - piece[1]):
        if batch and (len(batch) + 1) * (piece[2] - piece[1]) > ROWS_AT_ONCE:  # the newest is the longest
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch
