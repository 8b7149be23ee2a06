"""Published checkpoints in and out."""

from __future__ import annotations

import pytest
import torch
from vadclip_small import small

from vidlang.core.errors import BadCheckpoint, UnknownName
from vidlang.methods.vadclip.model import VadClip
from vidlang.methods.vadclip.official import _tower_shapes, read_official, write_official

OWN_UCF, OWN_XD = 47, 35


def clip(text_width: int = 64, dim: int = 32, vision_width: int = 48) -> dict[str, torch.Tensor]:
    """A small random CLIP in OpenAI names."""
    shapes = {
        "positional_embedding": (40, text_width),
        "text_projection": (text_width, dim),
        "logit_scale": (),
        "visual.class_embedding": (vision_width,),
        "visual.positional_embedding": (5, vision_width),
        "visual.proj": (vision_width, dim),
        "visual.conv1.weight": (vision_width, 3, 16, 16),
        **_tower_shapes("visual.transformer", vision_width, 1),
        **_tower_shapes("transformer", text_width, 2),
        "token_embedding.weight": (97, text_width),
    }
    for name, width in (("visual.ln_pre", vision_width), ("visual.ln_post", vision_width), ("ln_final", text_width)):
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def own(name: str = "ucf-crime") -> dict[str, torch.Tensor]:
    return VadClip(small(name), 32, 64, 40).state_dict()


@pytest.mark.parametrize(("name", "num_own"), [("ucf-crime", OWN_UCF), ("xd-violence", OWN_XD)])
def test_a_round_trip_is_exact(name, num_own):
    first, openai = own(name), clip()
    written = write_official(first, openai)
    read = read_official(written, small(name))
    assert read.facts.num_own == len(read.own) == num_own
    assert next(iter(written)) == "temporal.resblocks.0.attn.in_proj_weight"
    assert list(written)[-2:] == ["frame_position_embeddings.weight", "text_prompt_embeddings.weight"]
    assert all(torch.equal(read.own[key], value) for key, value in first.items())
    assert read.clip is not None
    assert all(torch.equal(read.clip[key], value) for key, value in openai.items())
    again = write_official(read.own, {f"clipmodel.{key}": value for key, value in read.clip.items()})
    assert list(again) == list(written)


def test_facts_come_from_the_tensors():
    facts = read_official(write_official(own(), clip()), small("ucf-crime")).facts
    assert (facts.attn_layers, facts.visual_length, facts.dim, facts.text_width) == (2, 12, 32, 64)
    assert facts.has_clip
    assert not read_official(own(), small("ucf-crime")).facts.has_clip


def test_published_names_without_the_layers_of_the_preset_are_refused():
    with pytest.raises(BadCheckpoint, match="attn_layers 2, the preset xd-violence has 1"):
        read_official(own("ucf-crime"), "xd-violence")
    with pytest.raises(BadCheckpoint, match="visual_length 12, the preset ucf-crime has 256"):
        read_official(own("ucf-crime"), "ucf-crime")
    with pytest.raises(BadCheckpoint, match="published graph layers"):
        read_official(own("ucf-crime"), "ucf-crime-paper")
    with pytest.raises(UnknownName, match="Did you mean 'ucf-crime'"):
        read_official(own("ucf-crime"), "ucf-crim")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("gc1.residual.bias"), "Missing: gc1.residual.bias"),
        (lambda s: s.update({"extra.weight": torch.zeros(1)}), "Unexpected: extra.weight"),
        (lambda s: s.update({"classifier.bias": torch.zeros(2)}), r"classifier.bias is \(2,\), expected \(1,\)"),
        (lambda s: s.pop("clipmodel.ln_final.bias"), "Missing: clipmodel.ln_final.bias"),
        (lambda s: s.pop("clipmodel.text_projection"), "clipmodel.text_projection is missing"),
        (lambda s: s.update({"clipmodel.x": torch.zeros(1)}), "Unexpected: clipmodel.x"),
        (lambda s: s.pop("text_prompt_embeddings.weight"), "not a VadCLIP checkpoint"),
        (lambda s: s.update({"clipmodel.visual.proj": torch.zeros(3)}), "clipmodel.visual.proj is"),
    ],
)
def test_what_is_not_exactly_published_is_refused_by_name(change, message):
    state = write_official(own(), clip())
    change(state)
    with pytest.raises(BadCheckpoint, match=message):
        read_official(state, small("ucf-crime"))


def test_a_clip_of_another_size_is_refused():
    state = {**own(), **{f"clipmodel.{name}": value for name, value in clip(dim=16).items()}}
    with pytest.raises(BadCheckpoint, match="do not belong together"):
        read_official(state, small("ucf-crime"))


def test_an_incomplete_part_is_not_written():
    openai = clip()
    del openai["ln_final.weight"]
    with pytest.raises(BadCheckpoint, match=r"Missing: clipmodel\.ln_final\.weight"):
        write_official(own(), openai)
