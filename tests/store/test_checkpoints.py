"""Weights come back to the bit; what does not fit is refused in one line; nothing unpickles code."""

import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import zipfile
from datetime import datetime

import numpy as np
import pytest
import torch

from vidlang.core import BadCheckpoint, BadInput, FeatureRecipe, UnknownName
from vidlang.store.checkpoints import (
    Checkpoint,
    ModelRegistry,
    load_checkpoint,
    load_summary,
    load_train_state,
    read_torch_state,
    save_checkpoint,
    save_train_state,
    write_torch_state,
)


def some_checkpoint(method="vadclip", seed=0):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(4, 3, generator=generator)
    state = {
        "a.weight": weight,
        "a.tied": weight,  # shares memory
        "a.view": weight.t(),  # not contiguous
        "half": weight.to(torch.bfloat16),
        "count": torch.tensor(7),
        "empty": torch.zeros(0, 5),
    }
    return Checkpoint(
        method,
        {"width": 4, "layers": [1, 2]},
        FeatureRecipe("mini", "r1"),
        ("normal", "fight"),
        state,
        {"auc": 0.1 + 0.2, "ap": float("nan")},
        {"prompts": ["a photo of é"], "preset": "custom"},
    )


def assert_same_state(one, other):
    assert one.keys() == other.keys()
    assert all(one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one)


def test_a_checkpoint_comes_back_exactly(tmp_path):
    written = some_checkpoint()
    read = load_checkpoint(save_checkpoint(tmp_path / "c", written))
    assert_same_state(written.state, read.state)
    assert (read.method, read.config, read.recipe, read.class_names, read.extra) == (
        written.method, written.config, written.recipe, written.class_names, written.extra)  # fmt: skip
    assert read.metrics["auc"] == written.metrics["auc"] and np.isnan(read.metrics["ap"])
    assert sorted(os.listdir(tmp_path / "c")) == ["checkpoint.json", "model.safetensors"]


def test_a_summary_needs_neither_torch_nor_safetensors(tmp_path):
    folder = save_checkpoint(tmp_path / "vadclip" / "c", some_checkpoint())
    script = (
        "import sys; from pathlib import Path\n"
        "from vidlang.store.checkpoints import ModelRegistry, load_summary\n"
        "load_summary(Path(sys.argv[1])); assert len(ModelRegistry(Path(sys.argv[2])).list()) == 1\n"
        "import vidlang.store.feature_cache, vidlang.store.results, vidlang.store.npy\n"
        "assert not {'torch', 'safetensors', 'h5py'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(folder), str(tmp_path)], check=True)


def test_saving_again_replaces_the_whole(tmp_path):
    save_checkpoint(tmp_path / "c", some_checkpoint())
    save_checkpoint(tmp_path / "c", some_checkpoint(seed=1))
    assert_same_state(load_checkpoint(tmp_path / "c").state, some_checkpoint(seed=1).state)
    assert os.listdir(tmp_path) == ["c"]


def edit(path, **changes):
    fields = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in fields.items() if value != "gone"}))


def test_what_does_not_fit_is_refused_in_one_line(tmp_path):
    folder = save_checkpoint(tmp_path / "c", some_checkpoint())
    facts, weights = folder / "checkpoint.json", folder / "model.safetensors"
    good_facts, good_weights = facts.read_text(), weights.read_bytes()

    def refused(match):
        with pytest.raises(BadCheckpoint, match=match) as caught:
            load_checkpoint(folder)
        assert "\n" not in str(caught.value)
        facts.write_text(good_facts)
        weights.write_bytes(good_weights)

    edit(facts, schema="vidlang.checkpoint/9")
    refused("schema 'vidlang.checkpoint/9', this vidlang reads .* Update vidlang")
    edit(facts, recipe="gone")
    refused("'recipe' is missing")
    facts.write_text("{")
    refused(r"checkpoint\.json does not read as JSON")
    weights.write_bytes(good_weights[:-1])
    refused(r"model\.safetensors is not the file that was saved beside its JSON")
    weights.unlink()
    refused(r"model\.safetensors is missing")
    with pytest.raises(BadCheckpoint, match=r"no checkpoint\.json in .*nowhere\. Give a folder made by"):
        load_summary(tmp_path / "nowhere")


def test_facts_that_json_cannot_hold_are_refused_before_anything_is_written(tmp_path):
    bad = Checkpoint("vadclip", {"path": tmp_path}, FeatureRecipe("mini", "r"), ("normal",), {})
    with pytest.raises(ValueError, match="config and extra must be ready for JSON"):
        save_checkpoint(tmp_path / "c", bad)
    assert os.listdir(tmp_path) == []


