"""R(2+1)D, 18 layers: every convolution is one over space, then one over time.

Tensor names are those of torchvision's r2plus1d_18.

Source: Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, CVPR 2018.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from vidlang.methods.fame.backbones.base import Backbone, init_convolutions


class R2Plus1D(Backbone):
    """16 x 112 x 112 → 512 x 2 x 7 x 7 → 512. 31.3 million weights."""

    arch = "r2plus1d_18"
    dim = 512

    def add_layers(self) -> None:
        self.stem = nn.Sequential(
            nn.Conv3d(3, 45, (1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False),
            nn.BatchNorm3d(45),
            nn.ReLU(inplace=True),
            nn.Conv3d(45, 64, (3, 1, 1), padding=(1, 0, 0), bias=False),
            nn.BatchNorm3d(64),
            nn.ReLU(inplace=True),
        )
        self.layer1 = _stage(64, 64, stride=1)
        self.layer2 = _stage(64, 128, stride=2)
        self.layer3 = _stage(128, 256, stride=2)
        self.layer4 = _stage(256, 512, stride=2)
        init_convolutions(self)

    def maps(self, clips: Tensor) -> Tensor:
        x = self.stem(clips)
        return cast(Tensor, self.layer4(self.layer3(self.layer2(self.layer1(x)))))


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_Block(inputs, outputs, stride), _Block(outputs, outputs, stride=1))


class _Block(nn.Module):
    """Two convolutions over space and time beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        # as many weights as one 3x3x3 convolution from inputs to outputs would have; the second one keeps the number
        middle = inputs * outputs * 27 // (inputs * 9 + outputs * 3)
        self.conv1 = nn.Sequential(
            _space_then_time(inputs, middle, outputs, stride), nn.BatchNorm3d(outputs), nn.ReLU(inplace=True)
        )
        self.conv2 = nn.Sequential(_space_then_time(outputs, middle, outputs, stride=1), nn.BatchNorm3d(outputs))
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv3d(inputs, outputs, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm3d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return cast(Tensor, self.relu(self.conv2(self.conv1(x)) + shortcut))


def _space_then_time(inputs: int, middle: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(inputs, middle, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        nn.Conv3d(middle, outputs, (3, 1, 1), stride=(stride, 1, 1), padding=(1, 0, 0), bias=False),
    )
