"""What pages of several verbs share: stills of videos, and how results were made in words."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidlang.core import FeatureRecipe, VidlangError
from vidlang.report.thumbs import thumbnail
from vidlang.workflows.pictures import frames_at

logger = logging.getLogger(__name__)

STILL_WIDTH = 240
"""Pixels."""


def stills_of(path: Path, seconds: Sequence[float]) -> list[bytes | None]:
    """A JPEG of a video at each of these seconds, in the order asked; None where the video does not read."""
    if not seconds:
        return []
    try:
        return [thumbnail(frame, STILL_WIDTH) for frame in frames_at(path, seconds)]
    except VidlangError as error:
        logger.warning("no stills of %s: %s", path, error)
        return [None] * len(seconds)


def made_by_facts(made_by: Mapping[str, Any]) -> list[tuple[str, object]]:
    """How results were made, as (name, value) for people; what is nothing is left out."""
    facts: list[tuple[str, object]] = []
    for name, value in made_by.items():
        if name == "note" or value is None:
            continue
        if name == "recipe":
            recipe = FeatureRecipe.from_dict(value)
            facts += [("recipe", f"{recipe.name} ({recipe.fingerprint})"), ("revision", recipe.revision)]
            facts.append(("pixels", f"{recipe.preprocess}; {recipe.precision}"))
        else:
            facts.append((name.replace("_", " "), value))
    return [*facts, *([("note", made_by["note"])] if made_by.get("note") else [])]
