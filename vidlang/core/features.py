"""Features and the recipe that made them: the key, the rows, and the two rulers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidlang.core.tables import Tabular, html_table
from vidlang.core.video import VideoInfo

Pick = Literal["middle", "first", "mean"]
Crops = Literal["center", "ten"]
Preprocess = Literal["exact", "fast"]
Dtype = Literal["float32", "float16"]
Precision = Literal["float32", "bfloat16", "float16"]
RowKind = Literal["pooled", "regions"]
Borders = Literal["keep", "crop"]
Colour = Literal["keep", "grey"]
MotionUse = Literal["none", "pool", "mask"]
MotionMethod = Literal["fame", "seed"]
MotionHue = Literal["exact", "reference"]
MotionFill = Literal["blur"]


def _check_choice(name: str, value: object, choices: object) -> None:
    allowed = get_args(choices)
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


@dataclass(frozen=True)
class Sampling:
    """Which frames make which snippet."""

    stride: int = 16
    """Frames per snippet (ignored when ``fps`` is given)."""
    pick: Pick = "middle"
    """The frame that stands for its snippet, or the mean of the features of all its frames."""
    fps: float | None = None
    """Snippets per second on the presentation clock instead of a fixed number of frames."""
    crops: Crops = "center"
    """One centre crop, or ten: centre, four corners, and their mirrors."""

    def __post_init__(self) -> None:
        _check_choice("pick", self.pick, Pick)
        _check_choice("crops", self.crops, Crops)
        if self.stride < 1:
            raise ValueError(f"stride must be at least 1 frame, got {self.stride}")
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise ValueError(f"fps must be positive and finite, got {self.fps}")

    @property
    def num_crops(self) -> int:
        return 10 if self.crops == "ten" else 1

    @property
    def name(self) -> str:
        """Short and readable, such as ``stride16-middle`` or ``fps2-mean-ten``."""
        step = f"fps{self.fps:g}" if self.fps is not None else f"stride{self.stride}"
        return "-".join([step, self.pick] + (["ten"] if self.crops == "ten" else []))


@dataclass(frozen=True)
class Motion:
    """What rows make of the motion in their snippets, and how it is found (``methods.fame``).

    Raises:
        ValueError: a value that is not known, or a detail that the use does not have.
    """

    use: MotionUse = "none"
    """``pool``: the encoder attends to the patches that move; ``mask``: it sees what stands still as a blur."""
    method: MotionMethod = "fame"
    """``seed``: what moved itself; ``fame``: everything in its colours."""
    beta: float = 0.5
    """Share of the picture that counts as moving."""
    hue: MotionHue = "exact"
    """``fame``: colours by their hue, or ``reference``: as the published code reads them."""
    fill: MotionFill = "blur"
    """``mask``: what stands in for what stands still."""

    def __post_init__(self) -> None:
        _check_choice("motion", self.use, MotionUse)
        _check_choice("method of motion", self.method, MotionMethod)
        _check_choice("hue of motion", self.hue, MotionHue)
        _check_choice("fill of motion", self.fill, MotionFill)
        if not 0 < self.beta <= 1:
            raise ValueError(f"beta of motion is a share of the picture above 0 and up to 1, got {self.beta}")
        object.__setattr__(self, "beta", float(self.beta))  # 1 and 1.0 are one recipe
        # Details without an effect would be other recipes with equal rows.
        if self.use == "none" and (self.method, self.beta, self.hue) != ("fame", 0.5, "exact"):
            raise ValueError(f"motion 'none' has no details, got {self.method}, beta {self.beta:g}, hue {self.hue}")
        if self.method == "seed" and self.hue != "exact":
            raise ValueError("hue of motion belongs to the method 'fame': the method 'seed' looks at no colours")

    @classmethod
    def parse(cls, text: str) -> Motion:
        """The use, then details in any order after colons.

        >>> Motion.parse("pool:seed:0.3")
        Motion(use='pool', method='seed', beta=0.3, hue='exact', fill='blur')

        Raises:
            ValueError: a word that is none of them.
        """
        use, *details = text.split(":")
        values: dict[str, Any] = {"use": use}
        for word in details:
            name, value = _motion_detail(word)
            if name in values:
                raise ValueError(f"motion {text!r} says its {name} twice")
            values[name] = value
        return cls(**values)

    @property
    def name(self) -> str:
        """What ``parse`` takes: ``none``, ``pool``, ``mask:seed:0.3``."""
        plain = Motion(self.use)
        details = {self.method: self.method != plain.method, f"{self.beta!r}": self.beta != plain.beta}
        details[self.hue] = self.hue != plain.hue
        return ":".join([self.use, *(word for word, said in details.items() if said)])


def _motion_detail(word: str) -> tuple[str, str | float]:
    for name, choices in (("method", MotionMethod), ("hue", MotionHue), ("fill", MotionFill)):
        if word in get_args(choices):
            return name, word
    try:
        return "beta", float(word)
    except ValueError:
        known = [*get_args(MotionMethod), *get_args(MotionHue), *get_args(MotionFill)]
        raise ValueError(
            f"motion has no detail {word!r}: write {', '.join(known)}, or the share of the picture, as in pool:seed:0.3"
        ) from None


_LEFT_OUT = {"features": "pooled", "borders": "keep", "colour": "keep", "motion": asdict(Motion())}
"""Fields of a recipe that are not written at these values."""


@dataclass(frozen=True)
class FeatureRecipe:
    """Everything that decides the numbers of a feature row."""

    encoder: str
    """Registry name, hub id, or ``local:<folder name>``."""
    revision: str
    """Commit of the hub repository, or a hash of the folder; ``imported:…`` for feature files made elsewhere."""
    sampling: Sampling = Sampling()
    preprocess: Preprocess = "exact"
    """``exact`` equals OpenAI CLIP's own preprocessing; ``fast`` resizes tensors (antialiased bicubic)."""
    precision: Precision = "float32"
    """Arithmetic of the encoder."""
    dtype: Dtype = "float32"
    """How rows are stored."""
    reuse_static: float | None = None
    """Frame difference (mean absolute, 0 to 255) under which the previous row is taken again; None: never."""
    features: RowKind = "pooled"
    """``pooled``: the encoder's one vector of a picture; ``regions``: maxima over regions of its maps at several
    depths, which keep where things are and what they look like (``encoders.regions``, ``encoders.resnet``)."""
    borders: Borders = "keep"
    """``crop`` cuts letter boxes and pillar boxes off before preprocessing (``video.borders``)."""
    colour: Colour = "keep"
    """``grey`` takes the colour away before preprocessing, so that a recoloured copy gives the rows of its original."""
    motion: Motion = Motion()
    """Attend to what moves, or blur what stands still."""

    def __post_init__(self) -> None:
        _check_choice("preprocess", self.preprocess, Preprocess)
        _check_choice("precision", self.precision, Precision)
        _check_choice("dtype", self.dtype, Dtype)
        _check_choice("features", self.features, RowKind)
        _check_choice("borders", self.borders, Borders)
        _check_choice("colour", self.colour, Colour)
        if self.motion.use != "none":
            self._check_motion()
        if not self.encoder or not self.revision:
            raise ValueError(f"a recipe names its encoder and revision, got {self.encoder!r} and {self.revision!r}")

    def _check_motion(self) -> None:
        use = self.motion.use
        if use == "pool" and self.features != "pooled":
            raise ValueError(f"motion 'pool' weighs the patches behind pooled rows, got features {self.features!r}")
        if self.sampling.pick == "mean":
            raise ValueError(f"motion {use!r} needs one frame a snippet, so pick 'middle' or 'first', got 'mean'")
        if self.borders == "crop":
            raise ValueError(f"motion {use!r} is found in whole frames, so it goes with borders 'keep', got 'crop'")
        if self.reuse_static is not None:
            raise ValueError(f"motion {use!r} differs between equal frames, so it does not go with reuse_static")

    def to_dict(self) -> dict[str, Any]:
        """Every field; ``features``, ``borders``, ``colour``, ``motion`` only where they differ from their defaults."""
        # Caches hold recipes, and fingerprints of recipes, without these fields: rows made that way stay valid.
        return {name: value for name, value in asdict(self).items() if _LEFT_OUT.get(name, ...) != value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FeatureRecipe:
        fields = dict(values)
        motion = Motion(**fields.get("motion", {}))
        return cls(**{**fields, "sampling": Sampling(**fields["sampling"]), "motion": motion})

    @property
    def canonical_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    @property
    def fingerprint(self) -> str:
        """Ten hex digits; two recipes share it only if every field is equal."""
        return hashlib.sha256(self.canonical_json.encode()).hexdigest()[:10]

    @property
    def name(self) -> str:
        """Readable in messages: ``clip-vit-b16/stride16-middle``, ``clip-vit-b16/fps1-middle/regions/crop-borders``."""
        special = {"regions": self.features == "regions", "crop-borders": self.borders == "crop"}
        special["grey"] = self.colour == "grey"
        special[f"motion-{self.motion.name}"] = self.motion.use != "none"
        return "/".join([self.encoder, self.sampling.name, *(word for word, said in special.items() if said)])


@dataclass(frozen=True)
class FeatureKey:
    """Where features lie in the cache: another recipe is another entry, never a stale hit."""

    video_id: str
    recipe: FeatureRecipe


@dataclass(frozen=True, eq=False)
class Features(Tabular):
    """Rows of one video with the two rulers that the decoder gave at extraction."""

    key: FeatureKey
    video: VideoInfo
    values: NDArray[np.floating[Any]]
    """[T, D], or [K, T, D] with K crops."""
    frames: NDArray[np.int64]
    """[T, 2] half-open spans of frame indices."""
    seconds: NDArray[np.float64]
    """[T, 2] half-open, presentation clock."""

    def __post_init__(self) -> None:
        where = self.key.video_id
        if self.values.ndim not in (2, 3):
            raise ValueError(f"values must be [T, D] or [K, T, D], got shape {self.values.shape} ({where})")
        if self.values.dtype not in (np.float16, np.float32):
            raise ValueError(f"values must be float16 or float32, got {self.values.dtype} ({where})")
        num_rows = self.values.shape[-2]
        check_rulers(self.frames, self.seconds, num_rows, where)

    @property
    def num_snippets(self) -> int:
        return int(self.values.shape[-2])

    @property
    def dim(self) -> int:
        return int(self.values.shape[-1])

    def crop(self, index: int) -> Features:
        """The same rows of one crop. values: [K, T, D] → [T, D]."""
        if self.values.ndim == 2:
            if index != 0:
                raise ValueError(f"{self.key.video_id} has one crop, asked for crop {index}")
            return self
        if not 0 <= index < self.values.shape[0]:
            raise ValueError(f"{self.key.video_id} has {self.values.shape[0]} crops, asked for crop {index}")
        return replace(self, values=self.values[index])

    def columns(self) -> dict[str, ArrayLike]:
        """One row a snippet: both rulers, then the feature, one column a number.

        Raises:
            ValueError: there are several crops; take one with ``crop``.
        """
        if self.values.ndim == 3:
            raise ValueError(f"{self.key.video_id} has {self.values.shape[0]} crops; choose one, as in .crop(0)")
        rulers: dict[str, ArrayLike] = {
            "video": [self.key.video_id] * self.num_snippets,
            "start_seconds": self.seconds[:, 0],
            "end_seconds": self.seconds[:, 1],
            "first_frame": self.frames[:, 0],
            "last_frame_exclusive": self.frames[:, 1],
        }
        return {**rulers, **{f"feature:{index}": column for index, column in enumerate(self.values.T)}}

    def to_numpy(self) -> NDArray[np.floating[Any]]:
        """The rows: [T, D], or [K, T, D] with K crops."""
        return self.values

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "schema": "vidlang.features/1",
            "video": {**asdict(self.video), "size": list(self.video.size)},
            "recipe": self.key.recipe.to_dict(),
            "frames": self.frames.tolist(),
            "seconds": self.seconds.tolist(),
            "values": self.values.tolist(),
        }

    def _repr_html_(self) -> str:
        shape = " × ".join(map(str, self.values.shape))
        facts = {"video": [self.key.video_id], "recipe": [self.key.recipe.name], "values": [shape]}
        return html_table({**facts, "seconds": [self.video.duration]}, caption="Features")


def check_rulers(frames: NDArray[np.int64], seconds: NDArray[np.float64], num_rows: int, where: str) -> None:
    """Both rulers are [T, 2], of the right type, ordered, and as long as the rows.

    Raises:
        ValueError: with got and expected.
    """
    for name, ruler, kind in (("frames", frames, np.int64), ("seconds", seconds, np.float64)):
        if ruler.ndim != 2 or ruler.shape[1] != 2:
            raise ValueError(f"{name} must be [T, 2], got shape {ruler.shape} ({where})")
        if len(ruler) != num_rows:
            raise ValueError(
                f"values has {num_rows} rows but {name} has {len(ruler)} ({where}): each row needs one interval"
            )
        if ruler.dtype != kind:
            raise ValueError(f"{name} must be {np.dtype(kind)}, got {ruler.dtype} ({where})")
        if not np.isfinite(ruler).all() or (ruler[:, 1] < ruler[:, 0]).any() or (np.diff(ruler[:, 0]) < 0).any():
            raise ValueError(f"{name} must be finite and sorted, each end at or after its start ({where})")
