"""The gallery that queries are compared with: the index of the cache, made and kept up by itself.

Which index is meant follows from the recipe, the checkpoint, the whitening and a few switches; each combination has a
folder of its own under ``index/`` in the workspace. An index is derived from the cache alone, so it can always be
built again, and what is in it stays when videos or cache entries cannot be reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from vidlang.core import (
    BadInput,
    DamagedEntry,
    FeatureKey,
    FeatureRecipe,
    Features,
    MissingFeatures,
    Progress,
)
from vidlang.methods.tca.informative import unit
from vidlang.methods.tca.whitening import Whitening
from vidlang.store.atomic import write_npz
from vidlang.store.checkpoints import Checkpoint, ModelRegistry
from vidlang.store.feature_cache import CacheEntry, FeatureCache
from vidlang.store.index import IndexInfo, IndexItem, IndexSpec, VideoIndex
from vidlang.store.workspace import Workspace
from vidlang.store.writer_lock import BeingWritten
from vidlang.workflows.chosen import encoder_of
from vidlang.workflows.embedding import (
    AUTO,
    Embedding,
    WhiteningPlan,
    blank_rows,
    fit_whitening,
    make_embedder,
    whitening_input,
)
from vidlang.workflows.plan import Plan, PlannedItem
from vidlang.workflows.recipe import RecipeChanges, encoder_loader, loadable_name, make_recipe, recipe_in_cache

if TYPE_CHECKING:
    from vidlang.encoders.base import Encoder
    from vidlang.store.ann import ApproximateIndex, Kind

PLAIN = "plain"
"""What --checkpoint takes for no checkpoint."""
WHITENING_PREFIX = "whitening."
GROWN = 4
"""A whitening that ``auto`` fitted is fitted again when the gallery has this many times the rows."""

WhiteningKind = Literal["auto", "none", "center", "whiten"]


@dataclass(frozen=True)
class GalleryOptions:
    """What decides the numbers of an index."""

    checkpoint: str | None = None
    """Name or folder of a TCA checkpoint; ``plain``: none; None: the newest that fits the recipe, or none."""
    whitening: WhiteningKind = "auto"
    num_components: int | None = None
    """Dimensions that whitening keeps."""
    skip_start: float = 0.0
    """Seconds left out at the start of every video, such as an intro that all share."""
    blank_frames: Literal["weigh-less", "keep"] = "weigh-less"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.skip_start < float("inf"):
            raise BadInput(f"--skip-start takes seconds from 0 on, got {self.skip_start:g}.")


@dataclass(frozen=True, eq=False)
class Gallery:
    """An index that is up to date, and the way that made it, for queries to go the same way."""

    index: VideoIndex
    embedding: Embedding
    recipe: FeatureRecipe
    encoder_name: str
    load_encoder: Callable[[], Encoder]
    made_by: Mapping[str, Any]


@dataclass(frozen=True)
class UpdateReport:
    """What an update did."""

    added: int
    changed: int
    gone: int
    """Videos of the index whose cache entry is not there; kept unless pruned."""
    pruned: int
    rebuilt: str | None
    """Why the index was built anew, where it was."""
    info: IndexInfo
    folder: Path
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The report for people."""
        info = self.info
        parts = [f"{self.added} added", f"{self.changed} changed", f"{self.pruned} removed"]
        lines = [
            f"{info.videos} videos, {info.rows} rows of width {info.width}, {info.bytes / 1e6:.1f} MB "
            f"({', '.join(parts)})"
        ]
        if self.rebuilt:
            lines.append(f"Built anew: {self.rebuilt}")
        lines.append(describe_spec(info.spec))
        kept = self.gone - self.pruned
        if kept:
            lines.append(f"{kept} videos are no longer in the cache and stay in the index; --prune removes them")
        return lines

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "vidlang.index_update/1",
            "folder": str(self.folder),
            "added": self.added,
            "changed": self.changed,
            "gone": self.gone,
            "pruned": self.pruned,
            "rebuilt": self.rebuilt,
            **info_dict(self.info),
        }


