"""Names of encoders: which repository, which commit, how wide, how large the input. Loads no torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from vidlang.core.errors import UnknownName
from vidlang.core.features import RowKind

DEFAULT_ENCODER = "clip-vit-b16"
MINI = "mini"
MINI_FOLDER = Path(__file__).parent / "mini"

_HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")
# What decides the numbers that a folder's model gives.
_IDENTITY_FILES = ("*.safetensors", "config.json", "preprocessor_config.json", "open_clip_config.json")


@dataclass(frozen=True)
class EncoderSpec:
    """One encoder that has a name."""

    name: str
    repo: str
    """Hugging Face repository, or ``bundled`` for the one inside the package."""
    revision: str
    """Commit of the repository; for the bundled one the hash of its files."""
    dim: int
    """Width D of a feature row."""
    image_size: int
    """Side S of the square input, pixels."""
    note: str = ""
    features: tuple[RowKind, ...] = ("pooled", "regions")
    """Rows that it makes; ``dim`` is the width of the first kind."""

    @property
    def bundled(self) -> bool:
        return self.repo == "bundled"


_CONVERSION = "pinned at the commit that adds safetensors; the main branch holds a pickle only"
_HUB_ENCODERS = (
    EncoderSpec(
        "clip-vit-b16",
        "openai/clip-vit-base-patch16",
        "5ef227a78de3f75873f373246dac80def63b0003",
        512,
        224,
        f"the default; {_CONVERSION}",
    ),
    EncoderSpec(
        "clip-vit-b32",
        "openai/clip-vit-base-patch32",
        "c237dc49a33fc61debc9276459120b7eac67e7ef",
        512,
        224,
        _CONVERSION,
    ),
    EncoderSpec("clip-vit-l14", "openai/clip-vit-large-patch14", "32bd64288804d66eefd0ccbe215aa642df71cc41", 768, 224),
    EncoderSpec(
        "clip-vit-l14-336",
        "openai/clip-vit-large-patch14-336",
        "ce19dc912ca5cd21c8a653c79e251e808ccabcd1",
        768,
        336,
        "this commit holds a pickle only: give a local copy converted to safetensors by --encoder /path/to/folder",
    ),
    EncoderSpec(
        "clip-vit-b32-laion2b",
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        "1a25a446712ba5ee05982a381eed697ef9b435cf",
        512,
        224,
    ),
    EncoderSpec(
        "clip-vit-b16-laion2b",
        "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
        "7288da5a0d6f0b51c4a2b27c624837a9236d0112",
        512,
        224,
    ),
    EncoderSpec(
        "clip-vit-l14-laion2b",
        "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
        "1627032197142fbe2a7cfec626f4ced3ae60d07a",
        768,
        224,
    ),
    EncoderSpec(
        "clip-vit-h14-laion2b",
        "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
        "1c2b8495b28150b8a4922ee1c8edee224c284c0c",
        1024,
        224,
    ),
    EncoderSpec(
        "resnet50",
        "timm/resnet50.tv_in1k",
        "78f3ecfdb38e06d9b8397f662e7ab8fee96026fa",
        3840,
        224,
        "ImageNet, region rows (L3-iRMAC) for video retrieval; knows no words",
        ("regions",),
    ),
)


def list_encoders() -> list[EncoderSpec]:
    """Every encoder that has a name, the default first."""
    return [*_HUB_ENCODERS, *_bundled()]


def find_encoder(name: str) -> EncoderSpec | None:
    """The encoder of that name; None for a hub id (``org/name`` or ``org/name@revision``) or an existing local folder.

    Raises:
        UnknownName: neither a known name, nor a hub id, nor a folder.
    """
    if (known := named_encoder(name)) is not None:
        return known
    if (name and Path(name).expanduser().is_dir()) or split_hub_id(name) is not None:
        return None
    raise UnknownName("encoder", name, [spec.name for spec in list_encoders()])


def named_encoder(name: str) -> EncoderSpec | None:
    """The encoder that a recipe calls so; None for hub ids, local folders (``local:…``) and imported features."""
    return next((spec for spec in list_encoders() if spec.name == name), None)


def split_hub_id(name: str) -> tuple[str, str | None] | None:
    """``org/name@revision`` → ``("org/name", "revision")``; revision None when not given; None when it is no hub id."""
    match = _HUB_ID.fullmatch(name)
    return (match["repo"], match["revision"]) if match else None


def folder_digest(folder: Path) -> str:
    """Hash (blake2b, 32 hex digits) of the files that decide a model's numbers: weights and configurations."""
    files = sorted({path for pattern in _IDENTITY_FILES for path in folder.glob(pattern)})
    return _digest(tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files))


@lru_cache(maxsize=16)
def _digest(files: Iterable[tuple[Path, int, int]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path, size, _ in files:
        digest.update(f"{path.name}:{size}\n".encode())
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _bundled() -> list[EncoderSpec]:
    config_path = MINI_FOLDER / "config.json"
    if not config_path.is_file():
        return []
    config = json.loads(config_path.read_text(encoding="utf-8"))
    return [
        EncoderSpec(
            MINI,
            "bundled",
            folder_digest(MINI_FOLDER),
            int(config["projection_dim"]),
            int(config["vision_config"]["image_size"]),
            "small, ships with vidlang, needs no network; knows things, not events; far weaker than the others",
        )
    ]
