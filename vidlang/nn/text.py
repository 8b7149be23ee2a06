"""What torch code may ask of a frozen text tower. No torch at import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class TextEncoder(Protocol):
    """A frozen CLIP text tower, as much of it as a method may ask for.

    Tokens and indices may lie on any device; embeddings come back on the tower's own.
    """

    @property
    def width(self) -> int:
        """Token embedding width E."""

    @property
    def dim(self) -> int:
        """Dimension D of the space that texts and images share."""

    @property
    def context_length(self) -> int:
        """Longest token sequence, 77 for CLIP."""

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Start token, words, end token, padding. returns: [C, context_length] int64."""

    def eot_index(self, tokens: Tensor) -> Tensor:
        """Position of each row's first end token. tokens: [C, L]    returns: [C] int64"""

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Token embeddings without positions. tokens: [C, L]    returns: [C, L, E]"""

    def encode_embeddings(self, embeddings: Tensor, eot_index: Tensor) -> Tensor:
        """Positions, causal transformer, final norm, the end token's row, projection; not normalised.

        embeddings: [C, L', E], L' at most context_length    eot_index: [C]    returns: [C, D]

        Gradients flow into the embeddings, never into the tower.
        """
