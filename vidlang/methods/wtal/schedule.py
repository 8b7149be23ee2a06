"""Warm-up, then rounds of B and F steps: where a training stands, read off its log alone, so that it can go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vidlang.methods.wtal.config import WtalConfig

Step = Literal["warm-up", "B", "F"]
PHASE_NUMBERS: dict[Step, int] = {"warm-up": 0, "B": 1, "F": 2}
"""What stands for a phase in a log row, which holds numbers only."""

Row = Mapping[str, float]


@dataclass(frozen=True)
class Phase:
    """One stretch of training with one student."""

    round: int
    """Counted from 1; 0 is the warm-up."""
    step: Step


@dataclass(frozen=True)
class Schedule:
    """Which phase comes when, and how long it lasts. Counts of epochs; an epoch has ``steps_per_epoch`` steps."""

    config: WtalConfig
    steps_per_pass: int
    steps_per_epoch: int

    @classmethod
    def of(cls, config: WtalConfig, num_videos: int) -> Schedule:
        """An epoch is so many whole passes over the videos that it has ``min_batches``."""
        in_a_pass = steps_per_pass(num_videos, config.batch_size)
        return cls(config, in_a_pass, in_a_pass * -(-config.min_batches // in_a_pass))

    def phases(self) -> list[Phase]:
        """All phases of a training that nothing ends early."""
        steps: tuple[Step, ...] = {"BF": ("B", "F"), "B": ("B",), "F": ("F",)}[self.config.steps]  # type: ignore[assignment]
        return [Phase(0, "warm-up"), *(Phase(r, step) for r in range(1, self.config.rounds + 1) for step in steps)]

    def longest(self, phase: Phase) -> int:
        """Epochs of a phase that does not end early."""
        config = self.config
        if phase.step == "warm-up":
            most = min(config.warmup_steps, config.warmup_passes * self.steps_per_pass)
            return -(-max(most, config.warmup_min_steps) // self.steps_per_epoch)
        return -(-max(config.phase_passes * self.steps_per_pass, config.phase_min_steps) // self.steps_per_epoch)

    def total(self) -> int:
        """Epochs of the whole training, if nothing ends early."""
        return sum(self.longest(phase) for phase in self.phases())

    def at(self, history: Sequence[Row]) -> Phase | None:
        """The phase that the next epoch belongs to; None where the training is over."""
        if any(row.get("stopped") for row in history):
            return None
        done, phases = sum(bool(row.get("phase_end")) for row in history), self.phases()
        return phases[done] if done < len(phases) else None

    def ends(self, phase: Phase, losses: Sequence[float]) -> bool:
        """Whether the phase is over after epochs with these losses, the last one being that of this moment."""
        if len(losses) >= self.longest(phase):
            return True
        patience = self.config.plateau_epochs
        if phase.step != "warm-up" or not patience or len(losses) <= patience:
            return False
        if len(losses) * self.steps_per_epoch < self.config.warmup_min_steps:
            return False
        return min(losses[-patience:]) > (1 - self.config.plateau_gain) * min(losses[:-patience])


def steps_per_pass(num_videos: int, batch_size: int) -> int:
    """Batches that hold every video once."""
    return -(-num_videos // batch_size)


def phase_losses(history: Sequence[Row]) -> list[float]:
    """Losses of the epochs since the last phase ended."""
    losses: list[float] = []
    for row in history:
        losses = [] if row.get("phase_end") else [*losses, row["loss"]]
    return losses
