"""ResNet: weights in either layout give what a plain network of functions gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from numpy.testing import assert_allclose
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from transformers.models.resnet.configuration_resnet import ResNetConfig
from transformers.models.resnet.modeling_resnet import ResNetForImageClassification

from vidlang.core.errors import BadInput, EncoderUnavailable
from vidlang.encoders.clip import load_encoder
from vidlang.encoders.regions import pooled_stages
from vidlang.encoders.registry import find_encoder
from vidlang.encoders.resnet import ResnetEncoder, resnet_from_torchvision, transformers_name
from vidlang.encoders.weights import _wanted, kind_of

STEM, DEPTHS, WIDTHS = 8, (2, 1, 2, 1), (16, 32, 64, 128)


def make_state(bottleneck: bool = True, counted: bool = True) -> dict[str, Tensor]:
    """Random weights under torchvision's names. counted: with num_batches_tracked, which old files lack."""
    draw = torch.Generator().manual_seed(5)
    state: dict[str, Tensor] = {}

    def conv(name: str, inner: int, outer: int, side: int) -> None:
        state[f"{name}.weight"] = torch.randn(outer, inner, side, side, generator=draw) / (inner * side * side) ** 0.5

    def norm(name: str, width: int) -> None:
        state[f"{name}.weight"] = 1 + 0.3 * torch.randn(width, generator=draw)
        state[f"{name}.bias"] = 0.3 * torch.randn(width, generator=draw)
        state[f"{name}.running_mean"] = 0.3 * torch.randn(width, generator=draw)
        state[f"{name}.running_var"] = 0.5 + torch.rand(width, generator=draw)
        if counted:
            state[f"{name}.num_batches_tracked"] = torch.tensor(3)

    conv("conv1", 3, STEM, 7)
    norm("bn1", STEM)
    inner = STEM
    for stage, (depth, outer) in enumerate(zip(DEPTHS, WIDTHS, strict=True), start=1):
        for block in range(depth):
            name, small = f"layer{stage}.{block}", outer // 4
            sides = ((inner, small, 1), (small, small, 3), (small, outer, 1))
            for number, (a, b, side) in enumerate(sides if bottleneck else ((inner, outer, 3), (outer, outer, 3)), 1):
                conv(f"{name}.conv{number}", a, b, side)
                norm(f"{name}.bn{number}", b)
            if block == 0:
                conv(f"{name}.downsample.0", inner, outer, 1)
                norm(f"{name}.downsample.1", outer)
            inner = outer
    state["fc.weight"], state["fc.bias"] = torch.randn(10, inner, generator=draw), torch.zeros(10)
    return state


