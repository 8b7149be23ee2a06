"""Shape of the mini encoder: a CLIP of two small transformers."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

IMAGE_SIZE = 112  # pixels
DIM = 256  # of the common space


def build_config(tokenizer: CLIPTokenizer) -> CLIPConfig:
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    text = {
        "vocab_size": len(tokenizer), "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4,
        "num_attention_heads": 4, "max_position_embeddings": 77, "projection_dim": DIM, "hidden_act": "quick_gelu",
        **ids,
    }  # fmt: skip
    vision = {
        "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 4,
        "image_size": IMAGE_SIZE, "patch_size": 16, "projection_dim": DIM, "hidden_act": "quick_gelu",
    }  # fmt: skip
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=DIM, **ids)


def build_model(tokenizer: CLIPTokenizer, seed: int) -> CLIPModel:
    """The untrained encoder."""
    torch.manual_seed(seed)
    return CLIPModel(build_config(tokenizer)).eval()


def build_processor() -> CLIPImageProcessor:
    """CLIP's preprocessing at the encoder's own size: shortest side, bicubic, central square, CLIP's mean and std."""
    return CLIPImageProcessor(
        size={"shortest_edge": IMAGE_SIZE}, crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}, resample=3
    )


def export(model: CLIPModel, folder: Path) -> None:
    """Writes the weights as float16 safetensors, the configuration and the preprocessing."""
    half = CLIPModel(model.config)
    half.load_state_dict(model.state_dict())
    half.half().save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    build_processor().save_pretrained(folder)
