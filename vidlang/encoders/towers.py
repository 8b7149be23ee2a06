"""The image side of a CLIP: pixels → one embedding, or region rows, of a transformer or a convolutional network.

OpenAI's CLIPs look by a transformer. A MobileNetV2 takes a sixtieth of the multiplications of a ViT-B/16, both at 224
pixels, which is what makes ``mini`` fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vidlang.encoders.motion_pooling import FLOOR, attending
from vidlang.encoders.regions import NUM_DEPTHS, pooled_stages, vision_regions

if TYPE_CHECKING:
    from transformers.models.clip.modeling_clip import CLIPModel, CLIPVisionModelWithProjection
    from transformers.models.vision_text_dual_encoder.modeling_vision_text_dual_encoder import (
        VisionTextDualEncoderModel,
    )

STAGE_STRIDES = (4, 8, 16, 32)
"""Pixels per position of the maps whose regions a convolutional tower's rows are made of: the last of each size."""

CPU_BATCH = 4
"""Images of a convolutional tower at a time on a CPU: the system clears the pages of larger maps each time (mini, one
thread: by fours 1.1 times as fast as by eights)."""


class ImageTower(Protocol):
    """What the encoder asks of the image side; pixels are [N, 3, S, S] in the tower's precision."""

    image_size: int
    """Side S of the square input, pixels."""
    dim: int
    """Width of an embedding."""
    region_dim: int
    """Width of a region row."""
    grid: int
    """Patches along a side, which ``weighted`` weighs."""

    def to(self, device: torch.device, dtype: torch.dtype) -> ImageTower:
        """Move and cast the weights; returns itself."""
        ...

    def pooled(self, pixels: Tensor) -> Tensor:
        """Embeddings [N, D] in the space of texts."""
        ...

    def weighted(self, pixels: Tensor, weights: Tensor) -> Tensor:
        """As ``pooled``, patches counting by their weights [N, g, g] in 0..1."""
        ...

    def regions(self, pixels: Tensor) -> Tensor:
        """Region rows [N, R], float32."""
        ...


class TransformerTower:
    """A vision transformer: the class token is projected."""

    def __init__(self, model: CLIPModel | CLIPVisionModelWithProjection) -> None:
        self.vision = model.vision_model.eval().requires_grad_(False)
        self.projection = model.visual_projection.eval().requires_grad_(False)
        config = self.vision.config
        self.image_size: int = config.image_size
        self.dim: int = self.projection.out_features
        self.region_dim = NUM_DEPTHS * int(self.projection.in_features)
        self.grid: int = config.image_size // config.patch_size

    def to(self, device: torch.device, dtype: torch.dtype) -> TransformerTower:
        for module in (self.vision, self.projection):
            module.to(device=device, dtype=dtype)
        return self

    def pooled(self, pixels: Tensor) -> Tensor:
        embeddings: Tensor = self.projection(self.vision(pixel_values=pixels).pooler_output)
        return embeddings

    def weighted(self, pixels: Tensor, weights: Tensor) -> Tensor:
        """The class token attends to patches by their weights (``motion_pooling``)."""
        with attending(self.vision, weights):
            return self.pooled(pixels)

    def regions(self, pixels: Tensor) -> Tensor:
        return vision_regions(self.vision, pixels)


