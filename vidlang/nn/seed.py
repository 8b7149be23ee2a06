"""Randomness as an argument: nothing here touches the caller's random state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Inside, torch's CPU generator starts from ``seed``; afterwards it is as it was before.

    device: where it is a GPU, the same holds of its generator
    """
    with torch.random.fork_rng(devices=[device] if device is not None and device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """The generator of one epoch. It depends on nothing that came before, so a resumed run draws the same numbers."""
    return torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
