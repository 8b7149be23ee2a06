"""FAME's options: pretraining, fine-tuning, linear probe; as published, and as suits one's own videos. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from vidlang.core.errors import BadInput, UnknownName

MEAN = (0.43216, 0.394666, 0.37645)
"""Mean of red, green and blue over Kinetics, in 0 to 1; every network of this method reads clips less it."""
STD = (0.22803, 0.22145, 0.216989)
"""Standard deviations that belong to ``MEAN``."""


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class FameConfig:
    """Everything that decides a self-supervised training. The defaults are the preset ``small``."""

    # clips
    arch: Literal["tiny", "r2plus1d_18", "i3d"] = _option(
        "tiny",
        "video network: tiny learns on a processor, r2plus1d_18 (R(2+1)D-18) and i3d are the published ones and need "
        "a GPU",
    )
    num_frames: int = _option(8, "frames of a clip (published: 16)")
    step: int = _option(2, "every so-manieth frame of a window is kept; a window is num_frames * step frames long")
    crop_size: int = _option(
        64, "side of the square that the network sees, in pixels; the mask's blur follows it (published: 112, I3D 224)"
    )
    short_side: int = _option(
        80, "frames are read with their shorter side brought to so many pixels; 0: as they are (published)"
    )
    # foreground and background
    mask: Literal["fame", "seed", "grid", "gauss", "none"] = _option(
        "fame",
        "what of a clip is kept as foreground: by motion and colour (fame), by motion alone (seed, or grid of 16 "
        "cells), the middle of the picture (gauss); none: plain contrast, FAME off",
    )
    hue: Literal["reference", "exact"] = _option(
        "reference",
        "colours of the mask fame: as the published code computes them, which turns hue 6.28 times too far, or rightly",
    )
    beta: float = _option(
        0.5, "share of the picture that is foreground; the paper finds about 0.5 best (grid: always half)"
    )
    views: Literal["single", "both"] = _option(
        "single", "merge one of the two views of a clip (published; the paper finds both about as good), or each"
    )
    background: Literal["inter", "intra"] = _option(
        "inter",
        "the new background is another clip of the batch, or the other window of the same video (paper: weaker)",
    )
    # augmentation
    crop_scale: tuple[float, ...] = _option(
        (0.2, 1.0), "least and greatest share of the picture that a random crop takes"
    )
    crop_ratio: tuple[float, ...] = _option((0.75, 4 / 3), "least and greatest width by height of a random crop")
    antialias: bool = _option(
        False, "smooth before a crop is made smaller (published: off; matters where frames are read as they are)"
    )
    flip: float = _option(0.5, "share of clips that are mirrored")
    grey: float = _option(0.2, "share of clips that lose their colours")
    jitter: float = _option(0.8, "share of clips whose colours are changed")
    brightness: float = _option(0.4, "colours are multiplied by up to 1 minus or plus this")
    contrast: float = _option(0.4, "distances from the mean grey are multiplied by up to 1 minus or plus this")
    saturation: float = _option(0.4, "distances from each pixel's grey are multiplied by up to 1 minus or plus this")
    hue_shift: float = _option(0.1, "hues turn by up to this share of the circle either way, at most 0.5")
    blur: float = _option(0.5, "share of clips that are blurred; the kernel is as wide as the mask's")
    blur_sd: tuple[float, ...] = _option((0.1, 2.0), "least and greatest standard deviation of the blur, in pixels")
    blur_draw: Literal["run", "clip"] = _option(
        "clip", "the blur's standard deviation is drawn for every clip, or once for the whole run (run: published)"
    )
    # contrast
    dim: int = _option(128, "width of the embedding that clips are compared by")
    queue_size: int = _option(
        512,
        "keys of others that a clip is told from, two per clip of the last steps; a multiple of batch_size. Where "
        "videos are few, lower it: it fills with keys of the same video (published: 2048 UCF101, 65536 Kinetics)",
    )
    key_momentum: float = _option(
        0.99, "share of the key encoder that stays in each step (published: 0.999, too slow for runs of few steps)"
    )
    temperature: float = _option(0.1, "cosines are divided by it")
    # training
    batch_size: int = _option(
        16, "videos per step, over all processes together (published: 64 on 8 GPUs, so backgrounds are among 8 clips)"
    )
    min_batches: int = _option(
        10, "steps per epoch at least; few videos come several times, with other windows (published: 1)"
    )
    epochs: int = _option(20, "passes over the videos, at least min_batches steps each (published: 200)")
    learning_rate: float = _option(0.01, "learning rate of SGD at the start")
    schedule: Literal["cosine", "steps"] = _option(
        "cosine", "the learning rate falls along a half cosine over the epochs, or by lr_gamma at lr_milestones"
    )
    lr_milestones: tuple[int, ...] = _option(
        (120, 160), "schedule steps: epochs, counted from 0, at which the learning rate falls"
    )
    lr_gamma: float = _option(0.1, "schedule steps: what the learning rate is multiplied by")
    sgd_momentum: float = _option(0.9, "momentum of SGD")
    weight_decay: float = _option(1e-4, "weight decay, added to the gradient")
    seed: int = _option(0, "start of all randomness")
    precision: Literal["float32", "bfloat16", "float16"] = _option(
        "float32",
        "arithmetic of training; bfloat16 is faster on processors and GPUs that have it, float16 on older GPUs",
    )

    def __post_init__(self) -> None:
        _check_clips(self)
        _check_choices(self)
        for name in ("dim", "queue_size", "min_batches"):
            _at_least(self, name, 1)
        for name in ("beta", "grey", "jitter", "brightness", "contrast", "saturation", "blur"):
            _within(self, name, 1.0)
        _within(self, "hue_shift", 0.5)
        _within(self, "key_momentum", 1.0)
        _positive(self, "temperature")
        low, high = _pair(self, "blur_sd")
        if not 0 < low <= high:
            raise ValueError(f"blur_sd must be two numbers, 0 < least <= greatest, got {self.blur_sd}")
        if self.beta == 0:
            raise ValueError("beta 0 leaves nothing of a clip but another's background; FAME is off with mask none")
        if self.batch_size < 2:
            raise ValueError(
                f"batch_size must be at least 2, since clips are told from each other, got {self.batch_size}"
            )
        if self.queue_size % self.batch_size:
            lower = max(1, self.queue_size // self.batch_size) * self.batch_size
            raise ValueError(
                f"queue_size must be a multiple of batch_size {self.batch_size}, got {self.queue_size}; "
                f"{lower} would do"
            )

    @property
    def merges(self) -> bool:
        """Foreground and background of different clips are merged in training."""
        return self.mask != "none"

    def to_dict(self) -> dict[str, Any]:
        """Plain values that survive JSON."""
        return _to_dict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FameConfig:
        """The config that ``to_dict`` described.

        Raises:
            UnknownName: no option has such a name.
            BadInput: an option has no such value.
        """
        return _changed(cls(), values)


@dataclass(frozen=True)
class _Recognition:
    """What fine-tuning and the linear probe have in common."""

    arch: Literal["tiny", "r2plus1d_18", "i3d"] = _option("tiny", "video network; the same as in the pretraining")
    num_frames: int = _option(16, "frames of a clip; the same as in the pretraining is best")
    step: int = _option(2, "every so-manieth frame of a window is kept; a window is num_frames * step frames long")
    crop_size: int = _option(112, "side of the square that the network sees, in pixels")
    short_side: int = _option(
        128,
        "frames are read with their shorter side brought to so many pixels, or 0: as they are (published; the middle "
        "112 pixels of a frame of 240 x 320 show little of it)",
    )
    test_clips: int = _option(10, "windows of a test video, evenly spread, whose logits are averaged")
    augment: Literal["published", "none"] = _option(
        "published",
        "training clips: random crop, mirroring, grey and colours; or the middle of the picture as in tests",
    )
    crop_scale: tuple[float, ...] = _option(
        (0.2, 1.0), "least and greatest share of the picture that a random crop takes"
    )
    crop_ratio: tuple[float, ...] = _option((0.75, 4 / 3), "least and greatest width by height of a random crop")
    antialias: bool = _option(False, "smooth before a crop is made smaller (published: off)")
    flip: float = _option(0.5, "share of clips that are mirrored; 0 where classes differ by left and right")
    grey: float = _option(0.2, "share of clips that lose their colours")
    jitter: float = _option(0.8, "share of clips whose colours are changed")
    brightness: float = _option(0.4, "colours are multiplied by up to 1 minus or plus this")
    contrast: float = _option(0.4, "distances from the mean grey are multiplied by up to 1 minus or plus this")
    saturation: float = _option(0.4, "distances from each pixel's grey are multiplied by up to 1 minus or plus this")
    hue_shift: float = _option(0.1, "hues turn by up to this share of the circle either way, at most 0.5")
    batch_size: int = _option(128, "videos per step, over all processes together")
    min_batches: int = _option(
        1, "steps per epoch at least; few videos come several times, with other windows (published: 1)"
    )
    epochs: int = _option(150, "passes over the videos, one random window of each")
    learning_rate: float = _option(0.025, "learning rate of SGD at the start, for batches of 128")
    lr_milestones: tuple[int, ...] = _option((60, 120), "epochs, counted from 0, at which the learning rate falls")
    lr_gamma: float = _option(0.1, "what the learning rate is multiplied by at each milestone")
    sgd_momentum: float = _option(0.9, "momentum of SGD")
    weight_decay: float = _option(1e-4, "weight decay, added to the gradient")
    dropout: float = _option(0.7, "dropout before the last layer")
    select_metric: str = _option(
        "top1", "name of the validation metric whose highest value is the best checkpoint, where something validates"
    )
    seed: int = _option(42, "start of all randomness")
    precision: Literal["float32", "bfloat16", "float16"] = _option(
        "float32",
        "arithmetic of training; bfloat16 is faster on processors and GPUs that have it, float16 on older GPUs",
    )

    def __post_init__(self) -> None:
        _check_clips(self)
        _check_choices(self)
        for name in ("test_clips", "min_batches", "batch_size"):
            _at_least(self, name, 1)
        for name in ("grey", "jitter", "brightness", "contrast", "saturation"):
            _within(self, name, 1.0)
        _within(self, "hue_shift", 0.5)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")

    @property
    def frozen(self) -> bool:
        """Only the last layer learns."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """Plain values that survive JSON."""
        return _to_dict(self)


@dataclass(frozen=True)
class FinetuneConfig(_Recognition):
    """A network learns to name actions, all of it. The defaults are the published values."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FinetuneConfig:
        """The config that ``to_dict`` described.

        Raises:
            UnknownName: no option has such a name.
            BadInput: an option has no such value.
        """
        return _changed(cls(), values)


