"""VLP, the vision-language branch: CLIP's rows in temporal context against class texts with learned context.

Letters: B videos, T snippets, D dimension of the space that pictures and texts share, E width of token embeddings,
C classes, K rows of texts (C, and the background last where it is on).

Source: Ju et al., CVPR 2023, section 3.2; the prompts of Ju et al., ECCV 2022 (arXiv 2112.04478).
Differs: an untrained branch is CLIP itself (blocks start as the identity, text rows at those of the plain sentences),
so that the first pseudo-labels are those of CLIP; learned vectors before and after the words are tables of their own
instead of rows of one table by position, where a longer name would move the vectors behind it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidlang.methods.wtal.config import WtalConfig
from vidlang.methods.wtal.layers import Block, quick_gelu, sinusoids
from vidlang.nn.precision import full_precision
from vidlang.nn.prompt import PromptPlan, plan_prompts
from vidlang.nn.text import TextEncoder

ROW_LENGTH = 10.0
"""Rows are scaled to this length, about that of CLIP's own, so that the blocks of any encoder see numbers alike."""

TEMPLATES = {
    "none": ("{}",),
    "video": ("{}", "a photo of {}.", "a video of {}.", "a person in a video of {}.", "an example of {}."),
}
"""``WtalConfig.templates`` → sentences around the class words; the mean of their normalised features is taken."""

MAX_SCALE = 100.0
"""A learned logit scale ends here, as CLIP's does."""


class VlpOutput(NamedTuple):
    """What VLP says of each snippet, before the softmax over texts. Padded rows hold anything finite."""

    logits: Tensor
    """[B, T, K] cosine to each text, times the logit scale."""
    features: Tensor
    """[B, T, D] rows in context."""


class Vlp(nn.Module):
    """The learned part of the branch. Texts come in from ``TextRows``, which holds the frozen tower."""

    log_scale: Tensor

    def __init__(self, config: WtalConfig, dim: int, text_width: int, clip_scale: float = 100.0) -> None:
        """dim: D    text_width: E    clip_scale: what the encoder itself multiplies cosines by

        Raises:
            ValueError: D cannot be split into heads, or is odd.
        """
        super().__init__()
        if config.vlp_positions and dim % 2:
            raise ValueError(f"sinusoidal positions need an even dimension, got {dim}")
        self.positions = config.vlp_positions
        self.blocks = nn.ModuleList(
            Block(dim, config.vlp_heads, activation=quick_gelu, identity=True) for _ in range(config.vlp_layers)
        )
        log_scale = torch.tensor(math.log(config.scale_of(clip_scale)))
        if config.logit_scale == "learn":
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)
        self.context: nn.Parameter | None = None
        """[1 or 2, P + Q, E] learned vectors of the classes, and of the background where it is on."""
        num_vectors = config.prompt_prefix + config.prompt_postfix
        if num_vectors and not config.freeze_prompts:
            start = 0.01 * torch.randn(1 + config.background, num_vectors, text_width)
            self.context = nn.Parameter(start)
            self.register_buffer("context_start", start.clone())

    def forward(self, rows: Tensor, mask: Tensor, texts: Tensor) -> VlpOutput:
        """rows: [B, T, D] as CLIP makes them    mask: [B, T]    texts: [K, D] of ``TextRows``"""
        x = F.normalize(rows.float(), dim=-1) * ROW_LENGTH
        positions = sinusoids(x.shape[1], x.shape[2], x.device) if self.positions else None
        for block in self.blocks:
            x = block(x, mask, positions)
        with full_precision(x):  # cosines are multiplied by 100: bfloat16 has too few digits for that
            x = x.float()
            scale = self.log_scale.exp().clamp(max=MAX_SCALE) if self.log_scale.requires_grad else self.log_scale.exp()
            cosine = F.normalize(x, dim=-1) @ F.normalize(texts.to(x.device).float(), dim=-1).T
            return VlpOutput(scale * cosine, x)


