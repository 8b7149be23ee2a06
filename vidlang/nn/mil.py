"""Multiple-instance learning: from the scores of snippets to the score of their video."""

from __future__ import annotations

import torch
from torch import Tensor

from vidlang.nn.padding import mask_of


def topk_mean(scores: Tensor, lengths: Tensor, ratio: int = 16) -> Tensor:
    """Mean of each video's highest scores, per class.

    scores: [B, T, C]    lengths: [B] real snippets    returns: [B, C]

    k is ``length // ratio + 1``, at most the length; padding never takes part.

    Raises:
        ValueError: a video has no real snippet.
    Source: VadCLIP (Wu et al., AAAI 2024), MIL-Align; official src/ucf_train.py, CLASM.
    """
    lengths = lengths.to(scores.device)
    if int(lengths.min()) < 1:
        raise ValueError(f"every video needs at least one snippet, got lengths {lengths.tolist()}")
    counts = (lengths // ratio + 1).clamp(max=lengths)  # [B]
    real = mask_of(lengths, scores.shape[1])[..., None]  # [B, T, 1]
    highest = scores.masked_fill(~real, -torch.inf).topk(int(counts.max()), dim=1).values  # [B, k, C]
    chosen = mask_of(counts, highest.shape[1])[..., None]  # [B, k, 1]
    return highest.masked_fill(~chosen, 0.0).sum(1) / counts[:, None]
