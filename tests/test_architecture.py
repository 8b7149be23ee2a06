"""Holds the table of rooms: who may import whom, which third parties each room may use, and what start-up may load."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import vidlang

ROOT = Path(vidlang.__file__).parent

ALL_BUT_CLI = {
    "core", "video", "encoders", "store", "datasets", "nn", "methods", "metrics", "report", "demo", "engines",
}  # fmt: skip
MAY_IMPORT = {
    "core": set[str](),
    "video": {"core"},
    "encoders": {"core", "nn"},
    "store": {"core"},
    "datasets": {"core"},
    "nn": {"core"},
    "methods": {"core", "nn"},
    "metrics": {"core"},
    "report": {"core"},
    "demo": {"core", "video"},
    "engines": {"core"},
    "workflows": ALL_BUT_CLI,
    "api": {*ALL_BUT_CLI, "workflows", "cli.render"},
    "cli": {"core", "encoders.registry", "methods", "workflows"},
}
THIRD_PARTY = {
    "core": {"numpy", "pandas"},
    "video": {"numpy", "av", "decord", "PIL"},
    "encoders": {"numpy", "torch", "transformers", "huggingface_hub", "safetensors", "PIL"},
    "store": {"numpy", "h5py", "safetensors", "torch", "faiss", "fsspec", "pyarrow", "tomllib", "tomli"},
    "datasets": {"numpy"},
    "nn": {"torch", "numpy"},
    "methods": {"torch", "numpy"},
    "metrics": {"numpy", "sklearn"},
    "report": {"numpy", "matplotlib", "jinja2", "PIL"},
    "demo": {"numpy"},
    "engines": {"ray", "pyarrow"},
    "workflows": {"numpy", "torch"},
    "api": {"numpy", "torch"},
    "cli": {"typer", "rich", "click", "numpy"},
}
FILES = sorted(ROOT.rglob("*.py"))


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else "top"


def imports_of(path: Path) -> list[str]:
    """Every module named by an import statement, function bodies included."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_import_only_what_the_table_allows(path):
    room = room_of(path)
    if room == "top":
        return
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "vidlang" and len(parts) > 1 and parts[1] not in ("__version__", room):
            allowed = MAY_IMPORT[room]
            doors = {".".join(parts[1 : 1 + n]) for n in (1, 2)}
            assert doors & allowed, f"{room} may not import {name}"
        elif parts[0] != "vidlang" and parts[0] not in sys.stdlib_module_names:
            assert parts[0] in THIRD_PARTY[room], f"{room} may not import {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_methods_do_not_know_their_neighbours(path):
    parts = path.relative_to(ROOT).parts
    if parts[0] != "methods" or len(parts) < 3:
        return
    for name in imports_of(path):
        if name.startswith("vidlang.methods."):
            assert name.split(".")[2] in ("base", parts[1]), f"{parts[1]} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_terminal_prints(path):
    if room_of(path) == "cli":
        return
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert not [c for c in calls if isinstance(c.func, ast.Name) and c.func.id in ("print", "input", "breakpoint")]


def test_every_module_can_be_imported():
    for module in pkgutil.walk_packages([str(ROOT)], prefix="vidlang."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


LIGHT_COMMANDS = [
    ["--help"], ["extract", "--help"], ["train", "--help"], ["train", "vadclip", "--help"], ["score", "--help"],
    ["models", "list"], ["cache", "list"], ["eval", "anomaly", "--help"], ["retrieve", "--help"], ["index", "info"],
    ["eval", "retrieval", "--help"], ["train", "tca", "--help"], ["localize", "--help"], ["train", "wtal", "--help"],
    ["diff", "--help"], ["fame", "mask", "--help"], ["fame", "weights", "--help"], ["train", "fame", "--help"],
    ["eval", "representation", "--help"], ["eval", "background", "--help"], ["demo", "--help"],
    ["eval", "localization", "--help"], ["cache", "map", "--help"], ["cache", "matrix", "--help"],
    ["cache", "attention", "--help"], ["watch", "--help"],
    ["plan", "--help"], ["browse", "--help"], ["init", "--help"],
    ["doctor", "--help"], ["config"], ["schema"], ["schema", "scores"],
]  # fmt: skip


@pytest.mark.parametrize("command", LIGHT_COMMANDS, ids=" ".join)
def test_light_commands_load_neither_torch_nor_transformers(command, tmp_path):
    script = (
        "import sys\nsys.argv = ['vidlang', *sys.argv[1:]]\nfrom vidlang.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    code = stop.code or 0\nelse:\n    code = 0\n"
        "heavy = sorted({'torch', 'transformers', 'matplotlib', 'sklearn', 'av', 'decord'} & set(sys.modules))\n"
        "sys.stderr.write('HEAVY=' + ','.join(heavy))\nsys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("HEAVY="), done.stderr[-300:]