def info_dict(info: IndexInfo) -> dict[str, Any]:
    """An index in numbers, ready for JSON."""
    return {
        "videos": info.videos,
        "rows": info.rows,
        "vectors": info.vectors,
        "width": info.width,
        "bytes": info.bytes,
        "parts": info.parts,
        "removed": info.removed,
        "spec": info.spec.to_dict(),
    }


def describe_spec(spec: IndexSpec) -> str:
    """What an index was made with, in a line."""
    embedder = spec.embedder
    how = f"checkpoint {embedder['checkpoint']}" if embedder["kind"] == "tca" else "plain rows"
    whitening = spec.extra.get("fitted", spec.whitening)
    skip = f", the first {spec.skip_start:g} s skipped" if spec.skip_start else ""
    return f"{spec.recipe.name}, {how}, whitening {whitening}{skip}, {spec.dtype}"


def index_root(workspace: Workspace) -> Path:
    """Where the workspace's indexes lie."""
    return workspace.root / "index"


def open_gallery(
    workspace: Workspace,
    options: GalleryOptions | None = None,
    changes: RecipeChanges | None = None,
    progress: Progress | None = None,
    *,
    rebuild: bool = False,
    prune: bool = False,
    as_it_is: bool = False,
) -> tuple[Gallery, UpdateReport]:
    """The index of the cached videos, with what is missing added.

    rebuild: build it anew    prune: remove videos whose cache entry is gone
    as_it_is: where another process writes the index, take what it holds already instead of failing

    Raises:
        MissingFeatures: the cache has no videos of the recipe, and the index none either.
        BadInput, UnknownName, BadCheckpoint: options that fit nothing.
        DamagedEntry: a pack of the cache does not open, and what the index has of it would be removed.
    """
    place, encoder_name = _place_of(
        workspace, options or GalleryOptions(), changes or RecipeChanges(), progress or Progress()
    )
    report = place.update(rebuild=rebuild, prune=prune, as_it_is=as_it_is)
    checkpoint, recipe = place.checkpoint, place.recipe
    made_by = {
        "method": "tca" if checkpoint else PLAIN,
        "checkpoint": checkpoint.extra.get("name") if checkpoint else None,
        "encoder": recipe.encoder,
        "recipe": recipe.to_dict(),
        "whitening": place.index.spec.extra.get("fitted", "none"),
        "index": str(place.index.folder),
    }
    return Gallery(place.index, place.embedding, recipe, encoder_name, place.load_encoder, made_by), report


def plan_gallery(
    workspace: Workspace,
    options: GalleryOptions | None = None,
    changes: RecipeChanges | None = None,
    *,
    rebuild: bool = False,
    prune: bool = False,
) -> Plan:
    """What ``open_gallery`` would add, replace and remove; no index is written.

    Raises:
        MissingFeatures, BadInput, UnknownName, BadCheckpoint: as ``open_gallery``.
    """
    place, _ = _place_of(workspace, options or GalleryOptions(), changes or RecipeChanges(), Progress())
    return place.plan(rebuild=rebuild, prune=prune)


def _place_of(
    workspace: Workspace, options: GalleryOptions, changes: RecipeChanges, progress: Progress
) -> tuple[_Place, str]:
    """The index that is meant, and the name that loads its encoder."""
    cache = FeatureCache(workspace.cache_dir)
    checkpoint = find_checkpoint(workspace, options, changes)
    recipe = _gallery_recipe(workspace, cache, changes, checkpoint, progress)
    encoder_name = _encoder_name(workspace, recipe, changes, checkpoint)
    load = encoder_loader(encoder_name, recipe.precision, options.device, progress, recipe.features)
    return _Place(workspace, cache, recipe, options, checkpoint, load, progress), encoder_name


def find_checkpoint(workspace: Workspace, options: GalleryOptions, changes: RecipeChanges) -> Checkpoint | None:
    """The TCA checkpoint that is meant; None for plain rows.

    Without a name the newest is taken that reads features of the recipe that the command line names; where it names
    none, of a recipe that the cache or an index has.

    Raises:
        UnknownName, BadCheckpoint: the named one is not there or damaged.
    """
    registry = ModelRegistry(workspace.models_dir)
    if options.checkpoint == PLAIN:
        return None
    if options.checkpoint is not None:
        return registry.find("tca", options.checkpoint)
    summaries = sorted(registry.list("tca"), key=lambda summary: summary.created, reverse=True)
    if not summaries:
        return None
    if changes == RecipeChanges():
        recipes = FeatureCache(workspace.cache_dir).recipes()
        recipes += [recipe for folder in index_folders(workspace) if (recipe := _recipe_of(folder)) is not None]
    else:
        recipes = [make_recipe(workspace.settings, changes)]
    fitting = next((summary for summary in summaries if summary.recipe in recipes), None)
    return registry.find("tca", fitting.path) if fitting is not None else None


