"""A network that reads clips is kept like any checkpoint, and nobody takes it for one that reads features."""

from __future__ import annotations

import json

import pytest
import torch

from vidlang.core import BadCheckpoint, FeatureRecipe
from vidlang.store.checkpoints import (
    Checkpoint,
    ClipCheckpoint,
    ModelRegistry,
    load_checkpoint,
    load_summary,
    save_checkpoint,
)
from vidlang.store.video_backbones import ClipRecipe

RECIPE = ClipRecipe(num_frames=16, step=2, crop_size=112, short_side=128)


def backbone(method: str = "fame") -> ClipCheckpoint:
    return ClipCheckpoint(method, {"arch": "tiny"}, RECIPE, (), {"stem.weight": torch.arange(6.0).reshape(2, 3)})


def test_a_checkpoint_of_clips_comes_back_with_its_recipe(tmp_path):
    read = load_checkpoint(save_checkpoint(tmp_path / "c", backbone()))
    assert isinstance(read, ClipCheckpoint) and read.recipe == RECIPE and read.class_names == ()
    assert torch.equal(read.state["stem.weight"], torch.arange(6.0).reshape(2, 3))
    facts = json.loads((tmp_path / "c" / "checkpoint.json").read_text())
    assert facts["recipe"] == {"kind": "clips", "num_frames": 16, "step": 2, "crop_size": 112, "short_side": 128}
    assert load_summary(tmp_path / "c").recipe.name == "clips 16x2, 112 px"


def test_the_registry_lists_both_kinds_and_hands_out_the_kind_that_is_asked_for(tmp_path):
    registry = ModelRegistry(tmp_path)
    registry.register(Checkpoint("tca", {}, FeatureRecipe("mini", "r1"), (), {"a": torch.zeros(1)}), "one")
    registry.register(backbone(), "two")
    assert [summary.name for summary in registry.list()] == ["one", "two"]
    assert type(registry.find("tca")) is Checkpoint
    assert registry.find_clips("fame", "two").recipe == RECIPE
    with pytest.raises(BadCheckpoint, match="reads features where a network that reads clips is needed"):
        registry.find_clips("tca")


@pytest.mark.parametrize("change", [{"num_frames": 0}, {"step": "x"}, {"kind": "film"}, {"more": 1}])
def test_a_recipe_that_cannot_be_is_a_damaged_checkpoint(tmp_path, change):
    folder = save_checkpoint(tmp_path / "c", backbone())
    facts = json.loads((folder / "checkpoint.json").read_text())
    facts["recipe"] |= change
    (folder / "checkpoint.json").write_text(json.dumps(facts))
    with pytest.raises(BadCheckpoint, match=r"checkpoint\.json is damaged"):
        load_checkpoint(folder)