class ConvolutionalTower:
    """A MobileNetV2: the mean over the last map is projected.

    Batch normalisation is folded into the convolutions (the same numbers to 1e-5, 1.3 times the speed on a CPU).
    """

    def __init__(self, model: VisionTextDualEncoderModel) -> None:
        self.vision: Any = _folded(model.vision_model.eval().requires_grad_(False))
        self.projection = model.visual_projection.eval().requires_grad_(False)
        self.image_size: int = self.vision.config.image_size
        self.dim: int = self.projection.out_features
        self._stages = _last_of_each_size(self.vision, self.image_size)
        self.region_dim = sum(_convolution(layer.reduce_1x1).out_channels for layer in self._stages)
        self.grid = -(-self.image_size // STAGE_STRIDES[-1])

    def to(self, device: torch.device, dtype: torch.dtype) -> ConvolutionalTower:
        self.vision.to(device=device, dtype=dtype, memory_format=torch.channels_last)
        self.projection.to(device=device, dtype=dtype)
        return self

    def last_map(self, pixels: Tensor) -> Tensor:
        """[N, C, g, g] before the mean."""
        if pixels.device.type != "cpu":
            return self._look(pixels)
        return torch.cat([self._look(part) for part in pixels.split(CPU_BATCH)])

    def _look(self, pixels: Tensor) -> Tensor:
        hidden: Tensor = self.vision(pixels.contiguous(memory_format=torch.channels_last)).last_hidden_state
        return hidden

    def pooled(self, pixels: Tensor) -> Tensor:
        embeddings: Tensor = self.projection(self.last_map(pixels).mean((2, 3)))
        return embeddings

    def weighted(self, pixels: Tensor, weights: Tensor) -> Tensor:
        """The mean over positions by their weights, each at least ``FLOOR``."""
        shares = weights.clamp(FLOOR, 1).to(pixels.dtype)
        shares = shares / shares.sum((1, 2), keepdim=True)
        embeddings: Tensor = self.projection((self.last_map(pixels) * shares[:, None]).sum((2, 3)))
        return embeddings

    def regions(self, pixels: Tensor) -> Tensor:
        maps: list[Tensor] = []
        hooks = [
            stage.register_forward_hook(lambda _layer, _arguments, output: maps.append(output))
            for stage in self._stages
        ]
        try:
            self._look(pixels)
        finally:
            for hook in hooks:
                hook.remove()
        return pooled_stages(maps)


class _HalvingConvolution(nn.Conv2d):
    """A 3 x 3 convolution with stride 2 and TensorFlow's padding: what an even side lacks is put at its end.

    Padded alike on both sides, a 4 x 4 kernel whose first row and column are nought says the same of an even side, and
    no map is copied to be padded (half the time of the copy and the convolution).
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        channels, bias = (convolution.in_channels, convolution.out_channels), convolution.bias is not None
        super().__init__(*channels, 4, stride=2, padding=1, groups=convolution.groups, bias=bias)
        with torch.no_grad():
            self.weight.copy_(F.pad(convolution.weight, (1, 0, 1, 0)))
            if self.bias is not None and convolution.bias is not None:
                self.bias.copy_(convolution.bias)
        self.requires_grad_(False)

    def forward(self, maps: Tensor) -> Tensor:
        height, width = maps.shape[-2:]
        kernel = self.weight[..., height % 2 :, width % 2 :]  # an odd side is padded alike as it is
        return F.conv2d(maps, kernel, self.bias, 2, 1, groups=self.groups)


def _folded(vision: Any) -> Any:
    """The network with each batch normalisation inside its convolution, bounds kept in place, and padding only by need.

    transformers pads before every convolution, by a copy of the map each time.
    """
    from transformers.models.mobilenet_v2.modeling_mobilenet_v2 import MobileNetV2ConvLayer

    for parent in list(vision.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, MobileNetV2ConvLayer):
                setattr(parent, name, _plain_layer(layer))
    return vision


def _plain_layer(layer: Any) -> nn.Sequential:
    convolution: nn.Conv2d = layer.convolution
    if layer.normalization is not None:
        convolution = fuse_conv_bn_eval(convolution, layer.normalization).requires_grad_(False)
    parts: list[nn.Module] = [convolution]
    if layer.config.tf_padding:
        if convolution.stride == (1, 1):
            convolution.padding = tuple(
                d * (k - 1) // 2 for d, k in zip(convolution.dilation, convolution.kernel_size, strict=True)
            )
        else:
            parts = [_HalvingConvolution(convolution)]
    if layer.activation is not None:
        parts.append(nn.ReLU6(inplace=True) if isinstance(layer.activation, nn.ReLU6) else layer.activation)
    return nn.Sequential(*parts)


def _convolution(layer: nn.Sequential) -> nn.Conv2d:
    return next(part for part in layer if isinstance(part, nn.Conv2d))


def _last_of_each_size(vision: Any, image_size: int) -> list[Any]:
    """The last block at each of ``STAGE_STRIDES``."""
    stride, last = 2, {}  # the stem halves the picture
    for block in vision.layer:
        stride *= _convolution(block.conv_3x3).stride[0]
        last[stride] = block
    return [last[stride] for stride in STAGE_STRIDES]
