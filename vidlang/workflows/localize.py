"""Videos to action segments: recipe → cache (extract what is missing) → curves per branch → proposals → detections.

With a WTAL checkpoint the classes are those it was trained on. Without one, or with words given, CLIP's rows are
compared with the words and a background text, which works at once on any video.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache as once
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidlang.core import (
    BadCheckpoint,
    BadInput,
    Detection,
    FeatureKey,
    FeatureRecipe,
    Features,
    Label,
    MissingFeatures,
    Outcome,
    Progress,
    VideoInfo,
)
from vidlang.datasets.matching import match_ids
from vidlang.methods.wtal.config import WtalConfig, preset
from vidlang.methods.wtal.inputs import align, cbp_rows, rows_per
from vidlang.methods.wtal.proposals import ProposalOptions, detect, proposal_options
from vidlang.store.activitynet_json import write_activitynet
from vidlang.store.checkpoints import Checkpoint, ModelRegistry
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.results import DETECTIONS_FILE, detections_csv, write_detections
from vidlang.store.video_scores import VIDEO_SCORES_FILE, write_video_scores
from vidlang.store.workspace import Workspace
from vidlang.workflows.asked_videos import AskedOptions, asked_features, each_video, failures, write_csv
from vidlang.workflows.chosen import encoder_of, honesty
from vidlang.workflows.extract import ExtractOptions
from vidlang.workflows.localize_looks import show_segments
from vidlang.workflows.recipe import RecipeChanges, check_has_text, encoder_loader, make_recipe
from vidlang.workflows.targets import results_folder

if TYPE_CHECKING:
    from vidlang.encoders.base import Encoder
    from vidlang.methods.wtal.predict import Curves, Predictor, ZeroShotPredictor

Branch = Literal["cbp", "vlp", "average", "weighted"]

FAINT = 0.25
"""Share of the best score under which a segment is left to the files; every class is likeliest somewhere."""


@dataclass(frozen=True)
class LocalizeOptions(AskedOptions):
    """What to localize with, and how to read segments out of the curves."""

    checkpoint: str | None = None
    """Name or folder of a checkpoint; None: the newest, or zero-shot where ``labels`` are given."""
    labels: tuple[str, ...] | None = None
    """Zero-shot: the actions to look for, in words."""
    branch: Branch | None = None
    """None: CBP of a checkpoint; zero-shot has VLP alone."""
    weight: float = 0.5
    """Share of CBP where the branch is ``weighted``."""
    proposals: str = "robust"
    """Preset of ``ProposalOptions``."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``ProposalOptions`` that differ from the preset."""
    top: int = 20
    """Segments of each video that people are shown; the files have all."""

    def __post_init__(self) -> None:
        if self.labels is not None and self.checkpoint is not None:
            raise BadInput(
                "--labels asks for zero-shot localization, --checkpoint for a trained one; give one of them."
            )
        if self.labels is not None and not self.labels:
            raise BadInput('--labels needs at least one action, for instance --labels "weightlifting,dog walking".')
        if self.labels is not None and self.branch not in (None, "vlp"):
            raise BadInput("Zero-shot localization compares with texts, which is the branch vlp; leave --branch out.")
        super().__post_init__()


@dataclass(frozen=True)
class SecondFeatures:
    """Features of a second encoder, found by the ids that videos have with the first one."""

    cache: FeatureCache
    recipe: FeatureRecipe
    ids: Mapping[str, str]
    """Id of a video → its id among the second features; imported arrays have no ``.mp4``."""

    @classmethod
    def beside(cls, video_ids: Sequence[str], cache: FeatureCache, recipe: FeatureRecipe) -> SecondFeatures:
        """
        Raises:
            BadManifest: a video fits several second features, or several videos fit one.
        """
        missing: list[str] = []
        known = [key.video_id for key in cache.keys(recipe)]
        matched = match_ids([Label(video_id, ()) for video_id in video_ids], known, missing=missing)
        found = [video_id for video_id in video_ids if video_id not in set(missing)]
        return cls(cache, recipe, {i: label.video_id for i, label in zip(found, matched, strict=True)})

    def get(self, video_id: str) -> Features:
        """
        Raises:
            MissingFeatures: there are none of this video.
        """
        if video_id not in self.ids:
            raise MissingFeatures(
                f"{video_id} has no features of {self.recipe.name} in {self.cache.root}, which CBP reads. Import or "
                "extract them."
            )
        return self.cache.get(FeatureKey(self.ids[video_id], self.recipe)).crop(0)


