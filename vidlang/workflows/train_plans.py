"""What ``train`` would learn from, in how many steps, and where it would write. Nothing is written or loaded for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vidlang.core import BadVideo, FeatureKey, FeatureRecipe, Label, Progress
from vidlang.datasets.manifest import match_ids, read_manifest
from vidlang.methods.tca.config import preset as tca_preset
from vidlang.methods.wtal.config import WtalConfig
from vidlang.methods.wtal.config import preset as wtal_preset
from vidlang.store.feature_cache import CacheEntry, FeatureCache
from vidlang.store.workspace import Workspace
from vidlang.video.reader import identify, probe
from vidlang.workflows import train_vadclip, train_wtal
from vidlang.workflows.extract import find_inputs
from vidlang.workflows.extract_plan import estimated_rows
from vidlang.workflows.plan import Plan, PlannedItem
from vidlang.workflows.recipe import RecipeChanges, check_has_text, loadable_name, make_recipe, recipe_in_cache
from vidlang.workflows.recognize_fame import RecognizeOptions, recognition_config
from vidlang.workflows.runs import choose_name, processes, runs_folder
from vidlang.workflows.tca_material import (
    Item,
    Material,
    Sides,
    chosen_positives,
    count_sources,
    material_of_labels,
    material_of_pairs,
    split_sources,
    training_set,
)
from vidlang.workflows.train_fame import TrainFameOptions, pretraining_config, unlabelled_videos
from vidlang.workflows.train_tca import TrainTcaOptions
from vidlang.workflows.train_vadclip import TrainOptions
from vidlang.workflows.train_wtal import ABLATIONS, TrainWtalOptions
from vidlang.workflows.video_networks import find_network, fitted_batches, labelled_videos, steps_per_epoch

Parts = Mapping[str, Sequence[Label]]
"""What is done with videos (train, validate, test) → these videos."""


def plan_vadclip(
    workspace: Workspace,
    options: TrainOptions | None = None,
    changes: RecipeChanges | None = None,
    progress: Progress | None = None,
) -> Plan:
    """One item per class, then videos of the manifest without features.

    Raises:
        BadInput, BadManifest, MissingFeatures, UnknownName: as the training would.
    """
    from vidlang.methods.vadclip.data import epoch_batches, label_row

    options, changes = options or TrainOptions(), changes or RecipeChanges()
    cache = FeatureCache(workspace.cache_dir)
    recipe = recipe_in_cache(
        cache, make_recipe(workspace.settings, changes), changes != RecipeChanges(), progress or Progress()
    )
    found = train_vadclip.decide(cache, recipe, options)
    entries = _entries(cache, recipe)
    config = found.config
    train_vadclip.check_heads(
        config, _width(entries, found.train), loadable_name(workspace.settings, recipe, changes.encoder)
    )
    run = _Place(workspace, "vadclip", options, train_vadclip.choose_run(workspace, options))
    crops = recipe.sampling.num_crops  # each is a sample of its own
    labels = np.stack(
        [
            label_row(label.video_id, label.classes, found.class_names, config.multi_label)
            for label in found.train
            for _ in range(crops)
        ]
    )
    batches = len(epoch_batches(labels, config, 0))
    held = "test" if options.select_on == "test" else "validate"
    parts = {"train": found.train, held: found.validation}
    often = f", for each of {options.num_seeds} seeds" if options.num_seeds > 1 else ""
    steps = config.epochs * batches * options.num_seeds
    return Plan(
        "train vadclip",
        f"{_counts(parts, len(found.class_names))}, {config.epochs} epochs of {batches} batches: "
        f"{config.epochs * batches} steps{often}; {run.said}.",
        (*_class_items(found.class_names, parts, entries), *_missing(options.manifest, entries), *_notes(found.notes)),
        {
            **_facts(parts, len(found.class_names), entries),
            "epochs": config.epochs,
            "steps": steps,
            "seeds": options.num_seeds,
            **run.facts,
            **_of_recipe(recipe),
        },
    )


def plan_tca(
    paths: Sequence[str | Path],
    workspace: Workspace,
    options: TrainTcaOptions | None = None,
    changes: RecipeChanges | None = None,
    progress: Progress | None = None,
) -> Plan:
    """One item per video of a source, with what it is for.

    Raises:
        BadInput, BadManifest, MissingFeatures, UnknownName: as the training would.
    """
    from vidlang.methods.tca.data import epoch_batches, epoch_random

    options, changes = options or TrainTcaOptions(), changes or RecipeChanges()
    config = tca_preset(options.preset, **options.changes)
    cache = FeatureCache(workspace.cache_dir)
    kind = chosen_positives(options, paths)
    recipe = make_recipe(workspace.settings, changes)
    if kind != "copies":
        recipe = recipe_in_cache(cache, recipe, changes != RecipeChanges(), progress or Progress())
    run = _Place(workspace, "tca", options, choose_name(workspace, "tca", options.name, options.resume))
    unread: list[PlannedItem] = []
    if kind == "copies":
        material, unread = _copies_to_be(paths, cache, recipe, options)
    else:
        material = (material_of_pairs if kind == "pairs" else material_of_labels)(cache, recipe, options)
    sides = split_sources(material, options, config.seed)
    none = [np.zeros((1, 1))] * len(material.items)  # only how many there are is looked at
    learned = training_set(material, none, sides.train)
    batches = len(epoch_batches(len(learned), config, epoch_random(config.seed, 0)))
    steps = config.epochs * batches
    counts = [count_sources(material.items, side) for side in sides]
    return Plan(
        "train tca",
        f"{material.said}; of the sources {counts[0]} train, {counts[1]} choose the epoch, {counts[2]} are measured; "
        f"{config.epochs} epochs of {batches} batches: {steps} steps; "
        f"{run.said}.",
        (*_source_items(material, sides, kind, cache), *unread, *_notes(material.notes)),
        {
            "videos": len(material.items),
            "positives": kind,
            "pairs": len(learned),
            "sources": dict(zip(("train", "validate", "test"), counts, strict=True)),
            "rows": sum(item.num_rows for item in material.items),
            "epochs": config.epochs,
            "steps": steps,
            **run.facts,
            **_of_recipe(recipe),
        },
    )


def plan_wtal(
    workspace: Workspace,
    options: TrainWtalOptions | None = None,
    changes: RecipeChanges | None = None,
    progress: Progress | None = None,
) -> Plan:
    """One item per class, then videos of the manifest without features.

    Raises:
        BadInput, BadManifest, MissingFeatures, UnknownName: as the training would.
    """
    from vidlang.methods.wtal.data import check_signal
    from vidlang.workflows.localize import SecondFeatures

    options, changes = options or TrainWtalOptions(), changes or RecipeChanges()
    cache = FeatureCache(workspace.cache_dir)
    recipe = train_wtal.recipe_of_run(workspace, cache, options, changes, progress or Progress())
    check_has_text(recipe, "vidlang train wtal")
    found = train_wtal.decide(cache, recipe, options)
    run = _Place(workspace, "wtal", options, choose_name(workspace, "wtal", options.name, options.resume))
    judged = {"train": found.train, "validate": found.validation, "test": found.test}
    if found.second is not None:
        SecondFeatures.beside([label.video_id for part in judged.values() for label in part], cache, found.second)
    has = np.array([[name in label.classes for name in found.class_names] for label in found.train], dtype=np.float32)
    check_signal(has, found.class_names, found.config)
    configs = [wtal_preset(options.preset, **{**options.changes, **variant}) for variant in ABLATIONS.values()]
    if not options.ablation:
        configs = [found.config]
    schedules = [_schedule(config, len(found.train)) for config in configs]
    epochs = sum(epochs for epochs, _ in schedules)
    steps = sum(steps for _, steps in schedules)
    variants = f" in {len(configs)} variants" if options.ablation else ""
    entries = _entries(cache, recipe)
    normal = () if found.normal is None else (found.normal,)
    return Plan(
        "train wtal",
        f"{_counts(judged, len(found.class_names))} of action, at most {epochs} epochs: {steps} steps{variants}; "
        f"{run.said}.",
        (
            *_class_items((*found.class_names, *normal), judged, entries),
            *_missing(options.manifest, entries),
            *_notes(found.notes),
        ),
        {
            **_facts(judged, len(found.class_names), entries),
            "epochs": epochs,
            "steps": steps,
            "variants": len(configs),
            **run.facts,
            **_of_recipe(recipe),
        },
    )


def plan_fame(
    paths: Sequence[Path], workspace: Workspace, options: TrainFameOptions | RecognizeOptions | None = None
) -> Plan | None:
    """One item per video of a training without labels, one per class of a recognition; headers are not read.

    Under ``torchrun`` the first process answers, the others return None.

    Raises:
        BadInput, BadManifest, BadCheckpoint, UnknownName: as the training would.
    """
    options = options or TrainFameOptions()
    with processes(options.device, None) as (group, _, _):
        plan = _plan_fame(paths, workspace, options, group.size)
        return plan if group.rank == 0 else None


def _plan_fame(
    paths: Sequence[Path], workspace: Workspace, options: TrainFameOptions | RecognizeOptions, num_processes: int
) -> Plan:
    config: Any
    kind: str
    if isinstance(options, RecognizeOptions):
        network = find_network(workspace, options.checkpoint)
        config, said = recognition_config(network, options)
        videos = labelled_videos(paths, options.manifest, test_fraction=options.test_fraction)
        parts = {"train": videos.train, "validate": videos.validation, "test": videos.test}
        num_videos, notes, kind = len(videos.train), [*network.notes, *said, *videos.notes], options.kind
        items = _class_items(videos.class_names, parts, {})
        what, facts = _counts(parts, len(videos.class_names)), _facts(parts, len(videos.class_names), {})
    else:
        start = None if options.init is None else find_network(workspace, options.init)
        config = pretraining_config(options, start)
        found, said = unlabelled_videos(paths, options.manifest)
        num_videos, notes, kind = len(found), [*(start.notes if start else ()), *said], "pretrain"
        items = tuple(PlannedItem(video_id, "train") for video_id, _ in found)
        what, facts = f"{num_videos} videos without labels", {"videos": num_videos}
    config, fitted = fitted_batches(config, num_videos, options.changes, num_processes)
    batches = steps_per_epoch(config, num_videos)
    steps = config.epochs * batches
    run = _Place(workspace, "fame", options, choose_name(workspace, "fame", options.name, options.resume))
    shared = f" by {num_processes} processes" if num_processes > 1 else ""
    return Plan(
        "train fame",
        f"{config.arch} on {what}, {config.epochs} epochs of {batches} batches of {config.batch_size}: {steps} steps"
        f"{shared}; {run.said}.",
        (*items, *_notes([*notes, *fitted])),
        {
            "kind": kind,
            "arch": config.arch,
            **facts,
            "epochs": config.epochs,
            "steps": steps,
            "batch_size": config.batch_size,
            "processes": num_processes,
            **run.facts,
        },
    )


def _schedule(config: WtalConfig, num_videos: int) -> tuple[int, int]:
    """Epochs and steps of a training that nothing ends early."""
    from vidlang.methods.wtal.schedule import Schedule

    schedule = Schedule.of(config, num_videos)
    return schedule.total(), schedule.total() * schedule.steps_per_epoch


def _copies_to_be(
    paths: Sequence[str | Path], cache: FeatureCache, recipe: FeatureRecipe, options: TrainTcaOptions
) -> tuple[Material, list[PlannedItem]]:
    """The videos and the copies that would be made of them; those that do not read, which the training leaves out.

    A copy counts as many rows as its original, though edits of its speed and cuts change that.
    """
    items: list[Item] = []
    pairs: list[tuple[int, int]] = []
    unread: list[PlannedItem] = []
    num_videos = 0
    for video_id, path in find_inputs(paths, cache):
        key = FeatureKey(video_id, recipe)
        try:
            fresh = cache.is_fresh(key, identify(path))
            info = None if fresh else probe(path, video_id=video_id)
        except BadVideo as error:
            unread.append(PlannedItem(video_id, "skip", str(error)))
            continue
        num_rows = cache.entry(key).num_snippets if info is None else estimated_rows(info, recipe)
        members = range(len(items), len(items) + 1 + options.num_copies)
        items += [Item(video_id, cache, key, video_id, num_rows) for _ in members]
        pairs += [(a, b) for a in members for b in members if a < b]
        num_videos += 1
    said = f"{num_videos} videos with {num_videos * options.num_copies} edited copies ({options.strength})"
    return Material(tuple(items), tuple(pairs), said), unread


def _source_items(material: Material, sides: Sides, kind: str, cache: FeatureCache) -> list[PlannedItem]:
    """One a source where copies are made, else one a video."""
    action = dict.fromkeys(sides.train, "train") | dict.fromkeys(sides.validation, "validate")
    action |= dict.fromkeys(sides.test, "test")
    if kind != "copies":
        return [
            PlannedItem(item.name, action[number], f"{item.num_rows} rows")
            for number, item in enumerate(material.items)
        ]
    first = {item.source: number for number, item in reversed([*enumerate(material.items)])}
    sizes = Counter(item.source for item in material.items)
    return [
        PlannedItem(
            source,
            action[number],
            f"{sizes[source] - 1} edited copies, about {material.items[number].num_rows} rows each, "
            + ("features are there" if material.items[number].key in cache else "to be extracted"),
        )
        for source, number in sorted(first.items())
    ]


def _entries(cache: FeatureCache, recipe: FeatureRecipe) -> dict[str, CacheEntry]:
    return {entry.key.video_id: entry for entry in cache.entries(recipe)}


def _width(entries: Mapping[str, CacheEntry], labels: Sequence[Label]) -> int:
    return entries[labels[0].video_id].shape[-1]


def _class_items(names: Sequence[str], parts: Parts, entries: Mapping[str, CacheEntry]) -> tuple[PlannedItem, ...]:
    """Per class what it has to learn from, ``skip`` where that is nothing; a video of two classes counts in both."""
    items = []
    for name in names:
        members = {verb: [label for label in labels if name in label.classes] for verb, labels in parts.items()}
        others = [f"{len(found)} to {verb}" for verb, found in members.items() if verb != "train" and found]
        rows = sum(entries[label.video_id].num_snippets for label in members["train"]) if entries else None
        detail = [f"{len(members['train'])} videos", *([f"{rows} rows"] if rows is not None else []), *others]
        items.append(PlannedItem(name, "train" if members["train"] else "skip", ", ".join(detail)))
    return tuple(items)


def _missing(manifest: Path | None, entries: Mapping[str, CacheEntry]) -> list[PlannedItem]:
    """Videos of the manifest that the training would leave out."""
    missing: list[str] = []
    if manifest is not None:
        match_ids(read_manifest(manifest), sorted(entries), missing=missing)
    return [PlannedItem(video_id, "skip", "has no features in the cache") for video_id in missing]


def _notes(notes: Sequence[str]) -> list[PlannedItem]:
    return [PlannedItem(note, "note") for note in notes]


def _counts(parts: Parts, num_classes: int) -> str:
    """20 videos of 3 classes, 5 to validate"""
    others = [f", {len(labels)} to {verb}" for verb, labels in parts.items() if verb != "train" and labels]
    return f"{len(parts['train'])} videos of {num_classes} classes{''.join(others)}"


def _facts(parts: Parts, num_classes: int, entries: Mapping[str, CacheEntry]) -> dict[str, Any]:
    rows = {"rows": sum(entries[label.video_id].num_snippets for label in parts["train"])} if entries else {}
    held = {verb: len(labels) for verb, labels in parts.items() if verb != "train"}
    return {"videos": len(parts["train"]), **held, "classes": num_classes, **rows}


def _of_recipe(recipe: FeatureRecipe) -> dict[str, Any]:
    return {"recipe": recipe.to_dict(), "fingerprint": recipe.fingerprint}


class _Named(Protocol):
    """Options of any training."""

    @property
    def name(self) -> str | None: ...
    @property
    def resume(self) -> bool: ...


@dataclass(frozen=True)
class _Place:
    """Where the run would lie."""

    workspace: Workspace
    method: str
    options: _Named
    name: str

    @property
    def folder(self) -> Path:
        """A run without a name is called by the time of its start."""
        known = self.options.resume or self.options.name is not None
        return runs_folder(self.workspace, self.method) / (self.name if known else "<time>")

    @property
    def said(self) -> str:
        return f"{'goes on in' if self.options.resume else 'run in'} {self.folder}"

    @property
    def facts(self) -> dict[str, Any]:
        return {"folder": str(self.folder), "resume": self.options.resume}
