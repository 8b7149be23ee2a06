"""Encoders and checkpoints: what there is, and published checkpoints in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vidlang.core import BadInput, EncoderUnavailable, FeatureRecipe, Progress, Sampling, UnknownName, VidlangError
from vidlang.encoders.registry import MINI_FOLDER, find_encoder, list_encoders
from vidlang.encoders.weights import load_both_towers, locate
from vidlang.methods.base import find_method
from vidlang.store.checkpoints import Checkpoint, ModelRegistry, load_summary, read_torch_state, write_torch_state
from vidlang.store.workspace import Workspace
from vidlang.workflows.recipe import encoder_identity


def list_models(workspace: Workspace) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Encoders that have a name, and the checkpoints of a workspace, oldest first."""
    encoders = [
        {
            "name": spec.name,
            "repo": spec.repo,
            "revision": spec.revision,
            "dim": spec.dim,
            "image_size": spec.image_size,
            "available": _is_here(spec.name),
            "note": spec.note,
        }
        for spec in list_encoders()
    ]
    checkpoints = [
        {
            "name": summary.name,
            "method": summary.method,
            "created": str(summary.created),
            "class_names": list(summary.class_names),
            "features": summary.recipe.name,
            "metrics": dict(summary.metrics),
            "path": str(summary.path),
        }
        for summary in ModelRegistry(workspace.models_dir).list()
    ]
    return encoders, checkpoints


def _is_here(name: str) -> bool:
    try:
        locate(name)
    except EncoderUnavailable:
        return False
    return True


def show_model(workspace: Workspace, name: str) -> tuple[dict[str, Any], str]:
    """(facts, model card or empty) of an encoder, or of a checkpoint by name or folder.

    Raises:
        UnknownName: neither.
    """
    encoders = {spec.name: spec for spec in list_encoders()}
    if name in encoders:
        spec = encoders[name]
        card_path = MINI_FOLDER / "README.md"
        card = card_path.read_text(encoding="utf-8") if spec.bundled and card_path.is_file() else ""
        facts = {
            "encoder": spec.name,
            "repository": spec.repo,
            "revision": spec.revision,
            "dimension": spec.dim,
            "image size (pixels)": spec.image_size,
            "on this machine": _is_here(name),
            "note": spec.note,
        }
        return facts, card
    registry = ModelRegistry(workspace.models_dir)
    summaries = {summary.name: summary for summary in registry.list()}
    if name not in summaries and (Path(name) / "checkpoint.json").is_file():
        summaries[name] = load_summary(Path(name))
    if name not in summaries:
        raise UnknownName("encoder or checkpoint", name, [*encoders, *summaries])
    summary = summaries[name]
    facts = {
        "checkpoint": summary.name,
        "method": summary.method,
        "created": str(summary.created),
        "classes": list(summary.class_names),
        "recipe": summary.recipe.canonical_json,
        **{f"metric {key}": value for key, value in summary.metrics.items()},
        **{key: value for key, value in summary.extra.items() if key != "name"},
        **{f"config {key}": value for key, value in summary.config.items()},
        "path": str(summary.path),
    }
    return facts, ""


def pull_model(name: str) -> Path:
    """Download an encoder unless it is here."""
    from vidlang.encoders.clip import pull_encoder

    find_encoder(name)
    return pull_encoder(name)


def import_checkpoint(
    workspace: Workspace, method: str, file: Path, preset: str, encoder: str, stride: int, name: str | None
) -> tuple[Path, str]:
    """A published file into the registry; returns its folder and one line about it."""
    _check_method(method)
    from vidlang.methods.vadclip.config import PRESET_PROMPTS
    from vidlang.methods.vadclip.official import read_official

    if preset not in PRESET_PROMPTS:
        raise UnknownName("preset of published checkpoints", preset, PRESET_PROMPTS)
    weights = read_official(read_torch_state(file), preset)
    spec = find_encoder(encoder)
    if spec is not None and spec.dim != weights.facts.dim:
        raise BadInput(
            f"{file} was trained on features of dimension {weights.facts.dim}, {encoder} makes {spec.dim}. "
            "Name its CLIP with --encoder."
        )
    encoder_name, revision = encoder_identity(encoder)
    branch = "c" if preset.startswith("ucf") else "a"
    prompts = PRESET_PROMPTS[preset]
    checkpoint = Checkpoint(
        method=method,
        config=weights.config.to_dict(),
        recipe=FeatureRecipe(encoder_name, revision, Sampling(stride=stride)),
        class_names=tuple(prompts),
        state=weights.own,
        metrics={},
        extra={
            "preset": preset,
            "encoder": encoder,
            "prompts": list(prompts.values()),
            "branch": branch,
            "imported_from": file.name,
        },
    )
    folder = ModelRegistry(workspace.models_dir).register(checkpoint, name=name)
    numbers = sum(value.numel() for value in weights.own.values())
    kept = f"Kept {len(weights.own)} of {weights.facts.num_tensors} tensors ({numbers:,} numbers)"
    return folder, f"{kept} and the encoder {encoder}"


def export_checkpoint(
    workspace: Workspace, method: str, file: Path, checkpoint: str | None, clip: str | None, progress: Progress
) -> str:
    """A checkpoint in the published layout; returns one line about it.

    clip: an encoder, or a published file to take the CLIP from; None: the checkpoint's own encoder.
    """
    _check_method(method)
    from vidlang.encoders.openai_layout import openai_from_clip
    from vidlang.methods.vadclip.official import CLIP_PREFIX, write_official

    if file.exists():
        raise BadInput(f"{file} is there already. Choose another name or delete it first.")
    found = ModelRegistry(workspace.models_dir).find(method, checkpoint)
    source = clip or str(found.extra.get("encoder", found.recipe.encoder))
    if Path(source).is_file():
        whole = read_torch_state(Path(source))
        tower = {key: value for key, value in whole.items() if key.startswith(CLIP_PREFIX)}
        if not tower:
            raise BadInput(f"{source} holds no CLIP (no tensor is called {CLIP_PREFIX}…). Give an encoder with --clip.")
    else:
        try:
            tower = openai_from_clip(load_both_towers(locate(source)))
        except EncoderUnavailable as error:
            raise VidlangError(f"{error} Or take the CLIP from a published file: --clip model_ucf.pth") from error
    state = write_official(found.state, tower)
    write_torch_state(file, state)
    progress.message(f"The CLIP inside is that of {source}.")
    return f"Wrote {file}: {len(state)} tensors."


def _check_method(method: str) -> None:
    find_method(method)
    if method != "vadclip":
        raise BadInput(f"There are no published checkpoints of {method} to exchange.")