def _gallery_recipe(
    workspace: Workspace,
    cache: FeatureCache,
    changes: RecipeChanges,
    checkpoint: Checkpoint | None,
    progress: Progress,
) -> FeatureRecipe:
    if checkpoint is None:
        wanted = make_recipe(workspace.settings, changes)
        if any(_recipe_of(folder) == wanted for folder in index_folders(workspace)):
            return wanted  # an index remembers videos whose cache is out of reach
        return recipe_in_cache(cache, wanted, changes != RecipeChanges(), progress)
    recipe = checkpoint.recipe
    if changes != RecipeChanges() and make_recipe(workspace.settings, changes) != recipe:
        raise BadInput(
            f"The checkpoint {checkpoint.extra.get('name', '')} reads features {recipe.name} ({recipe.fingerprint}), "
            "not those that the options name. Leave the options out, or give another --checkpoint, or plain."
        )
    return recipe


def index_folders(workspace: Workspace) -> list[Path]:
    """Folders of the workspace's indexes."""
    root = index_root(workspace)
    return sorted(folder for folder in root.glob("*-*") if VideoIndex.exists(folder)) if root.is_dir() else []


def index_infos(workspace: Workspace) -> tuple[list[tuple[Path, IndexInfo]], list[str]]:
    """(folder, numbers) of every index, and a line for each that does not open."""
    infos, broken = [], []
    for folder in index_folders(workspace):
        try:
            infos.append((folder, VideoIndex.open(folder).info()))
        except (BadInput, DamagedEntry) as error:
            broken.append(str(error))
    return infos, broken


def verify_indexes(workspace: Workspace, progress: Progress | None = None) -> dict[Path, list[tuple[Path, str]]]:
    """Reads every file of every index: from an index's folder to (file, what is wrong with it)."""
    found: dict[Path, list[tuple[Path, str]]] = {}
    for folder in index_folders(workspace):
        try:
            found[folder] = VideoIndex.open(folder).verify(progress)
        except (BadInput, DamagedEntry) as error:
            found[folder] = [(folder, str(error))]
    return found


def _recipe_of(folder: Path) -> FeatureRecipe | None:
    try:
        return VideoIndex.open(folder).spec.recipe
    except (BadInput, DamagedEntry):
        return None


def _encoder_name(
    workspace: Workspace, recipe: FeatureRecipe, changes: RecipeChanges, checkpoint: Checkpoint | None
) -> str:
    """What loads the encoder of a recipe; a local folder is known by the command line, checkpoint or settings only."""
    if changes.encoder is None and checkpoint is not None:
        return encoder_of(checkpoint)
    return loadable_name(workspace.settings, recipe, changes.encoder)


