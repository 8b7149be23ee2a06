"""WTAL's options: what the paper says, what suits one's own videos, a choice wherever the paper is silent. No torch.

No code of the paper is published. Where it gives no value, the help says what the default rests on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from vidlang.core.errors import BadInput, UnknownName


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class WtalConfig:
    """Everything that decides a WTAL model and its training. The defaults are the preset ``robust``.

    ``paper`` differs where the paper gives a number or a formula; what it leaves open is the same in both.
    """

    # classes
    background: bool = _option(
        True,
        "both branches have one more column, 'nothing of these'; without it a softmax over few classes is large for "
        "everything (paper: off)",
    )
    background_text: str = _option("background", "sentence of VLP's background row")
    # CBP branch
    cbp: Literal["transformer", "conv"] = _option(
        "transformer", "classification branch: the paper's transformer, or convolutions with attention as in BaS-Net"
    )
    cbp_inputs: Literal["differences", "second", "both"] = _option(
        "differences",
        "what CBP reads: CLIP rows with their differences in time, which stand in for flow; a second encoder's rows "
        "(paper: I3D); or CLIP and second rows side by side, an ablation",
    )
    difference_seconds: float = _option(
        1.0,
        "span before and after a snippet whose means CBP's differences compare; about a second, as long as a gesture",
    )
    cbp_width: int = _option(512, "width of CBP's layers (not in the paper; CLIP's width, a quarter of I3D's 2048)")
    cbp_layers: int = _option(2, "layers of CBP (not in the paper; as many as VLP has)")
    cbp_heads: int = _option(
        8, "heads of CBP's self-attention; must divide cbp_width (not in the paper; CLIP's number)"
    )
    cbp_dropout: float = _option(0.1, "dropout inside CBP's layers (not in the paper; the transformer's usual value)")
    input_dropout: float = _option(
        0.5, "dropout behind CBP's first projection (not in the paper; weak labels on few videos overfit without)"
    )
    kernel: int = _option(3, "cbp conv: snippets that a convolution spans, odd (as BaS-Net)")
    attention_weight: float = _option(1e-4, "cbp conv: weight of the mean attention in the loss (as BaS-Net)")
    # VLP branch
    vlp_layers: int = _option(2, "layers of VLP's temporal transformer; they start as the identity")
    vlp_heads: int = _option(
        8, "heads of VLP's self-attention; must divide the feature dimension (the authors' earlier work)"
    )
    vlp_positions: bool = _option(
        True, "VLP's self-attention knows the order of snippets, by sinusoids, which fit videos of any length"
    )
    prompt_prefix: int = _option(16, "learned vectors before the class words")
    prompt_postfix: int = _option(16, "learned vectors after the class words")
    freeze_prompts: bool = _option(
        False,
        "learn no vectors around the class words: texts are encoded once, which saves a quarter of a B step on short "
        "videos",
    )
    text_start: Literal["plain", "random"] = _option(
        "plain",
        "text rows start at those of the plain sentences and move by what the vectors learn, so that an untrained "
        "branch is CLIP itself; or are those of sentences with random vectors from the start (random: paper)",
    )
    templates: Literal["none", "video"] = _option(
        "video", "plain sentences are the class words alone, or the mean over five ways to speak of a video of them"
    )
    logit_scale: str = _option(
        "clip",
        "cosines of VLP are multiplied by it: clip (CLIP's own, about 100, for which the thresholds delta make sense), "
        "a number (the authors' earlier work: 14.3), or learn (starts at CLIP's)",
    )
    # pseudo-labels
    delta_high: float = _option(
        0.5,
        "probability above which a snippet surely shows a class of its video (paper: 0.3, chosen for a softmax over 20 "
        "or 100 classes; over a few it lets foreground grow from round to round)",
    )
    delta_low: float = _option(0.1, "probability under which a snippet surely does not show it")
    conflicts: Literal["ignore", "keep"] = _option(
        "ignore",
        "snippets that one branch is sure to be foreground and the other sure to be background are left out of a step, "
        "or taught as the teacher has it (keep: paper)",
    )
    # losses
    kd: Literal["categorical", "bernoulli", "element"] = _option(
        "categorical",
        "distillation: one softmax over classes and background (needs background); one yes or no per class, over "
        "snippets that are sure of all classes (bernoulli: paper, as its formula teaches no background otherwise); or "
        "over sure entries, class by class (element)",
    )
    kd_frames: Literal["both", "side", "all"] = _option(
        "both",
        "snippets that teach: all sure ones (paper); only background in B and foreground in F, which collapses; or "
        "every snippet with the teacher's highest class, sure or not (all: the paper's ablation with hard labels)",
    )
    no_kd: bool = _option(False, "leave the distillation out, an ablation")
    no_fb: bool = _option(False, "leave the contrast of foreground and background out, an ablation")
    fb_weight: float = _option(0.05, "weight of the contrast in the loss")
    fb_temperature: float = _option(0.07, "cosines of snippets are divided by it in the contrast")
    fb_scope: Literal["batch", "video"] = _option(
        "batch", "a snippet is contrasted with those of all videos of the batch, or of its own alone"
    )
    fb_reduction: Literal["mean", "sum"] = _option(
        "mean", "mean over snippets, or sum as the formula reads, which drowns the distillation in long videos"
    )
    fb_max_pairs: int = _option(
        512, "anchors, positives and negatives of the contrast at most, drawn at random, so that memory is bounded"
    )
    keep_cls: bool = _option(
        True, "keep the loss on video labels after the warm-up; without it pseudo-labels drift (paper: off)"
    )
    mil_ratio: int = _option(
        8,
        "a video's score is the mean of its length / mil_ratio highest snippets; 4 where actions fill most of a video",
    )
    mil_labels: Literal["l1", "multihot"] = _option(
        "l1", "labels of a video sum to 1, as in public code, or are 1 each (multihot: the formula of the paper)"
    )
    # schedule
    warmup_steps: int = _option(1500, "most steps of CBP's warm-up (not in the paper; the whole training of BaS-Net)")
    warmup_passes: int = _option(
        100, "most passes over the videos in the warm-up; the smaller of the two limits counts"
    )
    warmup_min_steps: int = _option(300, "steps of the warm-up at least, however few the videos are")
    plateau_epochs: int = _option(
        10, "the warm-up ends early when its loss has not improved for so many epochs; 0: never early"
    )
    plateau_gain: float = _option(0.01, "share of the loss that counts as an improvement")
    rounds: int = _option(3, "rounds of B and F steps (not in the paper; gains come in the first two); 0: warm-up only")
    steps: Literal["BF", "B", "F"] = _option(
        "BF", "B: CBP teaches VLP, F: VLP teaches CBP; both in turn, or one of them alone, an ablation"
    )
    phase_passes: int = _option(20, "passes over the videos in each B or F step (not in the paper)")
    phase_min_steps: int = _option(100, "gradient steps in each B or F step at least, however few the videos are")
    stop_growth: float = _option(
        1.5,
        "end the training when the share of sure foreground of CBP exceeds that at the end of the warm-up by more than "
        "this factor, a sign of drift, and keep the weights from before; 0: never (paper: 0)",
    )
    stop_against: Literal["both", "cbp"] = _option(
        "both",
        "the share at the end of the warm-up is the larger one of both branches, since CBP starts incomplete and has "
        "to grow up to VLP's; or CBP's alone",
    )
    num_rows: int = _option(
        1000, "snippets of a video that a training step sees, a run at a random place (ActivityNet: 400)"
    )
    batch_size: int = _option(16, "videos per step")
    min_batches: int = _option(
        10, "steps per epoch at least; an epoch, the unit of log and resume, is several passes where videos are few"
    )
    learning_rate: float = _option(1e-4, "learning rate of Adam; 1e-3 overfits VLP on few videos")
    weight_decay: float = _option(0.0, "weight decay of Adam, added to the gradient (CO2-Net: 1e-3)")
    select_metric: str = _option(
        "map", "name of the validation metric whose highest value is the best checkpoint, where something validates"
    )
    seed: int = _option(0, "start of all randomness")
    precision: Literal["float32", "bfloat16", "float16"] = _option(
        "float32", "arithmetic of training; bfloat16 is faster on processors and GPUs that have it, float16 on CUDA"
    )

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            if getattr(kind, "__origin__", None) is Literal and getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, got {getattr(self, name)!r}")
        at_least_one = (
            "cbp_width", "cbp_layers", "cbp_heads", "kernel", "vlp_heads", "fb_max_pairs", "mil_ratio", "warmup_steps",
            "warmup_passes", "phase_passes", "min_batches", "num_rows", "batch_size",
        )  # fmt: skip
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        not_negative = (
            "vlp_layers", "prompt_prefix", "prompt_postfix", "attention_weight", "fb_weight", "warmup_min_steps",
            "plateau_epochs", "plateau_gain", "rounds", "phase_min_steps", "stop_growth", "weight_decay",
        )  # fmt: skip
        for name in not_negative:
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("difference_seconds", "fb_temperature", "learning_rate"):
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("cbp_dropout", "input_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")
        self._check_parts_together()

    def _check_parts_together(self) -> None:
        if not 0 < self.delta_low <= self.delta_high < 1:
            raise ValueError(
                f"thresholds must be 0 < delta_low <= delta_high < 1, got {self.delta_low} and {self.delta_high}"
            )
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, so that it has a middle, got {self.kernel}")
        if self.cbp_width % self.cbp_heads:
            raise ValueError(f"cbp_heads must divide cbp_width {self.cbp_width}, got {self.cbp_heads}")
        if self.cbp_width % 2:
            raise ValueError(f"cbp_width must be even, since half of its positions are sines, got {self.cbp_width}")
        self.scale_of(1.0)
        if not self.background and self.kd == "categorical":
            raise ValueError("kd categorical needs the background column: turn background on, or use kd bernoulli")
        if not self.background and self.cbp == "conv":
            raise ValueError("cbp conv learns its attention from the background column: turn background on")
        if self.background and not self.background_text.strip():
            raise ValueError("background_text must have words, such as 'background'")
        if self.rounds and self.no_kd and self.no_fb and not self.keep_cls:
            raise ValueError("no_kd, no_fb and no keep_cls leave no loss: keep one of them, or set rounds to 0")
        frozen = self.freeze_prompts or not self.prompt_prefix + self.prompt_postfix
        if self.rounds and "B" in self.steps and frozen and not self.vlp_layers and self.logit_scale != "learn":
            raise ValueError("vlp_layers 0 with no learned vectors leaves B nothing to train: set steps to F")
        if 0 < self.stop_growth <= 1:
            raise ValueError(f"stop_growth must be above 1, or 0 to never stop, got {self.stop_growth}")

    def scale_of(self, clip_scale: float) -> float:
        """What cosines of VLP are multiplied by at the start, for an encoder whose own scale is ``clip_scale``.

        Raises:
            ValueError: logit_scale is neither a positive number nor clip or learn.
        """
        if self.logit_scale in ("clip", "learn"):
            return clip_scale
        try:
            value = float(self.logit_scale)
        except ValueError:
            value = math.nan
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"logit_scale must be clip, learn or a positive number, got {self.logit_scale!r}")
        return value

    @property
    def reads_second(self) -> bool:
        """CBP needs rows of a second encoder."""
        return self.cbp_inputs != "differences"

    def to_dict(self) -> dict[str, Any]:
        """Plain values that survive JSON."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> WtalConfig:
        """The config that ``to_dict`` described.

        Raises:
            UnknownName: no option has such a name.
            BadInput: an option has no such value.
        """
        return _changed(cls(), values)


PRESETS: dict[str, WtalConfig] = {
    "robust": WtalConfig(),
    "paper": WtalConfig(
        background=False,
        text_start="random",
        templates="none",
        delta_high=0.3,
        conflicts="keep",
        kd="bernoulli",
        keep_cls=False,
        mil_labels="multihot",
        stop_growth=0.0,
    ),
}
"""``paper`` does what the paper says, ``robust`` what suits few classes and few videos."""


def preset(name: str, **changes: Any) -> WtalConfig:
    """A preset by name, with some options changed.

    Raises:
        UnknownName: no preset or option is called so.
        BadInput: an option has no such value, or options contradict each other.
    """
    if name not in PRESETS:
        raise UnknownName("WTAL preset", name, PRESETS)
    return _changed(PRESETS[name], changes)


def _changed(config: WtalConfig, changes: dict[str, Any]) -> WtalConfig:
    known = {item.name for item in fields(config)}
    for name in changes:
        if name not in known:
            raise UnknownName("WTAL option", name, known)
    try:
        return replace(config, **changes)
    except (ValueError, TypeError) as error:
        raise BadInput(f"WTAL cannot be set up so: {error}.") from error
