"""Trained weights with all they need, the registry of them, training states, and PyTorch files of others.

A checkpoint is a folder with two files:

``model.safetensors``
    the tensors of ``state`` by name.
``checkpoint.json``
    an object in UTF-8: ``schema`` = ``vidlang.checkpoint/1``; ``created``, ISO 8601 in UTC with microseconds;
    ``method``; ``config`` (object); ``recipe`` (the fields of ``FeatureRecipe``; of a network that reads pixels those
    of ``ClipRecipe`` and ``kind`` = ``clips``); ``class_names`` (list, class 0 the normal class where the method has
    one; empty without classes); ``metrics`` (name to number, null where it is not finite); ``extra`` (object);
    ``num_values``, how many numbers the tensors hold; ``digest``, the BLAKE2b of 20 bytes in hex of
    ``model.safetensors``.

The registry keeps a checkpoint at ``<root>/<method>/<name>/``. The newest is the one with the latest ``created``; file
dates, which copies change, play no part.

A training state is a folder with ``state.json`` (``schema`` = ``vidlang.train_state/1``, ``numbers``: any JSON,
``tensors``: the name of the other file, ``digest`` as above) and ``tensors-<8 hex digits>.safetensors``. The tensors
are written first and ``state.json`` is replaced last, so a kill at any moment leaves the previous state or the next.

Nothing is ever unpickled without ``weights_only``. torch and safetensors are loaded by the functions that need tensors.
"""

from __future__ import annotations