class _Place:
    """One index on the way to be up to date."""

    def __init__(
        self,
        workspace: Workspace,
        cache: FeatureCache,
        recipe: FeatureRecipe,
        options: GalleryOptions,
        checkpoint: Checkpoint | None,
        load_encoder: Callable[[], Encoder],
        progress: Progress,
    ) -> None:
        self.workspace, self.cache, self.recipe, self.options = workspace, cache, recipe, options
        self.checkpoint, self.load_encoder, self.progress = checkpoint, load_encoder, progress
        self.notes: list[str] = []
        self.index: VideoIndex
        self.embedding: Embedding

    def update(self, *, rebuild: bool, prune: bool, as_it_is: bool = False) -> UpdateReport:
        """Opens or makes the index, adds what is missing, and sets ``index`` and ``embedding``."""
        stamps = self.cache.stamps(self.recipe)
        why, there = "asked for" if rebuild else None, VideoIndex.exists(self.folder)
        if there and not rebuild:
            self.index = VideoIndex.open(self.folder)
            why = self._outgrown(stamps)
        if there and (why is not None or prune):
            self._check_packs()
        if why is not None or not there:
            self._check_there(stamps)  # nothing is deleted that could not be built again
            spec, arrays = self._beginning(stamps)  # may fail, or take long enough to be interrupted
            if there:
                VideoIndex.delete(self.folder)
            self.index = VideoIndex.create(self.folder, spec, arrays)
        self.embedding = self._embedding()
        found = _Changes.between(self.index, stamps)
        if found.fresh or found.changed or (prune and found.gone):  # readers that change nothing take no lock
            try:
                with self.index.writing():
                    found = _Changes.between(self.index, stamps)  # as it is under the lock
                    leaving = [*found.changed, *(found.gone if prune else ())]
                    self.index.remove([self.index.ids[self.index.entries[entry][0]] for entry in leaving])
                    wanted = sorted([*found.fresh, *found.changed])
                    self.index.add(self._items(wanted, stamps), progress=self.progress, total=len(wanted))
            except BeingWritten:
                if not as_it_is or not len(self.index):
                    raise
                missing = len(found.fresh)
                self.notes.append(f"another process writes the index; searched without {missing} videos it lacks yet")
        known = self.index.entries  # what could not be read is not among them
        return UpdateReport(
            added=sum(entry in known for entry in found.fresh),
            changed=sum(entry in known for entry in found.changed),
            gone=len(found.gone),
            pruned=len(found.gone) if prune else 0,
            rebuilt=why,
            info=self.index.info(),
            folder=self.folder,
            notes=tuple(self.notes),
        )

    def plan(self, *, rebuild: bool, prune: bool) -> Plan:
        """What ``update`` would do."""
        stamps, fresh, changed, gone = self.cache.stamps(self.recipe), set[str](), set[str](), set[str]()
        anew = rebuild or not VideoIndex.exists(self.folder)
        if not anew:
            self.index = VideoIndex.open(self.folder)
            anew = self._outgrown(stamps) is not None
        if VideoIndex.exists(self.folder) and (anew or prune):
            self._check_packs()
        if anew:
            self._check_there(stamps)
            fresh = set(stamps)
        else:
            found = _Changes.between(self.index, stamps)
            fresh, changed, gone = set(found.fresh), set(found.changed), set(found.gone) if prune else set()
        actions = {**dict.fromkeys(fresh, "add"), **dict.fromkeys(changed, "replace"), **dict.fromkeys(gone, "remove")}
        items = tuple(PlannedItem(unquote(entry.removesuffix(".h5")), actions[entry]) for entry in sorted(actions))
        counts = {"added": len(fresh), "changed": len(changed), "removed": len(gone)}
        said = ", ".join(f"{count} {name}" for name, count in counts.items())
        how = "built anew" if anew else "brought up to date"
        return Plan(
            "index build" if rebuild else "index update",
            f"the index of {self.recipe.name} would be {how}: {said}.",
            items,
            {"folder": str(self.folder), "rebuilt": anew, **counts},
        )

    def _check_packs(self) -> None:
        """Entries of a pack that does not open look as if they were gone; what the index has of them would be lost."""
        if damaged := self.cache.damaged_packs():
            raise DamagedEntry(damaged[0][1])

    def _check_there(self, stamps: Mapping[str, str]) -> None:
        if not stamps:
            raise MissingFeatures(
                f"The cache {self.cache.root} has no features of {self.recipe.name}. Run: vidlang extract videos/"
            )

    @property
    def folder(self) -> Path:
        """Named after what was asked for, so that ``auto`` finds its own index again."""
        asked = replace(self._spec("none"), whitening=self.options.whitening, extra=self._asked())
        return (
            index_root(self.workspace)
            / f"{self.recipe.encoder.replace('/', '-').replace(':', '-')}-{asked.fingerprint}"
        )

    def _asked(self) -> dict[str, Any]:
        return {
            "blank_frames": self.options.blank_frames,
            "num_components": self.options.num_components,
            "whitening_file": self._fitted_by_hand()[1],
        }

    def _spec(self, fitted: str) -> IndexSpec:
        checkpoint = self.checkpoint
        embedder: dict[str, Any] = {"kind": PLAIN}
        if checkpoint is not None:
            embedder = {
                "kind": "tca",
                "checkpoint": checkpoint.extra.get("name"),
                "digest": state_digest(checkpoint.state),
            }
        return IndexSpec(
            recipe=self.recipe,
            embedder=embedder,
            whitening="none" if fitted == "none" else fitted.split()[0],
            skip_start=self.options.skip_start,
            dtype=self.options.dtype,
            extra={**self._asked(), "asked": self.options.whitening, "fitted": fitted},
        )

    def _outgrown(self, stamps: Mapping[str, str]) -> str | None:
        """Why the index should be built anew: it was fitted by itself on a much smaller gallery."""
        if self.options.whitening != "auto" or self.checkpoint is not None or self._fitted_by_hand()[1]:
            return None
        if any(entry not in stamps for entry in self.index.entries):  # what cannot be read again is not thrown away
            return None
        fitted_on = int(self.index.arrays.get("num_rows", np.zeros(1))[0])
        rows = self.index.info().rows
        if rows >= min(least for _, least, _ in AUTO) and rows >= GROWN * fitted_on:
            return f"whitening was fitted when the gallery had {fitted_on} rows, it has {rows}"
        return None

    def _beginning(self, stamps: Mapping[str, str]) -> tuple[IndexSpec, dict[str, NDArray[Any]]]:
        """What an empty index is made from: how, and the arrays of its whitening and blank rows."""
        blanks = self._blanks()
        whitening, mean, num_rows = self._fitted(stamps)
        fitted = "none" if whitening is None else f"{whitening.kind} to {whitening.width_out} of {whitening.width_in}"
        arrays: dict[str, NDArray[Any]] = {"blanks": blanks, "num_rows": np.array([num_rows])}
        if mean is not None:
            arrays["mean"] = mean
        if whitening is not None:
            arrays |= {WHITENING_PREFIX + name: value for name, value in whitening.to_npz_arrays().items()}
        return self._spec(fitted), arrays

    def _blanks(self) -> NDArray[np.float32]:
        """Rows of blank frames; none where they are to count like others."""
        if self.options.blank_frames == "keep":
            return np.empty((0, 1), dtype=np.float32)
        return blank_rows(self.load_encoder, self.recipe, self.progress)

    def _fitted_by_hand(self) -> tuple[Path | None, str | None]:
        """The whitening of ``index fit-whitening`` and its digest, where there is one and it is wanted."""
        path = whitening_path(self.workspace, self.recipe)
        if self.options.whitening in ("none", "center") or self.checkpoint is not None or not path.is_file():
            return None, None
        return path, blake2b(path.read_bytes(), digest_size=10).hexdigest()

    def _fitted(self, stamps: Mapping[str, str]) -> tuple[Whitening | None, NDArray[np.float32] | None, int]:
        """(whitening, mean of unit rows, rows that the gallery has)"""
        plan = WhiteningPlan(self.options.whitening, self.options.num_components)
        sample = RowSample(self.cache, self.recipe, sorted(stamps), plan.max_rows)
        mean = sample.mean() if len(stamps) >= MEAN_FROM_VIDEOS else None
        if self.checkpoint is not None:
            return whitening_of(self.checkpoint), mean, sample.gallery_rows
        path, _ = self._fitted_by_hand()
        if path is not None:
            return read_whitening(path), mean, sample.gallery_rows
        dim = sample.dim
        return fit_whitening(sample.blocks(), dim, plan, sample.num_rows, len(stamps)), mean, sample.gallery_rows

    def _embedding(self) -> Embedding:
        arrays = self.index.arrays
        parts = {n.removeprefix(WHITENING_PREFIX): a for n, a in arrays.items() if n.startswith(WHITENING_PREFIX)}
        whitening = Whitening.from_npz_arrays(parts) if parts else None
        checkpoint = None
        width = 0
        if self.checkpoint is not None:
            checkpoint = {"state": encoder_state(self.checkpoint), "config": self.checkpoint.config}
            width = int(self.checkpoint.extra["width"])
        embedder, learned = make_embedder(checkpoint, width, self.options.device)
        return Embedding(
            recipe=self.recipe,
            whitening=whitening,
            blanks=arrays["blanks"] if arrays["blanks"].shape[1] > 1 else np.empty((0, 1), dtype=np.float32),
            mean=arrays.get("mean"),
            embedder=embedder,
            learned=learned,
            skip_start=self.options.skip_start,
            window=self.index.spec.window,
        )

    def _items(self, entries: Sequence[str], stamps: Mapping[str, str]) -> Iterator[IndexItem]:
        """Embedded videos of cache entries; a damaged one is named and left out."""
        width = self.index.info().width
        for entry in entries:
            try:
                features, digest = read_entry(self.cache, self.recipe, entry)
                embedded = self.embedding.embed(features)
                width = width or embedded.rows.shape[1]
                if embedded.rows.shape[1] != width:
                    raise BadInput(
                        f"{embedded.video_id} has rows of width {embedded.rows.shape[1]}, the gallery of {width}. "
                        "Remove what other features were imported under this recipe."
                    )
            except (DamagedEntry, MissingFeatures, BadInput) as error:
                self.progress.message(f"left out of the index: {error}")
                self.notes.append(str(error))
                continue
            yield IndexItem(
                video_id=embedded.video_id,
                entry=entry,
                stamp=stamps[entry],
                digest=digest,
                duration=embedded.duration,
                vectors=embedded.vectors,
                rows=embedded.rows,
                seconds=embedded.seconds,
                text=embedded.text,
            )


