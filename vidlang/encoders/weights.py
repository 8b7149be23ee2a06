"""Where an encoder's files are, and its towers from them: local first, safetensors only, the network when allowed."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vidlang.core.errors import BadInput, EncoderUnavailable
from vidlang.core.progress import Progress
from vidlang.encoders.registry import DEFAULT_ENCODER, MINI, MINI_FOLDER, find_encoder, folder_digest, split_hub_id

if TYPE_CHECKING:
    from transformers.models.clip.configuration_clip import CLIPConfig
    from transformers.models.clip.modeling_clip import (
        CLIPModel,
        CLIPTextModelWithProjection,
        CLIPVisionModelWithProjection,
    )
    from transformers.models.resnet.modeling_resnet import ResNetModel
    from transformers.models.vision_text_dual_encoder.modeling_vision_text_dual_encoder import (
        VisionTextDualEncoderModel,
    )

logger = logging.getLogger(__name__)

# transformers' own layout, and OpenCLIP's, which LAION's repositories always have
_TRANSFORMERS_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_OPEN_CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")
# A tensor that every ResNet in torchvision's layout has, with or without a configuration beside it.
_TORCHVISION_TENSOR = "layer1.0.conv1.weight"
# transformers' pair of two towers of any kind; the one kind that is read here looks by a MobileNetV2.
_DUAL, _DUAL_VISION = "vision-text-dual-encoder", "mobilenet_v2"
_TOKENIZER_FILES = ("tokenizer.json", "vocab.json")
_CONFIG_FILES = (
    "config.json",
    "open_clip_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
)


# Seconds until a hub that does not answer counts as out of reach.
_PATIENCE_SECONDS = 15.0


@dataclass(frozen=True)
class EncoderSource:
    """An encoder's identity for the recipe, and the folder that holds its files."""

    name: str
    revision: str
    folder: Path


def locate(name: str, *, allow_download: bool = False, progress: Progress | None = None) -> EncoderSource:
    """Registry name, hub id or local folder → its files on this machine.

    Raises:
        UnknownName: no such name, hub id or folder.
        EncoderUnavailable: no safetensors weights can be had.
    """
    spec = find_encoder(name)
    if spec is not None and spec.bundled:
        return EncoderSource(spec.name, spec.revision, _checked(MINI_FOLDER, name))
    if spec is not None:
        folder = _hub_folder(name, spec.repo, spec.revision, allow_download, progress)
        return EncoderSource(spec.name, _commit(folder), folder)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return EncoderSource(f"local:{folder.resolve().name}", folder_digest(folder), _checked(folder, name))
    hub_id = split_hub_id(name)
    assert hub_id is not None, "find_encoder lets nothing else through"
    repo, revision = hub_id
    folder = _hub_folder(name, repo, revision or "main", allow_download, progress)
    return EncoderSource(repo, _commit(folder), folder)


def kind_of(folder: Path) -> Literal["clip", "dual", "resnet"]:
    """What a folder with weights holds; anything unknown counts as a CLIP and is refused when it is read.

    ``dual`` is a CLIP too, of a convolutional image tower and CLIP's text transformer.
    """
    config = read_json(folder / "config.json")
    if config.get("model_type") == _DUAL:
        return "dual"
    if config.get("model_type") == "resnet" or ("model_type" not in config and _is_torchvision(folder)):
        return "resnet"
    return "clip"


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty where there is no file.

    Raises:
        BadInput: the file is no JSON object.
    """
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"{path} does not read as JSON ({error}). Copy the model's files again.") from error
    if not isinstance(values, dict):
        raise BadInput(f"{path} holds no JSON object. Copy the model's files again.")
    return values


def load_resnet(source: EncoderSource) -> ResNetModel:
    """A ResNet in transformers' layout, with or without its classifier, float32, in evaluation mode."""
    from transformers.models.resnet.configuration_resnet import ResNetConfig
    from transformers.models.resnet.modeling_resnet import ResNetModel

    config = ResNetConfig.from_pretrained(source.folder, local_files_only=True)
    model: ResNetModel = _from_pretrained(source, ResNetModel, config, "a ResNet")
    return model


def load_dual(source: EncoderSource) -> VisionTextDualEncoderModel:
    """Both towers of a MobileNetV2 and a CLIP text transformer, float32, in evaluation mode.

    Raises:
        BadInput: the folder pairs other towers.
        EncoderUnavailable: the weights cannot be read as such a pair.
    """
    from transformers.models.vision_text_dual_encoder.configuration_vision_text_dual_encoder import (
        VisionTextDualEncoderConfig,
    )
    from transformers.models.vision_text_dual_encoder.modeling_vision_text_dual_encoder import (
        VisionTextDualEncoderModel,
    )

    path = source.folder / "config.json"
    settings = read_json(path)
    kinds = tuple(settings.get(side, {}).get("model_type") for side in ("vision_config", "text_config"))
    if kinds != (_DUAL_VISION, "clip_text_model"):
        raise BadInput(
            f"{path} pairs towers of type {kinds[0]!r} and {kinds[1]!r}; of this layout {_DUAL_VISION!r} with "
            "'clip_text_model' is read, and any CLIPModel."
        )
    config = VisionTextDualEncoderConfig.from_pretrained(source.folder, local_files_only=True)
    model: VisionTextDualEncoderModel = _from_pretrained(source, VisionTextDualEncoderModel, config, "a pair of towers")
    return model


