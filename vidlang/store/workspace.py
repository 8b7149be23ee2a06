"""The workspace: where a project's cache, models and results lie, and its settings file.

``.vidlang/`` in the current folder (or ``--workspace``, or ``$VIDLANG_WORKSPACE``) holds::

    cache/          features, one HDF5 file per video and recipe
    models/         checkpoints, models/<method>/<name>/
    results/        what score, localize, retrieve and eval wrote
    vidlang.toml    optional; flags beat the environment, that beats the file, and that the built-in defaults

``vidlang.toml`` has one key per setting, at the top level, for instance ``encoder = "mini"``; the environment has it
as ``VIDLANG_ENCODER``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from vidlang.core.errors import BadInput, did_you_mean
from vidlang.core.features import (
    Borders,
    Colour,
    Crops,
    Dtype,
    FeatureRecipe,
    Motion,
    Pick,
    Precision,
    Preprocess,
    RowKind,
    Sampling,
)
from vidlang.store.atomic import write_text

PREFIX = "VIDLANG_"
ENVIRONMENT_VARIABLE = f"{PREFIX}WORKSPACE"
DEFAULT_FOLDER = ".vidlang"
SETTINGS_FILE = "vidlang.toml"
NUMBERS: Mapping[str, type[int] | type[float]] = {"stride": int, "fps": float}
"""Settings that are no words."""


def _says(help_text: str, takes: str = "") -> dict[str, str]:
    """What the documentation needs of a setting: one sentence, and the values that it takes."""
    return {"help": help_text, "takes": takes}


@dataclass(frozen=True)
class Settings:
    """What a workspace decides once for every command.

    Each field is a key of ``vidlang.toml``, a flag, and an environment variable: ``stride``, ``--stride``,
    ``VIDLANG_STRIDE``.
    """

    encoder: str = field(
        default="clip-vit-b16", metadata=_says("Encoder of new features: a name, a hub id, or the folder of a CLIP.")
    )
    stride: int = field(default=16, metadata=_says("Frames per snippet.", "1 or more"))
    pick: Pick = field(default="middle", metadata=_says("Frame that stands for a snippet.", "middle, first, mean"))
    fps: float | None = field(default=None, metadata=_says("Snippets per second, instead of stride.", "more than 0"))
    crops: Crops = field(default="center", metadata=_says("Parts of the picture.", "center, ten"))
    preprocess: Preprocess = field(default="exact", metadata=_says("How pictures are resized.", "exact, fast"))
    precision: Precision = field(
        default="float32", metadata=_says("Arithmetic of the encoder.", "float32, bfloat16, float16")
    )
    dtype: Dtype = field(default="float32", metadata=_says("How rows are stored.", "float32, float16"))
    features: RowKind = field(
        default="pooled",
        metadata=_says("One vector a picture, or four depths of detail for finding copies.", "pooled, regions"),
    )
    borders: Borders = field(
        default="keep", metadata=_says("Whether letter boxes and pillar boxes are cut off.", "keep, crop")
    )
    colour: Colour = field(
        default="keep", metadata=_says("Whether recoloured copies give the rows of the original.", "keep, grey")
    )
    motion: str = field(
        default="none",
        metadata=_says(
            "Attend to what moves, as --motion takes it.", "none, pool, mask, or with details, pool:seed:0.3"
        ),
    )
    device: str = field(default="auto", metadata=_says("Where networks run.", "auto, cpu, cuda, cuda:1, mps"))


@dataclass(frozen=True)
class Workspace:
    """The folders of one project."""

    root: Path
    settings: Settings = field(default_factory=Settings)

    @property
    def cache_dir(self) -> Path:
        return self.root / "cache"

    @property
    def models_dir(self) -> Path:
        return self.root / "models"

    @property
    def results_dir(self) -> Path:
        return self.root / "results"


def folder_of(root: Path | None = None) -> Path:
    """Where the workspace lies or would lie: ``root``, else ``$VIDLANG_WORKSPACE``, else ``.vidlang`` here."""
    return root or Path(os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_FOLDER)


def open_workspace(root: Path | None = None) -> Workspace:
    """The workspace at ``root``, else at ``$VIDLANG_WORKSPACE``, else ``.vidlang`` here. Nothing is created.

    Raises:
        BadInput: the settings file does not read as TOML, or it or the environment has a key or value that is not
            known.
    """
    folder = folder_of(root)
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file, but the workspace is a folder. Give another one with --workspace.")
    return Workspace(folder, read_settings(folder / SETTINGS_FILE))


def read_settings(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Settings of the environment, else of a ``vidlang.toml``, else the defaults.

    environment: None: that of this process
    """
    return Settings(**{name: value for name, (value, _) in read_origins(path, environment).items()})


