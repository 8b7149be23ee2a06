"""Pairs of videos that show the same, to a trained TCA checkpoint.

Positives come from one of three places: edited copies that are made of the user's own videos (no label is needed), a
list of pairs, or classes. Videos are split by source: some train, some choose the epoch, some are only measured at the
end, before and after training.

A run writes ``results/train/tca/<name>/`` (``runs`` describes it). Features of edited copies stay in ``copies/`` in the
workspace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, FeatureRecipe, Progress, RetrievalTruth, Similarities
from vidlang.methods.tca.config import TcaConfig, preset
from vidlang.methods.tca.informative import unit
from vidlang.methods.tca.whitening import fit_within_groups
from vidlang.metrics.retrieval import TaskScores, evaluate
from vidlang.report.training_curves import Best, CurvePanel
from vidlang.store.checkpoints import Checkpoint, ModelRegistry
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.workspace import Workspace
from vidlang.workflows.embedding import Embedding, WhiteningPlan, blank_rows, fit_whitening, whitening_input
from vidlang.workflows.extract import ExtractOptions
from vidlang.workflows.gallery import MEAN_FROM_VIDEOS, WHITENING_PREFIX
from vidlang.workflows.recipe import RecipeChanges, encoder_loader, loadable_name, make_recipe, recipe_in_cache
from vidlang.workflows.runs import RunFolder, choose_name, memory_for_rows, processes, runs_folder
from vidlang.workflows.tca_material import (
    Item,
    Material,
    chosen_positives,
    count_sources,
    material_of_copies,
    material_of_labels,
    material_of_pairs,
    split_sources,
    training_set,
)

if TYPE_CHECKING:
    from vidlang.encoders.base import Encoder
    from vidlang.methods.tca.predict import Embedder, PlainEmbedder
    from vidlang.methods.tca.train import TcaResult
    from vidlang.methods.tca.whitening import Whitening
    from vidlang.nn.distributed import Group

Positives = Literal["auto", "copies", "pairs", "labels"]
Array = NDArray[np.float32]

LEAST_WEIGHT = 0.5
"""Rows that weigh less show nothing to learn from."""
MIN_SOURCES = 30
"""Sources with positives from which on ``auto`` whitens by pairs."""


@dataclass(frozen=True)
class TrainTcaOptions:
    """What to train on, and how to choose."""

    preset: str = "custom"
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``TcaConfig`` that differ from the preset."""
    positives: Positives = "auto"
    """``auto``: pairs where a list is given, copies where videos are given, else classes."""
    pairs: Path | None = None
    """CSV of query,video, or a truth that ``datasets import`` wrote."""
    manifest: Path | None = None
    num_copies: int = 4
    strength: Literal["mild", "strong"] = "mild"
    whitening: Literal["auto", "none", "center", "whiten", "pairs"] = "auto"
    """``pairs``: by how videos differ that show the same; ``auto``: that, where there are enough of them."""
    num_components: int | None = None
    val_fraction: float = 0.2
    """Share of the sources that choose the epoch."""
    test_fraction: float = 0.2
    """Share of the sources that are measured before and after training, and nothing else."""
    name: str | None = None
    resume: bool = False
    memory: int | None = None
    """Bytes of prepared rows in memory; where all are more, they are read as they are needed. None: a 16th of
    the machine's memory."""
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.val_fraction < 0 or self.test_fraction < 0 or self.val_fraction + self.test_fraction >= 1:
            raise BadInput("--val-fraction and --test-fraction are shares that leave something to train on.")
        if self.num_copies < 2:
            raise BadInput(f"--copies must be at least 2, got {self.num_copies}: one copy asks for another.")


@dataclass(frozen=True)
class TrainTcaReport:
    """What was trained, and what it changes on videos that it never saw."""

    checkpoint: str
    folder: Path
    measured_on: str
    before: Mapping[str, float]
    after: Mapping[str, float]
    summary: tuple[str, ...]
    notes: tuple[str, ...]

    def rows(self) -> list[list[object]]:
        """Metric, before, after."""
        return [[name, value, self.after.get(name, float("nan"))] for name, value in self.before.items()]

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "vidlang.train_tca/1",
            "checkpoint": self.checkpoint,
            "folder": str(self.folder),
            "measured_on": self.measured_on,
            "before": dict(self.before),
            "after": dict(self.after),
            "notes": list(self.notes),
        }


def train_tca(
    paths: Sequence[str | Path],
    workspace: Workspace,
    options: TrainTcaOptions | None = None,
    changes: RecipeChanges | None = None,
    extraction: ExtractOptions | None = None,
    progress: Progress | None = None,
) -> TrainTcaReport:
    """Train, keep log and state at every epoch, register the best epoch.

    paths: videos to make edited copies of; features that are missing are extracted

    Under ``torchrun`` the processes share every batch; the first writes, and all return its report.

    Raises:
        BadInput, BadManifest, MissingFeatures, UnknownName: nothing can be trained; the message says what to change.
    """
    options = options or TrainTcaOptions()
    with processes(options.device, progress) as (group, device, progress):
        options = replace(options, device=device)
        return _train(paths, workspace, options, changes or RecipeChanges(), extraction, progress, group)