@dataclass(frozen=True, eq=False)
class LocalizedVideo:
    """What was found in one video."""

    video: VideoInfo
    seconds: NDArray[np.float64]
    """[T, 2]"""
    curve: NDArray[np.float32]
    """[T, C] probabilities of the chosen branch."""
    video_score: NDArray[np.float32]
    """[C]"""
    detections: tuple[Detection, ...]
    """Best first."""
    frames: NDArray[np.int64] | None = None
    """[T, 2] half-open spans."""
    motion: NDArray[np.float32] | None = None
    """[T] in [0, 1]: what the curve was multiplied by, where motion is a prior."""

    def clearest(self, most: int) -> tuple[Detection, ...]:
        """What people are shown: the best, without those far below the best one."""
        least = FAINT * self.detections[0].score if self.detections else 0.0
        return tuple(detection for detection in self.detections[:most] if detection.score >= least)


@dataclass(frozen=True)
class LocalizeReport:
    """Segments of every video, and where they were written."""

    videos: tuple[LocalizedVideo, ...]
    class_names: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    made_by: dict[str, Any]
    folder: Path
    top: int
    files: Mapping[str, Path] = field(default_factory=dict)
    """Videos by id, where they were opened."""

    @property
    def num_failed(self) -> int:
        return sum(outcome.status == "failed" for outcome in self.outcomes)

    def describe(self) -> list[str]:
        """What the segments are, in a line or two."""
        made_by = self.made_by
        how = f"checkpoint {made_by['checkpoint']}" if made_by["method"] == "wtal" else "zero-shot"
        how += f"; motion prior {made_by['motion_prior']:g}" if "motion_prior" in made_by else ""
        lines = [f"{how}; branch {made_by['branch']}; looking for {', '.join(self.class_names)}; {made_by['encoder']}"]
        return lines + ([f"Note: {made_by['note']}"] if made_by.get("note") else [])

    def to_dict(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "schema": "vidlang.localize/1",
            "made_by": self.made_by,
            "classes": list(self.class_names),
            "folder": str(self.folder),
            "videos": [
                {
                    "video": found.video.id,
                    "duration": found.video.duration,
                    "scores": {n: round(float(s), 6) for n, s in zip(self.class_names, found.video_score, strict=True)},
                    "segments": [
                        {
                            "start": round(d.segment.start, 3),
                            "end": round(d.segment.end, 3),
                            "label": d.label,
                            "score": round(d.score, 6),
                        }
                        for d in found.detections
                    ],
                }
                for found in self.videos
            ],
            "failed": failures(self.outcomes),
        }


@dataclass(frozen=True)
class Localizer:
    """A way from features to curves, and all that must be said about it."""

    recipe: FeatureRecipe
    load_encoder: Callable[[], Encoder]
    config: WtalConfig
    class_names: tuple[str, ...]
    predictor: Callable[[], Predictor | ZeroShotPredictor]
    branch: Branch
    second: FeatureRecipe | None
    made_by: dict[str, Any]


