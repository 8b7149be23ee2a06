"""TCA's options: what the published code does, what the paper says, what suits one's own videos. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from vidlang.core.errors import BadInput, UnknownName

PUBLISHED_CLUSTERS = {"netvlad": 256, "nextvlad": 64}
BANK_STEPS = 16
"""Steps whose keys a bank of size 0 holds."""


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class TcaConfig:
    """Everything that decides a TCA model and its training. The defaults are the preset ``custom``.

    ``paper`` and ``code`` differ in dropout, window, crop_starts, loss, temperature and bank_order. The distributed
    figures of both (several processes that gather their keys) have no option: processes share a
    step whose size is ``batch_size``.
    Evaluation always reads whole videos, as the paper says; the published code cuts a random window out of long ones.
    """

    # shape
    encoder: Literal["transformer", "netvlad", "nextvlad", "lstm", "gru"] = _option(
        "transformer", "network over the rows of a video; all but the first are baselines"
    )
    num_layers: int = _option(1, "transformer layers")
    num_heads: int = _option(8, "heads of self-attention; must divide the width of the rows")
    feedforward: int = _option(2048, "hidden width of the transformer's feed-forward part")
    dropout: float = _option(0.1, "dropout of the transformer (paper: 0.5, code: 0.2)")
    residual: bool = _option(
        True,
        "transformer: outputs are the rows plus what the network learns on top, which starts at nothing, so that few "
        "videos cannot make good rows worse (published: off)",
    )
    num_clusters: int = _option(16, "clusters of NetVLAD and NeXtVLAD; 0: as published, 256 and 64")
    output_dim: int = _option(0, "width of the baselines' video vector; 0: that of the rows (published VLADs: 1024)")
    vlad_dropout: float = _option(0.5, "dropout of NetVLAD and NeXtVLAD")
    gating_reduction: int = _option(8, "NetVLAD and NeXtVLAD: narrowing inside the output gate; divides output_dim")
    vlad_groups: int = _option(8, "NeXtVLAD: groups that the widened rows are split into")
    vlad_expansion: int = _option(2, "NeXtVLAD: rows are widened by this factor")
    recurrent_layers: int = _option(2, "layers of LSTM and GRU")
    recurrent_dropout: float = _option(0.2, "dropout between the layers of LSTM and GRU")
    # what is read in training
    window: int = _option(64, "rows of a video that one training step sees; shorter videos are padded (code: 300)")
    window_choice: Literal["crop", "sample"] = _option(
        "crop", "a longer video gives a run of rows at a random place, or rows drawn at random, with repetition"
    )
    crop_starts: Literal["all", "published"] = _option(
        "all", "whether a crop may start at the last possible row, or never does (as published)"
    )
    temporal_edits: bool = _option(
        True,
        "edit the positive's rows at random: other speed, middle cut out, rows missing, put into another video "
        "(published: off)",
    )
    # loss
    loss: Literal["infonce", "circle", "circle-as-shipped", "triplet"] = _option(
        "infonce", "contrastive loss; circle is the paper's, circle-as-shipped mixes rows and columns as the code does"
    )
    temperature: float = _option(0.07, "infonce: cosines are divided by it")
    margin: float = _option(0.25, "margin of circle and triplet")
    gamma: float = _option(256.0, "circle: scale of the weighted cosines")
    # bank
    bank_size: int = _option(
        0, "keys of others that every anchor is told from; 0: those of 16 steps (published: 4096, which is 4 steps)"
    )
    num_negatives: int = _option(4, "other videos per anchor that enter the bank in each step (published: 16)")
    momentum: float = _option(
        0.0, "share of the key encoder that stays in each step; 0: keys come from the encoder in training"
    )
    bank_order: Literal["before", "after"] = _option(
        "before", "a step's own negatives enter the bank before its loss (paper), or after it (code)"
    )
    bank_start: Literal["empty", "random"] = _option(
        "empty", "the bank starts with nothing to tell from, or with random unit vectors (published)"
    )
    # training
    batch_size: int = _option(16, "pairs per step")
    learning_rate: float = _option(3e-4, "learning rate of Adam at the start (published: 1e-5)")
    weight_decay: float = _option(1e-4, "weight decay of Adam, added to the gradient")
    schedule: Literal["cosine", "constant"] = _option(
        "cosine", "the learning rate falls to 0 along a half cosine over the epochs, or stays"
    )
    epochs: int = _option(20, "passes over the pairs")
    min_batches: int = _option(10, "steps per epoch at least; few pairs come several times")
    drop_last: bool = _option(
        False, "leave out the last batch of an epoch if it is not full; else it is filled up with pairs that came"
    )
    select_metric: str = _option("map", "name of the validation metric whose highest value is the best checkpoint")
    seed: int = _option(0, "start of all randomness")
    precision: Literal["float32", "bfloat16", "float16"] = _option(
        "float32", "arithmetic of training; bfloat16 is faster on processors and GPUs that have it, float16 on CUDA"
    )

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            if getattr(kind, "__origin__", None) is Literal and getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, got {getattr(self, name)!r}")
        at_least_one = (
            "num_layers", "num_heads", "feedforward", "gating_reduction", "vlad_groups", "vlad_expansion",
            "recurrent_layers", "window", "num_negatives", "batch_size", "epochs",
        )  # fmt: skip
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("num_clusters", "output_dim", "bank_size", "min_batches", "weight_decay", "margin"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("temperature", "gamma", "learning_rate"):
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("dropout", "vlad_dropout", "recurrent_dropout", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")
        self._check_parts_together()

    def _check_parts_together(self) -> None:
        keys = self.keys_per_step
        if self.bank_size % keys:
            lower = max(keys, self.bank_size // keys * keys)
            choices = sorted({lower, (self.bank_size // keys + 1) * keys})
            raise ValueError(
                f"bank_size must be a multiple of the {keys} keys of a step (batch_size {self.batch_size} times "
                f"num_negatives {self.num_negatives}), got {self.bank_size}; {' or '.join(map(str, choices))} would do"
            )
        if self.encoder in PUBLISHED_CLUSTERS and self.batch_size < 2:
            raise ValueError(f"batch_size must be at least 2 with {self.encoder}, whose batch-norm compares videos")
        if self.bank_start == "empty" and self.bank_order == "after":
            raise ValueError(
                "bank_start empty needs bank_order before: the first step would have nothing to tell its anchors from"
            )

    @property
    def keys_per_step(self) -> int:
        """Keys that one step puts into the bank."""
        return self.batch_size * self.num_negatives

    @property
    def bank_columns(self) -> int:
        """Keys that the bank holds."""
        return self.bank_size or BANK_STEPS * self.keys_per_step

    @property
    def clusters(self) -> int:
        """Clusters of NetVLAD or NeXtVLAD."""
        return self.num_clusters or PUBLISHED_CLUSTERS.get(self.encoder, 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that survive JSON."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TcaConfig:
        """The config that ``to_dict`` described.

        Raises:
            UnknownName: no option has such a name.
            BadInput: an option has no such value.
        """
        return _changed(cls(), values)


_PAPER = TcaConfig(
    dropout=0.5,
    residual=False,
    num_clusters=0,
    output_dim=1024,
    window=64,
    temporal_edits=False,
    loss="circle",
    bank_size=4096,
    num_negatives=16,
    bank_order="before",
    bank_start="random",
    batch_size=64,
    learning_rate=1e-5,
    epochs=40,
    min_batches=0,
    drop_last=True,
)

PRESETS: dict[str, TcaConfig] = {
    "custom": TcaConfig(),
    "paper": _PAPER,
    "code": replace(
        _PAPER,
        dropout=0.2,
        window=300,
        crop_starts="published",
        loss="circle-as-shipped",
        temperature=1.0,
        bank_order="after",
    ),
}
"""``code`` does what the published code does, ``paper`` what the paper says, ``custom`` what suits few videos."""


def preset(name: str, **changes: Any) -> TcaConfig:
    """A preset by name, with some options changed.

    Raises:
        UnknownName: no preset or option is called so.
        BadInput: an option has no such value, or options contradict each other.
    """
    if name not in PRESETS:
        raise UnknownName("TCA preset", name, PRESETS)
    return _changed(PRESETS[name], changes)


def _changed(config: TcaConfig, changes: dict[str, Any]) -> TcaConfig:
    known = {item.name for item in fields(config)}
    for name in changes:
        if name not in known:
            raise UnknownName("TCA option", name, known)
    try:
        return replace(config, **changes)
    except (ValueError, TypeError) as error:
        raise BadInput(f"TCA cannot be set up so: {error}.") from error
