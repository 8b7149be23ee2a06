from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vidlang.core.errors import UnknownName
from vidlang.encoders.registry import DEFAULT_ENCODER, find_encoder, folder_digest, list_encoders, split_hub_id


def test_the_default_comes_first_and_names_are_unique():
    names = [spec.name for spec in list_encoders()]
    assert names[0] == DEFAULT_ENCODER == "clip-vit-b16"
    assert len(set(names)) == len(names)


def test_each_encoder_of_the_hub_is_pinned_to_a_commit():
    for spec in list_encoders():
        assert spec.bundled or re.fullmatch(r"[0-9a-f]{40}", spec.revision), spec.name


def test_the_default_is_the_encoder_of_the_published_features():
    spec = find_encoder("clip-vit-b16")
    assert spec is not None
    assert (spec.repo, spec.dim, spec.image_size) == ("openai/clip-vit-base-patch16", 512, 224)


def test_a_hub_id_and_a_folder_have_no_entry_but_are_accepted(tmp_path: Path):
    assert find_encoder("some-org/some.clip") is None
    assert find_encoder("some-org/some.clip@refs/pr/3") is None
    assert find_encoder(str(tmp_path)) is None


@pytest.mark.parametrize("name", ["clip-vit-b61", "", "/no/such/folder", "./no/such", "a/b/c"])
def test_anything_else_is_refused(name: str):
    with pytest.raises(UnknownName, match=re.escape(f"There is no encoder called {name!r}.")):
        find_encoder(name)


def test_a_misspelt_name_gets_a_suggestion():
    with pytest.raises(UnknownName, match="Did you mean 'clip-vit-l14'"):
        find_encoder("clip-vit-14")


def test_a_hub_id_splits_at_its_revision():
    assert split_hub_id("org/name") == ("org/name", None)
    assert split_hub_id("org/name@abc123") == ("org/name", "abc123")
    assert split_hub_id("name") is None


def test_the_digest_follows_the_content_and_not_the_place(folder: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "README.md").write_text("no number depends on this")
    assert folder_digest(copy) == folder_digest(folder)
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert folder_digest(copy) != folder_digest(folder)


def test_the_registry_loads_neither_torch_nor_transformers():
    code = "import sys, vidlang.encoders.registry as r; r.list_encoders(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "vidlang.encoders.registry" in loaded and not {"torch", "transformers", "huggingface_hub"} & set(loaded)
