"""Packs by shares: ``shard-00003-of-01000.h5`` in a cache folder holds the entries of the third of a thousand shares.

Each such file is a packed file (``feature_cache``). An entry lies in the pack of its video's share (``share_of`` of the
id), so one pack is opened to find it and no list of what lies where is needed: the names of the files are the list. All
packs of a folder have one total. Packs that are not there, such as those of machines that still work, hold nothing.

Packs are read-only. Entries in files of their own may lie beside them in the same cache folder; where both hold one
key, the file counts. So a cache goes on growing by small files, and is packed again when they are many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from vidlang.core import BadInput
from vidlang.core.shares import Share, share_of

_NAME = re.compile(r"shard-(\d{5,9})-of-(\d{5,9})\.h5")


def pack_name(share: Share) -> str:
    """``Share(3, 1000)`` → ``shard-00003-of-01000.h5``."""
    return f"shard-{share.number:05}-of-{share.count:05}.h5"


@dataclass(frozen=True)
class PackShards:
    """The packs of a cache folder."""

    folder: Path
    count: int
    """Shares in all."""
    numbers: frozenset[int]
    """Shares whose pack is there."""

    @classmethod
    def find(cls, folder: Path) -> PackShards | None:
        """The packs in a folder; None where there is none, or no folder.

        Raises:
            BadInput: packs of two totals.
        """
        if not folder.is_dir():
            return None
        names = [found for path in folder.iterdir() if (found := _NAME.fullmatch(path.name))]
        totals = {int(name[2]) for name in names}
        if len(totals) > 1:
            listed = " and ".join(map(str, sorted(totals)))
            raise BadInput(f"{folder} holds packs of {listed} shards. Keep those of one total there.")
        return cls(folder, totals.pop(), frozenset(int(name[1]) for name in names)) if names else None

    def files(self) -> list[Path]:
        """Every pack, by number."""
        return [self.folder / pack_name(Share(number, self.count)) for number in sorted(self.numbers)]

    def files_of(self, relative: PurePosixPath) -> Iterator[Path]:
        """The packs that may hold the entry at a path below the cache: one, as far as the path tells the id."""
        video_id = id_of(relative)
        if video_id is None:
            yield from self.files()
        elif (number := share_of(video_id, self.count)) in self.numbers:
            yield self.folder / pack_name(Share(number, self.count))


def id_of(relative: PurePosixPath) -> str | None:
    """The video's id by the path of its entry (``names``); None where the path was cut, or leaves it open."""
    below = "/".join(relative.parts[2:]).removesuffix(".h5")
    if "~" in below or "%_" in below:
        return None
    return unquote(below, errors="surrogatepass")
