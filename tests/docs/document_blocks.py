"""Blocks of commands in the documents: fences of bash, console and python, and what is indented by four spaces."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMENT = re.compile(r"<!--\s*(not run|file|output)\s*(?::\s*(.*?))?\s*-->\s*$")
FENCE = re.compile(r"^(`{3,})\s*([\w-]*)\s*$")
LIST_ITEM = re.compile(r"^\s*([-*+]|\d+[.)])\s")
RUN = ("bash", "sh", "console", "python")


def documents() -> list[Path]:
    """README.md and the pages of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@dataclass(frozen=True)
class Command:
    """One command line, and what the document says that it prints."""

    text: str
    output: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """A fenced or indented block."""

    document: str
    line: int
    """Of its first line of text, from 1."""
    language: str
    body: str
    reason: str | None = None
    """Why it is not run."""
    file: str | None = None
    """Its text is written to this file instead."""
    compared: bool = False
    """What it prints is compared with the output in the block."""

    @property
    def name(self) -> str:
        return f"{self.document}:{self.line}"

    def commands(self) -> list[Command]:
        """Command lines of a bash or console block, continued lines joined."""
        lines = re.sub(r"\\\n\s*", "", self.body).splitlines()
        if self.language != "console":
            return [Command(line.strip()) for line in lines if line.strip() and not line.strip().startswith("#")]
        found: list[Command] = []
        for line in lines:
            if line.startswith("$ "):
                found.append(Command(line[2:].strip()))
            elif found:
                found[-1] = Command(found[-1].text, (*found[-1].output, line))
        return found


def read_blocks(path: Path) -> list[Block]:
    """Blocks that hold commands or Python, and those that become files."""
    blocks: list[Block] = []
    lines = path.read_text(encoding="utf-8").splitlines()
    marks: dict[str, str] = {}
    place, last_text = 0, ""
    while place < len(lines):
        line = lines[place]
        comment, fence = COMMENT.match(line.strip()), FENCE.match(line)
        if comment:
            marks[comment[1]] = comment[2] or ""
            place += 1
            continue
        if fence:
            end = next(i for i in range(place + 1, len(lines)) if lines[i].rstrip() == fence[1])
            body, start, language = lines[place + 1 : end], place + 2, fence[2]
            place = end + 1
        elif line.startswith("    ") and not last_text.startswith("    ") and not LIST_ITEM.match(last_text):
            end = next((i for i in range(place, len(lines)) if lines[i].strip() and lines[i][:4] != "    "), len(lines))
            body, start = [text[4:] for text in lines[place:end]], place + 1
            language, place = _language(body), end
        else:
            if line.strip():
                last_text, marks = line, {}
            place += 1
            continue
        if language in RUN or "file" in marks:
            text = "\n".join(body).rstrip() + "\n"
            reason, file, compared = marks.get("not run"), marks.get("file"), "output" in marks
            blocks.append(Block(path.name, start, language, text, reason, file, compared))
        last_text, marks = "", {}
    return blocks


def _language(body: list[str]) -> str:
    """Of an indented block."""
    said = [line for line in body if line.strip() and not line.startswith(" ")]
    if any(line.startswith("$ ") for line in said):
        return "console"
    programs = {line.split()[0] for line in said}
    return "bash" if programs and programs <= {"vidlang", "make", "pip", "python", "git", "cd"} else "text"