# -- registry --------------------------------------------------------------------------------------------------------


def test_names_by_time_sort_and_the_newest_is_the_default(tmp_path):
    registry = ModelRegistry(tmp_path / "models")
    assert not registry.has("vadclip")
    paths = [registry.register(some_checkpoint(seed=seed)) for seed in range(12)]
    assert sorted(paths) == paths and len(set(paths)) == 12
    assert [summary.path for summary in registry.list("vadclip")] == paths
    os.utime(paths[0] / "checkpoint.json", (2e9, 2e9))  # a copy with another date
    assert_same_state(registry.newest("vadclip").state, some_checkpoint(seed=11).state)
    assert registry.folder("vadclip") == paths[-1] and registry.has("vadclip")


def test_the_newest_is_told_by_what_is_written_inside(tmp_path):
    registry = ModelRegistry(tmp_path)
    first, second = (registry.register(some_checkpoint(), name) for name in ("z", "a"))
    assert registry.folder("vadclip") == second
    later = datetime.fromisoformat(json.loads((second / "checkpoint.json").read_text())["created"]).replace(year=2999)
    edit(first / "checkpoint.json", created=later.isoformat())
    assert registry.folder("vadclip") == first


def test_find_takes_a_name_or_a_path(tmp_path):
    registry = ModelRegistry(tmp_path / "models")
    folder = registry.register(some_checkpoint(), "night")
    elsewhere = tmp_path / "copied"
    shutil.copytree(folder, elsewhere)
    for name in ("night", str(elsewhere), elsewhere, elsewhere / "model.safetensors", None):
        assert registry.find("vadclip", name).class_names == ("normal", "fight")


def test_unknown_names_suggest_and_other_methods_are_refused(tmp_path):
    registry = ModelRegistry(tmp_path / "models")
    with pytest.raises(BadCheckpoint, match=r"no vadclip checkpoint in .* Run: vidlang train vadclip"):
        registry.newest("vadclip")
    registry.register(some_checkpoint(), "night")
    other = registry.register(some_checkpoint("tca"), "day")
    with pytest.raises(UnknownName, match="Did you mean 'night'"):
        registry.find("vadclip", "nihgt")
    with pytest.raises(BadCheckpoint, match="is a tca checkpoint where one of vadclip is needed"):
        registry.find("vadclip", other)
    (tmp_path / "model_ucf.pth").touch()
    with pytest.raises(BadCheckpoint, match="Import it first: vidlang models import vadclip"):
        registry.find("vadclip", tmp_path / "model_ucf.pth")


def test_a_taken_or_impossible_name_is_refused(tmp_path):
    registry = ModelRegistry(tmp_path / "models")
    registry.register(some_checkpoint(), "night")
    with pytest.raises(BadInput, match="already"):
        registry.register(some_checkpoint(seed=1), "night")
    for name in ("../up", "a/b", "CON", "a:b", ".hidden"):
        with pytest.raises(BadInput, match="cannot be called"):
            registry.register(some_checkpoint(), name)
    registry.register(some_checkpoint(seed=1), "night", replace=True)
    assert_same_state(registry.find("vadclip", "night").state, some_checkpoint(seed=1).state)


def test_a_damaged_checkpoint_hides_no_other(tmp_path, caplog):
    registry = ModelRegistry(tmp_path)
    registry.register(some_checkpoint(), "good")
    (registry.register(some_checkpoint(), "bad") / "checkpoint.json").write_text("{")
    assert [summary.name for summary in registry.list()] == ["good"]
    assert "bad is skipped" in caplog.text


# -- training states -------------------------------------------------------------------------------------------------


def test_random_states_go_on_where_they_stopped(tmp_path):
    generator = torch.Generator().manual_seed(3)
    numpy_random, python_random = np.random.default_rng(3), random.Random(3)
    tensors = {"random/torch": generator.get_state(), "optimizer/a/exp_avg": torch.randn(3)}
    numbers = {"epoch": 4, "numpy": numpy_random.bit_generator.state, "python": python_random.getstate(), "loss": 1 / 3}
    save_train_state(tmp_path / "run", tensors, numbers)
    expected = torch.rand(2, generator=generator), numpy_random.random(2), python_random.random()

    read, facts = load_train_state(tmp_path / "run")
    assert_same_state(tensors, read)
    assert facts["epoch"] == 4 and facts["loss"] == 1 / 3
    generator.set_state(read["random/torch"])
    numpy_random.bit_generator.state = facts["numpy"]
    version, internal, gauss = facts["python"]
    python_random.setstate((version, tuple(internal), gauss))
    assert torch.equal(torch.rand(2, generator=generator), expected[0])
    assert np.array_equal(numpy_random.random(2), expected[1]) and python_random.random() == expected[2]


