"""The words every room speaks: frozen values over numpy, and nothing else.

Glossary, valid everywhere in vidlang:

frame      one decoded image.
snippet    the run of frames behind one feature row; axis T.
span       an interval in frame indices, half-open: ``[first, last + 1)``.
segment    an interval in seconds on the presentation clock, half-open: ``[start, end)``.
feature    an encoder's row ``[D]``; an embedding ``[E]`` is a vector made to be compared.
logit      before the sigmoid or softmax; a score lies in ``[0, 1]``; a similarity is a cosine.
label      the truth; a class is the name of a category; class 0 is the normal class.
detection  a segment, a class and a score.
recipe     how features were made; a manifest lists videos with labels.
checkpoint trained weights and all they need.

Axes: B batch, T snippets, N frames, M videos, K crops, D feature, E embedding, C classes, L text tokens, H W pixels.
``mask[b, t]`` is True for a real snippet; padding is False.
Counts are called ``num_*`` and indices ``*_index``. Times are seconds unless the name says otherwise.
"""

from vidlang.core.errors import (
    BadAnnotation,
    BadCheckpoint,
    BadInput,
    BadManifest,
    BadVideo,
    DamagedEntry,
    EncoderUnavailable,
    MissingDependency,
    MissingFeatures,
    UnknownName,
    VidlangError,
)
from vidlang.core.features import FeatureKey, FeatureRecipe, Features, Sampling
from vidlang.core.labels import Label, LabelledSegment
from vidlang.core.progress import Progress, Task
from vidlang.core.results import Detection, Detections, Hit, Outcome, Ranking, Scores
from vidlang.core.retrieval import Rankings, RetrievalTruth, Similarities
from vidlang.core.segments import Segment
from vidlang.core.video import FileIdentity, VideoInfo

__all__ = [
    "BadAnnotation",
    "BadCheckpoint",
    "BadInput",
    "BadManifest",
    "BadVideo",
    "DamagedEntry",
    "Detection",
    "Detections",
    "EncoderUnavailable",
    "FeatureKey",
    "FeatureRecipe",
    "Features",
    "FileIdentity",
    "Hit",
    "Label",
    "LabelledSegment",
    "MissingDependency",
    "MissingFeatures",
    "Outcome",
    "Progress",
    "Ranking",
    "Rankings",
    "RetrievalTruth",
    "Sampling",
    "Scores",
    "Segment",
    "Similarities",
    "Task",
    "UnknownName",
    "VideoInfo",
    "VidlangError",
]