import builtins
import hashlib
import json
import logging
import math
import pickle
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidlang.core import BadCheckpoint, BadInput, FeatureRecipe, UnknownName
from vidlang.store.atomic import is_stale, replacing, replacing_folder, write_text
from vidlang.store.names import safe_component
from vidlang.store.video_backbones import KIND, ClipRecipe

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINT_SCHEMA = "vidlang.checkpoint/1"
TRAIN_STATE_SCHEMA = "vidlang.train_state/1"
WEIGHTS, FACTS, STATE = "model.safetensors", "checkpoint.json", "state.json"
WRAPPERS = ("model_state_dict", "state_dict")
"""Keys under which training scripts of others keep the weights beside an optimizer."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Trained weights and all they need."""

    method: str
    config: Mapping[str, Any]
    """The method's config, ready for JSON."""
    recipe: FeatureRecipe
    """Of the features that it was trained on and reads."""
    class_names: tuple[str, ...]
    """Class 0 is the normal class."""
    state: Mapping[str, Tensor]
    metrics: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Prompts, preset, who made it: ready for JSON."""


@dataclass(frozen=True, eq=False)
class ClipCheckpoint(Checkpoint):
    """Weights of a network that reads clips of pixels and no features."""

    recipe: ClipRecipe  # type: ignore[assignment]  # methods of features ask by their own name and never get one
    """How it reads clips."""


@dataclass(frozen=True)
class CheckpointSummary:
    """A checkpoint without its tensors."""

    path: Path
    method: str
    config: Mapping[str, Any]
    recipe: FeatureRecipe | ClipRecipe
    class_names: tuple[str, ...]
    metrics: Mapping[str, float]
    extra: Mapping[str, Any]
    created: datetime
    num_values: int
    """How many numbers its tensors hold."""
    digest: str
    """Of the weights' file."""

    @property
    def name(self) -> str:
        return self.path.name


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Writes the folder as a whole, replacing one that is there; returns it.

    Raises:
        ValueError: config or extra hold what JSON cannot.
    """
    return _save(Path(folder), checkpoint, replace=True)


def load_checkpoint(folder: Path) -> Checkpoint:
    """What ``save_checkpoint`` wrote, tensors on the CPU; a ``ClipCheckpoint`` where it reads clips.

    Raises:
        BadCheckpoint: the folder is not a checkpoint, is incomplete or damaged, or of an unknown schema.
    """
    summary = load_summary(folder)
    rest: dict[str, Any] = {
        "method": summary.method,
        "config": summary.config,
        "class_names": summary.class_names,
        "state": _read_tensors(Path(folder) / WEIGHTS, summary.digest),
        "metrics": summary.metrics,
        "extra": summary.extra,
    }
    if isinstance(summary.recipe, ClipRecipe):
        return ClipCheckpoint(recipe=summary.recipe, **rest)
    return Checkpoint(recipe=summary.recipe, **rest)


def load_summary(folder: Path) -> CheckpointSummary:
    """Everything but the tensors; loads no torch.

    Raises:
        BadCheckpoint: as ``load_checkpoint``, but the tensors are not looked at.
    """
    folder = Path(folder)
    fields = _read_json(folder / FACTS, CHECKPOINT_SCHEMA, remedy="Give a folder made by: vidlang train")
    try:
        return CheckpointSummary(
            path=folder,
            method=str(fields["method"]),
            config=dict(fields["config"]),
            recipe=_recipe_from(fields["recipe"]),
            class_names=tuple(fields["class_names"]),
            metrics={name: math.nan if value is None else float(value) for name, value in fields["metrics"].items()},
            extra=dict(fields["extra"]),
            created=datetime.fromisoformat(fields["created"]).astimezone(timezone.utc),
            num_values=int(fields["num_values"]),
            digest=str(fields["digest"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as cause:
        detail = f"{cause} is missing" if isinstance(cause, KeyError) else cause
        raise BadCheckpoint(f"{folder / FACTS} is damaged ({detail}). Train or import again.") from cause


def _recipe_from(fields: Mapping[str, Any]) -> FeatureRecipe | ClipRecipe:
    return ClipRecipe.from_dict(fields) if fields.get("kind") == KIND else FeatureRecipe.from_dict(fields)


def check_name(name: str) -> None:
    """Raises BadInput for a name that no checkpoint can have."""
    if not name or "/" in name or safe_component(name, folder=True) != name:
        raise BadInput(f"A checkpoint cannot be called {name!r}. Use letters, digits, dots, '-' and '_'.")


class ModelRegistry:
    """Checkpoints by method and name under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def register(self, checkpoint: Checkpoint, name: str | None = None, *, replace: bool = False) -> Path:
        """Keeps a checkpoint; returns its folder. Without a name it gets the date and time (UTC).

        Raises:
            BadInput: the name is taken (unless ``replace``) or cannot be a folder's name.
        """
        method_folder = self.root / checkpoint.method
        if name is None:
            return self._register_by_time(checkpoint, method_folder)
        check_name(name)
        try:
            return _save(method_folder / name, checkpoint, replace=replace)
        except FileExistsError as cause:
            raise BadInput(f"There is a {checkpoint.method} checkpoint {name!r} already. Choose another.") from cause

    def has(self, method: str) -> bool:
        """Whether there is any checkpoint of the method."""
        return bool(self.list(method))

    def newest(self, method: str) -> Checkpoint:
        """The one created last.

        Raises:
            BadCheckpoint: there is none, or it is damaged.
        """
        return load_checkpoint(self.folder(method))

    def find(self, method: str, name: str | Path | None = None) -> Checkpoint:
        """A checkpoint by its name or by the path of its folder; without either the newest.

        Raises:
            UnknownName: neither a name of the registry nor a path.
            BadCheckpoint: it is damaged, of another method, or there is none at all.
        """
        return load_checkpoint(self.folder(method, name))

    def find_clips(self, method: str, name: str | Path | None = None) -> ClipCheckpoint:
        """As ``find``, for a method that reads clips.

        Raises:
            BadCheckpoint: it reads features.
        """
        folder = self.folder(method, name)
        found = load_checkpoint(folder)
        if not isinstance(found, ClipCheckpoint):
            raise BadCheckpoint(
                f"{folder} reads features where a network that reads clips is needed. Name another one."
            )
        return found

    def folder(self, method: str, name: str | Path | None = None) -> Path:
        """Where ``find`` reads; raises the same, but looks at no tensor."""
        if name is None:
            known = self.list(method)
            if not known:
                raise BadCheckpoint(f"There is no {method} checkpoint in {self.root}. Run: vidlang train {method}")
            return known[-1].path
        folder = self._by_name_or_path(method, name)
        found = load_summary(folder).method
        if found != method:
            raise BadCheckpoint(f"{folder} is a {found} checkpoint where one of {method} is needed. Name another one.")
        return folder

    def list(self, method: str | None = None) -> builtins.list[CheckpointSummary]:
        """Summaries of all checkpoints, or of one method's, oldest first; damaged ones are skipped with a warning."""
        summaries = []
        for facts in sorted(self.root.glob(f"{method or '*'}/*/{FACTS}")):
            if facts.parent.name.startswith(".") or facts.parent.parent.name.startswith("."):
                continue  # a temporary
            try:
                summaries.append(load_summary(facts.parent))
            except BadCheckpoint as damage:
                logger.warning("%s is skipped: %s", facts.parent, damage)
        return sorted(summaries, key=lambda summary: (summary.created, summary.name))

    def _register_by_time(self, checkpoint: Checkpoint, method_folder: Path) -> Path:
        name = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
        for number in range(1, 1000):  # several in one second, from several processes even
            try:
                suffix = "" if number == 1 else f"-{number:03}"
                return _save(method_folder / f"{name}{suffix}", checkpoint, replace=False)
            except FileExistsError:
                continue
        raise AssertionError(f"a thousand checkpoints called {name}")

    def _by_name_or_path(self, method: str, name: str | Path) -> Path:
        text = str(name)
        if "/" not in text and "\\" not in text and (self.root / method / text / FACTS).is_file():
            return self.root / method / text
        path = Path(name)
        if path.is_dir():
            return path
        if path.is_file() and path.name in (WEIGHTS, FACTS):
            return path.parent
        if path.is_file():
            remedy = f"Import it first: vidlang models import {method} {path}"
            raise BadCheckpoint(f"{path} is not a vidlang checkpoint. {remedy}")
        raise UnknownName(f"{method} checkpoint", text, [summary.name for summary in self.list(method)])


