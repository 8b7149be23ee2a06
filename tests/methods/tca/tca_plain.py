"""A second, plainer way to compute what TCA computes: numpy in float64, loops, one video at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def numbers(state: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: value.detach().double().numpy() for name, value in state.items()}


def softmax(scores, axis=-1):
    powers = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def layer_norm(x, weight, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * weight + bias


def encode(state: Mapping[str, torch.Tensor], rows, num_heads: int, num_layers: int = 1, weights=None):
    """Rows of one video without padding in context. rows: [T, E]    weights: [T], all above 0    returns: [T, E]"""
    values = numbers(state)
    x = np.asarray(rows, dtype=np.float64)
    counts = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=np.float64)
    for layer in range(num_layers):
        w = {name.split(f"layers.{layer}.")[1]: value for name, value in values.items() if f".layers.{layer}." in name}
        query, key, value = np.split(x @ w["self_attn.in_proj_weight"].T + w["self_attn.in_proj_bias"], 3, axis=1)
        size = x.shape[1] // num_heads
        heads = []
        for head in range(num_heads):
            part = slice(head * size, (head + 1) * size)
            shares = np.exp(query[:, part] @ key[:, part].T / np.sqrt(size)) * counts
            heads.append(shares / shares.sum(1, keepdims=True) @ value[:, part])
        attended = np.concatenate(heads, axis=1) @ w["self_attn.out_proj.weight"].T + w["self_attn.out_proj.bias"]
        x = layer_norm(x + attended, w["norm1.weight"], w["norm1.bias"])
        inner = np.maximum(x @ w["linear1.weight"].T + w["linear1.bias"], 0)
        x = layer_norm(x + inner @ w["linear2.weight"].T + w["linear2.bias"], w["norm2.weight"], w["norm2.bias"])
    return x


def batch_norm(x, state, name):
    """x: [..., C] with the stored statistics."""
    scale = state[f"{name}.weight"] / np.sqrt(state[f"{name}.running_var"] + 1e-5)
    return (x - state[f"{name}.running_mean"]) * scale + state[f"{name}.bias"]


def gated(flat, state):
    """The end of both VLADs. flat: [K * C]"""
    y = batch_norm(batch_norm(flat, state, "bn2") @ state["fc1.weight"].T + state["fc1.bias"], state, "bn3")
    inner = np.maximum(batch_norm(y @ state["fc2.weight"].T + state["fc2.bias"], state, "bn4"), 0)
    return unit(y / (1 + np.exp(-(inner @ state["fc3.weight"].T + state["fc3.bias"]))))


def netvlad(state: Mapping[str, torch.Tensor], rows):
    """Vector of one video, cluster by cluster and row by row."""
    w = numbers(state)
    sums = np.zeros_like(w["centroids"])
    for row in rows:
        row = unit(batch_norm(np.asarray(row, dtype=np.float64), w, "bn1"))
        shares = softmax(w["conv.weight"][:, :, 0] @ row + w["conv.bias"])
        for cluster, centre in enumerate(w["centroids"]):
            sums[cluster] += shares[cluster] * (row - centre)
    return gated(unit(sums).ravel(), w)


def nextvlad(state: Mapping[str, torch.Tensor], rows, groups: int):
    """Vector of one video, by row, group and cluster. Group g has the widened features g, g + G, g + 2 G, …"""
    w = numbers(state)
    num_clusters, size = w["centroids"].shape
    wide = np.stack([w["conv1.weight"][:, :, 0] @ unit(np.asarray(r, float)) + w["conv1.bias"] for r in rows], axis=1)
    num_rows = wide.shape[1]
    attention = 1 / (1 + np.exp(-(w["conv2.weight"][:, :, 0] @ wide + w["conv2.bias"][:, None])))  # [G, T]
    activation = batch_norm((w["conv3.weight"][:, :, 0] @ wide).T, w, "bn1")  # [T, K * G]
    sums = np.zeros_like(w["centroids"])
    for group in range(groups):
        for time in range(num_rows):
            feature = np.array([wide[c * groups + group, time] for c in range(size)])
            shares = softmax(np.array([activation[time, k * groups + group] for k in range(num_clusters)]))
            for cluster, centre in enumerate(w["centroids"]):
                sums[cluster] += attention[group, time] * shares[cluster] * (feature - centre)
    return gated(unit(sums).ravel(), w)


def infonce(cosines, temperature):
    total = 0.0
    for positive, *others in cosines:
        above = np.exp(positive / temperature)
        total -= np.log(above / (above + sum(np.exp(other / temperature) for other in others)))
    return total / len(cosines)


def circle(cosines, gamma, margin):
    total = 0.0
    for positive, *others in cosines:
        above = gamma * max(1 + margin - positive, 0) * (positive - (1 - margin))
        below = [gamma * max(other + margin, 0) * (other - margin) for other in others]
        total += np.logaddexp.reduce([above, *below]) - above
    return total / len(cosines)


def triplet(cosines, margin):
    hinges = [max(margin - positive + other, 0) for positive, *others in cosines for other in others]
    return sum(hinges) / len(hinges)
