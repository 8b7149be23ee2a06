"""VadCLIP's options: what the published code does, what the paper says, what suits one's own videos. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from vidlang.core.errors import BadInput, UnknownName


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class VadClipConfig:
    """Everything that decides a VadCLIP model and its training. The defaults are the preset ``custom``.

    Fields with the two values ``code`` and ``paper`` (and a few with speaking names) are the places where the published
    implementation and the paper disagree; the README beside this file lists them.
    """

    # shape
    visual_length: int = _option(256, "longest run of snippets that the model sees at once; longer videos are pooled")
    attn_window: int = _option(8, "snippets per window of local attention")
    attn_heads: int = _option(1, "heads of local attention; must divide the feature dimension")
    attn_layers: int = _option(1, "layers of local attention")
    prompt_prefix: int = _option(10, "learned context tokens before the class words")
    prompt_postfix: int = _option(10, "learned context tokens after the class words")
    multi_label: bool = _option(False, "a video may show several classes at once")
    # behaviour
    feature_norm: float = _option(
        10.0, "features are scaled to this length, that of CLIP's own, so that any encoder fits; 0: taken as they are"
    )
    padding: Literal["leak", "masked"] = _option(
        "masked", "whether padding takes part in attention and graphs (leak: as published) or changes nothing (masked)"
    )
    windows: Literal["blocks", "overlapping"] = _option(
        "blocks", "windows side by side, or half over each other (paper)"
    )
    activation: Literal["quickgelu", "gelu"] = _option("quickgelu", "non-linearity of the own layers (paper: gelu)")
    similarity_threshold: float = _option(0.7, "cosine at or under which two snippets count as unrelated")
    similarity_graph: Literal["code", "paper"] = _option(
        "paper", "unrelated snippets keep the weight of similarity 0 (code), or have no edge (paper)"
    )
    distance_graph: Literal["code", "paper"] = _option(
        "paper", "exp(-distance / e), rows not normalised (code), or a softmax of -distance (paper)"
    )
    graph_layers: Literal["code", "paper"] = _option(
        "code", "two stacked convolutions with a residual per graph (code), or one weight over both graphs (paper)"
    )
    visual_prompt_weights: Literal["raw", "sigmoid"] = _option(
        "raw", "snippets are gathered by anomaly logits (raw: code) or by anomaly scores (sigmoid: paper)"
    )
    text_fusion: Literal["code", "paper"] = _option(
        "code", "the text residual includes the visual prompt (code), or is the text alone (paper)"
    )
    contrastive: Literal["abs", "hinge"] = _option(
        "abs", "penalty on the cosine of normal and class texts: its size (code), or only above 0 (paper)"
    )
    contrastive_mean: bool = _option(
        True, "average the penalty over the classes (code) instead of adding it up (paper)"
    )
    temperature: float = _option(0.07, "cosines between snippets and texts are divided by it")
    topk_ratio: int = _option(16, "a video's score is the mean of its length / topk_ratio + 1 highest snippets")
    chunk_tail: Literal["short", "overlap"] = _option(
        "overlap", "the rest of a long video is judged alone (short: code) or together with the rows before it"
    )
    # training
    contrastive_weight: float = _option(0.1, "weight of the text penalty in the loss")
    learning_rate: float = _option(1e-4, "learning rate of AdamW")
    weight_decay: float = _option(0.01, "weight decay of AdamW")
    lr_milestones: tuple[int, ...] = _option((), "epochs after which the learning rate is multiplied by lr_gamma")
    lr_gamma: float = _option(0.1, "factor at the milestones")
    epochs: int = _option(15, "passes over the training videos")
    batch_size: int = _option(16, "videos per batch; balanced: of each kind")
    batches: Literal["balanced", "plain"] = _option(
        "balanced", "as many normal as abnormal videos in every batch, or videos as they come"
    )
    epoch_length: Literal["shorter", "longer"] = _option(
        "longer", "a balanced epoch ends with the rarer kind (shorter: code), or repeats it until the other ends"
    )
    min_batches: int = _option(5, "batches per epoch at least; few videos come several times")
    drop_last: bool = _option(False, "leave out the last batch of an epoch if it is not full")
    join: int = _option(
        6,
        "normal videos, at most so many, that each training video is joined with in time, "
        "so that trimmed clips look like untrimmed videos with a short event",
    )
    validate_every: int = _option(0, "validate each so many batches instead of once per epoch; 0: once per epoch")
    select_metric: str = _option("auc", "name of the validation metric whose highest value is the best checkpoint")
    reset_to_best: bool = _option(False, "go back to the best weights so far at the end of each epoch")
    seed: int = _option(234, "start of all randomness")
    precision: Literal["float32", "bfloat16", "float16"] = _option(
        "float32", "arithmetic of training; bfloat16 is faster on processors and GPUs that have it, float16 on CUDA"
    )

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for name, kind in hints.items():
            if getattr(kind, "__origin__", None) is Literal and getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, got {getattr(self, name)!r}")
        for name in ("visual_length", "attn_window", "attn_heads", "topk_ratio", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("attn_layers", "prompt_prefix", "prompt_postfix", "min_batches", "join", "validate_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.feature_norm < 0:
            raise ValueError(f"feature_norm must not be negative, got {self.feature_norm}")
        for name in ("temperature", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        object.__setattr__(self, "lr_milestones", tuple(int(epoch) for epoch in self.lr_milestones))

    def to_dict(self) -> dict[str, Any]:
        """Plain values that survive JSON."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {**values, "lr_milestones": list(self.lr_milestones)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> VadClipConfig:
        """The config that ``to_dict`` described.

        Raises:
            BadInput: an option has no such name or value.
        """
        return _changed(cls(), values)


