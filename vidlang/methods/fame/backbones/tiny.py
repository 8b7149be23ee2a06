"""A small (2+1)D network for machines without a GPU."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from vidlang.methods.fame.backbones.base import Backbone, init_convolutions


class Tiny(Backbone):
    """16 x 64 x 64 → 192 x 4 x 8 x 8 → 192. 0.37 million weights, 0.17 billion multiplications for such a clip.

    Built like R(2+1)D, so that what is said about one's temporal kernels can be asked of the other: every stage is a
    convolution over space (1x3x3; 1x5x5 in the stem), then one over time (3x1x1), each with batch norm and ReLU. Where
    it differs, it is for the CPU or for small sets:

    - Pixels go early, time goes late. Half of the work of a CPU is moving the first maps through memory, so the stem
      and the first stage take three quarters off each side. Time is halved twice only, and a moment of the last map
      sees 19 frames: enough to tell how something moves rather than that it does.
    - The last stage keeps its 8 x 8 positions, on which activation maps can show a thing as small as a person.
    - Eight convolutions need no shortcuts, and few weights over-fit less on the hundreds of videos that a CPU gets
      through.
    """

    arch = "tiny"
    dim = 192

    def add_layers(self) -> None:
        self.stem = _Stage(3, 16, 32, kernel=5, time_stride=2, space_stride=2)
        self.layer1 = _Stage(32, 48, 48, space_stride=2)
        self.layer2 = _Stage(48, 96, 96, time_stride=2, space_stride=2)
        self.layer3 = _Stage(96, 192, 192)
        init_convolutions(self)

    def maps(self, clips: Tensor) -> Tensor:
        return cast(Tensor, self.layer3(self.layer2(self.layer1(self.stem(clips)))))


class _Stage(nn.Module):
    """A convolution over space, then one over time."""

    def __init__(
        self, inputs: int, middle: int, outputs: int, kernel: int = 3, time_stride: int = 1, space_stride: int = 1
    ) -> None:
        super().__init__()
        space, pads = (1, kernel, kernel), (0, kernel // 2, kernel // 2)
        self.space = nn.Sequential(
            nn.Conv3d(inputs, middle, space, stride=(1, space_stride, space_stride), padding=pads, bias=False),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
        )
        self.time = nn.Sequential(
            nn.Conv3d(middle, outputs, (3, 1, 1), stride=(time_stride, 1, 1), padding=(1, 0, 0), bias=False),
            nn.BatchNorm3d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.time(self.space(x)))