def localize(
    paths: Sequence[str | Path],
    workspace: Workspace,
    options: LocalizeOptions | None = None,
    changes: RecipeChanges | None = None,
    extraction: ExtractOptions | None = None,
    progress: Progress | None = None,
) -> LocalizeReport:
    """Action segments of every video under ``paths``.

    Raises:
        BadInput, UnknownName, BadCheckpoint, EncoderUnavailable: nothing can be localized at all. A video that fails
        is an outcome.
    """
    options, progress = options or LocalizeOptions(), progress or Progress()
    extraction = extraction or ExtractOptions()
    cache = FeatureCache(workspace.cache_dir)
    files: dict[str, Path] = {}
    prior = options.prior()
    motion = prior.open(cache, files) if prior else None
    localizer = make_localizer(workspace, options, changes or RecipeChanges(), progress)
    reading = proposal_options(options.proposals, **options.changes)
    found = asked_features(paths, cache, localizer.recipe, localizer.load_encoder, options, extraction, files, progress)
    videos: list[LocalizedVideo] = []
    ids = [outcome.video_id for outcome in found if outcome.status != "failed"]
    predictor = localizer.predictor() if ids else None
    second = SecondFeatures.beside(ids, cache, localizer.second) if localizer.second else None

    def localize_one(video_id: str) -> None:
        assert predictor is not None  # there is a video
        features = cache.get(FeatureKey(video_id, localizer.recipe)).crop(0)
        weights = motion.of(features) if motion is not None else None
        videos.append(localized(features, localizer, predictor, second, reading, weight=options.weight, motion=weights))

    outcomes = each_video("localize", found, localize_one, progress)
    folder = options.out or results_folder(workspace, "localize")
    made_by = {**localizer.made_by, "proposals": options.proposals, "changes": dict(options.changes)}
    if prior is not None:
        made_by |= prior.to_dict()
    report = LocalizeReport(tuple(videos), localizer.class_names, outcomes, made_by, folder, options.top, files)
    if not report.videos:
        return report
    _write(report)
    return show_segments(report, options, progress)


def localized(
    features: Features,
    localizer: Localizer,
    predictor: Predictor | ZeroShotPredictor,
    second: SecondFeatures | None,
    reading: ProposalOptions,
    *,
    weight: float = 0.5,
    motion: NDArray[np.float32] | None = None,
) -> LocalizedVideo:
    """Curve and segments of one video.

    motion: [T] in [0, 1], which the curve is multiplied by

    Raises:
        MissingFeatures: the model reads a second encoder, whose features of this video are not in the cache.
    """
    curves = curves_of(features, predictor, localizer.config, second)
    curve, score = curves.of(localizer.branch, weight)
    if motion is not None:
        curve = (curve * motion[:, None]).astype(np.float32)
    detections = detections_of(features, curve, score, localizer.class_names, reading)
    return LocalizedVideo(features.video, features.seconds, curve, score, detections, features.frames, motion)


def curves_of(
    features: Features,
    predictor: Predictor | ZeroShotPredictor,
    config: WtalConfig,
    second: SecondFeatures | None,
) -> Curves:
    """Both branches' curves of one video.

    Raises:
        MissingFeatures: the model reads a second encoder, whose features of this video are not in the cache.
    """
    from vidlang.methods.wtal.predict import ZeroShotPredictor

    if isinstance(predictor, ZeroShotPredictor):
        return predictor.predict(features.values)
    aligned = second_rows(features, second) if config.reads_second else None
    window = rows_per(features.seconds, config.difference_seconds)
    return predictor.predict(features.values, cbp_rows(config.cbp_inputs, features.values, window, aligned))


def second_rows(features: Features, second: SecondFeatures | None) -> NDArray[np.float32]:
    """[T, D2] rows of the second encoder on the grid of the first."""
    if second is None:
        raise BadCheckpoint("The checkpoint reads a second encoder and does not say which. Train it again.")
    other = second.get(features.key.video_id)
    return align(other.values, other.seconds, features.seconds)


def detections_of(
    features: Features,
    curve: NDArray[np.float32],
    video_score: NDArray[np.float32],
    class_names: Sequence[str],
    reading: ProposalOptions,
) -> tuple[Detection, ...]:
    """Segments of one video, best first."""
    proposals = detect(curve, features.seconds, video_score, reading)
    proposals = sorted(proposals, key=lambda proposal: -proposal.score)
    return tuple(
        Detection(features.key.video_id, p.segment, class_names[p.class_index], float(p.score)) for p in proposals
    )


