"""The comparator network of ViSiL: it reads a similarity matrix as a picture, and finds the lines of copies in it.

Its published weights fit these shapes and names: conv1 (32, 1, 3, 3), conv2 (64, 32, 3, 3), conv3 (128, 64, 3, 3),
fconv (1, 128, 1, 1), each with a bias.

Source: ViSiL (Kordopatis-Zilos et al., ICCV 2019), section 3.3; xwen99/temporal_context_aggregation model.py.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidlang.core.errors import BadCheckpoint

LEAST_ROWS = 4
"""Rows that two halvings need."""


class Comparator(nn.Module):
    """Frame similarities → similarities of stretches of four frames, in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.conv3 = nn.Conv2d(64, 128, 3)
        self.fconv = nn.Conv2d(128, 1, 1)

    def forward(self, similarity: Tensor) -> Tensor:
        """One map: each value sees a neighbourhood of four frames by four and more.

        similarity: [n, m] cosines    returns: [n // 4, m // 4]

        A side of fewer than 4 rows is repeated in order until it has 4: ``a b`` becomes ``a b a b``. The published
        network fails there.
        """
        for axis in (0, 1):
            similarity = _repeated(similarity, axis)
        maps = similarity[None, None]  # [1, 1, n, m]
        maps = F.max_pool2d(F.relu(self.conv1(_bordered(maps))), 2)
        maps = F.max_pool2d(F.relu(self.conv2(_bordered(maps))), 2)
        maps = self.fconv(F.relu(self.conv3(_bordered(maps))))
        return maps[0, 0].clamp(-1.0, 1.0) / 2 + 0.5


def comparator_similarity(comparator: Comparator, similarity: Tensor, *, symmetric: bool = False) -> float:
    """Chamfer similarity of two videos on the comparator's map, in [0, 1].

    similarity: [n, m], query rows and gallery rows    symmetric: mean of both directions

    The mean over the map's query rows of the best gallery column; the other direction gives the network the transposed
    matrix, since it does not treat both sides alike.

    Raises:
        ValueError: a video has no row.
    """
    if similarity.dim() != 2 or not similarity.numel():
        raise ValueError(f"similarity is a matrix [n, m] of at least one row each, got {tuple(similarity.shape)}")
    with torch.inference_mode():
        forward = float(comparator(similarity).amax(dim=1).mean())
        if not symmetric:
            return forward
        return (forward + float(comparator(similarity.T).amax(dim=1).mean())) / 2


def load_comparator(state: Mapping[str, Tensor]) -> Comparator:
    """The network with trained weights, ready to compare.

    Raises:
        BadCheckpoint: a tensor is missing, unexpected, of another shape, or not finite.
    """
    comparator = Comparator()
    expected = {name: tuple(value.shape) for name, value in comparator.state_dict().items()}
    for name, shape in expected.items():
        if name not in state:
            raise BadCheckpoint(f"These are no comparator weights: {name} is missing. Expected: {', '.join(expected)}.")
        found = tuple(state[name].shape)
        if found != shape:
            raise BadCheckpoint(f"{name} of the comparator weights is {found}, but ViSiL's comparator has {shape}.")
        if not torch.isfinite(state[name]).all():
            raise BadCheckpoint(f"{name} of the comparator weights holds values that are not finite.")
    if foreign := sorted(set(state) - set(expected)):
        raise BadCheckpoint(
            f"The comparator weights hold {foreign[0]!r}, which the comparator has no place for. "
            f"Give a state dict of {', '.join(expected)} alone."
        )
    comparator.load_state_dict({name: value.detach().float() for name, value in state.items()})
    return comparator.eval().requires_grad_(False)


def _bordered(maps: Tensor) -> Tensor:
    """One more position on each side, equal to its neighbour."""
    return F.pad(maps, (1, 1, 1, 1), mode="replicate")


def _repeated(similarity: Tensor, axis: int) -> Tensor:
    """At least LEAST_ROWS along the axis, by repetition in order."""
    size = similarity.shape[axis]
    if size >= LEAST_ROWS:
        return similarity
    return similarity.index_select(axis, torch.arange(LEAST_ROWS, device=similarity.device) % size)
