"""Runs the blocks of a document: commands of vidlang in this process, the rest of a shell line in a shell."""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from document_blocks import ROOT, Block, Command
from document_files import Stage

PARSED_ONLY = {
    ("demo",): "takes minutes; tests/workflows/test_demo.py runs it",
    ("browse",): "serves until Ctrl-C; tests/workflows has its own",
}
"""Commands of vidlang that are held against the options that exist, and not run."""
SHORTER = {
    ("train", "vadclip"): {"--epochs": "1"},
    ("train", "tca"): {"--epochs": "1", "--copies": "2"},
    ("train", "wtal"): {
        "--warmup-steps": "4", "--warmup-min-steps": "2", "--warmup-passes": "1", "--rounds": "1",
        "--phase-passes": "1", "--phase-min-steps": "2",
    },
    ("train", "fame"): {"--epochs": "1", "--min-batches": "1"},
}  # fmt: skip
"""Trainings are cut short; what a document says itself is replaced where it says more than two."""
INSTALLS = ("pip", "make", "git", "apt-get", "uv", "conda")
"""Programs that set something up, which no test does."""
ADDRESS = re.compile(r"^(rtsps?|rtmp|udp|tcp|https?)://")
PLACEHOLDER = re.compile(r"^[A-Z][A-Z_-]{2,}(\.\w+)?/?$|^\.\.\.$|…")
COMMENT = re.compile(r"(?<=\s)#[^'\"]*$")
SHELL = re.compile(r"[|<>;`&]|\$\(|\$\{?\w")
PATIENCE = 120
"""Seconds that a shell line may take."""
SHARE = 0.5
"""Words of the shown output, numbers and names of files aside, that what is printed has at least."""


@dataclass(frozen=True)
class Done:
    """What became of one command."""

    text: str
    skipped: str = ""
    """Why it was only parsed."""


class Failed(AssertionError):
    """A command of a document that does not do what the document says."""


def run_block(block: Block, stage: Stage) -> list[Done]:
    """Runs a block in the folder of its document.

    Raises:
        Failed: a command ends with an error, does not parse, or prints something else.
    """
    if block.file is not None:
        path = stage.folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.body, encoding="utf-8")
        return [Done(f"wrote {block.file}")]
    if block.language == "python":
        if block.reason is not None:
            compile(block.body, block.name, "exec")
            return [Done("python", block.reason)]
        return [_run_python(block, stage)]
    done, wrong = [], []
    for command in block.commands():
        try:
            done += list(_run_line(command, block, stage))
        except Failed as failed:  # the next command may be right
            wrong.append(str(failed))
    if wrong:
        raise Failed("\n\n".join(wrong))
    return done


def _run_line(command: Command, block: Block, stage: Stage) -> Iterator[Done]:
    text = COMMENT.sub("", command.text)
    for part in [text] if SHELL.search(_without_and(text)) else text.split("&&"):
        yield _run_command(part.strip(), command, block, stage)


def _without_and(text: str) -> str:
    """Without quoted text, which a shell does not read, and without ``&&``, which is read here."""
    return re.sub(r"\"[^\"$`]*\"|'[^']*'|&&", "", text)


def _run_command(text: str, command: Command, block: Block, stage: Stage) -> Done:
    in_shell = SHELL.search(_without_and(text)) is not None
    words = _words(text)
    while words and re.fullmatch(r"\w+=\S*", words[0]):  # a variable for this command alone
        in_shell, words = True, words[1:]
    if not words:
        return Done(text)
    _check_vidlang(words, block)
    reason = block.reason or _why_not(words)
    if reason:
        if words[0] == "make":
            _check_target(words, block)
        return Done(text, reason)
    stage.supply(words)
    if words[:2] == ["vidlang", "init"]:  # documents show it in several places
        (stage.folder / ".vidlang" / "vidlang.toml").unlink(missing_ok=True)
    if words[0] == "vidlang" and not in_shell:
        code, out = _in_process(_shortened(words[1:]), stage.folder)
    elif words[0] == "python" and not in_shell and len(words) > 1 and words[1].startswith("examples/"):
        code, out = _example(words[1:], stage.folder)
    else:
        code, out = _in_shell(text, stage.folder)
    if code != 0:
        raise Failed(f"{block.name}: `{text}` ended with {code}:\n{out[-3000:]}")
    if block.compared or command.output:
        _compare(command, out, block)
    return Done(text)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError as error:
        raise Failed(f"`{text}` is no shell line: {error}") from error


