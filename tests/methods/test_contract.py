"""What holds for every method. A new folder under vidlang/methods is tested by existing.

Each method's tests hold a module ``<name>_contract`` with CONFIG (its config class), ``train()`` on a small set, which
returns the first and the last loss and the weights, and ``predict(state, lengths)``, one array per video.
"""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from vidlang.core.errors import UnknownName
from vidlang.methods.base import find_method, list_methods

METHODS = {spec.name: spec for spec in list_methods()}


@pytest.fixture(scope="module", params=METHODS)
def method(request):
    return importlib.import_module(f"{request.param}_contract")


@pytest.fixture(scope="module")
def trained(method):
    return method.train()


@pytest.mark.parametrize("spec", METHODS.values(), ids=METHODS)
def test_the_spec_says_everything(spec):
    assert all(getattr(spec, field.name) for field in dataclasses.fields(spec))
    assert spec.task in ("anomaly", "localization", "retrieval", "representation")
    assert spec.module == f"vidlang.methods.{spec.name}"
    assert spec.paper.startswith("https://")
    assert find_method(spec.name) is spec


def test_a_wrong_name_suggests_the_right_one():
    with pytest.raises(UnknownName, match=r"no method called 'vadclp'\. Did you mean 'vadclip'"):
        find_method("vadclp")


def test_listing_methods_and_their_options_loads_no_torch():
    lines = ["import sys, vidlang.methods.base as b"]
    lines += [f"import {spec.module}.config" for spec in METHODS.values()]
    lines += ["b.list_methods()", "print('torch' in sys.modules)"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_options_are_frozen_and_explained(method):
    config = method.CONFIG()
    fields = dataclasses.fields(config)
    assert all(len(field.metadata.get("help", "")) > 10 for field in fields)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, fields[0].name, getattr(config, fields[0].name))


def test_a_small_set_is_overfitted(trained):
    first, last, _ = trained
    assert last < 0.3 * first


def test_saved_weights_give_the_same_output(method, trained, tmp_path):
    state = trained[2]
    torch.save(state, tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    for before, after in zip(method.predict(state, [3, 9]), method.predict(loaded, [3, 9]), strict=True):
        assert np.array_equal(before, after)


def test_longer_videos_in_the_batch_change_nothing(method, trained):
    """The padding promise of a method's default options."""
    alone = method.predict(trained[2], [3])[0]
    among = method.predict(trained[2], [3, 10, 25])[0]
    np.testing.assert_allclose(among, alone, atol=1e-5)
