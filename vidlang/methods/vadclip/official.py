"""The published checkpoints: one flat dict of the own weights and a whole CLIP (``clipmodel.…``), in and out.

UCF-Crime: 349 tensors, 47 of them own. XD-Violence: 337 and 35. Windows, heads, prompt lengths and the order of classes
are not stored in them; they come from the preset. Layers and length are, and must agree with it.

Source: ``model_ucf.pth`` and ``model_xd.pth`` of the official repository at f643c91.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vidlang.core.errors import BadCheckpoint
from vidlang.methods.vadclip.config import VadClipConfig, preset
from vidlang.methods.vadclip.model import VadClip

State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]

CLIP_PREFIX = "clipmodel."
OWN_LAST = ("frame_position_embeddings.weight", "text_prompt_embeddings.weight")  # they stand behind CLIP in the files


@dataclass(frozen=True)
class OfficialFacts:
    """What a published checkpoint says about itself."""

    num_tensors: int
    num_own: int
    """Tensors of the model's own."""
    attn_layers: int
    visual_length: int
    dim: int
    text_width: int
    context_length: int
    has_clip: bool


@dataclass(frozen=True, eq=False)
class OfficialWeights:
    """A published checkpoint taken apart."""

    own: State
    """Weights of ``VadClip``."""
    clip: State | None
    """OpenAI names without ``clipmodel.``; None where the file holds the own part alone."""
    facts: OfficialFacts
    config: VadClipConfig


def read_official(state: Mapping[str, Tensor], preset_or_config: str | VadClipConfig) -> OfficialWeights:
    """Takes a published dict apart, and accepts nothing that is not exactly it.

    Raises:
        BadCheckpoint: tensors are missing, unexpected or of another shape, or belong to another preset.
        UnknownName: no preset is called so.
    """
    config = preset(preset_or_config) if isinstance(preset_or_config, str) else preset_or_config
    own = {name: value for name, value in state.items() if not name.startswith(CLIP_PREFIX)}
    clip = {name.removeprefix(CLIP_PREFIX): value for name, value in state.items() if name.startswith(CLIP_PREFIX)}
    facts = _facts(own, num_tensors=len(state), has_clip=bool(clip))
    _check_preset(facts, config, preset_or_config if isinstance(preset_or_config, str) else "given")
    _check(own, _own_shapes(config, facts))
    if clip:
        shapes = _clip_shapes(clip)
        _check(clip, shapes, CLIP_PREFIX)
        if shapes["text_projection"] != (facts.text_width, facts.dim):
            joint = shapes["text_projection"]
            raise BadCheckpoint(
                f"The CLIP inside has text width and dimension {joint}, VadCLIP's own part "
                f"{(facts.text_width, facts.dim)}: they do not belong together."
            )
    own_names = _own_shapes(config, facts)
    return OfficialWeights(
        own={name: own[name].detach().float().clone() for name in own_names},
        clip={name: value.detach().float().clone() for name, value in clip.items()} or None,
        facts=facts,
        config=config,
    )


def write_official(own: Mapping[str, Tensor], clip_openai: Mapping[str, Tensor]) -> State:
    """The published flat dict, in its order.

    own: weights of ``VadClip``    clip_openai: a whole CLIP in OpenAI names, with or without ``clipmodel.``

    Raises:
        BadCheckpoint: either part is not complete.
    """
    clip = {name.removeprefix(CLIP_PREFIX): value for name, value in clip_openai.items()}
    facts = _facts(own, num_tensors=len(own) + len(clip), has_clip=True)
    shapes = _own_shapes(VadClipConfig(attn_layers=facts.attn_layers, visual_length=facts.visual_length), facts)
    clip_shapes = _clip_shapes(clip)
    _check(own, shapes)
    _check(clip, clip_shapes, CLIP_PREFIX)
    first = {name: own[name] for name in shapes if name not in OWN_LAST}
    middle = {CLIP_PREFIX + name: clip[name] for name in clip_shapes}
    last = {name: own[name] for name in OWN_LAST}
    return {name: value.detach().float() for name, value in {**first, **middle, **last}.items()}


def _facts(own: Mapping[str, Tensor], num_tensors: int, has_clip: bool) -> OfficialFacts:
    for name in OWN_LAST:
        if name not in own or own[name].ndim != 2:
            raise BadCheckpoint(f"This is not a VadCLIP checkpoint: {name} is missing or not a table.")
    frames, texts = (own[name] for name in OWN_LAST)
    return OfficialFacts(
        num_tensors=num_tensors,
        num_own=len(own),
        attn_layers=_num_blocks(own, "temporal"),
        visual_length=frames.shape[0],
        dim=frames.shape[1],
        text_width=texts.shape[1],
        context_length=texts.shape[0],
        has_clip=has_clip,
    )


