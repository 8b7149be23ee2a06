"""When which action happens: in videos, and in features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from vidlang.api.common import (
    PathLike,
    Paths,
    ProgressLike,
    WorkspaceLike,
    name_of,
    path_of,
    paths_of,
    place_of,
    progress_of,
)
from vidlang.api.features import encoder_for, rows_for
from vidlang.api.results import LocalizeResult
from vidlang.core import FeatureRecipe, Features
from vidlang.core.features import Pick, Precision
from vidlang.core.words import words_of
from vidlang.methods.wtal.proposals import ProposalOptions, proposal_options
from vidlang.store.feature_cache import FeatureCache
from vidlang.workflows.extract import ExtractOptions
from vidlang.workflows.localize import (
    Branch,
    LocalizedVideo,
    LocalizeOptions,
    SecondFeatures,
    localized,
    make_localizer,
)
from vidlang.workflows.localize import Localizer as LoadedLocalizer
from vidlang.workflows.localize import localize as run
from vidlang.workflows.recipe import RecipeChanges

if TYPE_CHECKING:
    from vidlang.methods.wtal.predict import Predictor, ZeroShotPredictor


def localize(
    paths: Paths,
    *,
    checkpoint: PathLike | None = None,
    labels: str | Sequence[str] | None = None,
    branch: Branch | None = None,
    weight: float = 0.5,
    proposals: str = "robust",
    motion_prior: float | None = None,
    motion_file: PathLike | None = None,
    top: int = 5,
    manifest: PathLike | None = None,
    split: str | None = None,
    plot: bool = True,
    plot_to: PathLike | None = None,
    report: PathLike | None = None,
    embed: bool = False,
    overlay: PathLike | None = None,
    out: PathLike | None = None,
    cached: bool = False,
    encoder: str | None = None,
    stride: int | None = None,
    pick: Pick | None = None,
    fps: float | None = None,
    precision: Precision | None = None,
    frame_rate: float | None = None,
    batch_size: int = 32,
    workers: int | None = None,
    device: str | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
    **changes: Any,
) -> LocalizeResult:
    """Start, end, action and confidence of what happens in videos; also written to a folder of results.

    Uses the newest checkpoint of ``train("wtal")``, or finds actions by their names alone with ``labels``.

    changes: fields of ``ProposalOptions`` that differ from the preset ``proposals``

    Raises:
        BadInput, UnknownName, BadCheckpoint, EncoderUnavailable: nothing can be localized at all. A video that fails
            is in ``.failed``.
    """
    place = place_of(workspace)
    options = LocalizeOptions(
        checkpoint=name_of(checkpoint),
        labels=words_of(labels),
        branch=branch,
        weight=weight,
        proposals=proposals,
        changes=changes,
        motion_prior=motion_prior,
        motion=path_of(motion_file),
        top=top,
        plot=plot,
        plot_to=path_of(plot_to),
        report=path_of(report),
        embed=embed,
        overlay=path_of(overlay),
        device=device or place.settings.device,
        out=path_of(out),
        manifest=path_of(manifest),
        split=split,
        cached=cached,
    )
    recipe = RecipeChanges(encoder=encoder, stride=stride, pick=pick, fps=fps, precision=precision)
    extraction = ExtractOptions(batch_size=batch_size, num_workers=workers, frame_rate=frame_rate)
    return LocalizeResult(run(paths_of(paths), place, options, recipe, extraction, progress_of(progress)))


@dataclass(frozen=True, eq=False)
class Localizer:
    """A checkpoint, or words, ready to find actions in features in memory."""

    localizer: LoadedLocalizer = field(repr=False)
    predictor: Predictor | ZeroShotPredictor = field(repr=False)
    reading: ProposalOptions
    weight: float
    cache: FeatureCache = field(repr=False)

    @property
    def recipe(self) -> FeatureRecipe:
        """Of the features that it reads."""
        return self.localizer.recipe

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.localizer.class_names

    @property
    def made_by(self) -> dict[str, Any]:
        """Method, checkpoint or words, encoder, recipe, branch."""
        return self.localizer.made_by

    def localize(self, features: Features | ArrayLike, seconds: ArrayLike | None = None) -> LocalizedVideo:
        """Probabilities over time and segments of one video.

        features: of ``extract`` or the cache, or rows [T, D]
        seconds: [T, 2], where ``features`` are bare rows; without them each row lasts as the recipe says, or a second

        Raises:
            BadInput: features of another recipe than this one reads.
            MissingFeatures: the checkpoint reads a second encoder, whose features of this video are not in the cache.
        """
        words = self.made_by["method"] == "zero-shot"
        one = rows_for(self.recipe, features, seconds, any_sampling=words).crop(0)
        recipe = self.localizer.second
        second = SecondFeatures.beside([one.key.video_id], self.cache, recipe) if recipe else None
        return localized(one, self.localizer, self.predictor, second, self.reading, weight=self.weight)


def load_localizer(
    checkpoint: PathLike | None = None,
    *,
    labels: str | Sequence[str] | None = None,
    branch: Branch | None = None,
    weight: float = 0.5,
    proposals: str = "robust",
    encoder: str | None = None,
    stride: int | None = None,
    pick: Pick | None = None,
    fps: float | None = None,
    precision: Precision | None = None,
    device: str | None = None,
    workspace: WorkspaceLike = None,
    progress: ProgressLike = False,
    **changes: Any,
) -> Localizer:
    """What ``localize`` finds actions with, loaded once.

    checkpoint: name or folder; None: the newest, or the words of ``labels``
    changes: fields of ``ProposalOptions`` that differ from the preset ``proposals``

    Raises:
        BadInput, UnknownName, BadCheckpoint, EncoderUnavailable: there is no such thing, or it does not fit.
    """
    place = place_of(workspace)
    options = LocalizeOptions(
        checkpoint=name_of(checkpoint),
        labels=words_of(labels),
        branch=branch,
        weight=weight,
        device=device or place.settings.device,
    )
    recipe = RecipeChanges(encoder=encoder, stride=stride, pick=pick, fps=fps, precision=precision)
    found = make_localizer(place, options, recipe, progress_of(progress))
    reading = proposal_options(proposals, **changes)
    return Localizer(found, found.predictor(), reading, weight, FeatureCache(place.cache_dir))


def localize_features(
    features: Features | ArrayLike,
    checkpoint: PathLike | Localizer | None = None,
    *,
    seconds: ArrayLike | None = None,
    labels: str | Sequence[str] | None = None,
    branch: Branch | None = None,
    device: str | None = None,
    workspace: WorkspaceLike = None,
) -> LocalizedVideo:
    """Actions in features in memory: no video is opened and nothing is written.

    features, seconds: as ``Localizer.localize`` takes them
    checkpoint: name or folder, or a localizer that is loaded already; None: the newest, or the words of ``labels``

    Raises:
        BadInput, UnknownName, BadCheckpoint, EncoderUnavailable: there is no such thing, or it does not fit.
    """
    if isinstance(checkpoint, Localizer):
        return checkpoint.localize(features, seconds)
    encoder = encoder_for(labels, features)
    found = load_localizer(
        checkpoint, labels=labels, branch=branch, encoder=encoder, device=device, workspace=workspace
    )
    return found.localize(features, seconds)
