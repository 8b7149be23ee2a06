"""VadCLIP in plain loops, written from its description: one video, one snippet, one pair at a time. Slow and simple."""

from __future__ import annotations

import math

import torch
from torch import Tensor

State = dict[str, Tensor]


def quick_gelu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-1.702 * x))


def layer_norm(x: Tensor, state: State, name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def linear(x: Tensor, state: State, name: str) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def feed_forward(x: Tensor, state: State, name: str) -> Tensor:
    return linear(quick_gelu(linear(x, state, f"{name}.c_fc")), state, f"{name}.c_proj")


def attention(x: Tensor, state: State, name: str, heads: int, window: int) -> Tensor:
    """x: [T, D]. The whole T x T matrix with minus infinity outside the blocks."""
    length, dim = x.shape
    qkv = x @ state[f"{name}.in_proj_weight"].T + state[f"{name}.in_proj_bias"]
    mask = torch.full((length, length), -math.inf)
    for i in range(length):
        for j in range(length):
            if i // window == j // window:
                mask[i, j] = 0
    mixed = []
    for head in range(heads):
        part = slice(head * dim // heads, (head + 1) * dim // heads)
        q, k, v = (qkv[:, at * dim : (at + 1) * dim][:, part] for at in range(3))
        mixed.append((q @ k.T / math.sqrt(dim / heads) + mask).softmax(-1) @ v)
    return linear(torch.cat(mixed, -1), state, f"{name}.out_proj")


def similarity(x: Tensor, length: int, threshold: float = 0.7) -> Tensor:
    """x: [T, D]    returns: [T, T], rows and columns from ``length`` on are 0"""
    graph = torch.zeros(len(x), len(x))
    for i in range(length):
        weights = []
        for j in range(length):
            cosine = x[i] @ x[j] / (x[i].norm() * x[j].norm() + 1e-20)
            weights.append(torch.exp(cosine) if cosine > threshold else torch.tensor(1.0))
        for j in range(length):
            graph[i, j] = weights[j] / sum(weights)
    return graph


def distance(length: int) -> Tensor:
    return torch.tensor([[math.exp(-abs(i - j) / math.e) for j in range(length)] for i in range(length)])


def graph_convolution(x: Tensor, graph: Tensor, state: State, name: str) -> Tensor:
    mixed = graph @ (x @ state[f"{name}.weight"])
    if f"{name}.residual.weight" not in state:
        return mixed + x
    kernel, bias = state[f"{name}.residual.weight"], state[f"{name}.residual.bias"]
    rows = []
    for t in range(len(x)):
        row = bias
        for offset in range(-2, 3):
            if 0 <= t + offset < len(x):
                row = row + kernel[:, :, offset + 2] @ x[t + offset]
        rows.append(row)
    return mixed + torch.stack(rows)


def forward(state: State, features: Tensor, length: int, texts: Tensor, layers: int, heads: int, window: int):
    """One video padded to L. features: [L, D]    texts: [C, D]    returns: logits_c [L], logits_a [L, C]"""
    x = features + state["frame_position_embeddings.weight"]
    for layer in range(layers):
        at = f"temporal.resblocks.{layer}"
        x = x + attention(layer_norm(x, state, f"{at}.ln_1"), state, f"{at}.attn", heads, window)
        x = x + feed_forward(layer_norm(x, state, f"{at}.ln_2"), state, f"{at}.mlp")
    near, far = similarity(x, length), distance(len(x))
    first = quick_gelu(graph_convolution(x, near, state, "gc1"))
    first = quick_gelu(graph_convolution(first, near, state, "gc2"))
    second = quick_gelu(graph_convolution(x, far, state, "gc3"))
    second = quick_gelu(graph_convolution(second, far, state, "gc4"))
    visual = linear(torch.cat([first, second], -1), state, "linear")
    logits_c = linear(visual + feed_forward(visual, state, "mlp2"), state, "classifier")[:, 0]
    prompt = sum(logits_c[t] * visual[t] for t in range(len(visual)))
    fused = texts + prompt / prompt.norm()
    fused = fused + feed_forward(fused, state, "mlp1")
    logits_a = torch.stack(
        [torch.stack([row @ text / (row.norm() * text.norm()) / 0.07 for text in fused]) for row in visual]
    )
    return logits_c, logits_a


def losses(logits_c: Tensor, logits_a: Tensor, texts: Tensor, labels: Tensor, lengths: list[int], weight: float):
    """Padded batch [B, L], [B, L, C]; returns bce, alignment, contrastive (weighted)."""
    bce, alignment = [], []
    for b, length in enumerate(lengths):
        k = min(length // 16 + 1, length)
        score = logits_c[b, :length].sigmoid().sort(descending=True).values[:k].mean()
        abnormal = 1 - labels[b, 0]
        bce.append(-(abnormal * score.log() + (1 - abnormal) * (1 - score).log()))
        tops = torch.stack(
            [logits_a[b, :length, c].sort(descending=True).values[:k].mean() for c in range(labels.shape[1])]
        )
        log_probability = tops - tops.exp().sum().log()
        alignment.append(-(labels[b] / labels[b].sum() * log_probability).sum())
    cosines = [abs(texts[0] @ text / (texts[0].norm() * text.norm())) for text in texts[1:]]
    return sum(bce) / len(bce), sum(alignment) / len(alignment), weight * sum(cosines) / len(cosines)
