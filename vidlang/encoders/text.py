"""The frozen text tower: texts, or embeddings that a method has mixed itself, become rows of the joint space."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from vidlang.core.errors import BadInput

if TYPE_CHECKING:
    from transformers.models.clip.modeling_clip import CLIPModel, CLIPTextModelWithProjection
    from transformers.models.vision_text_dual_encoder.modeling_vision_text_dual_encoder import (
        VisionTextDualEncoderModel,
    )

    TextModel: TypeAlias = CLIPModel | CLIPTextModelWithProjection | VisionTextDualEncoderModel

logger = logging.getLogger(__name__)


class TextTower:
    """CLIP's text side, frozen. What a method may ask of it is the ``TextEncoder`` protocol of ``methods.base``.

    Gradients flow through it to embeddings but never into its weights.
    Source: VadCLIP (Wu et al., AAAI 2024), learnable prompt; official src/model.py, encode_textprompt.
    """

    def __init__(self, model: TextModel, tokenizer: Any) -> None:
        """model: anything with transformers' ``text_model`` and ``text_projection``    tokenizer: its tokenizer"""
        self._text = model.text_model.eval().requires_grad_(False)
        self._projection = model.text_projection.eval().requires_grad_(False)
        self._tokenizer = tokenizer
        config = self._text.config
        self.width: int = config.hidden_size
        """Width E of token embeddings."""
        self.dim: int = self._projection.out_features
        """Width D of the joint space."""
        self.context_length: int = config.max_position_embeddings
        """Most tokens of a text, start and end included."""

    @property
    def device(self) -> torch.device:
        return self._projection.weight.device

    def to(self, device: torch.device | str) -> TextTower:
        """Move the weights; returns itself."""
        self._text.to(device)
        self._projection.to(device)
        return self

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Start token, words, end token, then zeros, as OpenAI's tokenizer pads.

        returns: [C, context_length] int64 on the tower's device. A longer text is cut, its end token kept.
        """
        rows = self._tokenizer(list(texts))["input_ids"] if texts else []
        tokens = torch.zeros(len(rows), self.context_length, dtype=torch.int64)
        for index, text in enumerate(texts):
            row = self._cut(rows[index], text)
            tokens[index, : len(row)] = torch.tensor(row)
        return tokens.to(self.device)

    def eot_index(self, tokens: Tensor) -> Tensor:
        """Position of the first end token of each row; padding may repeat that token.

        tokens: [C, L]    returns: [C] int64

        Raises:
            ValueError: a row has none.
        """
        is_end = tokens == self._tokenizer.eos_token_id
        if not bool(is_end.any(dim=-1).all()):
            raise ValueError(f"each row of tokens needs an end token ({self._tokenizer.eos_token_id})")
        return is_end.int().argmax(dim=-1)

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """[C, L] → [C, L, E], without positions."""
        return self._text.embeddings.token_embedding(tokens.to(self.device))

    def encode_embeddings(self, embeddings: Tensor, eot_index: Tensor) -> Tensor:
        """Positions, causal transformer, final norm, the row of the end token, projection.

        embeddings: [C, L, E], L at most ``context_length``, no positions in them    eot_index: [C]
        returns: [C, D], not normalised; differentiable in ``embeddings``

        No row sees what comes after it, so everything behind the furthest end token is left out: the same result
        (to 2e-6), several times faster for short texts.

        Raises:
            ValueError: shapes that do not fit, or an end outside the sequence.
        """
        num_texts, length, width = embeddings.shape
        if width != self.width or length > self.context_length or eot_index.shape != (num_texts,):
            raise ValueError(
                f"expected embeddings [C, at most {self.context_length}, {self.width}] and one end position each, "
                f"got {list(embeddings.shape)} and {list(eot_index.shape)}"
            )
        if num_texts == 0:
            return embeddings.new_zeros(0, self.dim)
        needed = int(eot_index.max()) + 1
        if needed > length or int(eot_index.min()) < 0:
            raise ValueError(f"an end position lies outside the sequence of {length}: {eot_index.tolist()}")
        x = self._text.embeddings(inputs_embeds=embeddings[:, :needed])  # [C, L', E]
        x = self._text.encoder(inputs_embeds=x, attention_mask=_causal_mask(x)).last_hidden_state
        x = self._text.final_layer_norm(x)
        ends = x[torch.arange(num_texts, device=x.device), eot_index.to(x.device)]  # [C, E]
        return self._projection(ends)

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """[C, L] → [C, D], not normalised."""
        return self.encode_embeddings(self.embed_tokens(tokens), self.eot_index(tokens))

    def _cut(self, row: list[int], text: str) -> list[int]:
        if self._tokenizer.eos_token_id not in row:
            raise BadInput(f"The encoder's tokenizer puts no end token after {text!r}: it is not CLIP's kind.")
        if len(row) <= self.context_length:
            return row
        logger.warning("only the first %d tokens of a text of %d count: %.60s", self.context_length, len(row), text)
        return [*row[: self.context_length - 1], self._tokenizer.eos_token_id]


def _causal_mask(x: Tensor) -> Tensor:
    """[C, L, E] → [1, 1, L, L], 0 where a position may look, minus infinity ahead of it."""
    length = x.shape[1]
    ahead = torch.full((length, length), float("-inf"), dtype=x.dtype, device=x.device).triu(1)
    return ahead[None, None]
