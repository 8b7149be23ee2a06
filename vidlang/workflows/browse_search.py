"""Searching from a page: by words, by a video, by a frame; as ``vidlang retrieve`` does, with what it loads kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vidlang.core import BadInput, FeatureRecipe, Hit, Progress, Segment
from vidlang.store.rejections import Rejections
from vidlang.store.workspace import Workspace
from vidlang.workflows.chosen import honesty
from vidlang.workflows.gallery import Gallery, GalleryOptions, open_gallery
from vidlang.workflows.recipe import RecipeChanges, check_has_text, loadable_name
from vidlang.workflows.retrieve import RetrieveOptions, make_searcher, rejections_path, text_vector
from vidlang.workflows.search import Searcher, SearchOptions, text_hits

if TYPE_CHECKING:
    from vidlang.encoders.base import Encoder

TOP = 24


@dataclass(frozen=True)
class Found:
    """Hits of one question."""

    hits: tuple[Hit, ...]
    num_videos: int
    """That were searched."""
    note: str
    """How they were compared, in words."""
    notes: tuple[str, ...] = ()


@dataclass(eq=False)
class _Opened:
    gallery: Gallery
    searcher: Searcher
    notes: tuple[str, ...]
    version: int


class GallerySearch:
    """Opens the index of the cache with the first question, and anew when the cache changed; one question at a time.

    The index is made and kept up on the disk, as ``vidlang retrieve`` does; the encoder is loaded with the first text.
    """

    def __init__(
        self,
        workspace: Workspace,
        version: Callable[[], int],
        *,
        recipe: FeatureRecipe | None = None,
        device: str = "auto",
        progress: Progress | None = None,
        top: int = TOP,
    ) -> None:
        """version: a number that changes with the cache    recipe: which features of it; None: as settings say"""
        self._workspace, self._version, self._progress = workspace, version, progress or Progress()
        self._changes = _named(recipe, workspace) if recipe is not None else RecipeChanges()
        self._options = GalleryOptions(device=device)
        self._search = SearchOptions(top=top)
        self._opened: _Opened | None = None
        self._encoders: dict[tuple[str, FeatureRecipe], Encoder] = {}
        self._lock = threading.Lock()

    def by_text(self, text: str) -> Found:
        """Videos whose frames come nearest to a text.

        Raises:
            BadInput: no words, or rows that no text can be compared with. VidlangError: there is no gallery or encoder.
        """
        if not text.strip():
            raise BadInput("There are no words to look for.")
        with self._lock:
            opened = self._open()
            gallery = opened.gallery
            check_has_text(gallery.recipe, "A search by text")
            key = (gallery.encoder_name, gallery.recipe)
            if key not in self._encoders:
                self._encoders[key] = gallery.load_encoder()
            hits = text_hits(gallery.index, text_vector(self._encoders[key], text), self._search)
            return self._found(opened, hits, "words and frames by cosine")

    def like_video(self, video_id: str) -> Found:
        """Videos that share frames with one of the gallery, without itself and what was rejected as its match.

        Raises:
            BadInput: it is not in the gallery. VidlangError: there is no gallery.
        """
        with self._lock:
            opened = self._open()
            index = opened.gallery.index
            rejections = Rejections(rejections_path(self._workspace))
            query = opened.searcher.embedded(index.position(video_id))
            rejected = {other for other in index.ids if (video_id, other) in rejections}
            hits = opened.searcher.hits(query, {video_id} | rejected)
            return self._found(opened, hits, f"videos by {self._search.similarity}")

    def like_frame(self, video_id: str, seconds: float) -> Found:
        """Videos with the frames nearest to the one that a video shows at a moment, without the video itself.

        Raises:
            BadInput: the video is not in the gallery. VidlangError: there is no gallery.
        """
        with self._lock:
            opened = self._open()
            hits = frame_hits(opened.gallery, video_id, seconds, self._search.top)
            return self._found(opened, hits, "frames by cosine")

    def _open(self) -> _Opened:
        version = self._version()
        if self._opened is None or self._opened.version != version:
            gallery, update = open_gallery(self._workspace, self._options, self._changes, self._progress, as_it_is=True)
            searcher, _ = make_searcher(gallery, RetrieveOptions(search=self._search), self._progress)
            self._opened = _Opened(gallery, searcher, update.notes, version)
        return self._opened

    def _found(self, opened: _Opened, hits: tuple[Hit, ...], how: str) -> Found:
        made_by = opened.gallery.made_by
        rows = f"checkpoint {made_by['checkpoint']}" if made_by["checkpoint"] else "plain rows"
        number = len(opened.gallery.index)
        note = f"{number} videos searched; {how}; {rows}; {opened.gallery.recipe.name}"
        weak = honesty(opened.gallery.encoder_name).get("note")
        return Found(hits, number, note, (*opened.notes, *([weak] if weak else [])))


def frame_hits(gallery: Gallery, video_id: str, seconds: float, top: int) -> tuple[Hit, ...]:
    """Of every other video the row nearest to a row of this one, best first; ties keep the order of the index."""
    import torch

    index = gallery.index
    own = index.position(video_id)
    spans = index.seconds(own)
    if not len(spans):
        return ()
    row = int(np.clip(np.searchsorted(spans[:, 0], seconds, side="right") - 1, 0, len(spans) - 1))
    query = torch.nn.functional.normalize(index.text_rows(own)[row].float(), dim=0)
    best = torch.full((len(index),), -2.0)
    where = np.zeros(len(index), dtype=np.int64)
    for rows, owners, numbers in index.text_blocks():
        cosines = torch.nn.functional.normalize(rows.float(), dim=1) @ query
        highest = torch.full_like(best, -2.0).scatter_reduce(0, owners, cosines, "amax")
        better = (cosines == highest[owners]) & (cosines > best[owners])
        # last one wins where numpy assigns: of equally near rows of a video the first
        chosen = better.nonzero().flatten().flip(0)
        where[owners[chosen].numpy()] = numbers[chosen].numpy()
        best = torch.maximum(best, highest)
    similarity = best.double().numpy()
    order = [p for p in np.lexsort((np.arange(len(index)), -similarity)).tolist() if p != own and similarity[p] > -2]
    here = Segment(float(spans[row, 0]), float(spans[row, 1]))

    def hit(position: int) -> Hit:
        start, end = index.seconds(position)[int(where[position])].tolist()
        return Hit(index.ids[position], min(float(similarity[position]), 1.0), ((here, Segment(start, end)),))

    return tuple(hit(position) for position in order[:top])


def _named(recipe: FeatureRecipe, workspace: Workspace) -> RecipeChanges:
    """What a command line would say to mean this recipe."""
    sampling = recipe.sampling
    return RecipeChanges(
        encoder=loadable_name(workspace.settings, recipe),
        stride=None if sampling.fps is not None else sampling.stride,
        fps=sampling.fps,
        pick=sampling.pick,
        crops=sampling.crops,
        preprocess=recipe.preprocess,
        precision=recipe.precision,
        dtype=recipe.dtype,
        reuse_static=recipe.reuse_static,
        features=recipe.features,
        borders=recipe.borders,
        colour=recipe.colour,
        motion=recipe.motion.name,
    )
