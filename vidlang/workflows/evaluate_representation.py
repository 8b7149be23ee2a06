"""What the features of a video network are worth: recognition and retrieval, beside random weights and CLIP features.

Every row of the table is measured on the same videos in the same way. Retrieval looks for videos of the same class: the
training videos are the gallery, the test videos the queries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, EncoderUnavailable, FeatureKey, FeatureRecipe, Label, MissingFeatures, Progress
from vidlang.metrics.curves import confusion
from vidlang.metrics.representation import RECALL_AT, Center, linear_probe, retrieval_recall, video_vectors
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.workspace import Workspace
from vidlang.workflows.chosen import honesty
from vidlang.workflows.evaluate_targets import PictureTargets
from vidlang.workflows.recipe import RecipeChanges, make_recipe
from vidlang.workflows.recognize_fame import recognition_scores
from vidlang.workflows.video_networks import (
    NUM_WORKERS,
    RANDOM,
    LabelledVideos,
    Network,
    ask,
    failures,
    find_network,
    labelled_videos,
    recipe_of,
    sampling_of,
    trained_on,
)

PROBE = "linear probe"
OWN = "own classes"
SHORT = {PROBE: "probe", OWN: "own"}
"""For a narrow column."""


@dataclass(frozen=True)
class RepresentationOptions:
    """Which network, on what, and by which protocol."""

    checkpoint: str | None = None
    """Name, folder or published file; None: the newest; ``random``: fresh weights alone."""
    manifest: Path | None = None
    test_fraction: float = 0.2
    center: Center = "none"
    short_side: int | None = None
    """Pixels of the shorter side before the centre crop; 0: as the videos are (published); None: as in the training."""
    num_clips: int = 10
    encoder: str | None = None
    """Whose features in the cache are the baseline; None: the workspace's, where there are any."""
    num_workers: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.num_clips < 1:
            raise BadInput(f"--clips must be at least 1, got {self.num_clips}.")
        if self.short_side is not None and self.short_side < 0:
            raise BadInput(f"--short-side is a number of pixels, or 0 for none, got {self.short_side}.")


@dataclass(frozen=True)
class Row:
    """What one kind of features reaches."""

    what: str
    recognised_by: str
    recognition: Mapping[str, float | None]
    recall: Mapping[int, float | None]
    """None where the gallery has not so many videos."""
    num_test: int
    confusion: NDArray[np.int64] | None = field(default=None, compare=False, repr=False)
    """[C, C] test videos by true class and by what the linear probe takes them for."""

    def shares(self) -> dict[str, float | None]:
        """What a terminal shows of it."""
        recall = {f"R@{k}": share for k, share in self.recall.items()}
        return {"top-1": self.recognition["top-1"], "top-5": self.recognition["top-5"], **recall}


@dataclass(frozen=True)
class RepresentationReport:
    """The table and how it was measured."""

    checkpoint: str
    protocol: Mapping[str, object]
    rows: tuple[Row, ...]
    summary: tuple[str, ...]
    notes: tuple[str, ...]
    files: tuple[Path, ...] = ()
    """Pictures and the page, where they were asked for."""

    def table(self) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """(columns, rows) for a terminal: who names the classes, top-1, top-5, recall; what no row has is left out."""
        named = [{"features": row.what, "by": SHORT[row.recognised_by], **row.shares()} for row in self.rows]
        columns = [name for name in named[0] if any(row[name] is not None for row in named)]
        return tuple(columns), [tuple(row[name] for name in columns) for row in named]

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "vidlang.eval_representation/1",
            "checkpoint": self.checkpoint,
            "protocol": dict(self.protocol),
            "rows": [
                {
                    "features": row.what,
                    "classes_by": row.recognised_by,
                    "recognition": dict(row.recognition),
                    "recall": {str(k): share for k, share in row.recall.items()},
                    "test_videos": row.num_test,
                }
                for row in self.rows
            ],
            "notes": list(self.notes),
        }


