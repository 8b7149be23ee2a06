"""Training from video labels: CBP warms up alone, then the branches teach each other in turn.

In a B step CBP, which knows background, teaches VLP; in an F step VLP, which knows foreground, teaches CBP. The teacher
stays as it is, and both kinds of its confident snippets count: background alone makes everything background.

Under torch.distributed every process holds all videos and computes its share of each step's, so that losses and weights
are those of one process with the same ``batch_size``.

Source: Ju et al., CVPR 2023 (arXiv 2212.09335), section 3.3.
Differs: pseudo-labels are made once per phase, from whole videos, which the frozen teacher allows; draws depend on seed
and epoch alone, so a run that was stopped goes on to the same bits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vidlang.core.errors import BadCheckpoint, BadInput
from vidlang.core.progress import Progress
from vidlang.methods.wtal.cbp import CbpOutput
from vidlang.methods.wtal.config import WtalConfig
from vidlang.methods.wtal.data import Batch, TrainingSet, check_signal, epoch_batches
from vidlang.methods.wtal.loss import contrast, distillation, mil_loss
from vidlang.methods.wtal.model import PSEUDO_LABELS, Wtal, new_model
from vidlang.methods.wtal.predict import Curves, Predictor
from vidlang.methods.wtal.pseudo_labels import agreement, confident, hard, shares, without_conflicts
from vidlang.methods.wtal.schedule import PHASE_NUMBERS, Phase, Schedule, Step, phase_losses
from vidlang.methods.wtal.vlp import TextRows, VlpOutput
from vidlang.nn.distributed import Group, current_group, replicated
from vidlang.nn.fit import BestWeights, EpochReport, TrainResult, TrainState, copy_optimizer, copy_state, restore
from vidlang.nn.precision import descend, mixed_precision, scaler_state, without_scaler
from vidlang.nn.seed import epoch_generator, seeded
from vidlang.nn.shared import shared
from vidlang.nn.text import TextEncoder

logger = logging.getLogger(__name__)

Validate = Callable[[Predictor], Mapping[str, float]]
"""Metrics of the model as it is, asked for at the end of every phase; no gradients are kept."""

VIDEOS_AT_ONCE = 64
"""Training videos whose inputs are in memory together while pseudo-labels are counted."""
LEAST_SHARE = 0.01
"""Foreground shares below this count as this much where growth is measured."""


class Losses(NamedTuple):
    """Means over the videos or snippets of a batch."""

    cls: Tensor
    """L_cls above its lowest possible value, which is the entropy of the labels."""
    kd: Tensor
    fb: Tensor
    total: Tensor


@dataclass(frozen=True, eq=False)
class Judgement:
    """What the branches say of the snippets of one training video, by branch name."""

    sure: Mapping[str, Tensor]
    """H [T, C] with the gap between the thresholds."""
    decided: Mapping[str, Tensor]
    """H [T, C] without it; only where ``kd_frames`` is ``all``."""


@dataclass(frozen=True, eq=False)
class WtalEpochReport(EpochReport):
    """One finished epoch. Its metrics are those of a phase that it ends: what ``Trainer.measured`` says of the
    pseudo-labels, and the validation."""

    round: int
    """Counted from 1; 0 is the warm-up."""
    step: Step
    ends_phase: bool
    pseudo_labels: Mapping[str, Sequence[NDArray[np.int8]]]
    """At the end of a phase, what each branch is sure of: H [T, C] of every training video. Empty else."""


@dataclass(frozen=True, eq=False)
class WtalResult(TrainResult):
    """A finished training: weights of the best phase; of the last good one where nothing validates.

    Rows of its history: epoch, round, phase (0 warm-up, 1 B, 2 F), losses, and metrics where a phase ends.
    """

    notes: tuple[str, ...]
    """What somebody should know: few videos, texts that were cut, a training that was ended because it drifted."""

    @property
    def phases(self) -> tuple[Mapping[str, float], ...]:
        """The rows that end a phase: warm-up, B of round 1, F of round 1, …"""
        return tuple(row for row in self.history if row.get("phase_end"))


def fit(
    videos: TrainingSet,
    config: WtalConfig,
    text: TextEncoder,
    *,
    clip_scale: float = 100.0,
    validate: Validate | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    on_epoch: Callable[[WtalEpochReport], None] | None = None,
    resume: TrainState | None = None,
    warm: TrainState | None = None,
) -> WtalResult:
    """Trains both branches and keeps the best and the last weights.

    Losses of an epoch: cls, kd, fb, loss (their weighted sum).

    clip_scale: what the CLIP encoder multiplies cosines by
    warm: the end of the warm-up of another training, which differs from this one in what comes after it alone; the
        result is that of an own warm-up
    on_epoch gets each finished epoch; the last one it got is all that an interrupted run needs to go on (``resume``).

    Under torch.distributed every process calls this with the same arguments; ``validate`` is called in process 0 alone.

    Raises:
        BadInput: the videos do not fit the text tower, their labels carry no signal, the precision does not run on the
            device, or training diverges.
        BadCheckpoint: ``resume`` is of another model.
    """
    if videos.dim != text.dim:
        raise BadInput(
            f"The features have dimension {videos.dim}, the text encoder's space has {text.dim}. "
            "Train with the CLIP encoder that made the features."
        )
    check_signal(videos.labels, videos.class_names, config)
    run = Trainer(videos, config, text, clip_scale, validate, device)
    if resume is not None:
        run.go_on(resume)
    elif warm is not None:
        run.go_on_after(warm)
    with (progress or Progress()).task("training", total=run.schedule.total(), unit="epochs") as task:
        task.advance(run.epoch)
        while run.phase is not None:
            report = run.one_epoch()
            task.note(step=report.step, round=report.round, **report.losses, **report.metrics)
            task.advance(1)
            if on_epoch is not None:
                on_epoch(report)
    return run.result()


class _Step(nn.Module):
    """What of a step runs in the processes that share it: class texts in each, videos in one each."""

    def __init__(self, model: Wtal, texts: TextRows, group: Group) -> None:
        super().__init__()
        self.model, self.texts, self.group = model, texts, group

    def forward(self, step: Step, batch: Batch) -> CbpOutput | VlpOutput:
        """What the branch that learns says of all videos."""
        if step == "B":
            texts = self.texts.learned(self.model.vlp)
            rows = shared(lambda x, mask: self.model.vlp(x, mask, texts), self.group, batch.vlp_rows, batch.mask)
            return VlpOutput(*rows)  # type: ignore[arg-type]
        return CbpOutput(*shared(self.model.cbp, self.group, batch.cbp_rows, batch.mask))  # type: ignore[arg-type]


class Trainer:
    """The moving parts of one training: branches, texts, optimizer, what is best. ``fit`` drives it epoch by epoch."""

    def __init__(
        self,
        videos: TrainingSet,
        config: WtalConfig,
        text: TextEncoder,
        clip_scale: float = 100.0,
        validate: Validate | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.videos, self.config, self.validate = videos, config, validate
        self.device, self.group = torch.device(device), current_group()
        mean, deviation = videos.statistics()
        self.model: Wtal = new_model(config, text, len(mean), len(videos.class_names), clip_scale).to(self.device)
        self.model.cbp.standardise.mean.copy_(mean)
        self.model.cbp.standardise.deviation.copy_(deviation)
        self.texts = TextRows(text, videos.prompts, config)
        step = _Step(self.model, self.texts, self.group)
        self.replica = replicated(step, self.group, self.device, some_unused=True)
        self.arithmetic, self.scaler = mixed_precision(self.device, config.precision)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.schedule = Schedule.of(config, len(videos))
        self.epoch = 0
        self.best = BestWeights()
        self.judgements: list[Judgement] = []
        self.H: list[Tensor] | None = None
        """N pseudo-labels [T, C] of the phase; None in the warm-up."""
        self.history: tuple[Mapping[str, float], ...] = ()

    @property
    def phase(self) -> Phase | None:
        """Where the training stands; None at its end."""
        return self.schedule.at(self.history)

    @property
    def predictor(self) -> Predictor:
        """The model as it is at each call."""
        return Predictor(self.model, self.texts, self.videos.class_names, self.device)

    def go_on(self, state: TrainState) -> None:
        """
        Raises:
            BadCheckpoint: the state is of another model or of other videos.
        """
        weights = dict(state.model)
        stored = weights.pop(PSEUDO_LABELS, None)
        restore(without_scaler(replace(state, model=weights), self.scaler), self.model, self.optimizer)
        self.epoch, self.history = state.epoch, state.history
        if stored is not None:
            lengths = [len(rows) for rows in self.videos.rows]
            if stored.shape != (sum(lengths), len(self.videos.class_names)):
                raise BadCheckpoint("The stored training state is of other videos. Start the training anew.")
            self.H = list(stored.split(lengths))
        self.best = BestWeights.of(state)

    def go_on_after(self, warm_up: TrainState) -> None:
        """Takes over another training's warm-up and closes it by this one's options.

        Raises:
            BadCheckpoint: the state is of another model.
        """
        weights = {name: value for name, value in warm_up.model.items() if name != PSEUDO_LABELS}
        restore(without_scaler(replace(warm_up, model=weights), self.scaler), self.model, self.optimizer)
        *before, last = warm_up.history
        self.epoch, self.history = warm_up.epoch, tuple(before)
        self.close({name: last[name] for name in ("epoch", "round", "phase", "cls", "kd", "fb", "loss")})

    def one_epoch(self) -> WtalEpochReport:
        """
        Raises:
            BadInput: a loss is no longer a number.
        """
        started, phase = time.monotonic(), self.phase
        if phase is None:
            raise ValueError("the training is over")
        generator = epoch_generator(self.config.seed, self.epoch)
        batches = epoch_batches(len(self.videos), self.config, generator)
        sums = torch.zeros(4, dtype=torch.float64)
        with seeded(int(torch.randint(2**62, (1,), generator=generator)), self.device):  # dropout
            for indices in batches:
                batch = self.videos.batch(indices, self.config.num_rows, generator, self.H).to(self.device)
                sums += torch.stack(self.step(phase.step, batch, generator)).detach().cpu().double()
                if not bool(sums.isfinite().all()):
                    raise BadInput(f"The loss is no longer a number in epoch {self.epoch + 1}. Lower learning_rate.")
        losses = dict(zip(("cls", "kd", "fb", "loss"), (sums / len(batches)).tolist(), strict=True))
        return self.finish(phase, losses, started)

    def step(self, step: Step, batch: Batch, generator: torch.Generator) -> Losses:
        """One batch of a phase: losses, gradients of the student, Adam."""
        self.model.eval()
        student: nn.Module = self.model.vlp if step == "B" else self.model.cbp
        student.train()
        with self.arithmetic():
            output = self.replica(step, batch)
        losses = self.losses(step, output, batch, generator)
        descend(losses.total, self.optimizer, self.scaler)  # Adam leaves what has no gradient, so the teacher, as it is
        return losses

    def losses(self, step: Step, output: CbpOutput | VlpOutput, batch: Batch, generator: torch.Generator) -> Losses:
        """L_cls in the warm-up; L_kd + fb_weight · L_fb after it, and L_cls where it is kept."""
        config, H = self.config, batch.H
        zero = 0.0 * output.logits.float().sum()
        cls = self.label_loss(output, batch) if H is None or config.keep_cls else zero
        kd = fb = zero
        if H is not None and not config.no_kd:
            side = "background" if step == "B" else "foreground"
            frames = side if config.kd_frames == "side" else "both"
            kd = distillation(config.kd, output.logits.float(), H, batch.mask, frames)  # type: ignore[arg-type]
        if H is not None and not config.no_fb:
            fb = contrast(
                output.features.float(),
                H,
                tau=config.fb_temperature,
                scope=config.fb_scope,
                reduction=config.fb_reduction,
                max_pairs=config.fb_max_pairs,
                generator=generator,
            )
        return Losses(cls, kd, fb, cls + kd + config.fb_weight * fb)

    def label_loss(self, output: CbpOutput | VlpOutput, batch: Batch) -> Tensor:
        """L_cls, mean over the videos. With a background column every video shows background too, somewhere.

        Where an attention takes the background out (``CbpOutput.suppressed``), the labels must hold without it.

        Source: BaS-Net (Lee et al., AAAI 2020), for both.
        """
        labels = batch.labels
        if self.config.background:
            labels = torch.cat([labels, torch.ones_like(labels[:, :1])], dim=-1)  # [B, K]
        loss = self._mil(output.logits, labels, batch.mask)
        if isinstance(output, CbpOutput) and output.suppressed is not None and output.attention is not None:
            without = torch.cat([batch.labels, torch.zeros_like(labels[:, :1])], dim=-1)
            attention = output.attention.float().sigmoid()[batch.mask].mean()
            loss = loss + self._mil(output.suppressed, without, batch.mask) + self.config.attention_weight * attention
        return loss

    def _mil(self, logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        normalise = self.config.mil_labels == "l1"
        count = labels.sum(1)  # [B]
        lowest = count.clamp(min=1).log() * (1.0 if normalise else count)
        return (mil_loss(logits.float(), mask, labels, self.config.mil_ratio, normalise) - lowest).mean()

    def finish(self, phase: Phase, losses: Mapping[str, float], started: float) -> WtalEpochReport:
        """Closes the epoch, and the phase where it is over: what is best, and the state to go on from."""
        self.epoch += 1
        ends = self.schedule.ends(phase, [*phase_losses(self.history), losses["loss"]])
        row = {"epoch": self.epoch, "round": phase.round, "phase": PHASE_NUMBERS[phase.step], **losses}
        metrics = self.close(row) if ends else {}
        if not ends:
            self.history = (*self.history, row)
        logger.info("epoch %d of at most %d: %s", self.epoch, self.schedule.total(), self.history[-1])
        return WtalEpochReport(
            epoch=self.epoch,
            num_epochs=self.schedule.total(),
            round=phase.round,
            step=phase.step,
            learning_rate=self.config.learning_rate,
            losses=losses,
            metrics=metrics,
            ends_phase=ends,
            is_best=self.best.epoch == self.epoch,
            seconds=time.monotonic() - started,
            train_state=self.state(),
            pseudo_labels={name: [one.sure[name].numpy() for one in self.judgements] for name in ("cbp", "vlp")}
            if ends
            else {},
        )

    def close(self, row: Mapping[str, float]) -> dict[str, float]:
        """Ends a phase with its last row of the log: what the branches say, what is best, who teaches what in the next.

        returns: metrics of the row
        """
        self.judge()
        metrics = self.measured()
        stopped = self.has_drifted(metrics)
        metrics |= self.validated(stopped)
        self.history = (*self.history, {**row, "phase_end": 1, "stopped": int(stopped), **metrics})
        following = self.phase
        self.H = None if following is None else self.taught(following.step)
        return metrics

    def judge(self) -> None:
        """What both branches think of all snippets of the training videos, at full length: ``self.judgements``."""
        self.judgements = self.group.from_first(self._judged)

    def _judged(self) -> list[Judgement]:
        predictor = self.predictor
        judgements: list[Judgement] = []
        for first in range(0, len(self.videos), VIDEOS_AT_ONCE):
            chosen = range(first, min(first + VIDEOS_AT_ONCE, len(self.videos)))
            curves = predictor.predict_many([(self.videos.vlp(index), self.videos.cbp(index)) for index in chosen])
            judgements += [self._judgement(index, curve) for index, curve in zip(chosen, curves, strict=True)]
        return judgements

    def _judgement(self, index: int, curves: Curves) -> Judgement:
        labels = torch.from_numpy(self.videos.labels[index])[None]
        mask = torch.ones(1, len(curves.cbp), dtype=torch.bool)
        delta = self.config.delta_high, self.config.delta_low
        both = {"cbp": torch.from_numpy(curves.cbp)[None], "vlp": torch.from_numpy(curves.vlp)[None]}  # [1, T, C]
        decided: dict[str, Tensor] = {}
        if self.config.kd_frames == "all":
            for name, value in both.items():
                rest = [1 - value.sum(-1, keepdim=True)] if self.config.background else []
                decided[name] = hard(torch.cat([value, *rest], dim=-1), labels, mask)[0]
        return Judgement({name: confident(value, labels, mask, *delta)[0] for name, value in both.items()}, decided)

    def taught(self, step: Step) -> list[Tensor]:
        """Pseudo-labels of a phase: the teacher's, but undecided where the student starts out sure of the opposite.

        returns: N tensors H [T, C]

        Conflicts are those at the start of the phase. If they followed the student as it learns, a snippet would stop
        teaching as soon as the student erred about it, and the student would drift freely.
        """
        teacher, student = ("vlp", "cbp") if step == "F" else ("cbp", "vlp")
        if self.config.kd_frames == "all":
            return [one.decided[teacher] for one in self.judgements]
        if self.config.conflicts == "keep":
            return [one.sure[teacher] for one in self.judgements]
        return [without_conflicts(one.sure[teacher][None], one.sure[student][None])[0] for one in self.judgements]

    def measured(self) -> dict[str, float]:
        """What the pseudo-labels of both branches say of the training videos.

        returns: shares of the snippets ``foreground_<branch>``, ``background_<branch>``, ``undecided_<branch>``, and
            ``agreement`` (of the snippets both are sure of, the share with the same classes; left out where there
            is none)
        """
        sure = {name: torch.cat([one.sure[name] for one in self.judgements])[None] for name in ("cbp", "vlp")}
        mask = torch.ones(sure["cbp"].shape[:2], dtype=torch.bool)  # [1, all snippets]
        metrics: dict[str, float] = {}
        for name, H in sure.items():
            share = shares(H, mask)
            metrics[f"foreground_{name}"] = share.foreground
            metrics[f"background_{name}"] = share.background
            metrics[f"undecided_{name}"] = share.undecided
        same = agreement(sure["cbp"], sure["vlp"], mask)
        return metrics if same is None else {**metrics, "agreement": same}

    def has_drifted(self, metrics: Mapping[str, float]) -> bool:
        """Whether CBP's sure foreground has grown too far since the warm-up."""
        start = self._share_at_start()
        if start is None or not self.config.stop_growth:
            return False
        return metrics["foreground_cbp"] > self.config.stop_growth * start

    def _share_at_start(self) -> float | None:
        """What the share of CBP's sure foreground is measured against; None in the warm-up."""
        for row in self.history:
            if row.get("phase_end"):
                against = [row["foreground_cbp"], row["foreground_vlp"]]
                return max(LEAST_SHARE, *(against if self.config.stop_against == "both" else against[:1]))
        return None

    def validated(self, drifted: bool) -> dict[str, float]:
        """Metrics of the weights as they are, kept if they are the best; where nothing validates, if they are good."""
        if self.validate is None:
            if not drifted:
                self.best = BestWeights(copy_state(self.model), self.epoch)
            return {}
        with torch.no_grad():
            validate = self.validate
            metrics = self.group.from_first(lambda: dict(validate(self.predictor)))
        self.best = self.best.or_those_of(self.model, self.epoch, metrics, self.config.select_metric)
        return metrics

    def state(self) -> TrainState:
        """Branches, pseudo-labels of the phase, moments, best weights, log: all that the rest of the run depends on."""
        return TrainState(
            epoch=self.epoch,
            model=copy_state(self.model)
            | scaler_state(self.scaler)
            | ({} if self.H is None else {PSEUDO_LABELS: torch.cat(self.H)}),
            optimizer=copy_optimizer(self.optimizer, self.model),
            best=self.best.state,
            best_epoch=self.best.epoch,
            best_metrics=self.best.metrics,
            history=self.history,
        )

    def notes(self) -> tuple[str, ...]:
        last: Mapping[str, float] = self.history[-1] if self.history else {}
        drift = []
        if last.get("stopped"):
            drift.append(
                f"ended in round {last['round']}, since CBP drifts: it is sure of foreground in "
                f"{last['foreground_cbp']:.0%} of the snippets, after the warm-up the measure was "
                f"{self._share_at_start():.0%}; the weights kept are of epoch {self.best.epoch}"
            )
        return (*self.videos.notes, *self.texts.notes, *drift)

    def result(self) -> WtalResult:
        last = copy_state(self.model)
        best = self.best
        return WtalResult(best.state or last, last, best.metrics, best.epoch, self.history, self.notes())