def make_localizer(
    workspace: Workspace, options: LocalizeOptions, changes: RecipeChanges, progress: Progress
) -> Localizer:
    """What ``options`` ask for: a trained head, or words.

    Raises:
        BadInput, UnknownName, BadCheckpoint, EncoderUnavailable: there is no such thing, or it does not fit.
    """
    registry = ModelRegistry(workspace.models_dir)
    if options.labels is not None:
        return _zero_shot(workspace, options, options.labels, changes, progress)
    if options.checkpoint is None and not registry.has("wtal"):
        raise BadInput(
            'There is no checkpoint yet. Say what to look for: --labels "weightlifting,dog walking"; or train: '
            "vidlang train wtal"
        )
    return _trained(registry.find("wtal", options.checkpoint), options, changes, progress)


def _trained(checkpoint: Checkpoint, options: LocalizeOptions, changes: RecipeChanges, progress: Progress) -> Localizer:
    from vidlang.methods.wtal.predict import Predictor

    if changes != RecipeChanges():
        raise BadInput("The checkpoint decides the features; leave --encoder, --stride, --fps and so on out.")
    recipe, name = checkpoint.recipe, encoder_of(checkpoint)
    load = encoder_loader(name, recipe.precision, options.device, progress, recipe.features)
    config = WtalConfig.from_dict(dict(checkpoint.config))
    branch: Branch = options.branch or "cbp"

    @once
    def predictor() -> Predictor:
        encoder = load()
        return Predictor.from_state(
            checkpoint.state, config, checkpoint.class_names, checkpoint.extra["prompts"], encoder.text, encoder.device
        )

    second = checkpoint.extra.get("second")
    made_by = {
        "method": "wtal",
        "checkpoint": checkpoint.extra.get("name"),
        "encoder": recipe.encoder,
        "recipe": recipe.to_dict(),
        "branch": branch,
        "weight": options.weight,
        **honesty(name),
    }
    return Localizer(
        recipe,
        load,
        config,
        checkpoint.class_names,
        predictor,
        branch,
        FeatureRecipe.from_dict(second) if second else None,
        made_by,
    )


def _zero_shot(
    workspace: Workspace,
    options: LocalizeOptions,
    labels: tuple[str, ...],
    changes: RecipeChanges,
    progress: Progress,
) -> Localizer:
    from vidlang.methods.wtal.predict import ZeroShotPredictor

    recipe = make_recipe(workspace.settings, changes)
    check_has_text(recipe, "vidlang localize")
    name = changes.encoder or workspace.settings.encoder
    load = encoder_loader(name, recipe.precision, options.device, progress, recipe.features)
    config = preset("robust")

    @once
    def predictor() -> ZeroShotPredictor:
        encoder = load()
        return ZeroShotPredictor(config, labels, encoder.text, clip_scale=encoder.logit_scale)

    made_by = {
        "method": "zero-shot",
        "labels": list(labels),
        "encoder": recipe.encoder,
        "recipe": recipe.to_dict(),
        "branch": "vlp",
        **honesty(name),
    }
    return Localizer(recipe, load, config, labels, predictor, "vlp", None, made_by)


def _write(report: LocalizeReport) -> None:
    """detections.jsonl, detections.csv, detections.json (ActivityNet's format), videos.jsonl."""
    report.folder.mkdir(parents=True, exist_ok=True)
    detections = [detection for found in report.videos for detection in found.detections]
    write_detections(report.folder / DETECTIONS_FILE, detections)
    write_csv(report.folder / "detections.csv", detections_csv(detections))
    ids = [found.video.id for found in report.videos]
    write_activitynet(report.folder / "detections.json", detections, video_ids=ids)
    write_video_scores(
        report.folder / VIDEO_SCORES_FILE,
        {
            found.video.id: dict(zip(report.class_names, found.video_score.tolist(), strict=True))
            for found in report.videos
        },
    )