@dataclass(frozen=True)
class LinearConfig(_Recognition):
    """One layer learns to name actions from a frozen network. The defaults are the published values."""

    epochs: int = _option(100, "passes over the videos, one random window of each")
    learning_rate: float = _option(30.0, "learning rate of SGD at the start; features are small and few numbers learn")
    lr_milestones: tuple[int, ...] = _option((60, 80), "epochs, counted from 0, at which the learning rate falls")
    weight_decay: float = _option(0.0, "weight decay, added to the gradient")
    dropout: float = _option(0.0, "dropout before the last layer")
    unit_length: bool = _option(
        True, "features are brought to length 1 before the layer (published: a line to be switched on for the probe)"
    )
    keep_features: bool = _option(
        False, "compute the features of the training clips once, in the first epoch; needs augment none"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keep_features and self.augment != "none":
            raise ValueError("keep_features needs augment none, since every epoch has other clips otherwise")

    @property
    def frozen(self) -> bool:
        """Only the last layer learns."""
        return True

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LinearConfig:
        """The config that ``to_dict`` described.

        Raises:
            UnknownName: no option has such a name.
            BadInput: an option has no such value.
        """
        return _changed(cls(), values)


RecognitionConfig = FinetuneConfig | LinearConfig
AnyConfig = FameConfig | FinetuneConfig | LinearConfig
C = TypeVar("C", FameConfig, FinetuneConfig, LinearConfig)


def _check_choices(config: Any) -> None:
    for name, kind in get_type_hints(type(config)).items():
        if getattr(kind, "__origin__", None) is Literal and getattr(config, name) not in get_args(kind):
            raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, got {getattr(config, name)!r}")


def _check_clips(config: Any) -> None:
    """What all trainings have in common."""
    _at_least(config, "num_frames", 2)
    for name in ("step", "crop_size", "epochs"):
        _at_least(config, name, 1)
    _at_least(config, "short_side", 0)
    if 0 < config.short_side < config.crop_size:
        raise ValueError(f"short_side must be 0 or at least crop_size {config.crop_size}, got {config.short_side}")
    low, high = _pair(config, "crop_scale")
    if not 0 < low <= high <= 1:
        raise ValueError(f"crop_scale must be two numbers, 0 < least <= greatest <= 1, got {config.crop_scale}")
    low, high = _pair(config, "crop_ratio")
    if not 0 < low <= high:
        raise ValueError(f"crop_ratio must be two numbers, 0 < least <= greatest, got {config.crop_ratio}")
    for name in ("flip", "sgd_momentum", "lr_gamma"):
        _within(config, name, 1.0)
    _positive(config, "learning_rate")
    if not (config.weight_decay >= 0 and math.isfinite(config.weight_decay)):
        raise ValueError(f"weight_decay must not be negative, got {config.weight_decay}")
    if list(config.lr_milestones) != sorted(set(config.lr_milestones)):
        raise ValueError(f"lr_milestones must ascend, got {config.lr_milestones}")


def _at_least(config: Any, name: str, least: int) -> None:
    if getattr(config, name) < least:
        raise ValueError(f"{name} must be at least {least}, got {getattr(config, name)}")


def _within(config: Any, name: str, greatest: float) -> None:
    if not 0 <= getattr(config, name) <= greatest:
        raise ValueError(f"{name} must be between 0 and {greatest:g}, got {getattr(config, name)}")


def _positive(config: Any, name: str) -> None:
    if not (getattr(config, name) > 0 and math.isfinite(getattr(config, name))):
        raise ValueError(f"{name} must be positive, got {getattr(config, name)}")


def _pair(config: Any, name: str) -> tuple[float, float]:
    values = getattr(config, name)
    if len(values) != 2:
        raise ValueError(f"{name} must be two numbers, got {values}")
    return values[0], values[1]


def _to_dict(config: Any) -> dict[str, Any]:
    return {item.name: getattr(config, item.name) for item in fields(config)}


def _changed(config: C, changes: dict[str, Any]) -> C:
    known = {item.name for item in fields(config)}
    for name in changes:
        if name not in known:
            raise UnknownName("FAME option", name, known)
    plain: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()
    }
    try:
        return replace(config, **plain)
    except (ValueError, TypeError) as error:
        raise BadInput(f"FAME cannot be set up so: {error}.") from error


