"""What every method's tests use. This folder and its sub-folders are importable: helpers lie beside the tests."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(path) for path in (HERE, *HERE.iterdir()) if path.is_dir()]

import pytest  # noqa: E402
import torch  # noqa: E402
from text_tower import random_tower  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Small tensors: more threads cost more than they bring, and one adds in the same order everywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tower():
    """A random text tower: joint dimension 32, width 64, 40 positions."""
    return random_tower()
