"""Which videos of the gallery are near-duplicates of one another: groups, with the pairs that justify them.

Every video asks for its shortlist, and pairs above the threshold are kept, so memory grows with the pairs that are
found and never with the square of the gallery. Pairs are written as they are found; the same command goes on where an
interrupted one stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vidlang.core import BadInput, Progress, Segment
from vidlang.store.atomic import write_text
from vidlang.store.rejections import Rejections
from vidlang.store.workspace import Workspace
from vidlang.workflows.chosen import honesty
from vidlang.workflows.gallery import Gallery, open_gallery
from vidlang.workflows.recipe import RecipeChanges
from vidlang.workflows.retrieve import FalsePositives, RetrieveOptions, make_searcher, rejections_path
from vidlang.workflows.retrieve_report import write_groups_page
from vidlang.workflows.search import Searcher

SHORTLIST = 100
"""Videos that each video is compared with frame by frame."""
SAVE_EVERY = 64


@dataclass(frozen=True)
class Pair:
    """Two videos of a group, and which of their seconds match."""

    first: str
    second: str
    similarity: float
    segments: tuple[tuple[Segment, Segment], ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "videos": [self.first, self.second],
            "similarity": self.similarity,
            "segments": [[[a.start, a.end], [b.start, b.end]] for a, b in self.segments],
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Pair:
        first, second = fields["videos"]
        segments = tuple((Segment(*a), Segment(*b)) for a, b in fields["segments"])
        return cls(first, second, float(fields["similarity"]), segments)


@dataclass(frozen=True)
class DuplicatesReport:
    """Groups of near-duplicates, largest first."""

    groups: tuple[tuple[str, ...], ...]
    pairs: tuple[Pair, ...]
    num_videos: int
    false_positives: FalsePositives
    made_by: dict[str, Any]
    folder: Path
    num_rejected: int
    notes: tuple[str, ...]

    def pairs_of(self, group: Sequence[str]) -> list[Pair]:
        """The pairs inside a group, most similar first."""
        members = set(group)
        return sorted((p for p in self.pairs if p.first in members), key=lambda p: -p.similarity)

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "vidlang.duplicates/1",
            "made_by": self.made_by,
            "videos": self.num_videos,
            "threshold": self.false_positives.threshold,
            "false_positives": {"rate": self.false_positives.rate, "pairs": self.false_positives.num_pairs},
            "rejected": self.num_rejected,
            "groups": [
                {"videos": list(group), "pairs": [pair.to_dict() for pair in self.pairs_of(group)]}
                for group in self.groups
            ],
            "notes": list(self.notes),
        }


def find_duplicates(
    workspace: Workspace,
    options: RetrieveOptions | None = None,
    changes: RecipeChanges | None = None,
    progress: Progress | None = None,
) -> DuplicatesReport:
    """Compare every video of the gallery with its nearest ones.

    Raises:
        MissingFeatures, BadInput: as ``retrieve``.
    """
    options, progress = options or RetrieveOptions(), progress or Progress()
    gallery, update = open_gallery(workspace, options.gallery, changes, progress)
    if len(gallery.index) < 2:
        raise BadInput("The gallery has fewer than two videos. Run: vidlang extract videos/")
    if options.search.threshold is None and options.max_false_positives is None:
        # half way from what a single matched frame must reach up to equality: most frames of a copy do
        clear = Searcher(gallery.index, options.search).clear_match
        options = replace(options, search=replace(options.search, threshold=(1 + clear) / 2))
    searcher, judged = make_searcher(gallery, options, progress)
    assert judged is not None
    rejections = Rejections(rejections_path(workspace))
    run = _Run(workspace, gallery, searcher, options)
    found = run.pairs(progress)
    pairs = [pair for pair in found if (pair.first, pair.second) not in rejections]
    report = DuplicatesReport(
        groups=_groups(pairs),
        pairs=tuple(pairs),
        num_videos=len(gallery.index),
        false_positives=judged,
        made_by={**gallery.made_by, "similarity": options.search.similarity, "threshold": judged.threshold},
        folder=options.out or run.folder,
        num_rejected=len(found) - len(pairs),
        notes=update.notes,
    )
    report.folder.mkdir(parents=True, exist_ok=True)
    write_text(report.folder / "groups.json", json.dumps(report.to_dict(), indent=1) + "\n")
    if options.report is not None:
        index = gallery.index
        videos = {video for group in report.groups for video in group}
        write_groups_page(
            report.groups,
            [report.pairs_of(group) for group in report.groups],
            gallery,
            workspace,
            options.report,
            embedded={video: searcher.embedded(index.position(video)) for video in sorted(videos)},
            made_by={**report.made_by, **honesty(gallery.encoder_name)},
            notes=[*report.notes, judged.line()],
            progress=progress,
        )
    return report


class _Run:
    """One pass over the gallery, kept on the disk as it goes."""

    def __init__(self, workspace: Workspace, gallery: Gallery, searcher: Searcher, options: RetrieveOptions) -> None:
        self.index, self.searcher = gallery.index, searcher
        search = searcher.options
        size = min(search.shortlist, SHORTLIST)
        question = json.dumps([self.index.version, search.similarity, size, search.threshold, options.background])
        name = hashlib.blake2b(question.encode(), digest_size=6).hexdigest()
        self.size = size
        self.folder = workspace.results_dir / "duplicates" / name

    def pairs(self, progress: Progress) -> list[Pair]:
        """All pairs above the threshold, each once."""
        done, found = self._before()
        total = len(self.index)
        with progress.task("compare", total=total, unit="video") as task:
            task.advance(done)
            for position in range(done, total):
                for pair in self._pairs_of(position):
                    key = (pair.first, pair.second)
                    if key not in found or found[key].similarity < pair.similarity:
                        found[key] = pair
                if (position + 1) % SAVE_EVERY == 0 or position + 1 == total:
                    self._keep(position + 1, list(found.values()))
                task.advance()
        return sorted(found.values(), key=lambda pair: (-pair.similarity, pair.first, pair.second))

    def _pairs_of(self, position: int) -> list[Pair]:
        query = self.searcher.embedded(position)
        if query.blank:
            return []
        nearest = [p for p in self.searcher.shortlist(query, self.size + 1) if p != position][: self.size]
        similarities = self.searcher.similarities(query, nearest) - self.searcher.bias(query)
        threshold = self.searcher.options.threshold
        assert threshold is not None
        pairs = []
        for i in np.flatnonzero(similarities >= threshold).tolist():
            other = nearest[i]
            segments = self.searcher.matched(query, other)
            if other < position:
                segments = tuple((theirs, mine) for mine, theirs in segments)
            first, second = sorted((position, other))
            pairs.append(Pair(self.index.ids[first], self.index.ids[second], float(similarities[i]), segments))
        return pairs

    def _before(self) -> tuple[int, dict[tuple[str, str], Pair]]:
        """What an interrupted run of the same question had found."""
        path = self.folder / "progress.json"
        if not path.is_file():
            return 0, {}
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            pairs = [Pair.from_dict(pair) for pair in fields["pairs"]]
            return int(fields["done"]), {(pair.first, pair.second): pair for pair in pairs}
        except (ValueError, KeyError, TypeError):  # not ours or torn: begin anew
            return 0, {}

    def _keep(self, done: int, pairs: Sequence[Pair]) -> None:
        text = json.dumps({"done": done, "pairs": [pair.to_dict() for pair in pairs]})
        write_text(self.folder / "progress.json", text)


def _groups(pairs: Sequence[Pair]) -> tuple[tuple[str, ...], ...]:
    """Videos that pairs connect, largest group first."""
    leader: dict[str, str] = {}

    def find(video: str) -> str:
        while leader.setdefault(video, video) != video:
            leader[video] = leader[leader[video]]
            video = leader[video]
        return video

    for pair in pairs:
        leader[find(pair.first)] = find(pair.second)
    members: dict[str, list[str]] = {}
    for video in leader:
        members.setdefault(find(video), []).append(video)
    return tuple(sorted((tuple(sorted(group)) for group in members.values()), key=lambda group: (-len(group), group)))