_UCF101 = FameConfig(
    arch="r2plus1d_18",
    num_frames=16,
    crop_size=112,
    short_side=0,
    blur_draw="run",
    queue_size=2048,
    key_momentum=0.999,
    batch_size=64,
    min_batches=1,
    epochs=200,
    learning_rate=0.01,
)

PRESETS: dict[str, FameConfig] = {
    "small": FameConfig(),
    "ucf101": _UCF101,
    "kinetics": replace(_UCF101, arch="i3d", crop_size=224, queue_size=65536),
}
"""``small`` learns on a processor from few videos; the others are published: R(2+1)D on UCF101, I3D on Kinetics-400."""

RECOGNITION = ("finetune", "linear")
"""Two ways to name actions: the whole network learns, or its last layer alone."""


def preset(name: str, **changes: Any) -> FameConfig:
    """A preset by name, with some options changed.

    Raises:
        UnknownName: no preset or option is called so.
        BadInput: an option has no such value, or options contradict each other.
    """
    if name not in PRESETS:
        raise UnknownName("FAME preset", name, PRESETS)
    return _changed(PRESETS[name], changes)


def recognition(
    kind: Literal["finetune", "linear"], pretrained: FameConfig | None = None, **changes: Any
) -> RecognitionConfig:
    """Fine-tuning or the linear probe of a network, with some options changed.

    pretrained: gives arch, num_frames, step and crop_size, and for tiny the shorter side and batches that few videos
        fill; None: as published

    Raises:
        UnknownName: no option is called so.
        BadInput: an option has no such value, or options contradict each other.
    """
    if kind not in RECOGNITION:
        raise UnknownName("kind of FAME recognition", kind, RECOGNITION)
    shape: dict[str, Any] = {}
    if pretrained is not None:
        shape = {name: getattr(pretrained, name) for name in ("arch", "num_frames", "step", "crop_size")}
        shape["short_side"] = pretrained.short_side or pretrained.crop_size * 8 // 7  # 112 of 128, as later work
    if pretrained is not None and pretrained.arch == "tiny":
        shape |= {"batch_size": pretrained.batch_size, "min_batches": pretrained.min_batches}
    values = {**shape, **changes}
    return _changed(FinetuneConfig(), values) if kind == "finetune" else _changed(LinearConfig(), values)
