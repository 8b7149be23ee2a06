"""Extraction by Ray: what the workers need to know, as plain values that travel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vidlang.core.features import Precision, RowKind
from vidlang.engines.base import Stage
from vidlang.engines.ray import RayEngine
from vidlang.workflows.extract import Elsewhere
from vidlang.workflows.extract_reading import EncodingStage


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder by what loads it; a folder must be there on every machine under the same path."""

    name: str
    precision: Precision
    device: str
    features: RowKind | None = None
    threads: int | None = None
    """Of a CPU, as many as the local engine has: how sums are split among threads decides their last digits."""


@dataclass(frozen=True)
class LoadStage:
    """Loads the encoder once in every process that encodes."""

    choice: EncoderChoice
    num_crops: int
    batch_size: int

    def __call__(self) -> EncodingStage:
        import torch

        from vidlang.encoders.clip import load_encoder

        choice = self.choice
        if choice.threads is not None:
            torch.set_num_threads(choice.threads)
        encoder = load_encoder(
            choice.name,
            device=choice.device,
            precision=choice.precision,
            features=choice.features,
            allow_download=True,
        )
        return EncodingStage(encoder, self.num_crops, self.batch_size)


def by_ray(engine: RayEngine, choice: EncoderChoice) -> Elsewhere:
    """Where ``extract`` runs with a connected engine. On GPUs, batches span videos unless it is told otherwise."""

    def load_stage(num_crops: int, batch_size: int) -> Callable[[], Stage]:
        return LoadStage(choice, num_crops, batch_size)

    return Elsewhere(engine, load_stage, mixed=engine.gpus_per_encoder > 0)
