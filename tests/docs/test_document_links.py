"""Links of the documents lead somewhere, the table of pages is whole, and no command is without a word."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))

import pytest
from document_blocks import FENCE, ROOT, documents

LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+(?:\([^()]*\))?)\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*$")
PAGES = [*documents(), ROOT / "examples" / "README.md"]


def prose(path: Path) -> Iterator[str]:
    """Lines outside of fences and code."""
    closing = None
    for line in path.read_text(encoding="utf-8").splitlines():
        fence = FENCE.match(line)
        if closing is None and fence:
            closing = fence[1]
        elif line.rstrip() == closing:
            closing = None
        elif closing is None and not line.startswith("    "):
            yield line


def text_links(text: str) -> list[str]:
    """Targets of the links of a text, those in code left out; a link may be broken over two lines."""
    return LINK.findall(re.sub(r"`[^`]*`", "", text))


def anchors(path: Path) -> set[str]:
    """What headings are called in addresses: lower case, spaces as hyphens, other marks left out."""
    titles = (HEADING.match(line) for line in prose(path))
    names = [re.sub(r"[^\w\- ]", "", title[1].lower()).replace(" ", "-") for title in titles if title]
    return {
        f"{name}-{names[:place].count(name)}" if name in names[:place] else name for place, name in enumerate(names)
    }


def broken_links(path: Path) -> list[str]:
    broken = []
    for target in text_links("\n".join(prose(path))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        page = (path.parent / name).resolve() if name else path
        if not page.exists() or (anchor and anchor not in anchors(page)):
            broken.append(target)
    return broken


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_anchors_lead_somewhere(path):
    assert broken_links(path) == []


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`, c!\n\n## Twice\n\n## Twice\n[here](page.md#a-b-c) [there](#twice-1) [no\nfile](none.md)\n"
        "[no anchor](page.md#d) `[code](none.md)` [web](https://example.org/none)\n\n```text\n[fence](none.md)\n```\n",
        encoding="utf-8",
    )
    assert broken_links(page) == ["none.md", "page.md#d"]


def test_the_table_of_pages_is_whole():
    listed = re.findall(r"^\| \[([\w-]+\.md)\]\(\1\) \|", (ROOT / "docs" / "index.md").read_text("utf-8"), re.MULTILINE)
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert sorted(listed) == sorted(pages)


def test_every_command_is_mentioned():
    from typer.main import get_command

    from vidlang.cli.app import app

    pages = [*documents(), *(ROOT / "vidlang").glob("*/*/README.md")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in pages)
    names = [name for name, command in get_command(app).commands.items() if not command.hidden]
    assert [name for name in names if not re.search(rf"\bvidlang {re.escape(name)}\b", text)] == []
