"""Extraction by Ray: what the workers need to know, as plain values that travel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidlang.core import FeatureRecipe, Progress
from vidlang.core.features import Precision, RowKind
from vidlang.core.shares import Share
from vidlang.engines.base import Stage
from vidlang.engines.ray import RayEngine, RayOptions
from vidlang.store.feature_cache import FeatureCache
from vidlang.workflows.extract import Elsewhere, ExtractOptions, ExtractReport, extract
from vidlang.workflows.extract_reading import EncodingStage
from vidlang.workflows.recipe import encoder_loader

__all__ = ["EncoderChoice", "RayOptions", "by_ray", "extract_by_ray"]


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
    """Where ``extract`` runs with this engine. On GPUs, batches span videos unless it is told otherwise."""

    def load_stage(num_crops: int, batch_size: int) -> Callable[[], Stage]:
        return LoadStage(choice, num_crops, batch_size)

    return Elsewhere(engine, load_stage, lambda: engine.connect().gpus_per_encoder > 0)


def extract_by_ray(
    paths: Sequence[Path | str],
    cache: FeatureCache,
    recipe: FeatureRecipe,
    encoder: str,
    device: str,
    cluster: RayOptions | None = None,
    options: ExtractOptions | None = None,
    progress: Progress | None = None,
    *,
    share: Share | None = None,
) -> ExtractReport:
    """As ``extract``: decoders and encoders in processes of a cluster, the cache written from here.

    encoder: what ``load_encoder`` takes; a folder must be there on every machine
    device: of the encoders; ``auto`` is the GPU that Ray gives, else the cores

    Raises:
        MissingDependency: Ray is not installed. BadInput: as ``extract`` and ``RayEngine``.
    """
    import torch

    name = str(Path(encoder).absolute()) if Path(encoder).is_dir() else encoder
    progress = progress or Progress()
    if device.startswith("cuda:"):  # Ray says which
        device = "cuda"
    # its pixels are asked of it, and whether it is what the recipe says, which needs no GPU here
    load = encoder_loader(encoder, "float32", "cpu", progress, recipe.features)
    choice = EncoderChoice(name, recipe.precision, device, recipe.features, torch.get_num_threads())
    with RayEngine(cluster) as engine:
        return extract(paths, cache, recipe, load, options, progress, share=share, elsewhere=by_ray(engine, choice))