def _train(
    paths: Sequence[str | Path],
    workspace: Workspace,
    options: TrainTcaOptions,
    changes: RecipeChanges,
    extraction: ExtractOptions | None,
    progress: Progress,
    group: Group,
) -> TrainTcaReport:
    from vidlang.nn.distributed import first_alone

    extraction = extraction or ExtractOptions()
    config = preset(options.preset, **options.changes)
    cache = FeatureCache(workspace.cache_dir)
    kind = chosen_positives(options, paths)
    recipe = make_recipe(workspace.settings, changes)
    if kind != "copies":
        recipe = recipe_in_cache(cache, recipe, changes != RecipeChanges(), progress)
    encoder_name = loadable_name(workspace.settings, recipe, changes.encoder)
    load = encoder_loader(encoder_name, recipe.precision, options.device, progress, recipe.features)
    name = group.from_first(lambda: choose_name(workspace, "tca", options.name, options.resume))
    if kind == "copies":
        copies = FeatureCache(workspace.root / "copies")
        seed = config.seed
        with first_alone(group):
            material = material_of_copies(paths, cache, copies, recipe, load, options, seed, extraction, progress)
    elif kind == "pairs":
        material = material_of_pairs(cache, recipe, options)
    else:
        material = material_of_labels(cache, recipe, options)
    run = _Run(workspace, options, config, recipe, encoder_name, load, material, name, group)
    return run.train(progress)


def _prepared(items: Sequence[Item], embedding: Embedding, width: int, memory: int) -> Sequence[Array]:
    """Rows of all items as the network takes them; what is more than ``memory`` bytes is read as it is needed."""
    from vidlang.nn.stream import StreamedRows

    def read(number: int) -> Array:
        values, whitening = _telling(embedding, items[number]), embedding.whitening
        return whitening.apply(values) if whitening is not None else unit(values)

    lengths, most_rows = [item.num_rows for item in items], memory // (4 * width)
    if sum(lengths) <= most_rows:
        return [read(number) for number in range(len(items))]
    return StreamedRows([[length] for length in lengths], lambda number: [read(number)], max(1, most_rows))


def _telling(embedding: Embedding, item: Item) -> Array:
    """[T, D] rows as whitening takes them, without those that show nothing (unless all do)."""
    values, _, weights = embedding.telling_rows(item.cache.get(item.key))
    telling = weights >= LEAST_WEIGHT
    return np.asarray(values[telling] if telling.any() else values, dtype=np.float32)


