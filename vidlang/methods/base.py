"""What a method is to the rest of vidlang: its SPEC, and what it may ask of a text tower. No torch at import."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidlang.core.errors import UnknownName
from vidlang.nn.text import TextEncoder

__all__ = ["MethodSpec", "Task", "TextEncoder", "find_method", "list_methods"]

Task = Literal["anomaly", "localization", "retrieval", "representation"]


@dataclass(frozen=True)
class MethodSpec:
    """One paper, as lists and help texts show it."""

    name: str
    title: str
    task: Task
    """Fixes what predicting returns."""
    reads: str
    """What the method learns from, such as ``features [T, D] and video labels``."""
    paper: str
    reference: str
    """The published implementation, with the commit that was followed."""
    module: str
    """Where it lives, such as ``vidlang.methods.vadclip``."""


def list_methods() -> list[MethodSpec]:
    """Every sub-folder of ``vidlang/methods`` that declares a SPEC, by name."""
    folders = sorted(path.parent.name for path in Path(__file__).parent.glob("*/__init__.py"))
    modules = (importlib.import_module(f"vidlang.methods.{folder}") for folder in folders)
    return [module.SPEC for module in modules if hasattr(module, "SPEC")]


def find_method(name: str) -> MethodSpec:
    """The method of that name.

    Raises:
        UnknownName: no method is called so.
    """
    methods = {spec.name: spec for spec in list_methods()}
    if name not in methods:
        raise UnknownName("method", name, methods)
    return methods[name]
