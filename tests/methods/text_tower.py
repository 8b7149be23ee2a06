"""A small text tower over OpenAI-layout weights, written from the definition of CLIP: a method's TextEncoder."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

START, END = 1, 2


class WordTower:
    """Reads words by hash (or by a given table of token rows); weights as in OpenAI CLIP's state dict, unprefixed."""

    def __init__(self, state: Mapping[str, Tensor], tokens: Mapping[str, Tensor] | None = None, end: int = END):
        self.state, self.tokens, self.end = dict(state), tokens, end
        self.width = state["ln_final.weight"].shape[0]
        self.dim = state["text_projection"].shape[1]
        self.context_length = state["positional_embedding"].shape[0]
        self.calls = 0

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        if self.tokens is not None:
            return torch.stack([self.tokens[text] for text in texts]).long()
        vocabulary = self.state["token_embedding.weight"].shape[0]
        rows = torch.zeros(len(texts), self.context_length, dtype=torch.long)
        for row, text in zip(rows, texts, strict=True):
            ids = [3 + zlib.crc32(word.encode()) % (vocabulary - 3) for word in text.lower().split()]
            row[: len(ids) + 2] = torch.tensor([START, *ids, END])
        return rows

    def eot_index(self, tokens: Tensor) -> Tensor:
        return (tokens == self.end).int().argmax(-1)

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        return self.state["token_embedding.weight"][tokens]

    def encode_embeddings(self, embeddings: Tensor, eot_index: Tensor) -> Tensor:
        self.calls += 1
        state, length = self.state, embeddings.shape[1]
        x = embeddings + state["positional_embedding"][:length]
        later = torch.full((length, length), -torch.inf).triu(1)
        heads, block = self.width // 64, 0
        while f"transformer.resblocks.{block}.ln_1.weight" in state:
            p = f"transformer.resblocks.{block}."
            y = F.layer_norm(x, (self.width,), state[p + "ln_1.weight"], state[p + "ln_1.bias"])
            y = y @ state[p + "attn.in_proj_weight"].T + state[p + "attn.in_proj_bias"]
            q, k, v = (part.unflatten(-1, (heads, 64)).transpose(1, 2) for part in y.chunk(3, -1))
            y = ((q @ k.transpose(2, 3) / 8 + later).softmax(-1) @ v).transpose(1, 2).flatten(2)
            x = x + y @ state[p + "attn.out_proj.weight"].T + state[p + "attn.out_proj.bias"]
            y = F.layer_norm(x, (self.width,), state[p + "ln_2.weight"], state[p + "ln_2.bias"])
            y = y @ state[p + "mlp.c_fc.weight"].T + state[p + "mlp.c_fc.bias"]
            y = y * torch.sigmoid(1.702 * y)
            x = x + y @ state[p + "mlp.c_proj.weight"].T + state[p + "mlp.c_proj.bias"]
            block += 1
        x = F.layer_norm(x, (self.width,), state["ln_final.weight"], state["ln_final.bias"])
        return x[torch.arange(len(x)), eot_index] @ state["text_projection"]


def random_tower(dim: int = 32, width: int = 64, layers: int = 1, words: int = 97, context: int = 40, seed: int = 0):
    """A tower with random weights; no file needed."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int, std: float) -> Tensor:
        return torch.randn(*shape, generator=g) * std

    state = {
        "positional_embedding": normal(context, width, std=0.05),
        "token_embedding.weight": normal(words, width, std=0.5),
        "text_projection": normal(width, dim, std=width**-0.5),
        "ln_final.weight": torch.ones(width),
        "ln_final.bias": torch.zeros(width),
    }
    for block in range(layers):
        p = f"transformer.resblocks.{block}."
        for norm in ("ln_1", "ln_2"):
            state |= {p + norm + ".weight": torch.ones(width), p + norm + ".bias": torch.zeros(width)}
        state[p + "attn.in_proj_weight"] = normal(3 * width, width, std=width**-0.5)
        state[p + "attn.out_proj.weight"] = normal(width, width, std=width**-0.5)
        state[p + "mlp.c_fc.weight"] = normal(4 * width, width, std=width**-0.5)
        state[p + "mlp.c_proj.weight"] = normal(width, 4 * width, std=(4 * width) ** -0.5)
        biases = {"attn.in_proj_bias": 3, "attn.out_proj.bias": 1, "mlp.c_fc.bias": 4, "mlp.c_proj.bias": 1}
        for name, size in biases.items():
            state[p + name] = torch.zeros(size * width)
    return WordTower(state)
