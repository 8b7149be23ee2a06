"""What the shell offers behind an option: names that are looked up by listing folders, so that Tab answers at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

DEVICES = ("auto", "cpu", "cuda", "cuda:0", "cuda:1", "mps")


def devices(incomplete: str) -> list[str]:
    return _starting(DEVICES, incomplete)


def encoders(incomplete: str) -> list[str]:
    from vidlang.encoders.registry import list_encoders

    return _starting((spec.name for spec in list_encoders()), incomplete)


def checkpoints(ctx: typer.Context, incomplete: str) -> list[str]:
    """Checkpoints of the workspace, of all methods."""
    from vidlang.workflows.known_names import checkpoint_names

    return _starting(checkpoint_names(_workspace(ctx)), incomplete)


def models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Encoders and checkpoints."""
    return [*encoders(incomplete), *checkpoints(ctx, incomplete)]


def cached_videos(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids in the cache."""
    from vidlang.workflows.known_names import cached_ids

    return _starting(cached_ids(_workspace(ctx)), incomplete)


def recipes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Fingerprints of the cache's recipes."""
    from vidlang.workflows.known_names import recipe_fingerprints

    return _starting(recipe_fingerprints(_workspace(ctx)), incomplete)


def datasets(incomplete: str) -> list[str]:
    from vidlang.workflows.known_names import dataset_names

    return _starting(dataset_names(), incomplete)


def schemas(incomplete: str) -> list[str]:
    from vidlang.core.schemas import SCHEMAS

    return _starting(SCHEMAS, incomplete)


def _workspace(ctx: Any) -> Path | None:
    value = ctx.params.get("workspace")
    return Path(value) if value else None


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
