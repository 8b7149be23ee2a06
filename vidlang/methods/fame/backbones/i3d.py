"""I3D: Inception blown up into time, with the padding of the network whose weights it once inflated.

Padding is by kernel and stride alone: ``kernel - stride`` zeros in all, the smaller half before, the rest after. For
sizes that the stride divides it is TensorFlow's "SAME".

Source: Carreira and Zisserman, Quo Vadis, Action Recognition?, CVPR 2017; tensor names of Mark12Ding/FAME at 0600c0e.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidlang.methods.fame.backbones.base import Backbone

Size = tuple[int, int, int]


class I3D(Backbone):
    """16 x 224 x 224 → 1024 x 2 x 7 x 7 → 1024. 12.3 million weights.

    With the head ``embed`` vectors have length 1, with ``classes`` the scores are logarithms of probabilities.
    """

    arch = "i3d"
    dim = 1024

    def add_layers(self) -> None:
        self.conv3d_1a_7x7 = _Unit(3, 64, 7, stride=2)
        self.maxPool3d_2a_3x3 = _Pool((1, 3, 3), (1, 2, 2))
        self.conv3d_2b_1x1 = _Unit(64, 64)
        self.conv3d_2c_3x3 = _Unit(64, 192, 3)
        self.maxPool3d_3a_3x3 = _Pool((1, 3, 3), (1, 2, 2))
        self.mixed_3b = _Mixed(192, 64, (96, 128), (16, 32), 32)
        self.mixed_3c = _Mixed(256, 128, (128, 192), (32, 96), 64)
        self.maxPool3d_4a_3x3 = _Pool((3, 3, 3), (2, 2, 2))
        self.mixed_4b = _Mixed(480, 192, (96, 208), (16, 48), 64)
        self.mixed_4c = _Mixed(512, 160, (112, 224), (24, 64), 64)
        self.mixed_4d = _Mixed(512, 128, (128, 256), (24, 64), 64)
        self.mixed_4e = _Mixed(512, 112, (144, 288), (32, 64), 64)
        self.mixed_4f = _Mixed(528, 256, (160, 320), (32, 128), 128)
        self.maxPool3d_5a_2x2 = _Pool((2, 2, 2), (2, 2, 2))
        self.mixed_5b = _Mixed(832, 256, (160, 320), (32, 128), 128)
        self.mixed_5c = _Mixed(832, 384, (192, 384), (48, 128), 128)

    def add_embedding(self, embed_dim: int) -> None:
        # 0 and 1, without weights, keep the published numbers of the layers behind them
        self.id_head = nn.Sequential(
            nn.Identity(), nn.Identity(), nn.Linear(1024, 1024), nn.ReLU(inplace=True), nn.Linear(1024, embed_dim)
        )

    def maps(self, clips: Tensor) -> Tensor:
        x = clips
        for name, layer in self.named_children():
            if name.startswith(("conv3d", "maxPool3d", "mixed")):
                x = layer(x)
        return x

    def apply_head(self, features: Tensor) -> Tensor:
        if self.head == "embed":
            return F.normalize(self.id_head(features), dim=1)
        scores = super().apply_head(features)
        return scores.log_softmax(1) if self.head == "classes" else scores


class _Unit(nn.Module):
    """Padding, convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        pads = _pads((kernel,) * 3, (stride,) * 3)
        # equal zeros on both sides cost nothing inside the convolution; unequal ones need a padded copy
        self.pads = None if pads[0] == pads[1] else pads
        inside = pads[0] if self.pads is None else 0
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride=stride, padding=inside, bias=False)
        self.batch3d = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.pads is None else F.pad(x, self.pads)
        return F.relu(self.batch3d(self.conv3d(x)), inplace=True)


class _Pool(nn.Module):
    """The largest value of each window. Padding counts as 0, and a window that runs over the end still counts."""

    def __init__(self, kernel: Size, stride: Size) -> None:
        super().__init__()
        self.kernel, self.stride, self.pads = kernel, stride, _pads(kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(F.pad(x, self.pads), self.kernel, self.stride, ceil_mode=True)


class _Mixed(nn.Module):
    """Inception's four branches, side by side in the channels."""

    def __init__(self, inputs: int, first: int, second: tuple[int, int], third: tuple[int, int], last: int) -> None:
        super().__init__()
        self.branch_0 = _Unit(inputs, first)
        self.branch_1 = nn.Sequential(_Unit(inputs, second[0]), _Unit(*second, 3))
        self.branch_2 = nn.Sequential(_Unit(inputs, third[0]), _Unit(*third, 3))
        self.branch_3 = nn.Sequential(_Pool((3, 3, 3), (1, 1, 1)), _Unit(inputs, last))

    def forward(self, x: Tensor) -> Tensor:
        branches = (self.branch_0, self.branch_1, self.branch_2, self.branch_3)
        return torch.cat([cast(Tensor, branch(x)) for branch in branches], 1)


def _pads(kernel: Size, stride: Size) -> list[int]:
    """Zeros before and after, last axis first, as ``F.pad`` wants them. kernel 7, stride 2 → 2 before, 3 after"""
    pads: list[int] = []
    for size, step in zip(reversed(kernel), reversed(stride), strict=True):
        total = max(size - step, 0)
        pads += [total // 2, total - total // 2]
    return pads
