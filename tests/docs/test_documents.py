"""The documents do what they say: every block of commands in README.md and docs/*.md is run, offline, with ``mini``.

Conventions of the documents:

- ```` ```bash ````: a command a line, ``\\`` continues one, ``#`` comments. ```` ```console ````: lines that begin with
  ``$`` are commands, the others what they print, compared by its words, not by numbers and names of files.
  ```` ```python ````: the blocks of a document are one program. Blocks indented by four spaces are read as bash or
  console where they begin with a command. Other fences (text, json, csv, toml) are not run.
- ``<!-- not run: reason -->`` before a block that needs a data set, a camera or a network: its commands are held
  against the options that exist, and the reason is listed.
- ``<!-- file: labels.csv -->`` before a block of any kind: its text is written there.
- Each document has one folder, in which its blocks run from top to bottom. There are ``videos/normal`` and
  ``videos/fight`` (six films of three seconds each), ``labels.csv`` and ``pairs.csv`` of them, ``video.mp4``,
  ``camera.mp4`` and ``query.mp4``; other videos and folders that a command names are laid where it looks for them.
- The encoder is ``mini`` unless a command names another. Trainings are cut to an epoch. Words in capitals (``NAME``)
  stand for something, and addresses (``rtsp://…``) for somebody, so their commands are held against the options only.

``python tests/docs/test_documents.py --list`` prints all commands, and why some are not run.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))

import pytest
from document_blocks import ROOT, Block, documents, read_blocks
from document_files import Films, Stage
from document_runner import Done, Failed, run_block

SETTINGS = {"VIDLANG_ENCODER": "mini", "VIDLANG_DEVICE": "cpu", "HF_HUB_OFFLINE": "1", "COLUMNS": "100"}
NAMES = [str(path.relative_to(ROOT)) for path in documents()]


@pytest.fixture(scope="session")
def films(tmp_path_factory) -> Films:
    return Films(tmp_path_factory.mktemp("films"))


def prepare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VIDLANG_WORKSPACE", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("name", NAMES)
def test_the_blocks_of_a_document_run(name, films, tmp_path, monkeypatch):
    prepare(monkeypatch)
    blocks, stage = read_blocks(ROOT / name), Stage(tmp_path, films)
    wrong = []
    for block in blocks:
        try:
            run_block(block, stage)
        except Failed as failed:
            wrong.append(str(failed))
    assert not wrong, "\n\n".join(wrong)


# -- the harness itself ----------------------------------------------------------------------------------------------


def blocks_of(tmp_path: Path, text: str) -> list[Block]:
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    return read_blocks(tmp_path / "page.md")


PAGE = """# Page

    $ vidlang doctor --json
    Encoder mini

- a list

      not code

<!-- not run: needs a camera -->

```bash
vidlang watch rtsp://camera \\
    --json   # a comment
# only a comment
```

Text in between.

```json
{"vidlang": 1}
```

<!-- file: a.csv -->
```csv
video,label
```
"""


def test_blocks_are_found_with_their_marks_and_lines(tmp_path):
    console, bash, file = blocks_of(tmp_path, PAGE)
    assert (console.language, console.line, console.reason) == ("console", 3, None)
    [shown] = console.commands()
    assert (shown.text, shown.output) == ("vidlang doctor --json", ("Encoder mini",))
    assert (bash.language, bash.line, bash.reason) == ("bash", 13, "needs a camera")
    assert [command.text for command in bash.commands()] == ["vidlang watch rtsp://camera --json   # a comment"]
    assert (file.file, file.body) == ("a.csv", "video,label\n")


def run_page(tmp_path: Path, films: Films, monkeypatch, text: str) -> list[Done]:
    prepare(monkeypatch)
    stage = Stage(tmp_path, films)
    return [done for block in blocks_of(tmp_path, text) for done in run_block(block, stage)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("```bash\nvidlang cache lst\n```", "No such command"),
        ("<!-- not run: no data -->\n```bash\nvidlang score x.mp4 --treshold 1\n```", "--treshold"),
        ("```bash\nvidlang cache list nothing --recipe 00\n```", "ended with"),
        ("```python\nraise ValueError('three')\n```", "three"),
        ("```bash\nmake coffee\n```", "no target coffee"),
        ("```console\n$ vidlang cache list\nalpha beta gamma\n```", "alpha beta gamma"),
        ("```bash\nfalse | cat\n```", "ended with 1"),
    ],
    ids=["command", "option", "error", "python", "make", "output", "shell"],
)
def test_what_a_document_says_wrongly_is_told(tmp_path, films, monkeypatch, text, told):
    with pytest.raises(Failed, match=r"page\.md:") as failed:
        run_page(tmp_path, films, monkeypatch, text)
    assert told in str(failed.value)


def test_what_is_not_run_says_why_and_what_is_run_has_its_files(tmp_path, films, monkeypatch):
    page = (
        "```bash\nvidlang train fame videos/ --linear NAME\nvidlang watch rtsp://192.0.2.17/stream\n"
        "ls videos/fight/fight_00.mp4 && vidlang cache list\n```\n"
        "```python\nhere = 'yard/gate.mp4'\n```\n```python\nassert open(here, 'rb').read(1) == b'\\0'\n```\n"
    )
    done = run_page(tmp_path, films, monkeypatch, page)
    assert [each.skipped for each in done] == ["has a placeholder", "needs an address that answers", "", "", "", ""]


def main() -> None:
    """All commands of the documents, run; with ``--list`` the blocks are read only."""
    only_listed = "--list" in sys.argv
    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as monkeypatch:
        prepare(monkeypatch)
        films = Films(Path(scratch))
        for name in NAMES:
            stage = None
            for block in read_blocks(ROOT / name):
                commands = "; ".join(command.text for command in block.commands()) or block.language
                what = f"not run: {block.reason}" if block.reason is not None else block.file and f"file {block.file}"
                print(f"{name}:{block.line:<5} {what or 'run'}\n    {commands[:300]}")
                if not only_listed:
                    folder = Path(scratch) / name.replace("/", "_")
                    stage = stage or Stage(folder, films)
                    for done in run_block(block, stage):
                        print(f"    -> {'only parsed: ' + done.skipped if done.skipped else 'ran'}: {done.text[:150]}")


if __name__ == "__main__":
    main()
