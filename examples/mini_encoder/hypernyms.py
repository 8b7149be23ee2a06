"""Broader names of the teacher's classes (dog, vehicle, musical instrument) by WordNet; writes ``hypernyms.json``.

Run once; the file is kept beside this script, so that the recipe does not need WordNet.
Source: WordNet 3.0, Princeton University (its licence allows use and copies of any part with this notice).
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

from captions import read_imagenet_names

FEWEST, MOST = 2, 420  # classes under one name; above that it says nothing ("object", "whole")
HYPERNYM = ("@", "@i")


def read_nouns(path: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """``data.noun`` → words of each synset, and the synsets above it; keys are offsets."""
    words: dict[str, list[str]] = {}
    above: dict[str, list[str]] = {}
    for line in path.read_text(encoding="latin-1").splitlines():
        if line.startswith("  "):  # the licence stands at the head
            continue
        fields = line.split(" | ")[0].split()
        count = int(fields[3], 16)
        words[fields[0]] = [word.replace("_", " ").lower() for word in fields[4 : 4 + 2 * count : 2]]
        pointers = fields[5 + 2 * count :]
        above[fields[0]] = [pointers[i + 1] for i in range(0, len(pointers) - 3, 4) if pointers[i] in HYPERNYM]
    return words, above


def ancestors(offset: str, above: dict[str, list[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [offset]
    while waiting:
        for parent in above[waiting.pop()]:
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return found


def collect(classes: list[tuple[str, ...]], wordnet: Path) -> dict[str, list[int]]:
    """Name → rows of the classes under it, broadest last."""
    words, above = read_nouns(wordnet / "data.noun")
    synset_of = {tuple(sorted(set(names))): offset for offset, names in words.items()}
    members: dict[str, set[int]] = defaultdict(set)
    for row, synonyms in enumerate(classes):
        offset = synset_of.get(tuple(sorted(set(synonyms))))
        if offset is None:
            continue
        for parent in ancestors(offset, above):
            members[parent].add(row)
    names: dict[str, list[int]] = {}
    for offset, rows in sorted(members.items(), key=lambda item: len(item[1])):
        if FEWEST <= len(rows) <= MOST:
            for word in words[offset][:3]:
                names.setdefault(word, sorted(rows))
    own = {name for synonyms in classes for name in synonyms}
    return {name: rows for name, rows in names.items() if name not in own}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder with mobilenet_v2/ (its class names)")
    parser.add_argument("--wordnet", type=Path, required=True, help="folder with data.noun of WordNet 3.0")
    args = parser.parse_args()
    names = collect(read_imagenet_names(args.models / "mobilenet_v2"), args.wordnet)
    lines = ",\n".join(
        f" {json.dumps(name)}: {json.dumps(rows, separators=(',', ':'))}" for name, rows in names.items()
    )
    (Path(__file__).parent / "hypernyms.json").write_text(f"{{\n{lines}\n}}\n")
    covered = {row for rows in names.values() for row in rows}
    print(f"{len(names)} names over {len(covered)} classes")


if __name__ == "__main__":
    main()
