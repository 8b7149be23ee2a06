from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from transformers.models.clip.modeling_clip import CLIPModel

from vidlang.core.errors import BadCheckpoint
from vidlang.encoders.openai_layout import clip_from_openai, openai_from_clip


@pytest.fixture(scope="module", params=["ucf", "xd"])
def published(
    request: pytest.FixtureRequest, golden_dir: Path
) -> tuple[dict[str, torch.Tensor], dict[str, np.ndarray]]:
    """A complete state dict in the layout of the published checkpoints, and numbers that its authors' code gave."""
    state = {
        key: torch.from_numpy(value)
        for key, value in np.load(golden_dir / f"vadclip/{request.param}_state.npz").items()
    }
    return state, dict(np.load(golden_dir / f"vadclip/{request.param}_case.npz"))


def tiny_state(model: CLIPModel) -> dict[str, torch.Tensor]:
    return openai_from_clip(model)


def from_tiny(state: dict[str, torch.Tensor]) -> CLIPModel:
    return clip_from_openai(state, vision_head_width=16, text_head_width=16)


def test_image_features_are_those_of_the_published_code(published):
    state, case = published
    model = clip_from_openai(state)
    with torch.inference_mode():
        pooled = model.vision_model(pixel_values=torch.from_numpy(case["image"])).pooler_output
        features = model.visual_projection(pooled)
    assert_allclose(features, case["image_features"], atol=1e-5)  # 7e-7 found, 1e-4 allowed


def test_a_published_clip_survives_there_and_back(published):
    state, _ = published
    clip_keys = {key for key in state if key.startswith("clipmodel.")}
    back = openai_from_clip(clip_from_openai(state), prefix="clipmodel.")
    assert back.keys() == clip_keys
    assert all(torch.equal(back[key], state[key]) for key in clip_keys)


def test_a_model_survives_there_and_back(model: CLIPModel):
    back = from_tiny(tiny_state(model)).state_dict()
    assert back.keys() == model.state_dict().keys()
    assert all(torch.equal(back[key], value) for key, value in model.state_dict().items())


def test_sizes_follow_from_the_shapes(model: CLIPModel):
    config = from_tiny(tiny_state(model)).config
    assert (config.projection_dim, config.text_config.max_position_embeddings, config.text_config.vocab_size) == (
        24,
        20,
        55,
    )
    vision = config.vision_config
    assert (vision.image_size, vision.patch_size, vision.num_hidden_layers, vision.num_attention_heads) == (32, 8, 2, 3)
    assert config.text_config.eos_token_id == 54


def test_facts_beside_the_weights_are_left_alone(model: CLIPModel):
    facts = {"input_resolution": torch.tensor(32), "context_length": torch.tensor(20), "vocab_size": torch.tensor(55)}
    from_tiny({**tiny_state(model), **facts})


def test_building_uses_up_nobodys_random_numbers(model: CLIPModel):
    before = torch.random.get_rng_state()
    from_tiny(tiny_state(model))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("key", ["visual.proj", "transformer.resblocks.1.ln_2.bias", "ln_final.weight"])
def test_a_missing_key_is_named(model: CLIPModel, key: str):
    state = tiny_state(model)
    del state[key]
    with pytest.raises(BadCheckpoint, match="missing") as caught:
        from_tiny(state)
    assert key.split(".")[-1] in str(caught.value)


def test_an_unknown_key_is_named(model: CLIPModel):
    with pytest.raises(BadCheckpoint, match=r"'visual\.attnpool\.weight' is no part of a CLIP"):
        from_tiny({**tiny_state(model), "visual.attnpool.weight": torch.zeros(1)})


def test_a_wrong_shape_is_named(model: CLIPModel):
    state = tiny_state(model)
    state["transformer.resblocks.0.mlp.c_proj.bias"] = torch.zeros(7)
    with pytest.raises(BadCheckpoint, match=r"mlp\.fc2\.bias has shape \[7\], expected \[32\]"):
        from_tiny(state)


def test_a_resnet_clip_is_refused(model: CLIPModel):
    with pytest.raises(BadCheckpoint, match="sees through a ResNet"):
        from_tiny({**tiny_state(model), "visual.layer1.0.conv1.weight": torch.zeros(1)})
