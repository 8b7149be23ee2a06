"""What TCA learns from: videos, which of them show the same, and which are held out.

Positives come from one of three places: edited copies that are made of the user's own videos, a list of pairs, or
classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, FeatureKey, FeatureRecipe, MissingFeatures, Progress
from vidlang.datasets.manifest import labels_from_folders, match_ids, read_manifest
from vidlang.datasets.retrieval import import_retrieval, match_names, read_truth
from vidlang.store.feature_cache import FeatureCache
from vidlang.workflows.copies import copies_of, make_copies
from vidlang.workflows.extract import ExtractOptions, extract_videos, find_inputs

if TYPE_CHECKING:
    from vidlang.encoders.base import Encoder
    from vidlang.methods.tca.data import TrainingSet
    from vidlang.workflows.train_tca import TrainTcaOptions

LABEL_PAIRS = 20
"""Pairs that each video of a class enters, at most."""
MIN_HELD_OUT = 3
"""Fewer videos than this choose no epoch and measure nothing."""


@dataclass(frozen=True)
class Item:
    """One video, original or copy, and what it shows."""

    name: str
    cache: FeatureCache
    key: FeatureKey
    source: str
    """Videos of one source show the same; a source is wholly on one side of the split."""
    num_rows: int


@dataclass(frozen=True)
class Material:
    """Everything there is to learn from."""

    items: tuple[Item, ...]
    pairs: tuple[tuple[int, int], ...]
    """(anchor, positive), indices of items."""
    said: str
    notes: tuple[str, ...] = ()


def chosen_positives(options: TrainTcaOptions, paths: Sequence[str | Path]) -> str:
    kind = options.positives
    if kind == "auto":
        kind = "pairs" if options.pairs is not None else "copies" if paths else "labels"
    if kind == "pairs" and options.pairs is None:
        raise BadInput("--positives pairs needs --pairs pairs.csv (lines of query,video).")
    if kind == "copies" and not paths:
        raise BadInput("Edited copies are made of video files. Name them: vidlang train tca videos/")
    return kind


def material_of_copies(
    paths: Sequence[str | Path],
    cache: FeatureCache,
    copies: FeatureCache,
    recipe: FeatureRecipe,
    load: Callable[[], Encoder],
    options: TrainTcaOptions,
    seed: int,
    extraction: ExtractOptions,
    progress: Progress,
) -> Material:
    """Each video and its edited copies are a source; originals and copies are each other's positives."""
    videos = find_inputs(paths, cache)
    report = extract_videos(videos, cache, recipe, load, extraction, progress)
    failed = {outcome.video_id for outcome in report.outcomes if outcome.status == "failed"}
    videos = [(video_id, path) for video_id, path in videos if video_id not in failed]
    made = make_copies(
        videos,
        options.num_copies,
        seed,
        recipe,
        load,
        copies,
        extraction,
        progress,
        strength=options.strength,
        originals=cache,
    )
    known = copies_of(copies, recipe)
    drawn_by = {"seed": str(seed), "strength": options.strength}
    items: list[Item] = []
    pairs: list[tuple[int, int]] = []
    for video_id, _ in videos:
        first = len(items)
        items.append(_item(cache, FeatureKey(video_id, recipe), video_id, video_id))
        for key in known.get(video_id, ()):
            facts = copies.entry(key).made_with  # other trainings made others
            if drawn_by.items() <= facts.items() and int(facts["copy"]) < options.num_copies:
                items.append(_item(copies, key, key.video_id, video_id))
        members = range(first, len(items))
        pairs += [(a, b) for a in members for b in members if a < b]
    notes = [f"{len(failed)} videos failed and are left out"] if failed else []
    notes += [f"not all copies of {made.num_failed} videos could be made"] if made.num_failed else []
    said = f"{len(videos)} videos with {len(items) - len(videos)} edited copies ({options.strength})"
    return Material(tuple(items), tuple(pairs), said, tuple(notes))


def material_of_pairs(cache: FeatureCache, recipe: FeatureRecipe, options: TrainTcaOptions) -> Material:
    """Pairs of a list; all other cached videos are distractors. Connected pairs are one source."""
    assert options.pairs is not None
    is_json = options.pairs.suffix.lower() == ".json"
    truth = read_truth(options.pairs) if is_json else import_retrieval("pairs", options.pairs)
    entries = {entry.key.video_id: entry for entry in cache.entries(recipe)}
    known = {name: video_id for video_id, name in match_names(truth.names(), entries).items()}
    pairs = sorted(
        {
            (known[query], known[video])
            for query in truth.queries
            for video in truth.positives(query)
            if query != video and query in known and video in known
        }
    )
    if not pairs:
        raise MissingFeatures(
            f"No pair of {options.pairs} has features of {recipe.name} on both sides. Run: vidlang extract videos/"
        )
    source = _sources(pairs)
    ids = list(entries)
    numbers = {video_id: number for number, video_id in enumerate(ids)}
    items = [Item(i, cache, entries[i].key, source.get(i, i), entries[i].num_snippets) for i in ids]
    missing = sum(1 for name in truth.names() if name not in known)
    notes = [f"{missing} videos of {options.pairs} are not in the cache"] if missing else []
    said = f"{len(pairs)} pairs of {len(source)} videos, {len(ids) - len(source)} other videos"
    return Material(tuple(items), tuple((numbers[a], numbers[b]) for a, b in pairs), said, tuple(notes))


