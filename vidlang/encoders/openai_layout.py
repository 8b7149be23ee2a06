"""CLIP weights between OpenAI's names (``visual.conv1.weight``) and those of transformers' CLIPModel.

The published VadCLIP checkpoints hold a complete CLIP in OpenAI's layout under ``clipmodel.``, and LAION's repositories
hold OpenCLIP files in the same layout. The conversion moves numbers only, so there and back is exact.
Differences of the layouts: q, k and v are stacked in one ``in_proj``; projections multiply from the right (``x @ P``),
so they are transposed; the class embedding, layer norms and MLPs have other names.
Source: VadCLIP (Wu et al., AAAI 2024), model_ucf.pth; github.com/openai/CLIP (clip/model.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vidlang.core.errors import BadCheckpoint

if TYPE_CHECKING:
    from transformers.models.clip.configuration_clip import CLIPConfig
    from transformers.models.clip.modeling_clip import CLIPModel

PREFIX = "clipmodel."
OPENAI_HEAD_WIDTH = 64

# OpenAI name → transformers name, both without layers
_WHOLE = {
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "logit_scale": "logit_scale",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
}
_TRANSPOSED = {"text_projection": "text_projection.weight", "visual.proj": "visual_projection.weight"}
_LAYER = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_STACKED = ("q_proj", "k_proj", "v_proj")
_TOWERS = {
    "transformer.resblocks.": "text_model.encoder.layers.",
    "visual.transformer.resblocks.": "vision_model.encoder.layers.",
}
# OpenAI's own archives carry three facts beside the weights, OpenCLIP's a constant mask.
_FACTS = {"input_resolution", "context_length", "vocab_size", "attn_mask"}


def clip_from_openai(
    state: Mapping[str, Tensor],
    *,
    hidden_act: str = "quick_gelu",
    vision_head_width: int = OPENAI_HEAD_WIDTH,
    text_head_width: int = OPENAI_HEAD_WIDTH,
) -> CLIPModel:
    """A transformers CLIPModel with the weights of ``state``, of any size, in float32 and evaluation mode.

    Keys may start with ``clipmodel.``; keys of other parts beside such a prefix are left alone. The sizes follow from
    the shapes; the number of heads does not, it is width / 64 in all of OpenAI's models.

    Raises:
        BadCheckpoint: a key is missing or too many, or a shape does not fit, or the image tower is not a transformer.
    """
    from transformers.models.clip.modeling_clip import CLIPModel

    state = _own_part(state)
    config = _config_of(state, hidden_act, vision_head_width, text_head_width)
    renamed = dict(_to_transformers(state))
    # Built without memory, so that no time goes into random start values and nobody's random numbers are used up.
    with torch.device("meta"):
        model = CLIPModel(config)
    _check_keys(renamed, model.state_dict())
    own = {name: value.detach().to(torch.float32, copy=True).contiguous() for name, value in renamed.items()}
    model.load_state_dict(own, assign=True)
    for embeddings in (model.text_model.embeddings, model.vision_model.embeddings):
        embeddings.position_ids = torch.arange(embeddings.position_ids.shape[-1])[None]
    return model.eval()


def openai_from_clip(model: CLIPModel, prefix: str = "") -> dict[str, Tensor]:
    """The weights of a CLIPModel under OpenAI's names, each with ``prefix`` before it (``clipmodel.`` for VadCLIP)."""
    state = model.state_dict()
    converted = {ours: state[theirs] for ours, theirs in _WHOLE.items()}
    converted |= {ours: state[theirs].T.contiguous() for ours, theirs in _TRANSPOSED.items()}
    for ours, theirs in _TOWERS.items():
        for layer in range(_num_layers(state, theirs)):
            converted |= _layer_to_openai(state, f"{ours}{layer}.", f"{theirs}{layer}.")
    return {prefix + name: value.detach().clone() for name, value in converted.items()}