def evaluate_representation(
    paths: Sequence[Path],
    workspace: Workspace,
    options: RepresentationOptions | None = None,
    progress: Progress | None = None,
    pictures: PictureTargets | None = None,
) -> RepresentationReport:
    """Measure a network, fresh weights of the same kind, and features of the cache.

    Raises:
        BadInput, BadManifest, BadCheckpoint, UnknownName, MissingFeatures: nothing can be measured; the message says
            what to change.
        BadVideo: no video reads.
    """
    options, progress = options or RepresentationOptions(), progress or Progress()
    network = find_network(workspace, options.checkpoint)
    videos = labelled_videos(paths, options.manifest, test_fraction=options.test_fraction)
    baseline = _Baseline.find(workspace, options)
    fresh = Network("random weights", None, network.config)
    networks = [fresh] if network.name == RANDOM else [network, fresh]
    gallery, queries = _read(networks, videos, options, progress)
    notes = [*network.notes, *videos.notes, *_seen(workspace, network, videos), *gallery.failures, *queries.failures]
    rows = []
    for place, one in enumerate(networks):
        by_head = queries.logits(one, videos, notes) if one is network else None
        found, asked = gallery.of(place), queries.of(place)
        rows += _rows(one.name, found, asked, videos.class_names, options.center, by_head)
    if baseline.recipe is not None:
        rows += baseline.rows(videos, options.center, notes)
    notes += baseline.notes
    report = RepresentationReport(
        checkpoint=network.name,
        protocol=_protocol(network, videos, options),
        rows=tuple(rows),
        summary=_summary(network, videos, options),
        notes=tuple(dict.fromkeys(notes)),
    )
    if not pictures:
        return report
    from vidlang.workflows.evaluate_views_networks import representation_view

    return replace(report, files=pictures.write(representation_view(report)))


# -- one kind of features --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Vectors:
    """One vector a video."""

    values: NDArray[np.floating[Any]]
    """[N, D]"""
    classes: NDArray[np.int64]
    """[N]"""


def _rows(
    what: str,
    gallery: _Vectors,
    queries: _Vectors,
    class_names: Sequence[str],
    center: Center,
    by_head: Mapping[str, float | None] | None = None,
) -> list[Row]:
    """Recognition by the network's own classes, where it has them, and by a linear probe; retrieval."""
    probe = linear_probe(gallery.values, gallery.classes, queries.values, num_classes=len(class_names))
    scores = {OWN: by_head} if by_head is not None else {}
    scores[PROBE] = recognition_scores(probe.logits, queries.classes)
    found = retrieval_recall(gallery.values, gallery.classes, queries.values, queries.classes, RECALL_AT, center=center)
    recall = {k: share if k <= len(gallery.values) else None for k, share in found.items()}
    names = np.arange(len(class_names)).astype(str).tolist()
    true, said = (values.astype(str).tolist() for values in (queries.classes, probe.logits.argmax(axis=1)))
    taken_for = {PROBE: confusion(true, said, names, names)}
    return [Row(what, how, values, recall, len(queries.classes), taken_for.get(how)) for how, values in scores.items()]


@dataclass(frozen=True, eq=False)
class _Reading:
    """What several networks say of the same videos, which are read once."""

    rows: NDArray[np.float32]
    """[N, features of the first network, of the second, …, logits of the first]"""
    widths: tuple[int, ...]
    labels: tuple[Label, ...]
    classes: NDArray[np.int64]
    failures: tuple[str, ...]

    def of(self, place: int) -> _Vectors:
        """Features by one of the networks."""
        first = sum(self.widths[:place])
        return _Vectors(self.rows[:, first : first + self.widths[place]], self.classes)

    def logits(self, network: Network, videos: LabelledVideos, notes: list[str]) -> Mapping[str, float | None] | None:
        """Recognition by the network's own classes; None where it has none, or others than the videos."""
        if not network.class_names:
            return None
        strange = sorted(set(videos.class_names) - set(network.class_names))
        if strange:
            notes.append(
                f"{network.name} does not know the class {strange[0]!r}, so it is judged by a linear probe alone"
            )
            return None
        right = [network.class_names.index(label.classes[0]) for label in self.labels]
        return recognition_scores(self.rows[:, sum(self.widths) :], np.array(right, dtype=np.int64))


