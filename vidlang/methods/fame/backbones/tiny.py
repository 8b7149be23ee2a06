"""tiny."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from vidlang.methods.fame.backbones.base import Backbone, init_convolutions


class Tiny(Backbone):
    """16 x 64 x 64 → 192 x 4 x 8 x 8 → 192."""

    arch = "tiny"
    dim = 192

    def add_layers(self) -> None:
        self.stem = _Stage(3, 16, 32, kernel=5, stride=(2, 2))
        self.layer1 = _Stage(32, 48, 48, kernel=3, stride=(1, 2))
        self.layer2 = _Stage(48, 96, 96, kernel=3, stride=(2, 2))
        self.layer3 = _Stage(96, 192, 192, kernel=3, stride=(1, 1))
        init_convolutions(self)

    def maps(self, clips: Tensor) -> Tensor:
        return cast(Tensor, self.layer3(self.layer2(self.layer1(self.stem(clips)))))


class _Stage(nn.Module):
    def __init__(self, inputs: int, middle: int, outputs: int, kernel: int, stride: tuple[int, int]) -> None:
        super().__init__()
        time, space = stride
        self.space = nn.Sequential(
            nn.Conv3d(
                inputs, middle, (1, kernel, kernel), (1, space, space), (0, kernel // 2, kernel // 2), bias=False
            ),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
        )
        self.time = nn.Sequential(
            nn.Conv3d(middle, outputs, (3, 1, 1), (time, 1, 1), (1, 0, 0), bias=False),
            nn.BatchNorm3d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.time(self.space(x)))