def test_a_state_replaces_the_last_and_a_failure_keeps_it(tmp_path):
    for epoch in (1, 2):
        save_train_state(tmp_path, {"a": torch.full((2,), float(epoch))}, {"epoch": epoch})
    assert len(os.listdir(tmp_path)) == 2
    with pytest.raises(ValueError, match="numbers must be ready for JSON"):
        save_train_state(tmp_path, {"a": torch.zeros(2)}, {"epoch": object()})
    (tmp_path / "tensors-deadbeef.safetensors").touch()  # a kill before state.json was replaced
    tensors, numbers = load_train_state(tmp_path)
    assert tensors["a"].tolist() == [2.0, 2.0] and numbers == {"epoch": 2}


def test_a_bad_state_is_refused(tmp_path):
    with pytest.raises(BadCheckpoint, match=r"no state\.json in .* Start the training anew"):
        load_train_state(tmp_path)
    save_train_state(tmp_path, {"a": torch.zeros(2)}, {})
    edit(tmp_path / "state.json", tensors="../../other.safetensors")
    with pytest.raises(BadCheckpoint, match="is damaged"):
        load_train_state(tmp_path)
    edit(tmp_path / "state.json", schema="vidlang.train_state/2")
    with pytest.raises(BadCheckpoint, match="schema"):
        load_train_state(tmp_path)


# -- PyTorch files ---------------------------------------------------------------------------------------------------


def test_plain_wrapped_and_safetensors_files_read_alike(tmp_path):
    state = {"a.weight": torch.randn(2, 3), "b": torch.tensor(1)}
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))]).state_dict()
    torch.save(state, tmp_path / "plain.pth")
    torch.save({"epoch": 3, "model_state_dict": state, "optimizer_state_dict": optimizer}, tmp_path / "wrapped.pth")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("plain.pth", "wrapped.pth", "old.pth"):
        assert_same_state(read_torch_state(tmp_path / name), state)
    folder = save_checkpoint(tmp_path / "c", Checkpoint("m", {}, FeatureRecipe("e", "r"), ("n",), state))
    assert_same_state(read_torch_state(folder / "model.safetensors"), state)
    assert_same_state(read_torch_state(write_torch_state(tmp_path / "out.pth", state)), state)


@pytest.mark.parametrize("numpy_core", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_a_metric_kept_as_a_numpy_number_is_harmless(tmp_path, numpy_core):
    state = {"a": torch.ones(2)}
    torch.save({"model_state_dict": state, "ap": np.float64(0.86)}, tmp_path / "made.pth")
    with zipfile.ZipFile(tmp_path / "made.pth") as made, zipfile.ZipFile(tmp_path / "checkpoint.pth", "w") as target:
        for name in made.namelist():
            target.writestr(name, made.read(name).replace(b"numpy._core.multiarray", numpy_core))
    assert_same_state(read_torch_state(tmp_path / "checkpoint.pth"), state)


class Trap:
    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return (open, (str(self.victim), "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("new_format", [True, False])
def test_a_file_that_would_run_code_is_refused_and_nothing_ran(tmp_path, new_format):
    victim, path = tmp_path / "victim", tmp_path / "evil.pth"
    torch.save({"model_state_dict": {"a": torch.ones(1)}, "x": Trap(victim)}, path,
               _use_new_zipfile_serialization=new_format)  # fmt: skip
    with pytest.raises(BadCheckpoint, match=r"evil\.pth holds Python objects.*Save its state_dict alone") as caught:
        read_torch_state(path)
    assert not victim.exists() and "\n" not in str(caught.value)
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Trap(victim)))
    with pytest.raises(BadCheckpoint):
        read_torch_state(tmp_path / "raw.pth")
    assert not victim.exists()


def test_a_whole_module_and_other_content_are_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(BadCheckpoint, match="holds Python objects"):
        read_torch_state(tmp_path / "module.pth")
    torch.save({"a": torch.ones(1), "epoch": 3}, tmp_path / "mixed.pth")
    with pytest.raises(BadCheckpoint, match="holds 'epoch', which is not a tensor"):
        read_torch_state(tmp_path / "mixed.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(BadCheckpoint, match="holds a list"):
        read_torch_state(tmp_path / "list.pth")
    (tmp_path / "torn.pth").write_bytes((tmp_path / "mixed.pth").read_bytes()[:300])
    with pytest.raises(BadCheckpoint, match=r"torn\.pth"):
        read_torch_state(tmp_path / "torn.pth")
    with pytest.raises(BadCheckpoint, match="no file"):
        read_torch_state(tmp_path / "none.pth")