class TextRows:
    """Class texts, and the background's last, as rows of the joint space.

    The tower runs only where the learned vectors have changed since the last time.
    """

    def __init__(self, text: TextEncoder, prompts: Sequence[str], config: WtalConfig) -> None:
        """prompts: one text per class, without the background

        Raises:
            BadInput: a prompt is empty, or too long for the tower even without learned vectors.
        """
        texts = [*prompts, *([config.background_text] if config.background else [])]
        self.text, self.config = text, config
        self.background = config.background
        self.plain = plain_rows(text, texts, TEMPLATES[config.templates])  # [K, D]
        fitting = [fitting_prompt(text, one, config.prompt_prefix + config.prompt_postfix) for one in texts]
        self.notes = tuple(
            f"the text {whole!r} is too long beside the learned vectors, which stand around {cut!r} instead"
            for whole, cut in zip(texts, fitting, strict=True)
            if whole != cut
        )
        self._plan = plan_prompts(text, fitting, config.prompt_prefix, config.prompt_postfix)
        self._cached: tuple[Tensor, Tensor] | None = None
        self._start: tuple[Tensor, Tensor] | None = None

    @property
    def num_rows(self) -> int:
        """K."""
        return len(self.plain)

    def of(self, vlp: Vlp) -> Tensor:
        """The rows with these learned vectors, of length about 1, without gradient. returns: [K, D]"""
        if vlp.context is None:
            return self.plain
        if self._cached is None or not torch.equal(self._cached[0], vlp.context):
            with torch.no_grad():
                self._cached = vlp.context.detach().clone(), self.learned(vlp)
        return self._cached[1]

    def learned(self, vlp: Vlp) -> Tensor:
        """The same with gradients into the learned vectors. returns: [K, D]"""
        if vlp.context is None:
            return self.plain
        rows = self._encode(vlp.context)
        if self.config.text_start == "random":
            return rows
        start = vlp.get_buffer("context_start")
        if self._start is None or not torch.equal(self._start[0], start):
            with torch.no_grad():
                self._start = start.clone(), self._encode(start)
        return self.plain.to(rows.device) + (rows - self._start[1])

    def _encode(self, context: Tensor) -> Tensor:
        """context: [1 or 2, P + Q, E]    returns: [K, D], of length 1"""
        sentences = with_context(self._plan, context, self.config.prompt_prefix, self.background)
        return F.normalize(self.text.encode_embeddings(sentences, self._plan.eot_index).float(), dim=-1)


def with_context(plan: PromptPlan, context: Tensor, prefix: int, background: bool) -> Tensor:
    """The sentences with learned vectors in their places: the first ``prefix`` before the words, the rest after.

    context: [1 or 2, P + Q, E]; with ``background`` the last sentence has the second table    returns: [K, L, E]
    """
    num_sentences, length = plan.learned.shape
    postfix = context.shape[1] - prefix
    place = torch.arange(length, device=plan.learned.device).expand(num_sentences, length)
    behind = prefix + place - (plan.eot_index[:, None] - postfix)  # start 3 learned words 2 learned end: ends at 4
    row = torch.where(place <= prefix, place - 1, behind)  # [K, L]
    table = torch.zeros(num_sentences, 1, dtype=torch.int64, device=row.device)
    if background:
        table[-1] = 1
    vectors = context.to(plan.words.device, plan.words.dtype)[table, row.clamp(0, context.shape[1] - 1)]  # [K, L, E]
    return torch.where(plan.learned[..., None], vectors, plan.words)


@torch.no_grad()
def plain_rows(text: TextEncoder, texts: Sequence[str], templates: Sequence[str] = ("{}",)) -> Tensor:
    """CLIP's rows of the texts: mean over templates of the normalised features. returns: [K, D], of length 1

    Raises:
        BadInput: a text is empty or too long for the tower.
    """
    rows = []
    for template in templates:
        plan = plan_prompts(text, [template.format(one) for one in texts], 0, 0)
        rows.append(F.normalize(text.encode_embeddings(plan.words, plan.eot_index).float(), dim=-1))
    return F.normalize(torch.stack(rows).mean(0), dim=-1)


def fitting_prompt(text: TextEncoder, prompt: str, num_learned: int) -> str:
    """As many of the first words as the tower can read beside so many learned vectors; one at least."""
    words = prompt.split()
    while len(words) > 1:
        end = int(text.eot_index(text.tokenize([" ".join(words)]))[0])
        if end + 1 + num_learned <= text.context_length:
            break
        words.pop()
    return " ".join(words)


def in_words(class_name: str) -> str:
    """``CleanAndJerk`` → "clean and jerk", ``dog_walking`` → "dog walking"."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", class_name)
    return re.sub(r"[\W_]+", " ", spaced).strip().lower() or class_name