def _read(
    networks: Sequence[Network], videos: LabelledVideos, options: RepresentationOptions, progress: Progress
) -> tuple[_Reading, _Reading]:
    """(gallery, queries)"""
    from vidlang.nn.distributed import own_device

    device = str(own_device(options.device))
    predictors = [network.predictor(device) for network in networks]
    naming = [predictors[0]] if networks[0].class_names else []

    def answer(clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [predictor.video_feature(clips) for predictor in predictors]
        return np.concatenate([*parts, *(predictor.video_logits(clips) for predictor in naming)])

    readings = []
    for title, labels in (("gallery", videos.train), ("queries", videos.test)):
        said = ask(
            videos.files(labels),
            answer,
            sampling_of(networks[0].config, options.short_side),
            options.num_clips,
            num_workers=NUM_WORKERS if options.num_workers is None else options.num_workers,
            progress=progress,
            title=title,
        )
        read = tuple(labels[place] for place in said.places)
        widths = tuple(predictor.dim for predictor in predictors)
        readings.append(_Reading(said.rows, widths, read, videos.indices(read), failures(said.failed)))
    return readings[0], readings[1]


@dataclass(frozen=True, eq=False)
class _Baseline:
    """Features of an image encoder in the cache: a video is the mean over its snippets."""

    cache: FeatureCache
    recipe: FeatureRecipe | None
    notes: tuple[str, ...] = ()

    @classmethod
    def find(cls, workspace: Workspace, options: RepresentationOptions) -> _Baseline:
        """The rows of the encoder asked for, else of the workspace's, else the only ones there.

        Raises:
            MissingFeatures: those of an encoder that was asked for are not there.
        """
        cache = FeatureCache(workspace.cache_dir)
        recipes = cache.recipes()
        try:
            wanted = make_recipe(workspace.settings, RecipeChanges(encoder=options.encoder))
        except EncoderUnavailable:
            if options.encoder is not None:
                raise
            return cls(cache, None)
        if wanted in recipes:
            return cls(cache, wanted)
        near = [recipe for recipe in recipes if options.encoder is None or recipe.encoder == wanted.encoder]
        if len(near) == 1:
            return cls(cache, near[0])
        if options.encoder is not None:
            raise MissingFeatures(
                f"The cache has no features of {wanted.name}. Run: vidlang extract videos/ --encoder {options.encoder}"
            )
        return cls(cache, None, ("no CLIP features to compare with: vidlang extract makes them",))

    def rows(self, videos: LabelledVideos, center: Center, notes: list[str]) -> list[Row]:
        assert self.recipe is not None
        gallery, queries = self._vectors(videos, videos.train), self._vectors(videos, videos.test)
        if gallery is None or queries is None or len(set(gallery.classes.tolist())) < 2:
            notes.append(f"the cache has too few of these videos as {self.recipe.name} for a row of it")
            return []
        here, all_ = len(gallery.classes) + len(queries.classes), len(videos.train) + len(videos.test)
        if here < all_:
            notes.append(f"the row of {self.recipe.name} is over the {here} of {all_} videos that are in the cache")
        notes += honesty(self.recipe.encoder).values()
        return _rows(f"{self.recipe.name}, mean", gallery, queries, videos.class_names, center)

    def _vectors(self, videos: LabelledVideos, labels: Sequence[Label]) -> _Vectors | None:
        assert self.recipe is not None
        keys = [FeatureKey(label.video_id, self.recipe) for label in labels]
        there = [(label, key) for label, key in zip(labels, keys, strict=True) if key in self.cache]
        if not there:
            return None
        values = [video_vectors(self.cache.get(key).crop(0).values[None])[0] for _, key in there]
        return _Vectors(np.stack(values), videos.indices([label for label, _ in there]))


def _seen(workspace: Workspace, network: Network, videos: LabelledVideos) -> list[str]:
    """What must be said where test videos were trained on."""
    tests = {label.video_id for label in videos.test}
    return [
        f"{len(tests & learned)} of the {len(tests)} test videos were among the training videos of {name}"
        for name, learned in trained_on(workspace, network.name).items()
        if tests & learned
    ]


# -- words -----------------------------------------------------------------------------------------------------------


def _protocol(network: Network, videos: LabelledVideos, options: RepresentationOptions) -> dict[str, object]:
    """What decides the numbers, ready for JSON."""
    sampling = sampling_of(network.config, options.short_side)
    return {
        "arch": network.config.arch,
        "clips": options.num_clips,
        "frames": sampling.num_frames,
        "step": sampling.step,
        "short_side": sampling.short_side,
        "crop": network.config.crop_size,
        "features": "pooled, length 1 each clip, mean over clips",
        "probe": "logistic regression on vectors of length 1, strength by folds of the training videos",
        "center": options.center,
        "gallery": {"split": "train", "videos": len(videos.train)},
        "queries": {"split": "test", "videos": len(videos.test)},
        "classes": list(videos.class_names),
        "commonest_class": _commonest(videos),
    }


def _commonest(videos: LabelledVideos) -> float:
    """Share of the test videos that are of the commonest class of the training: what needs no features."""
    name = Counter(label.classes[0] for label in videos.train).most_common(1)[0][0]
    return sum(label.classes[0] == name for label in videos.test) / len(videos.test)


def _summary(network: Network, videos: LabelledVideos, options: RepresentationOptions) -> tuple[str, ...]:
    sampling = sampling_of(network.config, options.short_side)
    side = "frames as they are" if sampling.short_side is None else f"shorter side {sampling.short_side} px"
    recipe = replace(recipe_of(network.config), short_side=sampling.short_side)
    return (
        f"Protocol: {options.num_clips} {recipe.name} of each video, {side}, centre crop; gallery {len(videos.train)} "
        f"training videos, queries {len(videos.test)} test videos, {len(videos.class_names)} classes; center "
        f"{options.center}",
        f"Without features: {_commonest(videos):.4f} of the test videos are of the commonest class",
    )
