"""ResNet-50 trained on ImageNet: region rows (L3-iRMAC), which the published video retrieval results are made with.

A row is the maxima over regions of the outputs of the four stages: 256 + 512 + 1024 + 2048 = 3840 numbers, of length 2.
At 224 pixels the stages' maps are 56, 28, 14 and 7 wide. Preprocessing: shorter side 256 (bicubic), centre crop 224,
ImageNet's mean and standard deviation.

Weights come in the layout of transformers (``microsoft/resnet-50``) or of torchvision and timm (``conv1``,
``layer1.0.conv1``; ``timm/resnet50.tv_in1k`` holds torchvision's first set, the one that counts here), as safetensors.
A file of torchvision becomes a folder for ``--encoder`` by::

    state = torch.load("resnet50-0676ba61.pth", weights_only=True)
    safetensors.torch.save_file(state, "resnet50-folder/model.safetensors")

Source: TCA (Shao et al., WACV 2021), section 3.1, after Kordopatis-Zilos et al., Near-Duplicate Video Retrieval with
Deep Metric Learning (ICCVW 2017) and ViSiL (ICCV 2019).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vidlang.core.errors import BadInput, EncoderUnavailable
from vidlang.core.features import Precision, RowKind
from vidlang.encoders import weights
from vidlang.encoders.base import DTYPES, Encoder
from vidlang.encoders.preprocess import PixelRecipe
from vidlang.encoders.regions import pooled_stages

if TYPE_CHECKING:
    from transformers.models.resnet.configuration_resnet import ResNetConfig
    from transformers.models.resnet.modeling_resnet import ResNetModel

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
IMAGE_SIZE, SHORTER_SIDE = 224, 256
PIXELS = PixelRecipe(IMAGE_SIZE, IMAGENET_MEAN, IMAGENET_STD, SHORTER_SIDE)

_STAGE = re.compile(r"layer(?P<stage>\d+)\.(?P<block>\d+)\.(?P<part>.+)")
_PART = re.compile(r"(?P<kind>conv|bn)(?P<number>\d)\.(?P<rest>\w+)")
_NAMES = {"conv": "convolution", "bn": "normalization"}
_SHORTCUT = {"0": "convolution", "1": "normalization"}


class ResnetEncoder(Encoder):
    """A residual network without words; its rows are regions of its stages."""

    def __init__(
        self,
        name: str,
        revision: str,
        network: ResNetModel,
        *,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
    ) -> None:
        dim = sum(network.config.hidden_sizes)
        super().__init__(name, revision, PIXELS, dim, features="regions", device=device, precision=precision)
        network = network.eval().requires_grad_(False).to(device=self.device, dtype=DTYPES[precision])
        # Channels last: 1.3 times as many images per core-second (measured with torch 2.13 and oneDNN).
        self._network = network.to(memory_format=torch.channels_last)

    def encode_batch(self, pixels: Tensor) -> Tensor:
        """[N, 3, S, S] on the encoder's device in its precision → float32 [N, D]."""
        return pooled_stages(self.stages(pixels))

    def stages(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """[N, 3, S, S] → the output of each stage, [N, C_i, S / 2^(i + 1), S / 2^(i + 1)] for i from 1."""
        states: tuple[Tensor, ...] = self._network(pixel_values=pixels, output_hidden_states=True).hidden_states
        return states[1:]  # the first is the stem


def load_resnet(
    source: weights.EncoderSource,
    *,
    device: torch.device | str = "cpu",
    precision: Precision = "float32",
    features: RowKind = "regions",
) -> ResnetEncoder:
    """
    Raises:
        BadInput: pooled rows are asked for.
        EncoderUnavailable: the weights in the folder cannot be read as a ResNet.
    """
    if features != "regions":
        raise BadInput(f"{source.name} makes region rows only. Leave --features out, or say --features regions.")
    with weights.quiet_transformers():
        network = weights.load_resnet(source) if _is_transformers(source.folder) else _load_torchvision(source)
    return ResnetEncoder(source.name, source.revision, network, device=device, precision=precision)


def resnet_from_torchvision(state: Mapping[str, Tensor]) -> ResNetModel:
    """transformers' network with the weights of ``state``, of any depth and width, in evaluation mode.

    Moves numbers only. The classifier (``fc``) is left out. Blocks stride in their 3 x 3 convolution, as torchvision's
    do; the sizes follow from the shapes.

    Raises:
        EncoderUnavailable: a key is missing or too many, or a shape does not fit.
    """
    from transformers.models.resnet.modeling_resnet import ResNetModel

    config = _config_of(state)
    renamed = {transformers_name(name): value for name, value in state.items() if not name.startswith("fc.")}
    # Built without memory, so that no time goes into random start values and nobody's random numbers are used up.
    with torch.device("meta"):
        network = ResNetModel(config)
    expected = network.state_dict()
    for name in expected:
        if name.endswith("num_batches_tracked"):  # old files have none, and only training reads it
            renamed.setdefault(name, torch.tensor(0))
    wrong = sorted(expected.keys() ^ renamed.keys()) or sorted(
        name for name in expected if expected[name].shape != renamed[name].shape
    )
    if wrong:
        raise EncoderUnavailable(f"The weights are no plain ResNet of torchvision's layout: {wrong[0]} does not fit.")
    own = {name: value.detach().to(expected[name].dtype, copy=True).contiguous() for name, value in renamed.items()}
    network.load_state_dict(own, assign=True)
    return network.eval()


def transformers_name(name: str) -> str:
    """
    >>> transformers_name("layer1.0.bn2.weight")
    'encoder.stages.0.layers.0.layer.1.normalization.weight'
    >>> transformers_name("layer2.0.downsample.0.weight")
    'encoder.stages.1.layers.0.shortcut.convolution.weight'

    Raises:
        EncoderUnavailable: no name of torchvision's ResNet.
    """
    stage = _STAGE.fullmatch(name)
    part = _PART.fullmatch(stage["part"] if stage else name)
    if stage is None:
        if part is not None and part["number"] == "1":
            return f"embedder.embedder.{_NAMES[part['kind']]}.{part['rest']}"
        raise EncoderUnavailable(f"{name!r} is no part of a ResNet in torchvision's layout.")
    block = f"encoder.stages.{int(stage['stage']) - 1}.layers.{stage['block']}"
    if part is not None:
        return f"{block}.layer.{int(part['number']) - 1}.{_NAMES[part['kind']]}.{part['rest']}"
    shortcut = re.fullmatch(r"downsample\.([01])\.(\w+)", stage["part"])
    if shortcut is None:
        raise EncoderUnavailable(f"{name!r} is no part of a ResNet in torchvision's layout.")
    return f"{block}.shortcut.{_SHORTCUT[shortcut[1]]}.{shortcut[2]}"


def _config_of(state: Mapping[str, Tensor]) -> ResNetConfig:
    from transformers.models.resnet.configuration_resnet import ResNetConfig

    blocks: dict[int, set[int]] = {}
    for name in state:
        if stage := _STAGE.fullmatch(name):
            blocks.setdefault(int(stage["stage"]), set()).add(int(stage["block"]))
    stem, last = state.get("conv1.weight"), "conv3" if "layer1.0.conv3.weight" in state else "conv2"
    ends = [state.get(f"layer{stage}.0.{last}.weight") for stage in sorted(blocks)]
    if stem is None or not ends or any(end is None for end in ends):
        raise EncoderUnavailable("The weights are no ResNet in torchvision's layout (conv1, layer1.0.conv1, ...).")
    return ResNetConfig(
        num_channels=stem.shape[1],
        embedding_size=stem.shape[0],
        hidden_sizes=[end.shape[0] for end in ends if end is not None],
        depths=[len(blocks[stage]) for stage in sorted(blocks)],
        layer_type="bottleneck" if last == "conv3" else "basic",
        hidden_act="relu",
        downsample_in_first_stage=False,
        downsample_in_bottleneck=False,
    )


def _is_transformers(folder: Path) -> bool:
    return weights.read_json(folder / "config.json").get("model_type") == "resnet"


def _load_torchvision(source: weights.EncoderSource) -> ResNetModel:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return resnet_from_torchvision(load_file(source.folder / "model.safetensors"))
    except (OSError, SafetensorError, EncoderUnavailable) as error:
        raise weights.unreadable(source, "a ResNet", error) from error
