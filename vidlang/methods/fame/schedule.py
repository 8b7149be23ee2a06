"""Learning rate of every epoch, as published: half a cosine, or steps, either after a linear warm-up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from vidlang.core.errors import BadInput
from vidlang.nn.fit import multi_step_rate


@dataclass(frozen=True)
class RateSchedule:
    """What the rate of an epoch depends on. Epochs are counted from 0, and a rate holds for a whole epoch.

    Source: Mark12Ding/FAME at 0600c0e.
    """

    start: float
    """Rate of the first epoch after the warm-up."""
    epochs: int
    kind: Literal["cosine", "steps"] = "cosine"
    milestones: tuple[int, ...] = ()
    """Epochs from which the rate is ``gamma`` times what it was."""
    gamma: float = 0.1
    warmup_epochs: int = 0
    """Epochs in which the rate rises from ``warmup_start`` in equal steps; the first one after them has ``start``."""
    warmup_start: float = 0.0

    def __post_init__(self) -> None:
        """
        Raises:
            BadInput: numbers that make no schedule.
        """
        if self.start <= 0 or self.epochs < 1:
            raise BadInput(f"A rate of {self.start} over {self.epochs} epochs is no schedule: both must be above 0.")
        if list(self.milestones) != sorted(set(self.milestones)) or (self.milestones and self.kind == "cosine"):
            raise BadInput(
                f"Milestones {self.milestones} must ascend, and a cosine has none. Use steps, or leave them."
            )
        if not 0 <= self.warmup_epochs < self.epochs:
            raise BadInput(f"A warm-up of {self.warmup_epochs} epochs leaves none of {self.epochs}. Make it shorter.")

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch counted from 0."""
        if epoch < self.warmup_epochs:
            return self.warmup_start + (self.start - self.warmup_start) * epoch / self.warmup_epochs
        if self.kind == "cosine":
            # the whole training is the half wave, warm-up or not
            return self.start * 0.5 * (1 + math.cos(math.pi * epoch / self.epochs))
        return multi_step_rate(self.start, epoch, self.milestones, self.gamma)