@dataclass
class _Run:
    """One training."""

    workspace: Workspace
    options: TrainTcaOptions
    config: TcaConfig
    recipe: FeatureRecipe
    encoder_name: str
    load: Callable[[], Encoder]
    material: Material
    name: str
    group: Group

    def train(self, progress: Progress) -> TrainTcaReport:
        from vidlang.methods.tca.predict import Embedder
        from vidlang.methods.tca.train import fit

        train, validation, test = split_sources(self.material, self.options, self.config.seed)
        plain = self._preparation(train, progress)
        embedding = self._learned_whitening(plain, train)
        width = embedding.whitening.width_out if embedding.whitening else self._width()
        rows = _prepared(self.material.items, embedding, width, memory_for_rows(self.options.memory))
        videos = training_set(self.material, rows, train)
        run = RunFolder(runs_folder(self.workspace, "tca") / self.name, self._facts(validation, test))
        resume = self.group.from_first(lambda: run.open(resume=self.options.resume))
        judged = _Judge(self.material.items, rows, sorted(validation))
        tested = _Judge(self.material.items, rows, sorted(test or validation))
        result = fit(
            videos,
            self.config,
            validate=(lambda encoder: judged.metrics(Embedder(encoder))) if validation else None,
            device=self.options.device,
            progress=progress,
            on_epoch=(lambda report: run.keep(report.train_state)) if self.group.rank == 0 else None,
            resume=resume,
        )

        def report() -> TrainTcaReport:
            return self._report(run, result, (train, validation, test), plain, embedding, tested)

        return self.group.from_first(report)

    def _report(
        self,
        run: RunFolder,
        result: TcaResult,
        split: tuple[set[int], set[int], set[int]],
        plain: Embedding,
        embedding: Embedding,
        tested: _Judge,
    ) -> TrainTcaReport:
        """Measures and registers what was trained."""
        from vidlang.methods.tca.predict import Embedder

        train, validation, test = split
        width = embedding.whitening.width_out if embedding.whitening else self._width()
        before = self._untrained(plain, sorted(test or validation))
        trained = Embedder.from_state(result.state, self.config, width, self.options.device)
        after = tested.metrics(trained)
        best = self._checkpoint(result.state, embedding.whitening, width, after, result.best_epoch)
        last = self._checkpoint(result.last_state, embedding.whitening, width, {}, self.config.epochs)
        chosen = Best(result.best_epoch, self.config.select_metric if validation else None)
        run.keep_last(last, result.history, PANELS, chosen)
        path = ModelRegistry(self.workspace.models_dir).register(best, name=self.name, replace=True)
        run.finish()
        return TrainTcaReport(
            checkpoint=str(path),
            folder=run.path,
            measured_on=self._measured_on(validation, test),
            before=before,
            after=after,
            summary=self._summary(train, validation, test, embedding.whitening, result.best_epoch),
            notes=self._notes(before, after, result.best_epoch, validation),
        )

    def _preparation(self, train: set[int], progress: Progress) -> Embedding:
        """Weights and whitening, fitted on the training videos alone."""
        from vidlang.methods.tca.predict import PlainEmbedder

        items = [self.material.items[number] for number in sorted(train)]
        originals = [item for item in items if item.cache is items[0].cache]
        blanks = blank_rows(self.load, self.recipe, progress)
        mean = None
        if len(originals) >= MEAN_FROM_VIDEOS:
            total, count = np.zeros(self._width()), 0
            for item in originals:
                values = unit(item.cache.get(item.key).crop(0).values)
                total, count = total + values.sum(axis=0), count + len(values)
            mean = (total / count).astype(np.float32)
        kind = "auto" if self.options.whitening == "pairs" else self.options.whitening
        plan = WhiteningPlan(kind, self.options.num_components)
        num_rows = sum(item.num_rows for item in items)

        def blocks() -> Iterator[NDArray[np.float32]]:
            for item in items:
                yield whitening_input(item.cache.get(item.key).crop(0).values, self.recipe)

        whitening = fit_whitening(blocks(), self._width(), plan, num_rows, len(items))
        return Embedding(self.recipe, whitening, blanks, mean, PlainEmbedder(), learned=False)

    def _learned_whitening(self, plain: Embedding, train: set[int]) -> Embedding:
        """The preparation with whitening by pairs, where it is wanted and there are enough of them."""
        if self.options.whitening not in ("auto", "pairs"):
            return plain
        members: dict[str, list[int]] = {}
        for number in sorted({index for pair in self.material.pairs if pair[0] in train for index in pair}):
            members.setdefault(self.material.items[number].source, []).append(number)
        if self.options.whitening == "auto" and len(members) < MIN_SOURCES:
            return plain
        means = [
            np.stack([_telling(plain, self.material.items[number]).mean(axis=0) for number in group])
            for group in members.values()
        ]
        middle = np.mean([group.mean(axis=0) for group in means], axis=0)
        return replace(plain, whitening=fit_within_groups(means, middle))

    def _untrained(self, plain: Embedding, held_out: Sequence[int]) -> dict[str, float]:
        """Metrics of the rows as ``retrieve`` takes them without a checkpoint."""
        from vidlang.methods.tca.predict import PlainEmbedder

        width = plain.whitening.width_out if plain.whitening else self._width()
        rows = _prepared(self.material.items, plain, width, memory_for_rows(self.options.memory))
        return _Judge(self.material.items, rows, held_out).metrics(PlainEmbedder(width))

    def _width(self) -> int:
        first = self.material.items[0]
        return first.cache.entry(first.key).shape[-1]

    def _facts(self, validation: set[int], test: set[int]) -> dict[str, Any]:
        """What was asked for."""
        names = [item.name for item in self.material.items]
        return {
            "preset": self.options.preset,
            "config": self.config.to_dict(),
            "recipe": self.recipe.to_dict(),
            "encoder": self.encoder_name,
            "whitening": self.options.whitening,
            "num_components": self.options.num_components,
            "num_pairs": len(self.material.pairs),
            "videos": names,
            "validation": [names[number] for number in sorted(validation)],
            "test": [names[number] for number in sorted(test)],
        }

    def _checkpoint(
        self,
        state: Mapping[str, Any],
        whitening: Whitening | None,
        width: int,
        metrics: Mapping[str, float],
        epoch: int,
    ) -> Checkpoint:
        import torch

        parts = {} if whitening is None else whitening.to_npz_arrays()
        tensors = {WHITENING_PREFIX + name: torch.from_numpy(np.array(value)) for name, value in parts.items()}
        return Checkpoint(
            method="tca",
            config=self.config.to_dict(),
            recipe=self.recipe,
            class_names=(),
            state={**state, **tensors},
            metrics=dict(metrics),
            extra={
                "name": self.name,
                "preset": self.options.preset,
                "encoder": self.encoder_name,
                "width": width,
                "epoch": epoch,
                "trained_on": self.material.said,
            },
        )

    def _measured_on(self, validation: set[int], test: set[int]) -> str:
        if test:
            return f"{count_sources(self.material.items, test)} held-out sources"
        return "validation videos, which chose the epoch" if validation else "nothing held out"

    def _summary(
        self, train: set[int], validation: set[int], test: set[int], whitening: Whitening | None, best_epoch: int
    ) -> tuple[str, ...]:
        counts = ", ".join(
            f"{count_sources(self.material.items, part)} {verb}"
            for part, verb in ((train, "train"), (validation, "choose the epoch"), (test, "are measured"))
            if part
        )
        kind = f"whitening {whitening.kind} to {whitening.width_out}" if whitening else "no whitening"
        return (
            f"{self.material.said}; sources: {counts}; {kind}; features {self.recipe.name}",
            f"{self.name}: best epoch {best_epoch} of {self.config.epochs}, seed {self.config.seed}",
        )

    def _notes(
        self, before: Mapping[str, float], after: Mapping[str, float], best_epoch: int, validation: set[int]
    ) -> tuple[str, ...]:
        notes = list(self.material.notes)
        if not validation:
            notes.append("too few videos to hold some out: the last epoch is kept, and nothing tells whether it helps")
        elif best_epoch == 0:
            notes.append("no epoch was better on validation than the rows as they are, so nothing was changed")
        elif before and after.get("map", 0.0) < before.get("map", 0.0):
            notes.append(
                "training did not help the frame-level ranking of held-out videos; --checkpoint plain leaves it out"
            )
        return tuple(notes)