def plain_stages(state: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """The second way: torchvision's ResNet as functions."""

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{kind}"][:, None, None] for kind in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    x = F.max_pool2d(norm(conv(x, "conv1", 2), "bn1").relu(), 3, 2, 1)
    outputs = []
    for stage, depth in enumerate(DEPTHS, start=1):
        for block in range(depth):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            if f"{name}.conv3.weight" in state:
                y = norm(conv(x, f"{name}.conv1"), f"{name}.bn1").relu()
                y = norm(conv(y, f"{name}.conv2", stride), f"{name}.bn2").relu()
                y = norm(conv(y, f"{name}.conv3"), f"{name}.bn3")
            else:
                y = norm(conv(x, f"{name}.conv1", stride), f"{name}.bn1").relu()
                y = norm(conv(y, f"{name}.conv2"), f"{name}.bn2")
            if block == 0:
                x = norm(conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
            x = (x + y).relu()
        outputs.append(x)
    return outputs


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return make_state()


@pytest.fixture(scope="module")
def folder(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the hub's repository of timm holds it."""
    folder = tmp_path_factory.mktemp("encoders") / "tiny-resnet"
    folder.mkdir()
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": "resnet50", "num_features": WIDTHS[-1]}))
    return folder


@pytest.fixture(scope="module")
def encoder(folder: Path) -> ResnetEncoder:
    encoder = load_encoder(str(folder), device="cpu")
    assert isinstance(encoder, ResnetEncoder)
    return encoder


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 90, 120, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def pixels(encoder: ResnetEncoder, frames: np.ndarray) -> Tensor:
    return encoder.preprocess(frames)


def test_the_stages_are_those_of_the_plain_network(encoder, state, pixels):
    with torch.inference_mode():
        stages = encoder.stages(pixels)
    for got, expected, width, side in zip(stages, plain_stages(state, pixels), WIDTHS, (56, 28, 14, 7), strict=True):
        assert got.shape == (3, width, side, side)
        assert_allclose(got, expected, atol=2e-5, rtol=1e-4)


def test_rows_are_regions_of_the_four_stages(encoder, state, frames, pixels):
    rows = encoder.encode_frames(frames)
    assert rows.shape == (3, sum(WIDTHS)) and rows.dtype == np.float32 and encoder.dim == sum(WIDTHS)
    assert_allclose(rows, pooled_stages(plain_stages(state, pixels)), atol=1e-5)
    assert_allclose(np.linalg.norm(rows, axis=1), 2, atol=1e-5)
    assert_allclose(encoder.encode_frames(frames, batch_size=2), rows, atol=5e-6)
    assert encoder.encode_frames(frames[:2], crops="ten").shape == (10, 2, sum(WIDTHS))


@pytest.mark.parametrize("bottleneck", [True, False])
@pytest.mark.parametrize("counted", [True, False])
def test_every_block_and_every_age_of_file_is_read(pixels, bottleneck, counted):
    state = make_state(bottleneck, counted)
    network = resnet_from_torchvision(state)
    with torch.inference_mode():
        states = network(pixel_values=pixels, output_hidden_states=True).hidden_states
    for got, expected in zip(states[1:], plain_stages(state, pixels), strict=True):
        assert_allclose(got, expected, atol=2e-5, rtol=1e-4)


def test_a_folder_of_transformers_gives_the_same_rows(encoder, state, frames, tmp_path):
    config = ResNetConfig(embedding_size=STEM, hidden_sizes=list(WIDTHS), depths=list(DEPTHS), num_labels=10)
    model = ResNetForImageClassification(config)
    names = {name: transformers_name(name) for name in state if not name.startswith("fc.")}
    model.resnet.load_state_dict({theirs: state[ours] for ours, theirs in names.items()})
    model.save_pretrained(tmp_path / "resnet")
    other = load_encoder(str(tmp_path / "resnet"), device="cpu")
    assert (other.name, other.features, other.dim) == ("local:resnet", "regions", sum(WIDTHS))
    assert_allclose(other.encode_frames(frames), encoder.encode_frames(frames), atol=1e-6)


def test_weights_alone_are_enough_of_torchvisions_layout(encoder, state, frames, tmp_path):
    save_file(make_state(counted=False), tmp_path / "model.safetensors")
    assert kind_of(tmp_path) == "resnet"
    assert_allclose(load_encoder(str(tmp_path), device="cpu").encode_frames(frames), encoder.encode_frames(frames))


def test_pixels_are_a_centre_crop_of_224_out_of_256_in_imagenets_colours(encoder):
    frame = np.zeros((1, 256, 256, 3), dtype=np.uint8)
    frame[:, 16:240, 16:240] = (51, 102, 153)  # what the crop keeps
    pixels = encoder.preprocess(frame)
    expected = [(0.2 - 0.485) / 0.229, (0.4 - 0.456) / 0.224, (0.6 - 0.406) / 0.225]
    assert pixels.shape == (1, 3, 224, 224)
    assert_allclose(pixels.amax(dim=(0, 2, 3)), expected, atol=1e-6)
    assert_allclose(pixels.amin(dim=(0, 2, 3)), expected, atol=1e-6)


def test_bfloat16_stays_close(folder, encoder, frames):
    half = load_encoder(str(folder), device="cpu", precision="bfloat16").encode_frames(frames)
    full = encoder.encode_frames(frames)
    assert half.dtype == np.float32
    assert 0.999 < ((half * full).sum(axis=1) / 4).min() < 0.9999999  # rows have length 2


def test_a_resnet_knows_no_words(encoder):
    with pytest.raises(BadInput, match=r"^local:tiny-resnet knows no words: .* Take a CLIP with --encoder"):
        encoder.encode_texts(["cat"])


def test_pooled_rows_are_refused(folder):
    with pytest.raises(BadInput, match=r"makes region rows only\. Leave --features out"):
        load_encoder(str(folder), device="cpu", features="pooled")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop("layer2.0.bn2.weight"), r"normalization\.weight does not fit"),
        (lambda s: s.update({"layer2.0.se.fc1.weight": torch.zeros(1)}), "'layer2.0.se.fc1.weight' is no part"),
        (lambda s: s.update({"layer1.0.conv2.weight": torch.zeros(4, 1, 3, 3)}), "does not fit"),
        (lambda s: s.pop("conv1.weight"), "no ResNet in torchvision's layout"),
        (lambda s: s.update({"conv9.weight": torch.zeros(1)}), "'conv9.weight' is no part"),
    ],
)
def test_another_network_is_refused_with_three_remedies(state, tmp_path, spoil, message):
    changed = dict(state)
    spoil(changed)
    save_file(changed, tmp_path / "model.safetensors")
    with pytest.raises(EncoderUnavailable, match=f"cannot be read as a ResNet .*{message}.*Run vidlang models pull"):
        load_encoder(str(tmp_path), device="cpu")


def test_torn_weights_are_refused(folder, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "resnet"}))
    weights = (folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(EncoderUnavailable, match="cannot be read as a ResNet"):
        load_encoder(str(tmp_path), device="cpu")


def test_a_file_of_torchvision_itself_is_no_safe_file(state, tmp_path):
    torch.save(state, tmp_path / "resnet50-0676ba61.pth")
    with pytest.raises(EncoderUnavailable, match=r"It holds resnet50-0676ba61\.pth, but pickles are never read"):
        load_encoder(str(tmp_path), device="cpu")


def test_the_name_stands_for_torchvisions_first_weights(tmp_path, monkeypatch):
    spec = find_encoder("resnet50")
    assert spec is not None
    assert (spec.repo, spec.dim, spec.image_size, spec.features) == ("timm/resnet50.tv_in1k", 3840, 224, ("regions",))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(EncoderUnavailable, match=r"weights of resnet50 .* Run vidlang models pull resnet50 "):
        load_encoder("resnet50", device="cpu")
    files = [".gitattributes", "README.md", "config.json", "model.safetensors", "pytorch_model.bin"]
    assert _wanted(files) == ["config.json", "model.safetensors"]