def _num_blocks(state: Mapping[str, Tensor], stem: str) -> int:
    pattern = re.compile(rf"{re.escape(stem)}\.resblocks\.(\d+)\.")
    blocks = [int(match[1]) for name in state if (match := pattern.match(name))]
    return max(blocks, default=-1) + 1


def _check_preset(facts: OfficialFacts, config: VadClipConfig, name: str) -> None:
    if config.graph_layers != "code":
        raise BadCheckpoint(f"Published checkpoints hold the published graph layers, which the preset {name} has not.")
    for field in ("attn_layers", "visual_length"):
        got, expected = getattr(facts, field), getattr(config, field)
        if got != expected:
            raise BadCheckpoint(
                f"The checkpoint has {field} {got}, the preset {name} has {expected}. "
                "Choose the preset of the data set that it was trained on (ucf-crime or xd-violence)."
            )


def _own_shapes(config: VadClipConfig, facts: OfficialFacts) -> Shapes:
    with torch.device("meta"):
        model = VadClip(config, facts.dim, facts.text_width, facts.context_length)
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def _clip_shapes(clip: Mapping[str, Tensor]) -> Shapes:
    """Names and shapes of a whole OpenAI CLIP with this one's sizes, in the published order."""
    sized = {
        "positional_embedding": 2,
        "text_projection": 2,
        "token_embedding.weight": 2,
        "visual.conv1.weight": 4,
        "visual.positional_embedding": 2,
    }
    for name, num_axes in sized.items():
        if name not in clip or clip[name].ndim != num_axes:
            raise BadCheckpoint(f"The CLIP inside is not complete: {CLIP_PREFIX}{name} is missing or not a table.")
    context, text_width = clip["positional_embedding"].shape
    dim = clip["text_projection"].shape[-1]
    vision_width, _, patch, _ = clip["visual.conv1.weight"].shape
    return {
        "positional_embedding": (context, text_width),
        "text_projection": (text_width, dim),
        "logit_scale": (),
        "visual.class_embedding": (vision_width,),
        "visual.positional_embedding": (clip["visual.positional_embedding"].shape[0], vision_width),
        "visual.proj": (vision_width, dim),
        "visual.conv1.weight": (vision_width, 3, patch, patch),
        **_norm_shapes("visual.ln_pre", vision_width),
        **_tower_shapes("visual.transformer", vision_width, _num_blocks(clip, "visual.transformer")),
        **_norm_shapes("visual.ln_post", vision_width),
        **_tower_shapes("transformer", text_width, _num_blocks(clip, "transformer")),
        "token_embedding.weight": (clip["token_embedding.weight"].shape[0], text_width),
        **_norm_shapes("ln_final", text_width),
    }


def _tower_shapes(stem: str, width: int, num_blocks: int) -> Shapes:
    shapes: Shapes = {}
    for block in range(num_blocks):
        at = f"{stem}.resblocks.{block}"
        shapes |= {
            f"{at}.attn.in_proj_weight": (3 * width, width),
            f"{at}.attn.in_proj_bias": (3 * width,),
            f"{at}.attn.out_proj.weight": (width, width),
            f"{at}.attn.out_proj.bias": (width,),
            **_norm_shapes(f"{at}.ln_1", width),
            f"{at}.mlp.c_fc.weight": (4 * width, width),
            f"{at}.mlp.c_fc.bias": (4 * width,),
            f"{at}.mlp.c_proj.weight": (width, 4 * width),
            f"{at}.mlp.c_proj.bias": (width,),
            **_norm_shapes(f"{at}.ln_2", width),
        }
    return shapes


def _norm_shapes(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _check(state: Mapping[str, Tensor], shapes: Shapes, prefix: str = "") -> None:
    """Every name there, no other, each of its shape.

    Raises:
        BadCheckpoint: naming the first few that differ.
    """
    missing = [name for name in shapes if name not in state]
    unexpected = [name for name in state if name not in shapes]
    wrong = [
        f"{prefix}{name} is {tuple(state[name].shape)}, expected {shape}"
        for name, shape in shapes.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    for what, names in (("Missing", missing), ("Unexpected", unexpected)):
        if names:
            wrong.append(f"{what}: {_listed([prefix + name for name in names])}")
    if wrong:
        raise BadCheckpoint(f"This is not a published VadCLIP checkpoint. {'. '.join(wrong[:3])}.")


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest
