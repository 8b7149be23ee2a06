"""Where weights come from. The hub is out of reach here: an empty cache and the offline switch stand for that."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from numpy.testing import assert_allclose
from safetensors.torch import load_file, save_file
from transformers.models.clip.modeling_clip import CLIPModel

from vidlang.core.errors import BadInput, EncoderUnavailable
from vidlang.encoders.clip import load_encoder, pull_encoder
from vidlang.encoders.openai_layout import openai_from_clip
from vidlang.encoders.registry import find_encoder
from vidlang.encoders.weights import _wanted, load_text_tower, locate

REMEDIES = (
    r"Run vidlang models pull \S+ where there is a network; or give a local copy by --encoder /path/to/folder; "
    r"or take --encoder mini, which needs neither\.$"
)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def put_snapshot(cache: Path, repo: str, commit: str, files: Path, ref: str | None = None) -> Path:
    """Lay files into a hub cache as a download would."""
    root = cache / f"models--{repo.replace('/', '--')}"
    shutil.copytree(files, root / "snapshots" / commit)
    if ref is not None:
        (root / "refs").mkdir()
        (root / "refs" / ref).write_text(commit)
    return root / "snapshots" / commit


def test_an_absent_encoder_names_three_remedies(hub_cache: Path):
    start = r"^The weights of clip-vit-b16 \(openai/clip-vit-base-patch16 at [0-9a-f]{12}\) are not on this machine\. "
    with pytest.raises(EncoderUnavailable, match=start + REMEDIES) as caught:
        load_encoder("clip-vit-b16")
    assert "\n" not in str(caught.value)
    assert "pull clip-vit-b16 " in str(caught.value)


def test_without_a_network_a_download_ends_in_the_same_remedies(hub_cache: Path):
    with pytest.raises(EncoderUnavailable, match="are not on this machine and cannot be downloaded .*" + REMEDIES):
        pull_encoder("clip-vit-b32")


def test_what_is_in_the_cache_is_found_at_the_pinned_commit(hub_cache: Path, folder: Path):
    spec = find_encoder("clip-vit-b16")
    assert spec is not None
    snapshot = put_snapshot(hub_cache, spec.repo, spec.revision, folder)
    source = locate("clip-vit-b16")
    assert (source.name, source.revision, source.folder) == ("clip-vit-b16", spec.revision, snapshot)
    assert pull_encoder("clip-vit-b16") == snapshot


def test_a_hub_id_resolves_to_the_commit_that_is_read(hub_cache: Path, folder: Path):
    put_snapshot(hub_cache, "some-org/clip", "a" * 40, folder, ref="main")
    for name in ("some-org/clip", "some-org/clip@main", f"some-org/clip@{'a' * 40}"):
        source = locate(name)
        assert (source.name, source.revision) == ("some-org/clip", "a" * 40)


def test_a_pickle_is_never_read(tmp_path: Path, folder: Path, model: CLIPModel):
    copy = tmp_path / "pickled"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.safetensors"))
    torch.save(model.state_dict(), copy / "pytorch_model.bin")
    with pytest.raises(EncoderUnavailable, match="It holds pytorch_model.bin, but pickles are never read. " + REMEDIES):
        load_encoder(str(copy))


def test_weights_with_a_hole_are_refused(tmp_path: Path, folder: Path):
    copy = tmp_path / "hole"
    shutil.copytree(folder, copy)
    weights = load_file(copy / "model.safetensors")
    del weights["vision_model.post_layernorm.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EncoderUnavailable, match=r"lack 1 tensors, such as vision_model\.post_layernorm\.weight"):
        load_encoder(str(copy))


def test_torn_weights_are_refused(tmp_path: Path, folder: Path):
    copy = tmp_path / "torn"
    shutil.copytree(folder, copy)
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(EncoderUnavailable, match="cannot be read as a CLIP model"):
        load_encoder(str(copy))


def test_another_kind_of_model_is_refused(tmp_path: Path, folder: Path):
    copy = tmp_path / "other"
    shutil.copytree(folder, copy)
    (copy / "config.json").write_text(json.dumps({"model_type": "siglip"}))
    with pytest.raises(BadInput, match="a model of type 'siglip'; an encoder is of type 'clip'"):
        load_encoder(str(copy))


def test_a_folder_without_a_tokenizer_says_what_to_copy(tmp_path: Path, folder: Path):
    copy = tmp_path / "dumb"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("tokenizer*"))
    with pytest.raises(EncoderUnavailable, match=r"has no tokenizer: copy the model's tokenizer\.json"):
        load_text_tower(locate(str(copy)))


def test_an_open_clip_folder_gives_the_same_rows(tmp_path: Path, folder: Path, model: CLIPModel):
    """LAION's repositories always have OpenCLIP's file; transformers' own is not in each of them."""
    copy = tmp_path / "open-clip"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("model.safetensors", "config.json"))
    save_file(openai_from_clip(model), copy / "open_clip_model.safetensors")
    config = {"quick_gelu": True, "vision_cfg": {"head_width": 16}, "text_cfg": {"width": 32, "heads": 2}}
    (copy / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ours, theirs = load_encoder(str(folder), device="cpu"), load_encoder(str(copy), device="cpu")
    assert_allclose(theirs.encode_pixels(pixels), ours.encode_pixels(pixels), atol=1e-6)
    assert_allclose(theirs.encode_texts(["cat"]), ours.encode_texts(["cat"]), atol=1e-6)


def test_only_what_is_needed_is_downloaded():
    both = [
        "README.md",
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
        "open_clip_model.safetensors",
        "vocab.json",
    ]
    assert _wanted(both) == ["config.json", "vocab.json", "model.safetensors"]
    assert _wanted(["open_clip_config.json", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin"]) == [
        "open_clip_config.json",
        "open_clip_pytorch_model.safetensors",
    ]
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    assert _wanted([*shards, "model.fp16.safetensors"]) == shards


def test_a_download_takes_the_chosen_files_at_the_pinned_commit(
    hub_cache: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    spec = find_encoder("clip-vit-b32")
    assert spec is not None
    asked = []

    class Listing:
        def model_info(self, repo: str, **options: object) -> object:
            asked.append((repo, options["revision"]))
            files = ["config.json", "model.safetensors", "pytorch_model.bin"]
            return type("Info", (), {"siblings": [type("File", (), {"rfilename": name}) for name in files]})

    real = huggingface_hub.snapshot_download

    def download(repo: str, **options: object) -> str:
        if options.get("local_files_only"):
            return real(repo, **options)
        assert options["allow_patterns"] == ["config.json", "model.safetensors"]
        return str(put_snapshot(hub_cache, repo, str(options["revision"]), folder))

    monkeypatch.setattr(huggingface_hub, "HfApi", Listing)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert load_encoder("clip-vit-b32", device="cpu", allow_download=True).revision == spec.revision
    assert asked == [(spec.repo, spec.revision)]


def test_a_repository_of_pickles_is_refused(hub_cache: Path, monkeypatch: pytest.MonkeyPatch):
    class Listing:
        def model_info(self, repo: str, **options: object) -> object:
            files = ["config.json", "pytorch_model.bin"]
            return type("Info", (), {"siblings": [type("File", (), {"rfilename": name}) for name in files]})

    monkeypatch.setattr(huggingface_hub, "HfApi", Listing)
    message = re.escape("old-org/clip at main has no safetensors weights; no other kind is read. ")
    with pytest.raises(EncoderUnavailable, match=message + REMEDIES):
        pull_encoder("old-org/clip")


def test_the_bundled_encoder_needs_no_network(hub_cache: Path):
    spec = find_encoder("mini")
    assert spec is not None and spec.bundled
    encoder = load_encoder("mini", device="cpu")
    assert (encoder.name, encoder.revision) == ("mini", spec.revision)
    assert (encoder.dim, encoder.image_size) == (spec.dim, spec.image_size)
    rows = encoder.encode_texts(["a fight", "a quiet street"])
    assert rows.shape == (2, spec.dim) and bool(rows.isfinite().all())
