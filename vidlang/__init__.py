"""vidlang: video in, language-aligned understanding out.

The verbs of the command line are functions here, loaded when they are first used: ``from vidlang import score``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidlang.api.anomaly import Scorer, load_scorer, score, score_features
    from vidlang.api.evaluation import (
        evaluate,
        evaluate_anomaly,
        evaluate_background,
        evaluate_localization,
        evaluate_representation,
        evaluate_retrieval,
    )
    from vidlang.api.features import extract, iter_features, load_encoder, open_cache
    from vidlang.api.localization import Localizer, load_localizer, localize, localize_features
    from vidlang.api.motion import diff, fame_mask, fame_merge
    from vidlang.api.results import ExtractResult, LocalizeResult, RetrieveResult, ScoreResult
    from vidlang.api.retrieval import find_duplicates, index, retrieve
    from vidlang.api.streams import Watching, watch
    from vidlang.api.training import (
        train,
        train_fame,
        train_tca,
        train_vadclip,
        train_wtal,
    )
    from vidlang.core import (
        Detection,
        Detections,
        FeatureKey,
        FeatureRecipe,
        Features,
        Hit,
        Label,
        Outcome,
        Progress,
        Ranking,
        Sampling,
        Scores,
        Segment,
        VideoInfo,
        VidlangError,
    )

__version__ = "0.1.0"

_DOORS = {
    "vidlang.api.anomaly": ("Scorer", "load_scorer", "score", "score_features"),
    "vidlang.api.evaluation": (
        "evaluate", "evaluate_anomaly", "evaluate_background", "evaluate_localization",
        "evaluate_representation", "evaluate_retrieval",
    ),
    "vidlang.api.features": ("extract", "iter_features", "load_encoder", "open_cache"),
    "vidlang.api.localization": ("Localizer", "load_localizer", "localize", "localize_features"),
    "vidlang.api.motion": ("diff", "fame_mask", "fame_merge"),
    "vidlang.api.results": ("ExtractResult", "LocalizeResult", "RetrieveResult", "ScoreResult"),
    "vidlang.api.retrieval": ("find_duplicates", "index", "retrieve"),
    "vidlang.api.streams": ("Watching", "watch"),
    "vidlang.api.training": ("train", "train_fame", "train_tca", "train_vadclip", "train_wtal"),
    "vidlang.core": (
        "Detection", "Detections", "FeatureKey", "FeatureRecipe", "Features", "Hit", "Label", "Outcome",
        "Progress", "Ranking", "Sampling", "Scores", "Segment", "VideoInfo", "VidlangError",
    ),
}  # fmt: skip
"""Which module has which names. ``import vidlang`` loads none of them."""
_HOME = {name: module for module, names in _DOORS.items() for name in names}

__all__ = [
    "Detection", "Detections", "ExtractResult", "FeatureKey", "FeatureRecipe", "Features", "Hit", "Label",
    "LocalizeResult", "Localizer", "Outcome", "Progress", "Ranking", "RetrieveResult", "Sampling", "ScoreResult",
    "Scorer", "Scores", "Segment", "VideoInfo", "VidlangError", "Watching", "__version__", "diff", "evaluate",
    "evaluate_anomaly", "evaluate_background", "evaluate_localization", "evaluate_representation",
    "evaluate_retrieval", "extract", "fame_mask", "fame_merge", "find_duplicates", "index", "iter_features",
    "load_encoder", "load_localizer", "load_scorer", "localize", "localize_features", "open_cache", "retrieve",
    "score", "score_features", "train", "train_fame", "train_tca", "train_vadclip", "train_wtal", "watch",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value  # found without this function from here on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
