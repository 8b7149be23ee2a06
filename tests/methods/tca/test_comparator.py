"""The comparator against plain loops and the recorded maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tca_golden import arrays, largest_difference, needs_golden, sequences, weights
from torch.testing import assert_close

from vidlang.core.errors import BadCheckpoint
from vidlang.methods.tca.comparator import Comparator, comparator_similarity, load_comparator

SHAPES = {
    "conv1.weight": (32, 1, 3, 3), "conv1.bias": (32,), "conv2.weight": (64, 32, 3, 3), "conv2.bias": (64,),
    "conv3.weight": (128, 64, 3, 3), "conv3.bias": (128,), "fconv.weight": (1, 128, 1, 1), "fconv.bias": (1,),
}  # fmt: skip


@pytest.fixture
def comparator():
    torch.manual_seed(0)
    return load_comparator({name: 0.2 * torch.randn(shape) for name, shape in SHAPES.items()})


def plain_layer(maps: np.ndarray, weight: np.ndarray, bias: np.ndarray, halve: bool) -> np.ndarray:
    """[C, H, W] → replicated border, 3 x 3 convolution, ReLU, and the best of each 2 x 2."""
    height, width = maps.shape[1:]
    bordered = np.pad(maps, ((0, 0), (1, 1), (1, 1)), mode="edge")
    done = np.zeros((len(weight), height, width))
    for y in range(height):
        for x in range(width):
            done[:, y, x] = np.maximum((weight * bordered[:, y : y + 3, x : x + 3]).sum((1, 2, 3)) + bias, 0)
    if not halve:
        return done
    done = done[:, : height // 2 * 2, : width // 2 * 2]
    return done.reshape(len(done), height // 2, 2, width // 2, 2).max((2, 4))


@pytest.mark.parametrize("shape", [(4, 4), (5, 9), (11, 6)])
def test_the_network_equals_plain_loops(comparator, shape):
    state = {name: value.double().numpy() for name, value in comparator.state_dict().items()}
    similarity = np.random.default_rng(0).uniform(-1, 1, shape)
    maps = similarity[None]
    for name, halve in (("conv1", True), ("conv2", True), ("conv3", False)):
        maps = plain_layer(maps, state[f"{name}.weight"], state[f"{name}.bias"], halve)
    maps = np.tensordot(state["fconv.weight"][0, :, 0, 0], maps, 1) + state["fconv.bias"]
    expected = np.clip(maps, -1, 1) / 2 + 0.5
    assert largest_difference(comparator(torch.from_numpy(similarity).float()), expected) <= 1e-4


def test_the_map_has_a_quarter_of_the_rows(comparator):
    for rows, columns in ((4, 4), (7, 8), (100, 33)):
        assert comparator(torch.rand(rows, columns)).shape == (rows // 4, columns // 4)


@pytest.mark.parametrize("num_rows", [1, 2, 3])
def test_short_videos_are_repeated_to_four_rows(comparator, num_rows):
    short = torch.rand(num_rows, 9)
    order = [row % num_rows for row in range(4)]
    assert_close(comparator(short), comparator(short[order]))
    assert_close(comparator(short.T), comparator(short[order].T))
    assert comparator(torch.rand(num_rows, 1)).shape == (1, 1)


def test_symmetric_is_the_mean_of_both_directions(comparator):
    similarity = torch.rand(9, 14)
    there, back = comparator_similarity(comparator, similarity), comparator_similarity(comparator, similarity.T)
    assert there == pytest.approx(float(comparator(similarity).max(1).values.mean()))
    assert comparator_similarity(comparator, similarity, symmetric=True) == pytest.approx((there + back) / 2)
    assert comparator_similarity(comparator, similarity.T, symmetric=True) == pytest.approx((there + back) / 2)


def test_a_video_without_rows_is_refused(comparator):
    with pytest.raises(ValueError, match="at least one row"):
        comparator_similarity(comparator, torch.zeros(0, 5))


def test_the_state_has_the_published_names_and_shapes():
    assert {name: tuple(value.shape) for name, value in Comparator().state_dict().items()} == SHAPES


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"conv2.bias": None}, r"conv2\.bias is missing"),
        ({"conv2.weight": torch.zeros(64, 16, 3, 3)}, r"conv2\.weight .* \(64, 16, 3, 3\), .* \(64, 32, 3, 3\)"),
        ({"fconv.bias": torch.tensor([torch.nan])}, r"fconv\.bias .* not finite"),
        ({"encoder.weight": torch.zeros(1)}, r"'encoder\.weight'"),
    ],
)
def test_other_weights_are_refused_by_name(change, words):
    state = {name: torch.zeros(shape) for name, shape in SHAPES.items()} | change
    with pytest.raises(BadCheckpoint, match=words):
        load_comparator({name: value for name, value in state.items() if value is not None})


@needs_golden
def test_recorded_maps_are_reached():
    stored, comparator = arrays("similarity"), load_comparator(weights("comparator"))
    examples = [name for name in stored if name.startswith("comparator_in_")]
    assert examples
    for name in examples:
        ours = comparator(torch.from_numpy(stored[name]))
        assert largest_difference(ours, stored[name.replace("_in_", "_out_")]) <= 1e-4


@needs_golden
@pytest.mark.parametrize("name", ["chamfer", "symmetric"])
def test_recorded_similarities_are_reached(name):
    stored, comparator = arrays("similarity"), load_comparator(weights("comparator"))
    clips = [torch.from_numpy(clip) for clip in sequences(stored, "frames")]
    symmetric = name == "symmetric"
    ours = [[comparator_similarity(comparator, a @ b.T, symmetric=symmetric) for b in clips] for a in clips]
    assert largest_difference(ours, stored[f"comparator_{name}"]) <= 1e-4
