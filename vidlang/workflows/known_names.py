"""Names that a user may mean, found by listing folders: no entry is opened and nothing heavy is loaded."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from vidlang.store.workspace import folder_of

ENTRY = ".h5"


def checkpoint_names(root: Path | None) -> list[str]:
    """Checkpoints in the registry of a workspace, newest method folder last, each name once."""
    found = (folder_of(root) / "models").glob("*/*")
    return sorted({path.name for path in found if path.is_dir() and not path.name.startswith(".")})


def cached_ids(root: Path | None) -> list[str]:
    """Video ids of the cache, of all recipes, each once; names too long for a file name are left out."""
    cache = folder_of(root) / "cache"
    ids = set()
    for recipe in cache.glob("*/*"):
        for path in recipe.rglob(f"[!.]*{ENTRY}"):
            ids.add(path.relative_to(recipe).as_posix().removesuffix(ENTRY))
    return sorted(unquote(name, errors="replace") for name in ids if "~" not in name)


def recipe_fingerprints(root: Path | None) -> list[str]:
    """Fingerprints of the recipes that the cache has folders of."""
    return sorted({path.name.rpartition("-")[2] for path in (folder_of(root) / "cache").glob("*/*") if path.is_dir()})


def dataset_names() -> list[str]:
    """What ``datasets import`` reads."""
    from vidlang.datasets import ACTION_DATASETS, DATASETS, LOCALIZATION_DATASETS, RETRIEVAL_DATASETS

    return sorted({*DATASETS, *ACTION_DATASETS, *LOCALIZATION_DATASETS, *RETRIEVAL_DATASETS})