def read_origins(path: Path, environment: Mapping[str, str] | None = None) -> dict[str, tuple[Any, str]]:
    """Every setting with its value and where it comes from: a variable, the file, or ``default``.

    A rate of the environment takes the place of the file's other rate: ``VIDLANG_STRIDE`` beats ``fps``.
    """
    in_file = _values_of(path)
    _check(in_file, str(path))
    said = _values_of_environment(os.environ if environment is None else environment)
    origins: dict[str, tuple[Any, str]] = {f.name: (f.default, "default") for f in fields(Settings)}
    origins |= {name: (value, str(path)) for name, value in in_file.items()}
    if "stride" in said and "fps" not in said:
        origins["fps"] = (None, "default")
    for name, value in said.items():
        _check({name: value}, variable_of(name))
        origins[name] = (value, variable_of(name))
    return origins


def variable_of(setting: str) -> str:
    """``fps`` → ``VIDLANG_FPS``."""
    return f"{PREFIX}{setting.upper()}"


def _values_of(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return dict(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} does not read as TOML: {error}. Correct it or delete it.") from error


def _values_of_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Settings whose variable is there and not empty, as the types of the settings."""
    values: dict[str, Any] = {}
    for setting in fields(Settings):
        text = environment.get(variable_of(setting.name))
        if not text:
            continue
        number = NUMBERS.get(setting.name)
        try:
            values[setting.name] = text if number is None else number(text)
        except ValueError as error:
            raise BadInput(f"{variable_of(setting.name)} must be a number, got {text!r}.") from error
    return values


def _check(values: Mapping[str, Any], where: str) -> None:
    """
    Raises:
        BadInput: a key or value that is not known; the message begins with ``where``.
    """
    known = {f.name for f in fields(Settings)}
    for key, value in values.items():
        if key not in known:
            hint = did_you_mean(key, known)
            raise BadInput(f"{where} has an unknown setting {key!r}.{hint} Known: {', '.join(sorted(known))}.")
        kinds = {"stride": (int,), "fps": (int, float)}.get(key, (str,))
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise BadInput(f"{where}: {key} must be {' or '.join(k.__name__ for k in kinds)}, got {value!r}.")
    try:
        _as_recipe(Settings(**values))
    except ValueError as error:
        raise BadInput(f"{where}: {error}. Correct it.") from error


def _as_recipe(settings: Settings) -> FeatureRecipe:
    """The settings as the core type that knows which values can be."""
    sampling = Sampling(settings.stride, settings.pick, settings.fps, settings.crops)
    return FeatureRecipe(
        settings.encoder,
        "any",
        sampling,
        settings.preprocess,
        settings.precision,
        settings.dtype,
        features=settings.features,
        borders=settings.borders,
        colour=settings.colour,
        motion=Motion.parse(settings.motion),
    )


def write_settings(workspace: Workspace, settings: Settings) -> Path:
    """Write ``vidlang.toml`` with every setting and what it means, so that people see what can be set."""
    lines = ["# Defaults of this workspace. Flags and variables (VIDLANG_ENCODER, ...) beat them: vidlang config"]
    for setting in fields(Settings):
        value, takes = getattr(settings, setting.name), setting.metadata["takes"]
        says = str(setting.metadata["help"]).rstrip(".")
        lines += ["", f"# {says}: {takes}." if takes else f"# {says}."]
        if value is None:
            lines.append(f"# {setting.name} =")
        else:
            lines.append(f"{setting.name} = {json.dumps(value, ensure_ascii=False)}")  # what JSON writes, TOML reads
    workspace.root.mkdir(parents=True, exist_ok=True)
    path = workspace.root / SETTINGS_FILE
    write_text(path, "\n".join(lines) + "\n")
    return path