def _own_part(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix, and without what is not a weight of CLIP."""
    if any(name.startswith(PREFIX) for name in state):
        state = {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
    return {name: value for name, value in state.items() if name not in _FACTS}


def _config_of(
    state: Mapping[str, Tensor], hidden_act: str, vision_head_width: int, text_head_width: int
) -> CLIPConfig:
    from transformers.models.clip.configuration_clip import CLIPConfig

    if "visual.layer1.0.conv1.weight" in state:
        raise BadCheckpoint("This CLIP sees through a ResNet; only those with a vision transformer can be read.")
    missing = [name for name in (*_WHOLE, *_TRANSPOSED) if name not in state]
    if missing:
        raise BadCheckpoint(f"This is no complete CLIP in OpenAI's layout: {_some(missing)} missing.")
    vocabulary, text_width = state["token_embedding.weight"].shape
    vision_width, _, _, patch = state["visual.conv1.weight"].shape
    num_patches = state["visual.positional_embedding"].shape[0] - 1
    joint = state["text_projection"].shape[1]
    shared = {"hidden_act": hidden_act, "projection_dim": joint}
    return CLIPConfig(
        projection_dim=joint,
        text_config={
            **shared,
            "vocab_size": vocabulary,
            "hidden_size": text_width,
            "intermediate_size": _mlp_width(state, "transformer.resblocks."),
            "num_hidden_layers": _num_layers(state, "transformer.resblocks."),
            "num_attention_heads": _num_heads(text_width, text_head_width),
            "max_position_embeddings": state["positional_embedding"].shape[0],
            # OpenAI's vocabulary ends with the start token and the end token.
            "bos_token_id": vocabulary - 2,
            "eos_token_id": vocabulary - 1,
            "pad_token_id": vocabulary - 1,
        },
        vision_config={
            **shared,
            "hidden_size": vision_width,
            "intermediate_size": _mlp_width(state, "visual.transformer.resblocks."),
            "num_hidden_layers": _num_layers(state, "visual.transformer.resblocks."),
            "num_attention_heads": _num_heads(vision_width, vision_head_width),
            "patch_size": patch,
            "image_size": patch * round(num_patches**0.5),
        },
    )


def _mlp_width(state: Mapping[str, Tensor], prefix: str) -> int:
    name = f"{prefix}0.mlp.c_fc.weight"
    if name not in state:
        raise BadCheckpoint(f"This is no complete CLIP in OpenAI's layout: {name} missing.")
    return state[name].shape[0]


def _num_heads(width: int, head_width: int) -> int:
    if width % head_width:
        raise BadCheckpoint(f"A width of {width} cannot be shared by attention heads of {head_width}.")
    return width // head_width


def _num_layers(state: Mapping[str, Tensor], prefix: str) -> int:
    found = {int(match[1]) for name in state if (match := re.match(rf"{re.escape(prefix)}(\d+)\.", name))}
    return len(found)


def _to_transformers(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, value in state.items():
        if name in _WHOLE:
            yield _WHOLE[name], value
        elif name in _TRANSPOSED:
            yield _TRANSPOSED[name], value.T
        elif (tower := re.match(r"((?:visual\.)?transformer\.resblocks\.)(\d+)\.(.+)", name)) is not None:
            yield from _layer_to_transformers(f"{_TOWERS[tower[1]]}{tower[2]}.", tower[3], value)
        else:
            raise BadCheckpoint(f"{name!r} is no part of a CLIP in OpenAI's layout.")


def _layer_to_transformers(layer: str, part: str, value: Tensor) -> Iterator[tuple[str, Tensor]]:
    """One tensor of one block: ``attn.in_proj_weight`` [3W, W] gives q, k and v, each [W, W]; others are renamed."""
    if part in ("attn.in_proj_weight", "attn.in_proj_bias"):
        kind = part.removeprefix("attn.in_proj_")
        for name, third in zip(_STACKED, value.chunk(3), strict=True):
            yield f"{layer}self_attn.{name}.{kind}", third
        return
    module, _, kind = part.rpartition(".")
    if module not in _LAYER:
        raise BadCheckpoint(f"{part!r} is no part of a block of CLIP in OpenAI's layout.")
    yield f"{layer}{_LAYER[module]}.{kind}", value


def _layer_to_openai(state: Mapping[str, Tensor], ours: str, theirs: str) -> dict[str, Tensor]:
    converted = {}
    for kind in ("weight", "bias"):
        converted[f"{ours}attn.in_proj_{kind}"] = torch.cat(
            [state[f"{theirs}self_attn.{name}.{kind}"] for name in _STACKED]
        )
        for our_part, their_part in _LAYER.items():
            converted[f"{ours}{our_part}.{kind}"] = state[f"{theirs}{their_part}.{kind}"]
    return converted


def _check_keys(renamed: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    missing, unknown = expected.keys() - renamed.keys(), renamed.keys() - expected.keys()
    if missing or unknown:
        raise BadCheckpoint(
            f"The CLIP weights do not fit together: missing {_some(missing)}, not expected {_some(unknown)}."
        )
    for name, value in renamed.items():
        if value.shape != expected[name].shape:
            raise BadCheckpoint(f"{name} has shape {list(value.shape)}, expected {list(expected[name].shape)}.")


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    return (", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")) or "none"