# -- training states -------------------------------------------------------------------------------------------------


def save_train_state(folder: Path, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> Path:
    """Replaces the state in ``folder`` in one step; returns the folder.

    tensors: weights, moments, random states, by name, on any device    numbers: the rest, ready for JSON

    Raises:
        ValueError: ``numbers`` hold what JSON cannot.
    """
    folder = Path(folder)
    text = _to_json({"numbers": numbers}, "numbers", allow_nan=True)
    weights = folder / f"tensors-{secrets.token_hex(4)}.safetensors"
    with replacing(weights) as temporary:
        _write_tensors(temporary, tensors)
        digest = _digest(temporary)
    facts = {"schema": TRAIN_STATE_SCHEMA, "tensors": weights.name, "digest": digest, **json.loads(text)}
    write_text(folder / STATE, json.dumps(facts, indent=2) + "\n")
    for other in folder.iterdir():
        if is_stale(other) or (other.match("tensors-*.safetensors") and other != weights):
            other.unlink(missing_ok=True)
    return folder


def load_train_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors on the CPU, numbers) as they were saved; tuples come back as lists.

    Raises:
        BadCheckpoint: there is no state, or it is damaged, or of an unknown schema.
    """
    folder = Path(folder)
    fields = _read_json(folder / STATE, TRAIN_STATE_SCHEMA, remedy="Start the training anew")
    try:
        name, digest, numbers = str(fields["tensors"]), str(fields["digest"]), dict(fields["numbers"])
    except (KeyError, TypeError, ValueError) as cause:
        raise BadCheckpoint(f"{folder / STATE} is damaged ({cause}). Start the training anew.") from cause
    if Path(name).name != name:
        raise BadCheckpoint(f"{folder / STATE} is damaged (it names {name!r}). Start the training anew.")
    return _read_tensors(folder / name, digest), numbers


# -- PyTorch files ---------------------------------------------------------------------------------------------------


def read_torch_state(path: Path) -> dict[str, Tensor]:
    """Weights from a ``.pth`` file (plain, or under ``model_state_dict``) or a ``.safetensors`` file, on the CPU.

    Only tensors, containers and plain numbers are unpickled; a file that asks for more is refused, and nothing in
    it runs.

    Raises:
        BadCheckpoint: no such file, not weights, or it needs pickle.
    """
    import torch

    path = Path(path)
    if not path.is_file():
        raise BadCheckpoint(f"There is no file {path}. Give the path of downloaded weights.")
    if path.suffix == ".safetensors":
        return _read_tensors(path, None)
    try:
        with _numpy_scalars_allowed():
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as cause:
        raise BadCheckpoint(
            f"{path} holds Python objects, not only weights, and is not opened because that could run any code. "
            "Save its state_dict alone with torch.save and give that file."
        ) from cause
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError) as cause:
        detail = _first_line(cause)
        raise BadCheckpoint(f"{path} does not read as a PyTorch file ({detail}). Download it again.") from cause
    return _state_of(content, path)


def write_torch_state(path: Path, state: Mapping[str, Tensor]) -> Path:
    """A flat dict of tensors as a ``.pth`` file that ``torch.load(weights_only=True)`` reads; returns the path."""
    import torch

    with replacing(Path(path)) as temporary:
        torch.save(dict(state), temporary)
    return Path(path)


def _state_of(content: object, path: Path) -> dict[str, Tensor]:
    import torch

    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise BadCheckpoint(f"{path} holds a {type(content).__name__}, not named weights. Save a state_dict instead.")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise BadCheckpoint(f"{path} holds {name!r}, which is not a tensor. Save its state_dict alone.")
    return dict(content)


def _numpy_scalars_allowed() -> ExitStack:
    """The published ``checkpoint.pth`` keeps its metric as a numpy float, which is a number and harmless.

    Its pickle asks for ``numpy.core.multiarray.scalar`` (numpy 1) or ``numpy._core.multiarray.scalar`` (numpy 2).
    """
    import numpy as np
    import torch

    stack = ExitStack()
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < (2, 5):  # no allowing for one call only; such a file is refused there
        return stack
    scalar = np.float64(0).__reduce__()[0]
    kinds = [type(np.dtype(code)) for code in ("f2", "f4", "f8", "i4", "i8", "?")]
    # a function may be allowed under the name that older files use in recent versions only
    names = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    allowed: builtins.list[Any] = names if version >= (2, 7) else [scalar]
    stack.enter_context(torch.serialization.safe_globals([*allowed, np.dtype, *kinds]))
    return stack


# -- files -----------------------------------------------------------------------------------------------------------


def _save(folder: Path, checkpoint: Checkpoint, *, replace: bool) -> Path:
    facts: dict[str, Any] = {
        "schema": CHECKPOINT_SCHEMA,
        "created": datetime.now(timezone.utc).isoformat(timespec="microseconds"),
        "method": checkpoint.method,
        "config": dict(checkpoint.config),
        "recipe": checkpoint.recipe.to_dict(),
        "class_names": list(checkpoint.class_names),
        "metrics": {name: float(v) if math.isfinite(v) else None for name, v in checkpoint.metrics.items()},
        "extra": dict(checkpoint.extra),
        "num_values": sum(tensor.numel() for tensor in checkpoint.state.values()),
    }
    _to_json(facts, "config and extra")  # before anything is written
    with replacing_folder(folder, replace=replace) as temporary:
        _write_tensors(temporary / WEIGHTS, checkpoint.state)
        facts["digest"] = _digest(temporary / WEIGHTS)
        (temporary / FACTS).write_text(_to_json(facts, "config and extra", indent=2) + "\n", encoding="utf-8")
    return folder


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """safetensors refuses tensors that share memory, so each is a copy of its own."""
    import torch
    from safetensors.torch import save_file

    own = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    save_file(own, str(path))


def _read_tensors(path: Path, digest: str | None) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = path.read_bytes()
        if digest is not None and hashlib.blake2b(data, digest_size=20).hexdigest() != digest:
            raise BadCheckpoint(f"{path} is not the file that was saved beside its JSON. Train or import again.")
        tensors: dict[str, Tensor] = load(data)
        return tensors
    except FileNotFoundError as cause:
        raise BadCheckpoint(f"{path} is missing. Train or import again.") from cause
    except (SafetensorError, ValueError, KeyError, OSError) as cause:
        raise BadCheckpoint(f"{path} does not read as safetensors ({_first_line(cause)}). Get it again.") from cause


def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=20).hexdigest()


def _read_json(path: Path, schema: str, remedy: str) -> dict[str, Any]:
    """An object of the asked schema. Raises BadCheckpoint."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise BadCheckpoint(f"There is no {path.name} in {path.parent}. {remedy}.") from cause
    except (ValueError, OSError) as cause:
        raise BadCheckpoint(f"{path} does not read as JSON ({_first_line(cause)}). {remedy}.") from cause
    found = fields.get("schema") if isinstance(fields, dict) else None
    if found != schema:
        raise BadCheckpoint(f"{path} has schema {found!r}, this vidlang reads {schema!r}. Update vidlang. {remedy}.")
    return dict(fields)


def _to_json(value: object, what: str, *, indent: int | None = None, allow_nan: bool = False) -> str:
    try:
        return json.dumps(value, indent=indent, allow_nan=allow_nan)
    except (TypeError, ValueError) as cause:
        raise ValueError(f"{what} must be ready for JSON: {cause}") from cause


def _first_line(cause: BaseException) -> str:
    lines = str(cause).strip().splitlines()
    return lines[0][:160] if lines else type(cause).__name__
