"""Make a workspace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vidlang.core import BadInput
from vidlang.encoders.registry import find_encoder
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.object_cache import open_any_cache
from vidlang.store.workspace import SETTINGS_FILE, Workspace, open_workspace, read_settings, write_settings

__all__ = ["init", "open_cache", "open_workspace"]


def init(root: Path | None, *, encoder: str | None, device: str | None, force: bool) -> Path:
    """Write the settings file with the given defaults.

    Raises:
        BadInput: there is one already and ``force`` is not set.
    """
    workspace = open_workspace(root)
    path = workspace.root / SETTINGS_FILE
    if path.exists() and not force:
        raise BadInput(f"{path} is there already. Edit it, or replace it with --force.")
    settings = read_settings(path, {})  # what the environment says stays there
    if encoder is not None:
        find_encoder(encoder)
        settings = replace(settings, encoder=encoder)
    if device is not None:
        settings = replace(settings, device=device)
    return write_settings(workspace, settings)


def open_cache(workspace: Workspace, place: str | None = None) -> FeatureCache:
    """The feature cache of a workspace, or the one at ``place``: a URL, a folder, a workspace, or a packed file."""
    return FeatureCache(workspace.cache_dir) if place is None else open_any_cache(place)