def open_approximate(
    index: VideoIndex,
    size: int,
    progress: Progress,
    *,
    kind: Kind | None = None,
    memory: int | None = None,
    rebuild: bool = False,
) -> ApproximateIndex:
    """The approximate index beside an index, built where it is missing or older than the index.

    size: length of the shortlists that it is tuned for    kind: what to build; None: what suits the gallery
    memory: bytes for building it    rebuild: build it also where it is current

    Raises:
        MissingDependency: faiss is not installed.
    """
    from vidlang.store.ann import AnnSettings, ApproximateIndex, kind_for

    folder = index.folder.with_name(f"{index.folder.name}.ann")
    if rebuild or not ApproximateIndex.is_current(folder, index.version):
        info = index.info()
        ApproximateIndex.build(
            folder,
            lambda: (vectors for vectors, _ in index.vector_blocks(memory=memory)),
            info.width,
            kind or kind_for(info.vectors, info.width, memory),
            built_from=index.version,
            settings=AnnSettings(recall_at=max(1, min(size, info.vectors))),
            total=info.vectors,
            memory=memory,
            progress=progress,
        )
    return ApproximateIndex.load(folder, workspace=index.folder.parent, built_from=index.version)


@dataclass(frozen=True)
class _Changes:
    """Cache entries that an index does not have as they are."""

    fresh: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]

    @classmethod
    def between(cls, index: VideoIndex, stamps: Mapping[str, str]) -> _Changes:
        known = index.entries
        return cls(
            fresh=tuple(entry for entry in stamps if entry not in known),
            changed=tuple(entry for entry, stamp in stamps.items() if entry in known and known[entry][1] != stamp),
            gone=tuple(entry for entry in known if entry not in stamps),
        )


