"""Options: the published numbers, values that survive JSON, contradictions that are refused, one option per field."""

from __future__ import annotations

import dataclasses
import json

import pytest

from vidlang.cli.options import given, options_from
from vidlang.core.errors import BadInput, UnknownName
from vidlang.methods.fame.config import PRESETS, FameConfig, FinetuneConfig, LinearConfig, preset, recognition

CONFIGS = [*PRESETS.values(), FinetuneConfig(), LinearConfig()]


def test_the_default_is_the_small_preset():
    assert preset("small") == FameConfig()
    assert FameConfig().arch == "tiny"


def test_the_published_presets_have_the_published_numbers():
    ucf, kinetics = preset("ucf101"), preset("kinetics")
    for config in (ucf, kinetics):
        assert (config.num_frames, config.step, config.batch_size, config.epochs) == (16, 2, 64, 200)
        assert (config.learning_rate, config.sgd_momentum, config.weight_decay) == (0.01, 0.9, 1e-4)
        assert (config.dim, config.key_momentum, config.temperature, config.schedule) == (128, 0.999, 0.1, "cosine")
        assert (config.mask, config.hue, config.beta, config.views) == ("fame", "reference", 0.5, "single")
        assert (config.crop_scale, config.crop_ratio) == ((0.2, 1.0), (3 / 4, 4 / 3))
        assert (config.grey, config.jitter, config.blur, config.blur_sd) == (0.2, 0.8, 0.5, (0.1, 2.0))
        assert (config.brightness, config.contrast, config.saturation, config.hue_shift) == (0.4, 0.4, 0.4, 0.1)
        assert (config.blur_draw, config.short_side, config.min_batches) == ("run", 0, 1)
    assert (ucf.arch, ucf.crop_size, ucf.queue_size) == ("r2plus1d_18", 112, 2048)
    assert (kinetics.arch, kinetics.crop_size, kinetics.queue_size) == ("i3d", 224, 65536)


def test_recognition_has_the_published_numbers():
    tuned, probe = recognition("finetune"), recognition("linear")
    assert (tuned.batch_size, tuned.epochs, tuned.learning_rate, tuned.weight_decay) == (128, 150, 0.025, 1e-4)
    assert (tuned.lr_milestones, tuned.lr_gamma, tuned.dropout, tuned.seed) == ((60, 120), 0.1, 0.7, 42)
    assert (probe.epochs, probe.learning_rate, probe.weight_decay, probe.lr_milestones) == (100, 30.0, 0.0, (60, 80))
    assert tuned.test_clips == probe.test_clips == 10
    assert not tuned.frozen
    assert probe.frozen


def test_recognition_reads_clips_as_the_pretraining_did():
    probe = recognition("linear", preset("small", crop_size=48, short_side=60), epochs=3)
    assert (probe.arch, probe.num_frames, probe.step, probe.crop_size, probe.short_side) == ("tiny", 8, 2, 48, 60)
    assert (probe.batch_size, probe.epochs) == (16, 3)
    tuned = recognition("finetune", preset("ucf101"))
    assert (tuned.arch, tuned.crop_size, tuned.short_side, tuned.batch_size) == ("r2plus1d_18", 112, 128, 128)


@pytest.mark.parametrize("config", CONFIGS, ids=[*PRESETS, "finetune", "linear"])
def test_options_survive_json(config):
    assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("kind", [FameConfig, FinetuneConfig, LinearConfig])
def test_every_option_is_explained_and_can_be_given_on_the_command_line(kind):
    fields = dataclasses.fields(kind)
    assert all(len(item.metadata["help"]) > 10 for item in fields)
    assert [option.name for option in options_from(kind, "FAME")] == [item.name for item in fields]
    assert given(kind, {"crop_scale": "0.5,0.9", "lr_milestones": "3,4", "flip": None}) == {
        "crop_scale": (0.5, 0.9),
        "lr_milestones": (3, 4),
    }


def test_unknown_names_suggest_known_ones():
    with pytest.raises(UnknownName, match=r"no FAME preset called 'ucf'\. Did you mean 'ucf101'"):
        preset("ucf")
    with pytest.raises(UnknownName, match=r"no FAME option called 'batchsize'\. Did you mean 'batch_size'"):
        preset("small", batchsize=2)
    with pytest.raises(UnknownName, match="no kind of FAME recognition called 'probe'"):
        recognition("probe")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask": "motion"}, "mask must be one of fame, seed, grid, gauss, none, got 'motion'"),
        ({"beta": 0.0}, "beta 0 leaves nothing of a clip but another's background; FAME is off with mask none"),
        ({"beta": 1.5}, "beta must be between 0 and 1"),
        ({"num_frames": 1}, "num_frames must be at least 2"),
        ({"short_side": 32}, "short_side must be 0 or at least crop_size 64, got 32"),
        ({"queue_size": 500}, "queue_size must be a multiple of batch_size 16, got 500; 496 would do"),
        ({"queue_size": 8}, "queue_size must be a multiple of batch_size 16, got 8; 16 would do"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"crop_scale": (0.2, 1.2)}, "crop_scale must be two numbers, 0 < least <= greatest <= 1"),
        ({"crop_scale": (0.2,)}, "crop_scale must be two numbers"),
        ({"crop_ratio": (2.0, 1.0)}, "crop_ratio must be two numbers, 0 < least <= greatest"),
        ({"blur_sd": (0.0, 1.0)}, "blur_sd must be two numbers, 0 < least <= greatest"),
        ({"hue_shift": 0.6}, "hue_shift must be between 0 and 0.5"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive"),
        ({"weight_decay": -1.0}, "weight_decay must not be negative"),
        ({"lr_milestones": (9, 3)}, "lr_milestones must ascend"),
        ({"epochs": 0}, "epochs must be at least 1"),
    ],
)
def test_contradictions_are_refused(changes, message):
    with pytest.raises(BadInput, match="FAME cannot be set up so: ") as caught:
        preset("small", **changes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("linear", {"keep_features": True}, "keep_features needs augment none"),
        ("finetune", {"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ("finetune", {"test_clips": 0}, "test_clips must be at least 1"),
        ("linear", {"augment": "some"}, "augment must be one of published, none"),
    ],
)
def test_contradictions_of_recognition_are_refused(kind, changes, message):
    with pytest.raises(BadInput, match=message):
        recognition(kind, **changes)
