"""The workspace: where a project's cache, models and results lie, and its settings file.

``.vidlang/`` in the current folder (or ``--workspace``, or ``$VIDLANG_WORKSPACE``) holds::

    cache/          features, one HDF5 file per video and recipe
    models/         checkpoints, models/<method>/<name>/
    results/        what score, localize, retrieve and eval wrote
    vidlang.toml    optional; flags beat it, it beats the built-in defaults

``vidlang.toml`` has one key per setting, at the top level, for instance ``encoder = "mini"``.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from vidlang.core.errors import BadInput
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

ENVIRONMENT_VARIABLE = "VIDLANG_WORKSPACE"
DEFAULT_FOLDER = ".vidlang"
SETTINGS_FILE = "vidlang.toml"


@dataclass(frozen=True)
class Settings:
    """What a workspace decides once for every command."""

    encoder: str = "clip-vit-b16"
    stride: int = 16
    pick: Pick = "middle"
    fps: float | None = None
    crops: Crops = "center"
    preprocess: Preprocess = "exact"
    precision: Precision = "float32"
    dtype: Dtype = "float32"
    features: RowKind = "pooled"
    borders: Borders = "keep"
    colour: Colour = "keep"
    motion: str = "none"
    """As ``--motion`` takes it, such as ``pool:seed:0.3``."""
    device: str = "auto"


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
        BadInput: the settings file does not read as TOML, or has a key or value that is not known.
    """
    folder = folder_of(root)
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file, but the workspace is a folder. Give another one with --workspace.")
    return Workspace(folder, read_settings(folder / SETTINGS_FILE))


def read_settings(path: Path) -> Settings:
    """Settings of a ``vidlang.toml``; the defaults where there is none."""
    if not path.is_file():
        return Settings()
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} does not read as TOML: {error}. Correct it or delete it.") from error
    return _settings_from(values, path)


def _settings_from(values: Mapping[str, Any], path: Path) -> Settings:
    known = {f.name for f in fields(Settings)}
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise BadInput(f"{path} has an unknown setting {key!r}.{hint} Known: {', '.join(sorted(known))}.")
    expected: dict[str, tuple[type, ...]] = {"stride": (int,), "fps": (int, float)}
    for key, value in values.items():
        kinds = expected.get(key, (str,))
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise BadInput(f"{path}: {key} must be {' or '.join(k.__name__ for k in kinds)}, got {value!r}.")
    settings = Settings(**values)
    try:
        _as_recipe(settings)
    except ValueError as error:
        raise BadInput(f"{path}: {error}. Correct it.") from error
    return settings


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
    """Write ``vidlang.toml`` with every setting, so that people see what can be set."""
    lines = ["# Defaults of this workspace. Flags on the command line beat them."]
    for setting in fields(Settings):
        value = getattr(settings, setting.name)
        if value is None:
            lines.append(f"# {setting.name} =")
        else:
            lines.append(f"{setting.name} = {json.dumps(value, ensure_ascii=False)}")  # what JSON writes, TOML reads
    workspace.root.mkdir(parents=True, exist_ok=True)
    path = workspace.root / SETTINGS_FILE
    write_text(path, "\n".join(lines) + "\n")
    return path
