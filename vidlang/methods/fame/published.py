"""Weights of video networks as others store them: in, and out again.

Three kinds of files are read, with or without the prefix ``module.`` that training in many processes leaves:

- ``pretraining``: ``encoder_q.…``, ``encoder_k.…``, ``queue``, ``queue_ptr``. The query encoder is the backbone.
- ``classifier``: a backbone and ``fc.weight``, ``fc.bias``: fine-tuned ones, and torchvision's r2plus1d_18.
- ``backbone``: neither of these; heads for embeddings (``fc.0.…``, ``id_head.…``) may be there.

In a file as training writes it (``{"epoch", "arch", "state_dict", "optimizer"}``) the tensors are in ``state_dict``.

Source: Mark12Ding/FAME at 0600c0e; torchvision's r2plus1d_18.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from vidlang.core.errors import BadCheckpoint
from vidlang.methods.fame.architectures import ARCHITECTURES, Architecture, Head
from vidlang.methods.fame.backbones import build_backbone

State = dict[str, Tensor]
Kind = Literal["pretraining", "classifier", "backbone"]

PREFIX = "module."
QUERY, KEY = "encoder_q.", "encoder_k."
_HEADS = ("fc.", "id_head.")
_MARKS: dict[Architecture, str] = {
    "r2plus1d_18": "layer1.0.conv1.0.0.weight",
    "i3d": "conv3d_1a_7x7.conv3d.weight",
    "tiny": "stem.space.0.weight",
}
"""A tensor that only this network has."""


@dataclass(frozen=True, eq=False)
class PublishedWeights:
    """A file of weights taken apart. Nothing of it is lost: what is not backbone or head is in ``left_over``."""

    arch: Architecture
    kind: Kind
    backbone: State
    """Complete weights of ``build_backbone(arch)``."""
    head: State = field(default_factory=dict)
    """``fc.…`` or ``id_head.…``; downstream training begins without it."""
    left_over: State = field(default_factory=dict)
    """The key encoder, the queue, and names that this network has not; by their names without ``module.``."""

    @property
    def num_classes(self) -> int | None:
        """Classes of a classifier's head."""
        return len(self.head["fc.weight"]) if self.kind == "classifier" else None


def read_published(file: Mapping[str, Any]) -> PublishedWeights:
    """Takes a file of weights apart, once it is loaded: tensors by name, or a dict that has them in ``state_dict``.

    Raises:
        BadCheckpoint: not the weights of a known network, not all of them, or of other shapes.
    """
    state = _tensors(file)
    pretraining = any(name.startswith(QUERY) for name in state)
    inside = QUERY if pretraining else ""
    own = {name.removeprefix(inside): value for name, value in state.items() if name.startswith(inside)}
    arch = _find_arch(own)
    backbone = _complete(own, _shapes(arch), arch)
    head = {name: value for name, value in own.items() if name.startswith(_HEADS)}
    taken = {inside + name for name in (*backbone, *head)}
    left_over = {name: value for name, value in state.items() if name not in taken}
    classes = {"fc.weight", "fc.bias"} == head.keys()
    kind: Kind = "pretraining" if pretraining else "classifier" if classes else "backbone"
    return PublishedWeights(arch, kind, backbone, _clones(head), _clones(left_over))


def write_published(weights: PublishedWeights) -> State:
    """The tensors of a file that ``read_published`` takes apart to the same weights, with ``module.``.

    Other code of the method reads it as its own: as a pretraining's ``state_dict``, or a fine-tuned network's.
    """
    stem = PREFIX + (QUERY if weights.kind == "pretraining" else "")
    own = {stem + name: value for name, value in (weights.backbone | weights.head).items()}
    rest = {PREFIX + name: value for name, value in weights.left_over.items()}
    first = {name: value for name, value in rest.items() if not name.startswith(PREFIX + KEY)}  # queue before encoders
    return {name: value.detach().clone() for name, value in (first | own | rest).items()}


def _tensors(file: Mapping[str, Any]) -> State:
    """The tensors of a file, by their names without ``module.``."""
    state = file.get("state_dict", file)
    if not isinstance(state, Mapping) or not state:
        raise BadCheckpoint("The file holds no weights. Give a checkpoint of a video network.")
    others = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise BadCheckpoint(
            f"The file is no table of weights: {_listed(others)} no tensor. Give a checkpoint of a video network."
        )
    return {str(name).removeprefix(PREFIX): value for name, value in state.items()}


def _find_arch(own: Mapping[str, Tensor]) -> Architecture:
    for arch, mark in _MARKS.items():
        if mark in own:
            return arch
    first = _listed(list(own), "begin with")
    raise BadCheckpoint(
        f"These are not the weights of a known video network ({', '.join(ARCHITECTURES)}): the names {first}."
    )


def _shapes(arch: Architecture, head: Head = "none") -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in build_backbone(arch, head=head).state_dict().items()}


def _complete(own: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], arch: Architecture) -> State:
    """Exactly the backbone's tensors.

    Raises:
        BadCheckpoint: naming the first few that are missing, differ in shape, or are not finite.
    """
    counters = {name for name in shapes if name.endswith("num_batches_tracked")}  # old files have none
    missing = [name for name in shapes if name not in own and name not in counters]
    if missing:
        raise BadCheckpoint(f"The weights of {arch} are not complete: {_listed(missing)} missing.")
    for name, shape in shapes.items():
        if name in own and tuple(own[name].shape) != shape:
            raise BadCheckpoint(f"The weights are not of {arch}: {name} is {tuple(own[name].shape)}, expected {shape}.")
    broken = [name for name in shapes if name in own and not bool(own[name].isfinite().all())]
    if broken:
        raise BadCheckpoint(f"The weights of {arch} are damaged: {_listed(broken)} not finite.")
    zero = torch.zeros((), dtype=torch.int64)
    return _clones({name: own.get(name, zero) for name in shapes})


def _clones(state: Mapping[str, Tensor]) -> State:
    """Copies on the CPU, numbers as float32."""
    return {
        name: value.detach().to("cpu", torch.float32 if value.is_floating_point() else value.dtype, copy=True)
        for name, value in state.items()
    }


def _listed(names: list[str], verb: str = "") -> str:
    """``a, b and 7 more are``; with a verb, ``begin with a, b and 7 more``."""
    shown = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
    if verb:
        return f"{verb} {shown}"
    return f"{shown} {'is' if len(names) == 1 else 'are'}"