MEAN_FROM_VIDEOS = 20
"""From so many videos on, the mean of all rows is what images have in common and not what these videos show."""


def read_entry(cache: FeatureCache, recipe: FeatureRecipe, entry: str) -> tuple[Features, str | None]:
    """Features and file digest of a cache entry named by ``FeatureCache.stamps``."""
    facts = cache.entry_by_path(recipe, entry)
    return cache.get(facts.key), facts.identity.digest if facts.identity else None


class RowSample:
    """A sample of a gallery's rows that can be read several times, in a bounded amount of memory.

    Entries that do not read, or have other rows than the first, are left out: what adds them to the index names them.
    """

    def __init__(self, cache: FeatureCache, recipe: FeatureRecipe, entries: Sequence[str], max_rows: int) -> None:
        self.cache, self.recipe = cache, recipe
        chosen = self._chosen(entries, max_rows)
        found = list(self._readable(chosen))
        self.dim = found[0].shape[-1] if found else 0
        total = sum(facts.num_snippets for facts in found)
        share = min(1.0, max_rows / max(total, 1))
        self._keys: list[tuple[FeatureKey, int]] = [
            (facts.key, max(1, round(facts.num_snippets * share))) for facts in found
        ]
        self.num_rows = sum(number for _, number in self._keys)
        self.gallery_rows = round(total * len(entries) / max(len(chosen), 1))
        """Of the whole gallery, as the chosen entries let expect."""

    def _readable(self, entries: Sequence[str]) -> Iterator[CacheEntry]:
        for entry in entries:
            with suppress(DamagedEntry, MissingFeatures):
                yield self.cache.entry_by_path(self.recipe, entry)

    @staticmethod
    def _chosen(entries: Sequence[str], max_rows: int) -> list[str]:
        """All entries, or as many as rows are wanted where there are more, by chance."""
        if len(entries) <= max_rows // 10:
            return list(entries)
        random = np.random.default_rng(0)
        return [entries[i] for i in sorted(random.choice(len(entries), max_rows // 10, replace=False))]

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Arrays [n, D] of rows as whitening takes them, video by video."""
        random = np.random.default_rng(0)
        for key, number in self._keys:
            try:
                values = self.cache.get(key).crop(0).values
            except (DamagedEntry, MissingFeatures):
                continue
            if values.shape[1] != self.dim or not np.isfinite(values).all():
                continue
            if number < len(values):
                values = values[random.choice(len(values), number, replace=False)]
            yield whitening_input(values, self.recipe)

    def mean(self) -> NDArray[np.float32]:
        """[D] mean of the rows brought to length 1."""
        total, count = np.zeros(self.dim), 0
        for block in self.blocks():
            total, count = total + unit(block).sum(axis=0), count + len(block)
        return (total / max(count, 1)).astype(np.float32)


def whitening_path(workspace: Workspace, recipe: FeatureRecipe) -> Path:
    """Where ``index fit-whitening`` keeps the whitening of a recipe."""
    return index_root(workspace) / f"whitening-{recipe.fingerprint}.npz"


def read_whitening(path: Path) -> Whitening:
    """A whitening in the published npz layout.

    Raises:
        BadInput: the file is no such npz.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return Whitening.from_npz_arrays({name: archive[name] for name in archive.files})
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise BadInput(f"{path} is not a whitening ({error}). Make one with: vidlang index fit-whitening") from error


def fit_whitening_file(
    workspace: Workspace,
    changes: RecipeChanges,
    num_components: int | None,
    max_rows: int,
    out: Path | None,
    progress: Progress,
) -> tuple[Path, Whitening, int]:
    """Fits a whitening on a sample of cached rows and writes it; returns (file, whitening, rows).

    Raises:
        MissingFeatures: the cache has nothing of the recipe.
    """
    cache = FeatureCache(workspace.cache_dir)
    recipe = recipe_in_cache(cache, make_recipe(workspace.settings, changes), changes != RecipeChanges(), progress)
    sample = RowSample(cache, recipe, sorted(cache.stamps(recipe)), max_rows)
    plan = WhiteningPlan("whiten", num_components, max_rows)
    whitening = fit_whitening(sample.blocks(), sample.dim, plan, sample.num_rows, len(sample._keys))
    assert whitening is not None
    path = out or whitening_path(workspace, recipe)
    write_npz(path, whitening.to_npz_arrays())
    return path, whitening, sample.num_rows


def whitening_of(checkpoint: Checkpoint) -> Whitening | None:
    """The whitening that a checkpoint was trained behind."""
    parts = {
        name.removeprefix(WHITENING_PREFIX): value.numpy()
        for name, value in checkpoint.state.items()
        if name.startswith(WHITENING_PREFIX)
    }
    return Whitening.from_npz_arrays(parts) if parts else None


def encoder_state(checkpoint: Checkpoint) -> dict[str, Any]:
    """The network's weights of a checkpoint, without its whitening."""
    return {name: value for name, value in checkpoint.state.items() if not name.startswith(WHITENING_PREFIX)}


def state_digest(state: Mapping[str, Any]) -> str:
    """Twenty hex digits over all weights."""
    digest = blake2b(digest_size=10)
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(state[name].detach().cpu().numpy()).tobytes())
    return digest.hexdigest()
