"""Options and presets."""

from __future__ import annotations

import json

import pytest

from vidlang.core.errors import BadInput, UnknownName
from vidlang.methods.vadclip.config import PRESET_PROMPTS, PRESETS, VadClipConfig, preset


def test_presets_carry_the_published_numbers():
    ucf, xd = preset("ucf-crime"), preset("xd-violence")
    assert (ucf.attn_layers, ucf.attn_window, ucf.learning_rate, ucf.lr_milestones) == (2, 8, 2e-5, (4, 8))
    assert (xd.attn_layers, xd.attn_window, xd.learning_rate, xd.lr_milestones) == (1, 64, 1e-5, (3, 6, 10))
    assert (ucf.batch_size, ucf.batches, ucf.contrastive_weight, ucf.seed) == (64, "balanced", 0.1, 234)
    assert (xd.batch_size, xd.batches, xd.contrastive_weight, xd.multi_label) == (96, "plain", 1e-4, True)
    assert len(PRESET_PROMPTS["ucf-crime"]) == 14
    assert len(PRESET_PROMPTS["xd-violence-paper"]) == 7


def test_paper_presets_differ_where_the_paper_does():
    paper, code = preset("ucf-crime-paper"), preset("ucf-crime")
    for name in ("windows", "activation", "similarity_graph", "distance_graph", "graph_layers", "text_fusion"):
        assert getattr(paper, name) != getattr(code, name)
    assert paper.visual_prompt_weights == "sigmoid"
    assert paper.learning_rate == 1e-5
    assert preset("xd-violence-paper").epochs == 20


@pytest.mark.parametrize("name", PRESETS)
def test_configs_survive_json(name):
    config = PRESETS[name]
    assert VadClipConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_wrong_names_and_values_are_refused():
    with pytest.raises(UnknownName, match="no VadCLIP preset called 'ucf'"):
        preset("ucf")
    with pytest.raises(UnknownName, match="Did you mean 'epochs'"):
        preset("custom", epoch=3)
    with pytest.raises(BadInput, match="padding must be one of leak, masked, got 'none'"):
        preset("custom", padding="none")
    with pytest.raises(BadInput, match="attn_window must be at least 1, got 0"):
        preset("custom", attn_window=0)
    with pytest.raises(ValueError, match="learning_rate must be positive"):
        VadClipConfig(learning_rate=0.0)
