"""Which recipe a command means, and the encoder that belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from vidlang.core import BadInput, FeatureRecipe, MissingFeatures, Progress, Sampling
from vidlang.core.features import Motion, Precision, RowKind
from vidlang.encoders.registry import find_encoder
from vidlang.encoders.weights import kind_of, locate
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.workspace import Settings

if TYPE_CHECKING:
    from vidlang.encoders.base import Encoder


@dataclass(frozen=True)
class RecipeChanges:
    """What the command line says; None where it says nothing and the settings decide."""

    encoder: str | None = None
    stride: int | None = None
    pick: str | None = None
    fps: float | None = None
    crops: str | None = None
    preprocess: str | None = None
    precision: str | None = None
    dtype: str | None = None
    reuse_static: float | None = None
    features: str | None = None
    borders: str | None = None
    colour: str | None = None
    motion: str | None = None
    """As ``Motion.parse`` takes it."""


def make_recipe(settings: Settings, changes: RecipeChanges) -> FeatureRecipe:
    """Flags beat the settings file, the file beats the defaults.

    An encoder that makes region rows only gets ``features`` regions by itself.

    Raises:
        BadInput: a combination that cannot be.
        UnknownName, EncoderUnavailable: the encoder is not known, or its identity cannot be told here.
    """

    def chosen(name: str) -> Any:
        value = getattr(changes, name)
        return getattr(settings, name) if value is None else value

    if changes.stride is not None and changes.fps is not None:
        raise BadInput("--stride and --fps are two ways to say the same thing; give one of them.")
    if changes.reuse_static is not None and not 0 <= changes.reuse_static < float("inf"):
        raise BadInput(f"--reuse-static takes grey levels from 0 on, got {changes.reuse_static:g}.")
    fps = None if changes.stride is not None else chosen("fps")
    try:
        sampling = Sampling(stride=chosen("stride"), pick=chosen("pick"), fps=fps, crops=chosen("crops"))
        name, revision = encoder_identity(chosen("encoder"))
        features = chosen("features")
        if features == "pooled" and "pooled" not in kinds_of_rows(chosen("encoder")):
            if changes.features is not None:
                raise BadInput(f"{name} makes region rows only. Leave --features out, or say --features regions.")
            features = "regions"
        motion = Motion.parse(chosen("motion"))
        if motion.use == "pool" and features != "pooled":
            raise BadInput(
                f"--motion pool weighs the patches behind pooled rows, but {name} makes {features} rows here. Take "
                "--motion mask, or --features pooled of a CLIP."
            )
        return FeatureRecipe(
            encoder=name,
            revision=revision,
            sampling=sampling,
            preprocess=chosen("preprocess"),
            precision=chosen("precision"),
            dtype=chosen("dtype"),
            reuse_static=changes.reuse_static,
            features=features,
            borders=chosen("borders"),
            colour=chosen("colour"),
            motion=motion,
        )
    except ValueError as error:
        raise BadInput(f"{error}.") from error


def encoder_identity(name: str) -> tuple[str, str]:
    """What a recipe calls an encoder: (name, revision). Encoders of the registry need not be on this machine for it."""
    spec = find_encoder(name)
    if spec is not None:
        return spec.name, spec.revision
    source = locate(name)
    return source.name, source.revision


def kinds_of_rows(name: str) -> tuple[RowKind, ...]:
    """What rows an encoder makes; those of the registry need not be on this machine for it."""
    spec = find_encoder(name)
    if spec is not None:
        return spec.features
    return ("regions",) if kind_of(locate(name).folder) == "resnet" else ("pooled", "regions")


def check_has_text(recipe: FeatureRecipe, what: str) -> None:
    """For what compares rows with texts. ``what``: who asks, such as ``vidlang score``.

    Raises:
        BadInput: rows of this recipe do not lie in a space of texts.
    """
    if recipe.features != "pooled":
        raise BadInput(
            f"{what} compares features with words, which region rows ({recipe.name}) cannot be. Take pooled features "
            "of a CLIP: see --encoder, and the settings encoder and features in vidlang.toml."
        )


def check_same_rows(recipe: FeatureRecipe, encoder: Encoder) -> None:
    """Before rows are made.

    Raises:
        BadInput: the encoder was loaded for rows of another kind.
    """
    if encoder.features != recipe.features:
        raise BadInput(
            f"{recipe.name} asks for {recipe.features} rows, but this command takes {encoder.features} rows of "
            f'{encoder.name}. Set features = "{encoder.features}" in vidlang.toml, or take another encoder.'
        )


def loadable_name(settings: Settings, recipe: FeatureRecipe, asked: str | None = None) -> str:
    """What ``load_encoder`` takes for the encoder of a recipe.

    A local folder is known by the command line (``asked``) or the settings alone: a recipe has its name, not its path.
    """
    if asked is not None:
        return asked
    return settings.encoder if recipe.encoder.startswith("local:") else recipe.encoder


def encoder_loader(
    name: str, precision: Precision, device: str, progress: Progress | None = None, features: RowKind | None = None
) -> Callable[[], Encoder]:
    """A function that loads an encoder once, for workflows that may find nothing to encode.

    features: what rows it makes (``FeatureRecipe.features``); None: what it makes when nobody asks
    Weights that are not on this machine are downloaded, which the progress says.
    """

    @cache
    def load() -> Encoder:
        from vidlang.encoders.clip import load_encoder

        return load_encoder(
            name, device=device, precision=precision, features=features, allow_download=True, progress=progress
        )

    return load


def recipe_in_cache(
    features: FeatureCache,
    wanted: FeatureRecipe,
    asked_for: bool,
    progress: Progress,
    besides: Collection[FeatureRecipe] = (),
) -> FeatureRecipe:
    """The wanted recipe if the cache has videos of it; else rows of that encoder and rhythm that were imported; else
    the only one there, unless a certain one was asked for.

    besides: recipes in the cache that are there for another purpose

    Raises:
        MissingFeatures: nothing fits, with what to run.
    """
    recipes = [recipe for recipe in features.recipes() if recipe not in besides]
    if wanted in recipes:
        return wanted
    if not recipes:
        what = "has no features but those of the second encoder" if besides else "is empty"
        raise MissingFeatures(f"The cache {features.root} {what}. Run: vidlang extract videos/")
    imported = [recipe for recipe in recipes if _is_import_of(wanted, recipe)]
    if len(imported) == 1:
        progress.message(f"Using imported rows: {imported[0].name} ({imported[0].revision}).")
        return imported[0]
    if asked_for or len(recipes) > 1:
        names = "; ".join(f"{recipe.name} ({recipe.fingerprint})" for recipe in recipes)
        raise MissingFeatures(
            f"The cache has no features of {wanted.name}. It has: {names}. Choose one of them with --encoder, "
            "--stride, --fps and so on, or run: vidlang extract videos/ with these options."
        )
    progress.message(f"Using the one recipe in the cache: {recipes[0].name}.")
    return recipes[0]


def _is_import_of(wanted: FeatureRecipe, recipe: FeatureRecipe) -> bool:
    """Rows that were made elsewhere by the wanted encoder, in the wanted rhythm; which frame they show is not known."""
    one, other = wanted.sampling, recipe.sampling
    rhythm = one.fps == other.fps and (one.fps is not None or one.stride == other.stride)
    return recipe.revision.startswith("imported:") and recipe.encoder == wanted.encoder and rhythm
