"""What the verbs that read videos share: which videos are meant, which encoder, what must be said of it, file names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from vidlang.core import BadInput, BadManifest, FeatureRecipe, Label, MissingFeatures, Outcome
from vidlang.core.errors import did_you_mean
from vidlang.datasets.manifest import labels_from_folders, read_manifest
from vidlang.datasets.matching import match_ids
from vidlang.encoders.registry import MINI, MINI_FOLDER, find_encoder
from vidlang.store.checkpoints import Checkpoint
from vidlang.store.feature_cache import FeatureCache
from vidlang.workflows.cache import matches
from vidlang.workflows.targets import file_of

Choose = Callable[[Sequence[str]], set[str]]
"""Takes the ids of videos that were found and returns those that are wanted."""


def wanted_videos(manifest: Path | None, split: str | None) -> Choose | None:
    """Which of the found videos a manifest lists; None where there is no manifest, so that all are wanted."""
    if manifest is None:
        return None

    def choose(ids: Sequence[str]) -> set[str]:
        labels = [label for label in read_manifest(manifest) if split is None or label.split == split]
        found = {label.video_id for label in match_ids(labels, ids, missing=[])}
        if not found:
            raise BadInput(f"None of the given videos is in {manifest}" + (f" with split {split!r}." if split else "."))
        return found

    return choose


def known_labels(manifest: Path | None, split: str | None, ids: Sequence[str]) -> dict[str, Label]:
    """What a manifest knows of videos, by their ids; nothing without one."""
    if manifest is None:
        return {}
    listed = [label for label in read_manifest(manifest) if split is None or label.split == split]
    return {label.video_id: label for label in match_ids(listed, ids, missing=[])}


def labels_to_learn(manifest: Path | None, ids: Sequence[str], notes: list[str]) -> list[Label]:
    """Labels of cached videos, from a manifest or from the class folders that they lie in.

    notes: gets what must be said of videos without label, and of labels without video

    Raises:
        BadManifest: the manifest does not read, or without one no video lies in a class folder.
        MissingFeatures: none of its videos is in the cache.
    """
    if manifest is None:
        labels = labels_from_folders(ids, allow_unlabelled=True)
        labelled = {label.video_id for label in labels}
        bare = [video_id for video_id in ids if video_id not in labelled]
        if bare:
            notes.append(f"{len(bare)} cached videos lie in no class folder and are left out, such as {bare[0]}")
        if not labels:
            raise BadManifest(
                "No cached video lies in a class folder, so none has a label. Extract a folder of class folders "
                "(videos/<class>/x.mp4), or give --manifest labels.csv."
            )
        return labels
    missing: list[str] = []
    labels = match_ids(read_manifest(manifest), ids, missing=missing)
    if missing:
        notes.append(f"{len(missing)} videos of {manifest} are not in the cache, such as {missing[0]}")
    if not labels:
        raise MissingFeatures(f"No video of {manifest} is in the cache. Run: vidlang extract videos/")
    return labels


def cached_outcomes(
    cache: FeatureCache, recipe: FeatureRecipe, patterns: Sequence[str], only: Choose | None
) -> list[Outcome]:
    """Videos of the cache whose id matches a pattern, and that ``only`` wants.

    Raises:
        BadInput: there is none.
    """
    ids = sorted(key.video_id for key in cache.keys(recipe))
    found = [i for i in ids if matches(i, patterns)]
    if not found:
        raise BadInput(
            f"No video in {cache.root} matches {' '.join(patterns)} with features {recipe.name}."
            f"{did_you_mean(patterns[0], ids) if patterns else ''} vidlang cache list '*' shows what is there."
        )
    wanted = set(found) if only is None else only(found)
    return [Outcome(video_id, "skipped", "from the cache") for video_id in found if video_id in wanted]


def encoder_of(checkpoint: Checkpoint) -> str:
    """The name or path that loads the encoder which a checkpoint was trained with."""
    return str(checkpoint.extra.get("encoder", checkpoint.recipe.encoder))


def honesty(encoder_name: str, *notes: str) -> dict[str, str]:
    """What must be said with every result: of a weak encoder, and what else is given."""
    spec = find_encoder(encoder_name)
    weak = [f"made with the bundled encoder 'mini': {spec.note}"] if spec and spec.name == MINI else []
    said = "; ".join([*notes, *weak])
    return {"note": said} if said else {}


def encoder_limits(encoder_name: str) -> str:
    """What the bundled encoder cannot do: the first paragraph of its card, without markup; empty for other encoders."""
    if encoder_name != MINI:
        return ""
    card = (MINI_FOLDER / "README.md").read_text(encoding="utf-8")
    paragraphs = [part for part in card.split("\n\n") if not part.lstrip().startswith("#")]
    return " ".join(re.sub(r"[*`]", "", paragraphs[0]).split()) if paragraphs else ""


def picture_path(folder: Path, video_id: str) -> Path:
    """Where the picture of a video lies: ``fight/x.mp4`` → ``fight__x.mp4.png``."""
    return file_of(folder, video_id, ".png")
