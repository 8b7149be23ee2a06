"""Where tests find real and golden data. Both are optional: without them the tests that need them skip and say so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Waiting threads sleep instead of spinning: many small steps on a busy machine are several times faster so.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _shared(name: str) -> Path:
    root = Path(os.environ.get("VIDLANG_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    folder = root / name
    if not folder.is_dir():
        pytest.skip(f"needs the folder {name!r} of the shared development data ($VIDLANG_SHARED)")
    return folder


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    return _shared("golden")


@pytest.fixture(scope="session")
def shared_data_dir() -> Path:
    return _shared("data")


@pytest.fixture(scope="session")
def shared_models_dir() -> Path:
    return _shared("models")
