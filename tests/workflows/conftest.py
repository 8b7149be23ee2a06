"""Films of known colours, an encoder that reads them, and a text tower of random weights: no weights, no network."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "methods"))  # text_tower.py

import pytest
import torch
from stand_ins import ColourEncoder, Notes

from vidlang.store.feature_cache import FeatureCache
from vidlang.store.workspace import Settings, Workspace


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Small tensors: more threads cost more than they bring, and one adds in the same order everywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "workspace" / "cache")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace", Settings(encoder="mini"))


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> ColourEncoder:
    """Loaded wherever a workflow loads an encoder, whatever the name."""
    encoder = ColourEncoder()
    monkeypatch.setattr("vidlang.encoders.clip.load_encoder", _loader(encoder))
    return encoder


def _loader(encoder: ColourEncoder) -> Callable[..., ColourEncoder]:
    def load(name: str, **options: object) -> ColourEncoder:
        encoder.loaded_as.append(name)
        return encoder

    return load