def material_of_labels(cache: FeatureCache, recipe: FeatureRecipe, options: TrainTcaOptions) -> Material:
    """Videos of one class are positives of one another."""
    entries = {entry.key.video_id: entry for entry in cache.entries(recipe)}
    known = sorted(entries)
    missing: list[str] = []
    if options.manifest is not None:
        labels = match_ids(read_manifest(options.manifest), known, missing=missing)
    else:
        labels = labels_from_folders(known, allow_unlabelled=True)
    classes: dict[str, list[str]] = {}
    for label in labels:
        for name in label.classes:
            classes.setdefault(name, []).append(label.video_id)
    classes = {name: members for name, members in classes.items() if len(members) > 1}
    if len(classes) < 2:
        raise BadInput(
            "Training from classes needs two classes of two videos. Without labels, name the videos, and edited copies "
            "of them are made: vidlang train tca videos/"
        )
    ids = sorted({video_id for members in classes.values() for video_id in members})
    numbers = {video_id: number for number, video_id in enumerate(ids)}
    random = np.random.default_rng(0)
    pairs: set[tuple[int, int]] = set()
    for members in classes.values():
        for member in members:
            others = [other for other in members if other != member]
            chosen = random.choice(len(others), min(LABEL_PAIRS, len(others)), replace=False)
            pairs |= {(numbers[member], numbers[others[i]]) for i in chosen.tolist()}
    group = _sources([(ids[a], ids[b]) for a, b in pairs])
    items = [Item(i, cache, entries[i].key, group[i], entries[i].num_snippets) for i in ids]
    notes = ["videos of one class count as showing the same; for copies, name the videos: vidlang train tca videos/"]
    notes += [f"{len(missing)} videos of {options.manifest} are not in the cache"] if missing else []
    return Material(tuple(items), tuple(sorted(pairs)), f"{len(ids)} videos of {len(classes)} classes", tuple(notes))


def _item(cache: FeatureCache, key: FeatureKey, name: str, source: str) -> Item:
    return Item(name, cache, key, source, cache.entry(key).num_snippets)


def _sources(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Video → the first of all videos that pairs connect it with."""
    leader: dict[str, str] = {}

    def find(video: str) -> str:
        while leader.setdefault(video, video) != video:
            leader[video] = leader[leader[video]]
            video = leader[video]
        return video

    for a, b in pairs:
        first, second = sorted((find(a), find(b)))
        leader[second] = first
    return {video: find(video) for video in leader}


class Sides(NamedTuple):
    """Places in ``Material.items``."""

    train: set[int]
    validation: set[int]
    """They choose the epoch."""
    test: set[int]
    """They are only measured."""


def split_sources(material: Material, options: TrainTcaOptions, seed: int) -> Sides:
    """Whole sources, by chance from the seed; only those with positives are held out. A class is one source."""
    paired = {index for pair in material.pairs for index in pair}
    sources = sorted({material.items[index].source for index in paired})
    order = np.random.default_rng(seed).permutation(len(sources)).tolist()
    num_val = round(len(sources) * options.val_fraction)
    num_test = round(len(sources) * options.test_fraction)
    num_val = num_val if num_val >= MIN_HELD_OUT else 0
    num_test = num_test if num_test >= MIN_HELD_OUT else 0
    side = {sources[i]: "validation" for i in order[:num_val]}
    side |= {sources[i]: "test" for i in order[num_val : num_val + num_test]}
    sides = Sides(set(), set(), set())
    for number, item in enumerate(material.items):
        getattr(sides, side.get(item.source, "train")).add(number)
    return sides


def training_set(material: Material, rows: Sequence[NDArray[np.floating]], train: set[int]) -> TrainingSet:
    """The pairs that train, and all videos that do to be told from; those of one source are never told apart.

    rows: of every item    train: places of those that train
    """
    from vidlang.methods.tca.data import TrainingSet

    groups = {source: number for number, source in enumerate(sorted({item.source for item in material.items}))}
    return TrainingSet(
        rows,
        [pair for pair in material.pairs if pair[0] in train],
        distractors=sorted(train),
        groups=[groups[item.source] for item in material.items],
    )


def count_sources(items: Sequence[Item], numbers: set[int]) -> int:
    return len({items[number].source for number in numbers})
