"""Training from video labels.

Under torch.distributed every process holds all videos and computes its share of each step's, so that losses and weights
are those of one process with the same ``batch_size``.

Source: official src/ucf_train.py, src/xd_train.py at f643c91.
Differs: shuffles depend on seed and epoch alone, so a run that was stopped goes on to the same bits; of two equally
good validations the later one is kept (over the published test sets no two are equal).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from vidlang.core.errors import BadInput
from vidlang.core.progress import Progress
from vidlang.methods.vadclip.config import VadClipConfig
from vidlang.methods.vadclip.data import Sample, TrainingSet, epoch_batches, join_normal
from vidlang.methods.vadclip.loss import Losses, vadclip_losses
from vidlang.methods.vadclip.model import VadClip, VadOutput
from vidlang.nn.distributed import Group, current_group, replicated
from vidlang.nn.fit import (
    BestWeights,
    EpochReport,
    TrainResult,
    TrainState,
    copy_optimizer,
    copy_state,
    multi_step_rate,
    restore,
    set_rate,
)
from vidlang.nn.precision import descend, mixed_precision, scaler_state, without_scaler
from vidlang.nn.prompt import PromptPlan, plan_prompts
from vidlang.nn.seed import seeded
from vidlang.nn.shared import shared
from vidlang.nn.text import TextEncoder

logger = logging.getLogger(__name__)

Validate = Callable[[VadClip], Mapping[str, float]]
"""Metrics of the model as it is; it is in evaluation mode and no gradients are kept."""


def new_model(config: VadClipConfig, text: TextEncoder) -> VadClip:
    """An untrained model for features of the text tower's space, from the config's seed."""
    with seeded(config.seed):
        return VadClip(config, text.dim, text.width, text.context_length)


def fit(
    videos: TrainingSet,
    config: VadClipConfig,
    text: TextEncoder,
    *,
    validate: Validate | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    resume: TrainState | None = None,
) -> TrainResult:
    """Trains on labelled videos and keeps the best and the last weights of what is trained.

    Losses of an epoch: bce, alignment, contrastive, total.

    on_epoch gets each finished epoch; the last one it got is all that an interrupted run needs to go on (``resume``).

    Under torch.distributed every process calls this with the same arguments; ``validate`` is called in process 0 alone.

    Raises:
        BadInput: the videos do not fit the text tower or the batches, the precision does not run on the device, or
            training diverges.
        BadCheckpoint: ``resume`` is of another model.
    """
    if videos.dim != text.dim:
        raise BadInput(
            f"The features have dimension {videos.dim}, the text encoder's space has {text.dim}. "
            "Train with the encoder that made the features."
        )
    run = Trainer(videos, config, text, validate, device)
    if resume is not None:
        run.go_on(resume)
    with (progress or Progress()).task("training", total=config.epochs, unit="epochs") as task:
        task.advance(run.epoch)
        while run.epoch < config.epochs:
            report = run.one_epoch()
            task.note(**report.losses, **report.metrics)
            task.advance(1)
            if on_epoch is not None:
                on_epoch(report)
    return run.result()


class _Step(nn.Module):
    """What of a step runs in the processes that share it: class texts in each, videos in one each."""

    def __init__(self, model: VadClip, text: TextEncoder, plan: PromptPlan, group: Group) -> None:
        super().__init__()
        self.model, self.plan, self.group = model, plan, group
        self.text = (text,)  # frozen, so no part of what is trained

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, VadOutput]:
        """features: [B, T, D]    lengths: [B]    returns: texts [C, D], and what the branches say of all videos"""
        texts = self.model.encode_text(self.text[0], self.plan)
        anomaly, classes = shared(lambda x, lengths: self.model(x, lengths, texts), self.group, features, lengths)
        assert anomaly is not None and classes is not None
        return texts, VadOutput(anomaly, classes)


class Trainer:
    """The moving parts of one training: model, optimizer, what is best. ``fit`` drives it epoch by epoch."""

    def __init__(
        self,
        videos: TrainingSet,
        config: VadClipConfig,
        text: TextEncoder,
        validate: Validate | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.videos, self.config, self.text, self.validate = videos, config, text, validate
        self.device, self.group = torch.device(device), current_group()
        self.model = new_model(config, text).to(device)
        plan = plan_prompts(text, videos.prompts, config.prompt_prefix, config.prompt_postfix)
        step = _Step(self.model, text, plan, self.group)
        self.replica = replicated(step, self.group, self.device, some_unused=True)
        self.arithmetic, self.scaler = mixed_precision(self.device, config.precision)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.epoch = 0
        self.best = BestWeights()
        self.history: tuple[Mapping[str, float], ...] = ()

    def go_on(self, state: TrainState) -> None:
        restore(without_scaler(state, self.scaler), self.model, self.optimizer)
        self.epoch, self.history = state.epoch, state.history
        self.best = BestWeights.of(state)

    def one_epoch(self) -> EpochReport:
        started = time.monotonic()
        config = self.config
        rate = multi_step_rate(config.learning_rate, self.epoch, config.lr_milestones, config.lr_gamma)
        set_rate(self.optimizer, rate)
        batches = join_normal(
            epoch_batches(self.videos.labels, config, self.epoch, self.videos.shuffle), self.videos, config, self.epoch
        )
        metrics: Mapping[str, float] = {}
        sums = torch.zeros(4, dtype=torch.float64)
        for step, samples in enumerate(batches):
            losses = self.step(samples)
            sums += torch.stack([losses.bce, losses.alignment, losses.contrastive, losses.total]).detach().cpu()
            if config.validate_every and step and step % config.validate_every == 0:
                metrics = self.validated(metrics)
        if not config.validate_every or len(batches) <= config.validate_every:
            metrics = self.validated(metrics)
        means = dict(zip(("bce", "alignment", "contrastive", "total"), (sums / len(batches)).tolist(), strict=True))
        return self.finish(rate, means, metrics, time.monotonic() - started)

    def step(self, samples: Sequence[Sample]) -> Losses:
        """One batch: losses, gradients, AdamW."""
        num_rows = self.config.visual_length if self.config.padding == "leak" else None
        features, lengths, labels = (part.to(self.device) for part in self.videos.batch(samples, num_rows))
        self.model.train()
        with self.arithmetic():
            texts, output = self.replica(features, lengths)
        if not bool(output.logits_c.isfinite().all() & output.logits_a.isfinite().all()):
            raise BadInput(f"The model's output is no longer a number in epoch {self.epoch + 1}. Lower learning_rate.")
        losses = vadclip_losses(output, texts, labels, lengths, self.config)
        descend(losses.total, self.optimizer, self.scaler)
        return losses

    def validated(self, before: Mapping[str, float]) -> Mapping[str, float]:
        """Metrics of the weights as they are, kept if they are the best; ``before`` where nothing validates."""
        if self.validate is None:
            return before
        self.model.eval()
        with torch.no_grad():
            validate = self.validate
            metrics = self.group.from_first(lambda: dict(validate(self.model)))
        self.best = self.best.or_those_of(self.model, self.epoch + 1, metrics, self.config.select_metric)
        return metrics

    def finish(
        self, rate: float, losses: Mapping[str, float], metrics: Mapping[str, float], seconds: float
    ) -> EpochReport:
        """Closes the epoch: what is best, and the state to go on from."""
        self.epoch += 1
        if self.validate is None:
            self.best = BestWeights(copy_state(self.model), self.epoch)
        elif self.config.reset_to_best:
            self.model.load_state_dict(self.best.state)
        row = {"epoch": self.epoch, "learning_rate": rate, **losses, **metrics}
        self.history = (*self.history, row)
        logger.info("epoch %d of %d: %s", self.epoch, self.config.epochs, row)
        return EpochReport(
            epoch=self.epoch,
            num_epochs=self.config.epochs,
            learning_rate=rate,
            losses=losses,
            metrics=metrics,
            is_best=self.best.epoch == self.epoch,
            seconds=seconds,
            train_state=self.state(),
        )

    def state(self) -> TrainState:
        optimizer = copy_optimizer(self.optimizer, self.model)
        best = self.best
        weights = copy_state(self.model) | scaler_state(self.scaler)
        return TrainState(self.epoch, weights, optimizer, best.state, best.epoch, best.metrics, self.history)

    def result(self) -> TrainResult:
        last = copy_state(self.model)
        best: dict[str, Tensor] = self.best.state or last
        return TrainResult(best, last, self.best.metrics, self.best.epoch, self.history)
