"""Recorded numbers of the published implementation: where they lie, and how tests read them.

``from tca_golden import arrays, needs_golden, results, sequences, weights``; a test that reads them is marked
``@needs_golden`` and skips with a reason where they are absent. Nothing is read at import.
"""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

GOLDEN = Path(os.environ.get("VIDLANG_SHARED", Path(__file__).resolve().parents[4] / "shared")) / "golden" / "tca"

needs_golden = pytest.mark.skipif(
    not (GOLDEN / "results.json").is_file(), reason="needs golden/tca of the shared development data ($VIDLANG_SHARED)"
)


def arrays(name: str) -> dict[str, NDArray[Any]]:
    """Arrays of ``<name>.npz``: encoder, baselines, memory_bank, losses, similarity, pca, region_pooling, eval_*."""
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def tensors(name: str) -> dict[str, torch.Tensor]:
    """The same arrays as tensors of the recorded dtype (strings left out)."""
    return {key: torch.from_numpy(value) for key, value in arrays(name).items() if value.dtype.kind in "biuf"}


def weights(name: str, prefix: str = "") -> dict[str, torch.Tensor]:
    """Tensors of ``<name>_weights.safetensors`` whose key starts with ``prefix``, which is taken off."""
    from safetensors.torch import load_file

    state = load_file(GOLDEN / f"{name}_weights.safetensors")
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def results() -> dict[str, Any]:
    """What is recorded as JSON: losses, frame_sampling, center_crop_256, pad_or_crop, eval, config."""
    return json.loads((GOLDEN / "results.json").read_text(encoding="utf-8"))


def annotation(name: str) -> Any:
    """``eval_<name>_annotation.json``: cc_web, evve, fivr, vcdb."""
    return json.loads((GOLDEN / f"eval_{name}_annotation.json").read_text(encoding="utf-8"))


def sequences(stored: dict[str, NDArray[Any]], name: str) -> list[NDArray[Any]]:
    """``<name>_flat`` cut at ``<name>_offsets``: one array per clip."""
    offsets = stored[f"{name}_offsets"]
    return [stored[f"{name}_flat"][first:last] for first, last in itertools.pairwise(offsets)]


def largest_difference(ours: Any, theirs: Any) -> float:
    """The largest absolute difference of two arrays or tensors of one shape."""
    first, second = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    assert first.shape == second.shape, f"shapes {first.shape} and {second.shape}"
    return float(np.abs(first - second).max(initial=0.0))