def _why_not(words: Sequence[str]) -> str:
    if words[0] in INSTALLS:
        return "sets something up"
    if any(PLACEHOLDER.search(word) for word in words[1:]):
        return "has a placeholder"
    if any(ADDRESS.match(word) for word in words[1:]):
        return "needs an address that answers"
    if words[0] == "vidlang":
        starts = (start for start in PARSED_ONLY if tuple(words[1 : 1 + len(start)]) == start)
        return next((PARSED_ONLY[start] for start in starts if "--help" not in words), "")
    return ""


def _check_target(words: Sequence[str], block: Block) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    if words[1] not in targets:
        raise Failed(f"{block.name}: the Makefile has no target {words[1]}")


def _check_vidlang(words: Sequence[str], block: Block) -> None:
    """The command and its options exist; nothing runs."""
    if words[0] != "vidlang":
        return
    from typer.main import get_command

    from vidlang.cli.app import app

    cut = next((place for place, word in enumerate(words) if word in ("|", ">", ">>", "2>", "&", ";")), len(words))
    try:
        _parse(get_command(app), "vidlang", list(words[1:cut]), None)
    except Exception as error:  # those of click, which typer brings its own copy of
        if type(error).__name__ == "Exit":  # --help, --version
            return
        raise Failed(f"{block.name}: `{shlex.join(words)}`: {getattr(error, 'message', error)}") from error


def _parse(command: Any, name: str, arguments: list[str], parent: Any) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        context = command.make_context(name, arguments, parent=parent)
    if hasattr(command, "resolve_command"):
        rest = [*getattr(context, "_protected_args", ()), *context.args]
        if rest:
            found, inner, left = command.resolve_command(context, rest)
            _parse(inner, found, left, context)


def _shortened(words: list[str]) -> list[str]:
    """A training cut to what a test can wait for."""
    changes = SHORTER.get(tuple(words[:2]), {}) if "--help" not in words else {}
    words = list(words)
    for option, value in changes.items():
        if option not in words:
            words += [option, value]
        elif words[words.index(option) + 1].isdigit() and int(words[words.index(option) + 1]) > 2:
            words[words.index(option) + 1] = value
    return words


@contextlib.contextmanager
def _inside(folder: Path, arguments: Sequence[str]) -> Iterator[io.StringIO]:
    """In that folder, with these arguments; what is printed is kept."""
    printed, before, argv = io.StringIO(), Path.cwd(), sys.argv
    os.chdir(folder)
    sys.argv = list(arguments)
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            yield printed
    finally:
        os.chdir(before)
        sys.argv = argv


def _in_process(words: Sequence[str], folder: Path) -> tuple[int, str]:
    from vidlang.cli.app import main

    with _inside(folder, ["vidlang", *words]) as printed:
        try:
            main()
        except SystemExit as left:
            return int(left.code or 0), printed.getvalue()
        except Exception:
            return 1, printed.getvalue() + traceback.format_exc()
    return 0, printed.getvalue()


def _example(words: Sequence[str], folder: Path) -> tuple[int, str]:
    with _inside(folder, words) as printed:
        try:
            runpy.run_path(str(ROOT / words[0]), run_name="__main__")
        except Exception:
            return 1, printed.getvalue() + traceback.format_exc()
    return 0, printed.getvalue()


def _in_shell(text: str, folder: Path) -> tuple[int, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    try:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", text], cwd=folder, capture_output=True, text=True, timeout=PATIENCE,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 1, f"no end within {PATIENCE} s"
    return done.returncode, done.stdout + done.stderr


def _run_python(block: Block, stage: Stage) -> Done:
    stage.supply(re.findall(r"[\"']([\w./-]+)[\"']", block.body))
    with _inside(stage.folder, ["python"]):
        try:
            names = stage.names  # the blocks of a document are one program
            exec(compile("\n" * (block.line - 1) + block.body, block.document, "exec"), names)
        except Exception as error:
            raise Failed(f"{block.name}: python ended with {type(error).__name__}: {error}") from error
    return Done("python")


def _compare(command: Command, printed: str, block: Block) -> None:
    """Loosely: numbers, times and names of files are others than in the text."""
    shown, found = _plain_words("\n".join(command.output)), _plain_words(printed)
    if shown and len(shown & found) < SHARE * len(shown):
        missing = " ".join(sorted(shown - found))
        raise Failed(f"{block.name}: `{command.text}` prints none of: {missing}\nIt prints:\n{printed[-2000:]}")


def _plain_words(text: str) -> set[str]:
    return {word.lower() for word in re.findall(r"(?<![\w/.])[A-Za-z][a-z]{2,}(?![\w/.]*[\d/])", text)}