def load_vision_tower(source: EncoderSource) -> CLIPVisionModelWithProjection | CLIPModel:
    """The image side alone, float32, in evaluation mode."""
    from transformers.models.clip.modeling_clip import CLIPVisionModelWithProjection

    return _load(source, CLIPVisionModelWithProjection, lambda config: config.vision_config)


def load_text_tower(
    source: EncoderSource,
) -> tuple[CLIPTextModelWithProjection | CLIPModel | VisionTextDualEncoderModel, Any]:
    """A model with the text side, float32, and its tokenizer."""
    from transformers import AutoTokenizer
    from transformers.models.clip.modeling_clip import CLIPTextModelWithProjection

    model: Any
    if kind_of(source.folder) == "dual":
        model = load_dual(source)
    else:
        model = _load(source, CLIPTextModelWithProjection, lambda config: config.text_config)
    # Without these files transformers makes an empty tokenizer and says nothing.
    if not _any_file(source.folder, _TOKENIZER_FILES):
        raise EncoderUnavailable(
            f"{source.folder} has no tokenizer: copy the model's tokenizer.json and tokenizer_config.json there."
        )
    try:
        return model, AutoTokenizer.from_pretrained(source.folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise EncoderUnavailable(
            f"The tokenizer in {source.folder} cannot be read ({_first_line(error)}): "
            "copy the model's tokenizer.json and tokenizer_config.json there."
        ) from error


def read_logit_scale(source: EncoderSource) -> float:
    """What this CLIP multiplies cosines by before a softmax; 100 where its files do not say."""
    from safetensors import safe_open

    for file in sorted(source.folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            if "logit_scale" in tensors.keys():  # noqa: SIM118 - not a dict
                return float(tensors.get_tensor("logit_scale").float().exp())
    return 100.0


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No bars and no reports from transformers while it loads, and its settings as they were afterwards."""
    from transformers.utils import logging as their_logging

    level, bars = their_logging.get_verbosity(), their_logging.is_progress_bar_enabled()
    their_logging.set_verbosity_error()
    their_logging.disable_progress_bar()
    try:
        yield
    finally:
        their_logging.set_verbosity(level)
        if bars:
            their_logging.enable_progress_bar()


def load_both_towers(source: EncoderSource) -> CLIPModel:
    """The whole model, float32, in evaluation mode; for writing it into files of others.

    Raises:
        BadInput: its image side is no vision transformer, which those files have no place for.
    """
    from transformers.models.clip.modeling_clip import CLIPModel

    if kind_of(source.folder) == "dual":
        raise BadInput(
            f"{source.name} looks by a convolutional network, which published files have no place for. "
            f"Give a CLIP with a vision transformer, such as {DEFAULT_ENCODER}."
        )

    with quiet_transformers():
        model: CLIPModel = _load(source, CLIPModel, lambda config: config)
    return model


def _load(source: EncoderSource, kind: Any, side: Callable[[CLIPConfig], Any]) -> Any:
    """One tower from transformers' layout; the whole model where there is OpenCLIP's only."""
    if not _any_file(source.folder, _TRANSFORMERS_WEIGHTS):
        return _load_open_clip(source.folder)
    config = _clip_config(source.folder)
    tower = side(config)
    tower.projection_dim = config.projection_dim
    return _from_pretrained(source, kind, tower, "a CLIP model", attn_implementation="sdpa")


def _from_pretrained(source: EncoderSource, kind: Any, config: Any, what: str, **more: Any) -> Any:
    """A model of transformers with every tensor that its configuration asks for."""
    from safetensors import SafetensorError

    try:
        model, report = kind.from_pretrained(
            source.folder,
            config=config,
            use_safetensors=True,
            local_files_only=True,
            dtype="float32",
            output_loading_info=True,
            **more,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise unreadable(source, what, error) from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        problem = f"The weights in {source.folder} lack {len(missing)} tensors, such as {missing[0]}."
        raise EncoderUnavailable(f"{problem} {_remedies(source.name)}")
    return model.eval()


def unreadable(source: EncoderSource, what: str, error: Exception) -> EncoderUnavailable:
    """The error for weights that are here but are not what they should be."""
    problem = f"The weights in {source.folder} cannot be read as {what} ({_first_line(error)})."
    return EncoderUnavailable(f"{problem} {_remedies(source.name)}")


def _load_open_clip(folder: Path) -> CLIPModel:
    """A CLIPModel from OpenCLIP's file and its ``open_clip_config.json``."""
    from safetensors.torch import load_file

    from vidlang.encoders.openai_layout import OPENAI_HEAD_WIDTH, clip_from_openai

    file = next(folder / name for name in _OPEN_CLIP_WEIGHTS if (folder / name).is_file())
    config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
    text = config["text_cfg"]
    return clip_from_openai(
        load_file(file),
        hidden_act="quick_gelu" if config.get("quick_gelu") else "gelu",
        vision_head_width=config["vision_cfg"].get("head_width", OPENAI_HEAD_WIDTH),
        text_head_width=text["width"] // text["heads"],
    )


def _clip_config(folder: Path) -> CLIPConfig:
    from transformers.models.clip.configuration_clip import CLIPConfig

    path = folder / "config.json"
    model_type = read_json(path).get("model_type")
    if model_type != "clip":
        raise BadInput(
            f"{path} describes a model of type {model_type!r}; an encoder is of type 'clip' (CLIPModel), "
            f"{_DUAL!r} or 'resnet'."
        )
    return CLIPConfig.from_pretrained(folder, local_files_only=True)


def _hub_folder(name: str, repo: str, revision: str, allow_download: bool, progress: Progress | None) -> Path:
    """The snapshot of a hub repository in Hugging Face's cache.

    Raises:
        EncoderUnavailable: not here (and not to be fetched, or not fetchable), or without safetensors weights.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repo, revision=revision, local_files_only=True))
        if _has_weights(folder) or not allow_download:
            return _checked(folder, name)
    except (OSError, ValueError) as error:
        if not allow_download:
            raise EncoderUnavailable(
                f"The weights of {_title(name, repo, revision)} are not on this machine. {_remedies(name)}"
            ) from error
    return _checked(_download(name, repo, revision, progress or Progress()), name)


def _download(name: str, repo: str, revision: str, progress: Progress) -> Path:
    """Fetch the files that are needed, and no pickle. Hugging Face's own bars show the bytes."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HTTPError

    title = _title(name, repo, revision)
    try:
        siblings = HfApi().model_info(repo, revision=revision, timeout=_PATIENCE_SECONDS).siblings
        wanted = _wanted(file.rfilename for file in siblings or ())
        if not any(file.endswith(".safetensors") for file in wanted):
            raise EncoderUnavailable(f"{title} has no safetensors weights; no other kind is read. {_remedies(name)}")
        progress.message(f"Downloading {title}")
        return Path(snapshot_download(repo, revision=revision, allow_patterns=wanted))
    except (HTTPError, OSError, ValueError) as error:
        raise EncoderUnavailable(
            f"The weights of {title} are not on this machine and cannot be downloaded ({_first_line(error)}). "
            f"{_remedies(name)}"
        ) from error


def _wanted(files: Iterable[str]) -> list[str]:
    """Of a repository's files: configuration, tokenizer, and one set of weights."""
    files = list(files)
    configs = [file for file in files if file in _CONFIG_FILES]
    if any(file in _TRANSFORMERS_WEIGHTS for file in files):
        shard = re.compile(r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?")
        return configs + [file for file in files if shard.fullmatch(file)]
    return configs + [file for file in _OPEN_CLIP_WEIGHTS if file in files][:1]


def _has_weights(folder: Path) -> bool:
    layouts = (("config.json", _TRANSFORMERS_WEIGHTS), ("open_clip_config.json", _OPEN_CLIP_WEIGHTS))
    with_config = any((folder / config).is_file() and _any_file(folder, weights) for config, weights in layouts)
    return with_config or _is_torchvision(folder)


def _is_torchvision(folder: Path) -> bool:
    """Whether ``model.safetensors`` is a ResNet in the layout of torchvision and timm."""
    path = folder / "model.safetensors"
    if not path.is_file():
        return False
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as tensors:  # names alone need no torch
            return _TORCHVISION_TENSOR in tensors.keys()  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError):
        return False  # reported when it is read


def _any_file(folder: Path, names: Iterable[str]) -> bool:
    return any((folder / name).is_file() for name in names)


def _checked(folder: Path, name: str) -> Path:
    """The folder itself.

    Raises:
        EncoderUnavailable: it holds no safetensors weights with their configuration.
    """
    if _has_weights(folder):
        return folder
    found = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
    instead = f" It holds {found[0]}, but pickles are never read." if found else ""
    raise EncoderUnavailable(
        f"{folder} has no config.json with model.safetensors beside it.{instead} {_remedies(name)}"
    )


def _remedies(name: str) -> str:
    """The three things that help."""
    local = name == MINI or name.startswith("local:") or Path(name).expanduser().is_dir()
    return (
        f"Run vidlang models pull {DEFAULT_ENCODER if local else name} where there is a network; or give a local copy "
        f"by --encoder /path/to/folder; or take --encoder {MINI}, which needs neither."
    )


def _title(name: str, repo: str, revision: str) -> str:
    return f"{name} at {revision}" if name.startswith(repo) else f"{name} ({repo} at {revision[:12]})"


def _commit(folder: Path) -> str:
    """Hugging Face's cache names a snapshot's folder by its commit."""
    return folder.name


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
