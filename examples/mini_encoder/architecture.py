"""Shape of the mini encoder: a MobileNetV2 that looks, a small CLIP text transformer that reads, one common space."""

from __future__ import annotations

from copy import copy
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import CLIPImageProcessor, CLIPTokenizer
from transformers.models.clip.configuration_clip import CLIPTextConfig
from transformers.models.mobilenet_v2.configuration_mobilenet_v2 import MobileNetV2Config
from transformers.models.mobilenet_v2.modeling_mobilenet_v2 import MobileNetV2ConvLayer
from transformers.models.vision_text_dual_encoder.configuration_vision_text_dual_encoder import (
    VisionTextDualEncoderConfig,
)
from transformers.models.vision_text_dual_encoder.modeling_vision_text_dual_encoder import VisionTextDualEncoderModel

IMAGE_SIZE, SHORTER_SIDE = 224, 256  # pixels; the teacher's
MEAN = STD = (0.5, 0.5, 0.5)  # the teacher's
FEATURES = 1280  # of the image tower before the projection
DIM = 256  # of the common space


def build_config(tokenizer: CLIPTokenizer) -> VisionTextDualEncoderConfig:
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=256, intermediate_size=640, num_hidden_layers=4, num_attention_heads=4,
        max_position_embeddings=77, projection_dim=DIM, hidden_act="quick_gelu", bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    vision = MobileNetV2Config(image_size=IMAGE_SIZE, tf_padding=True, hidden_size=FEATURES, num_labels=0)
    return VisionTextDualEncoderConfig.from_vision_text_configs(vision, text, projection_dim=DIM)


def build_model(tokenizer: CLIPTokenizer, seed: int) -> VisionTextDualEncoderModel:
    """The untrained encoder."""
    torch.manual_seed(seed)
    return VisionTextDualEncoderModel(build_config(tokenizer)).eval()


def take_teachers_eyes(model: VisionTextDualEncoderModel, teacher: nn.Module) -> None:
    """The image tower starts as MobileNetV2 itself, trained on ImageNet at 224 pixels."""
    model.vision_model.load_state_dict(teacher.mobilenet_v2.state_dict())


def pad_by_need(tower: nn.Module) -> None:
    """Lets convolutions without a stride pad themselves, as they would be padded anyway; saves a copy of each map."""
    for module in tower.modules():
        if isinstance(module, MobileNetV2ConvLayer) and module.convolution.stride == (1, 1):
            module.convolution.padding = tuple(side // 2 for side in module.convolution.kernel_size)
            module.config = copy(module.config)
            module.config.tf_padding = False


def normalise(pixels: Tensor) -> Tensor:
    """[B, 3, H, W] in [0, 1] → what the image tower reads."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (pixels - mean) / std


def build_processor() -> CLIPImageProcessor:
    """CLIP's preprocessing (bicubic, central square) with the teacher's mean, std and share of the picture."""
    return CLIPImageProcessor(
        size={"shortest_edge": SHORTER_SIDE},
        crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        resample=3,
        image_mean=list(MEAN),
        image_std=list(STD),
    )


def export(model: VisionTextDualEncoderModel, folder: Path) -> None:
    """Writes the weights as float16 safetensors, the configuration and the preprocessing."""
    half = VisionTextDualEncoderModel(model.config)
    half.load_state_dict(model.state_dict())
    half.half().save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    build_processor().save_pretrained(folder)
