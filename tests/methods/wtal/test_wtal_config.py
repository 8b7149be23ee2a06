"""Options: presets, values that survive JSON, contradictions that are refused."""

from __future__ import annotations

import json

import pytest

from vidlang.core.errors import BadInput, UnknownName
from vidlang.methods.wtal.config import PRESETS, WtalConfig, preset


def test_the_default_is_the_robust_preset():
    assert preset("robust") == WtalConfig()


def test_the_paper_preset_has_the_numbers_of_the_paper():
    paper = preset("paper")
    assert (paper.delta_high, paper.delta_low) == (0.3, 0.1)
    assert (paper.fb_weight, paper.fb_temperature) == (0.05, 0.07)
    assert (paper.prompt_prefix, paper.prompt_postfix, paper.vlp_layers) == (16, 16, 2)
    assert (paper.learning_rate, paper.num_rows) == (1e-4, 1000)
    assert not paper.background
    assert not paper.keep_cls
    assert (paper.kd, paper.kd_frames, paper.conflicts) == ("bernoulli", "both", "keep")


@pytest.mark.parametrize("name", PRESETS)
def test_options_survive_json(name):
    config = preset(name, rounds=2, logit_scale="14.3")
    assert WtalConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_unknown_names_suggest_known_ones():
    with pytest.raises(UnknownName, match=r"no WTAL preset called 'robst'\. Did you mean 'robust'"):
        preset("robst")
    with pytest.raises(UnknownName, match=r"no WTAL option called 'delta_hi'\. Did you mean 'delta_high'"):
        preset("robust", delta_hi=0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"background": False}, "kd categorical needs the background column"),
        ({"background": False, "kd": "bernoulli", "cbp": "conv"}, "cbp conv learns its attention from the background"),
        ({"delta_low": 0.6}, "0 < delta_low <= delta_high < 1, got 0.6 and 0.5"),
        ({"delta_low": 0.0}, "0 < delta_low"),
        ({"no_kd": True, "no_fb": True, "keep_cls": False}, "leave no loss"),
        ({"freeze_prompts": True, "vlp_layers": 0}, "leaves B nothing to train"),
        ({"stop_growth": 0.9}, "stop_growth must be above 1, or 0"),
        ({"kernel": 4}, "kernel must be odd"),
        ({"cbp_width": 30}, "cbp_heads must divide cbp_width 30"),
        ({"cbp_width": 9, "cbp_heads": 3}, "cbp_width must be even"),
        ({"logit_scale": "big"}, "logit_scale must be clip, learn or a positive number, got 'big'"),
        ({"logit_scale": "-1"}, "logit_scale must be clip, learn or a positive number"),
        ({"background_text": " "}, "background_text must have words"),
        ({"steps": "FB"}, "steps must be one of BF, B, F"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"rounds": -1}, "rounds must not be negative"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"input_dropout": 1.0}, "input_dropout must be at least 0 and below 1"),
    ],
)
def test_contradictions_are_refused(changes, message):
    with pytest.raises(BadInput, match="WTAL cannot be set up so: ") as caught:
        preset("robust", **changes)
    assert message in str(caught.value)


def test_what_looks_like_a_contradiction_and_is_none():
    preset("robust", no_kd=True, no_fb=True, keep_cls=False, rounds=0)
    preset("robust", freeze_prompts=True, vlp_layers=0, steps="F")
    preset("robust", freeze_prompts=True, vlp_layers=0, logit_scale="learn")
    preset("robust", delta_high=0.3, delta_low=0.3)  # the ablation without a gap


@pytest.mark.parametrize(("value", "scale"), [("clip", 87.0), ("learn", 87.0), ("14.3", 14.3)])
def test_the_logit_scale_is_the_encoders_or_a_number(value, scale):
    assert WtalConfig(logit_scale=value).scale_of(87.0) == scale