@dataclass(frozen=True)
class _Judge:
    """Retrieval among held-out videos and all that train: every held-out video asks for the others of its source."""

    items: Sequence[Item]
    rows: Sequence[Array]
    held_out: Sequence[int]

    def metrics(self, embedder: Embedder | PlainEmbedder) -> dict[str, float]:
        """``map``: by chamfer of frames; ``map_vector``: by cosine of video vectors; and recall at 1 of both."""
        import torch

        from vidlang.methods.tca.similarity import chamfer_many

        if not self.held_out:
            return {}
        gallery = self._gallery()
        embedded = embedder.embed_many([self.rows[number] for number in gallery])
        vectors = np.stack([vector for vector, _ in embedded])
        frames = [torch.from_numpy(frame_rows) for _, frame_rows in embedded]
        place = {number: at for at, number in enumerate(gallery)}
        asked = [number for number in self.held_out if self._positives(number)]
        cosine = np.stack([vectors @ vectors[place[number]] for number in asked])
        chamfer = []
        for number in asked:
            forward, backward = chamfer_many(frames[place[number]], frames)
            chamfer.append(torch.maximum(forward, backward).numpy())
        metrics: dict[str, float] = {}
        for suffix, values in (("", np.stack(chamfer)), ("_vector", cosine)):
            found = self._measured(asked, gallery, values)
            metrics |= {f"map{suffix}": found.mean_ap or 0.0, f"recall@1{suffix}": found.recall[1]}
        return metrics

    def _gallery(self) -> list[int]:
        """Held-out videos, and one video of every other source to be told from."""
        own = set(self.held_out)
        first: dict[str, int] = {}
        for number, item in enumerate(self.items):
            if number not in own:
                first.setdefault(item.source, number)
        return [*self.held_out, *first.values()]

    def _positives(self, number: int) -> list[int]:
        source = self.items[number].source
        return [other for other in self.held_out if other != number and self.items[other].source == source]

    def _measured(self, asked: Sequence[int], gallery: Sequence[int], values: NDArray[np.floating]) -> TaskScores:
        names = [item.name for item in self.items]
        truth = RetrievalTruth(
            dataset="pairs",
            version="held out",
            queries=tuple(names[number] for number in asked),
            relevant={
                names[number]: {"same": frozenset(names[other] for other in self._positives(number))}
                for number in asked
            },
        )
        similarities = Similarities(truth.queries, tuple(names[n] for n in gallery), values.astype(np.float32))
        return evaluate(truth, similarities).tasks[0]


PANELS = (
    CurvePanel("contrastive loss", {"loss": "loss"}),
    CurvePanel(
        "validation metric [0, 1]",
        {
            "map": "mAP, frame to frame",
            "map_vector": "mAP, one vector",
            "recall@1": "recall@1, frame to frame",
            "recall@1_vector": "recall@1, one vector",
        },
    ),
    CurvePanel(
        "cosine, training pairs",
        {"positive_cosine": "of positives", "hardest_negative": "of the hardest negatives"},
    ),
)
"""Lines of the log as the picture wants them."""