UCF_CRIME_PROMPTS: dict[str, str] = {
    "Normal": "normal",
    "Abuse": "abuse",
    "Arrest": "arrest",
    "Arson": "arson",
    "Assault": "assault",
    "Burglary": "burglary",
    "Explosion": "explosion",
    "Fighting": "fighting",
    "RoadAccidents": "roadAccidents",
    "Robbery": "robbery",
    "Shooting": "shooting",
    "Shoplifting": "shoplifting",
    "Stealing": "stealing",
    "Vandalism": "vandalism",
}
"""Class name → prompt, in class order; class 0 is the normal class."""

XD_VIOLENCE_PROMPTS: dict[str, str] = {
    "A": "normal",
    "B1": "fighting",
    "B2": "shooting",
    "B4": "riot",
    "B5": "abuse",
    "B6": "car accident",
    "G": "explosion",
}
"""Class name → prompt, in class order; class 0 is the normal class."""

_UCF_CRIME = VadClipConfig(
    attn_window=8,
    attn_layers=2,
    feature_norm=0.0,
    padding="leak",
    similarity_graph="code",
    distance_graph="code",
    chunk_tail="short",
    contrastive_weight=0.1,
    learning_rate=2e-5,
    lr_milestones=(4, 8),
    epochs=10,
    batch_size=64,
    batches="balanced",
    epoch_length="shorter",
    min_batches=0,
    drop_last=True,
    join=0,
    validate_every=10,
    select_metric="auc_c",
    reset_to_best=True,
)
_XD_VIOLENCE = replace(
    _UCF_CRIME,
    attn_window=64,
    attn_layers=1,
    multi_label=True,
    contrastive_weight=1e-4,
    learning_rate=1e-5,
    lr_milestones=(3, 6, 10),
    batch_size=96,
    batches="plain",
    drop_last=False,
    validate_every=0,
    select_metric="ap_a",
)
_PAPER: dict[str, Any] = {
    "padding": "masked",
    "windows": "overlapping",
    "activation": "gelu",
    "similarity_graph": "paper",
    "distance_graph": "paper",
    "graph_layers": "paper",
    "visual_prompt_weights": "sigmoid",
    "text_fusion": "paper",
    "contrastive": "hinge",
    "contrastive_mean": False,
    "lr_milestones": (),
    "batch_size": 64,
    "validate_every": 0,
    "reset_to_best": False,
}

PRESETS: dict[str, VadClipConfig] = {
    "custom": VadClipConfig(),
    "ucf-crime": _UCF_CRIME,
    "xd-violence": _XD_VIOLENCE,
    "ucf-crime-paper": replace(_UCF_CRIME, **_PAPER, attn_layers=1, learning_rate=1e-5, epochs=10),
    "xd-violence-paper": replace(_XD_VIOLENCE, **_PAPER, learning_rate=2e-5, epochs=20),
}
"""``ucf-crime`` and ``xd-violence`` do what the published code does; their ``-paper`` forms what the paper says."""

PRESET_PROMPTS: dict[str, dict[str, str]] = {
    name: UCF_CRIME_PROMPTS if name.startswith("ucf") else XD_VIOLENCE_PROMPTS for name in PRESETS if name != "custom"
}
"""The classes that a published preset is for; ``custom`` has the user's."""


def preset(name: str, **changes: Any) -> VadClipConfig:
    """A preset by name, with some options changed.

    Raises:
        UnknownName: no preset is called so.
        BadInput: an option has no such name or value.
    """
    if name not in PRESETS:
        raise UnknownName("VadCLIP preset", name, PRESETS)
    return _changed(PRESETS[name], changes)


def _changed(config: VadClipConfig, changes: dict[str, Any]) -> VadClipConfig:
    known = {item.name for item in fields(config)}
    for name in changes:
        if name not in known:
            raise UnknownName("VadCLIP option", name, known)
    try:
        return replace(config, **changes)
    except (ValueError, TypeError) as error:
        raise BadInput(f"VadCLIP cannot be set up so: {error}.") from error
