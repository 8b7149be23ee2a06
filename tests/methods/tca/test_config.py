"""Options and presets."""

from __future__ import annotations

import json

import pytest

from vidlang.core.errors import BadInput, UnknownName
from vidlang.methods.tca.config import PRESETS, TcaConfig, preset


def test_presets_carry_the_published_numbers():
    paper, code = preset("paper"), preset("code")
    for config in (paper, code):
        assert (config.encoder, config.num_layers, config.num_heads, config.feedforward) == ("transformer", 1, 8, 2048)
        assert (config.bank_columns, config.num_negatives, config.batch_size, config.momentum) == (4096, 16, 64, 0.0)
        assert (config.learning_rate, config.weight_decay, config.epochs, config.schedule) == (1e-5, 1e-4, 40, "cosine")
        assert (config.margin, config.gamma) == (0.25, 256.0)
        assert not config.residual
        assert not config.temporal_edits
    assert (paper.dropout, paper.window, paper.loss, paper.bank_order) == (0.5, 64, "circle", "before")
    assert (code.dropout, code.window, code.loss, code.bank_order) == (0.2, 300, "circle-as-shipped", "after")


def test_paper_and_code_differ_only_where_they_do():
    paper, code = preset("paper").to_dict(), preset("code").to_dict()
    differing = {name for name in paper if paper[name] != code[name]}
    assert differing == {"dropout", "window", "crop_starts", "loss", "temperature", "bank_order"}


def test_published_vlads_have_their_own_numbers_of_clusters():
    assert preset("code", encoder="netvlad").clusters == 256
    assert preset("code", encoder="nextvlad").clusters == 64
    assert preset("custom", encoder="netvlad", num_clusters=5).clusters == 5


def test_a_bank_of_size_0_holds_sixteen_steps():
    assert preset("custom", batch_size=10, num_negatives=3).bank_columns == 480


@pytest.mark.parametrize("name", PRESETS)
def test_configs_survive_json(name):
    config = PRESETS[name]
    assert TcaConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_bank_that_steps_do_not_fill_evenly_is_refused_with_sizes_that_would_do():
    with pytest.raises(BadInput, match=r"multiple of the 384 keys of a step \(batch_size 24 times num_negatives 16\)"):
        preset("paper", batch_size=24)
    with pytest.raises(BadInput, match=r"got 4096; 3840 or 4224 would do\.$"):
        preset("paper", batch_size=24)
    # 8 processes of 64 anchors with 16 negatives each, as the published command starts: twice the bank
    with pytest.raises(BadInput, match=r"the 8192 keys of a step .* got 4096; 8192 would do"):
        preset("code", batch_size=8 * 64)
    for size in (3840, 4224):
        assert preset("paper", batch_size=24, bank_size=size).bank_columns == size


def test_wrong_names_and_values_are_refused():
    with pytest.raises(UnknownName, match=r"no TCA preset called 'papr'.*Did you mean 'paper'"):
        preset("papr")
    with pytest.raises(UnknownName, match=r"no TCA option called 'epoch'.*Did you mean 'epochs'"):
        preset("custom", epoch=3)
    with pytest.raises(BadInput, match="loss must be one of infonce, circle, circle-as-shipped, triplet, got 'nce'"):
        preset("custom", loss="nce")
    with pytest.raises(BadInput, match="window must be at least 1, got 0"):
        preset("custom", window=0)
    with pytest.raises(BadInput, match="momentum must be at least 0 and below 1, got 1"):
        preset("custom", momentum=1.0)
    with pytest.raises(BadInput, match="temperature must be positive, got 0"):
        preset("custom", temperature=0.0)
    with pytest.raises(BadInput, match="bank_start empty needs bank_order before"):
        preset("custom", bank_order="after")
    with pytest.raises(BadInput, match="batch_size must be at least 2 with netvlad"):
        preset("custom", encoder="netvlad", batch_size=1)
    with pytest.raises(ValueError, match="learning_rate must be positive"):
        TcaConfig(learning_rate=0.0)
