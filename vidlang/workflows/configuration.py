"""Every setting with its value and where that comes from, and the page that documents them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vidlang.core import UnknownName
from vidlang.store.workspace import (
    ENVIRONMENT_VARIABLE,
    NUMBERS,
    PREFIX,
    SETTINGS_FILE,
    Settings,
    folder_of,
    read_origins,
    variable_of,
)

OTHER_VARIABLES: Mapping[str, str] = {
    ENVIRONMENT_VARIABLE: "Folder of the workspace, as `--workspace`; else `.vidlang` in the current folder.",
    "NO_COLOR": "Set to anything: no colours.",
    "FORCE_COLOR": "Set to anything: colours also into a pipe or file.",
    "COLUMNS": "Width of tables and help where the output is no terminal; else 80.",
    "HF_HOME": "Where the Hugging Face hub keeps downloaded encoders.",
    "HF_HUB_OFFLINE": "1: never ask the hub; what is not on this machine is an error.",
    "OMP_NUM_THREADS": "Threads of networks and arithmetic on a CPU.",
}
"""Variables that are no settings of a workspace."""


@dataclass(frozen=True)
class Setting:
    """One setting as it holds here."""

    key: str
    value: str | int | float | None
    origin: str
    """The variable or file that says so, or ``default``."""
    default: Any
    flag: str
    variable: str
    help: str


def known_settings(root: Path | None = None, environment: Mapping[str, str] | None = None) -> list[Setting]:
    """All settings of a workspace, in the order of the file.

    Raises:
        BadInput: the file or a variable cannot be used.
    """
    origins = read_origins(folder_of(root) / SETTINGS_FILE, environment)
    return [
        Setting(f.name, *origins[f.name], f.default, _flag(f.name), variable_of(f.name), _meaning(f.metadata))
        for f in fields(Settings)
    ]


def one_setting(settings: Sequence[Setting], key: str) -> Setting:
    """The setting of that key, flag or variable.

    Raises:
        UnknownName: there is none.
    """
    wanted = key.lower().removeprefix(PREFIX.lower()).lstrip("-").replace("-", "_")
    for setting in settings:
        if setting.key == wanted:
            return setting
    raise UnknownName("setting", key, [setting.key for setting in settings])


def unknown_variables(environment: Iterable[str] | None = None) -> list[str]:
    """One line for each variable that begins as ours do, is none of ours, and is close to one of them."""
    ours = {variable_of(f.name) for f in fields(Settings)} | {ENVIRONMENT_VARIABLE}
    notes = []
    for name in sorted(os.environ if environment is None else environment):
        near = difflib.get_close_matches(name, sorted(ours), n=1, cutoff=0.8)
        if name.startswith(PREFIX) and name not in ours and near:
            notes.append(f"the variable {name} is not known and does nothing. Did you mean {near[0]}?")
    return notes


def configuration_dict(settings: Sequence[Setting], notes: Sequence[str]) -> dict[str, Any]:
    """The settings for programs."""
    return {"schema": "vidlang.config/1", "settings": [asdict(setting) for setting in settings], "notes": list(notes)}


def configuration_page() -> str:
    """``docs/configuration.md``."""
    rows = [
        f"| `{f.name}` | `{_flag(f.name)}` | `{variable_of(f.name)}` | {_type(f.name)} | {_shown(f.default)} "
        f"| {_meaning(f.metadata)} |"
        for f in fields(Settings)
    ]
    others = [f"| `{name}` | {says} |" for name, says in OTHER_VARIABLES.items()]
    return "\n".join(
        [
            "# Configuration",
            "",
            "<!-- Made by: vidlang config --markdown > docs/configuration.md -->",
            "",
            "A flag beats an environment variable, that beats `vidlang.toml` of the workspace, and that beats the",
            "default. `vidlang init` writes the file with all keys; `vidlang config` shows what holds here and where",
            "it comes from. A checkpoint brings the recipe that it was trained with, so commands that use one ask the",
            "settings for the device only.",
            "",
            "| key of vidlang.toml | flag | environment variable | type | default | meaning |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            "Keys stand at the top level of the file:",
            "",
            "```toml",
            'encoder = "mini"',
            "fps = 2.0",
            "```",
            "",
            "## Other environment variables",
            "",
            "| variable | meaning |",
            "|---|---|",
            *others,
            "",
            "## Exit codes",
            "",
            "| code | meaning |",
            "|---|---|",
            "| 0 | all went well |",
            "| 1 | a video failed (the others are kept), or the work could not be done |",
            "| 2 | wrong usage: an unknown command, option, name or value, or a path that is not there |",
            "| 130 | interrupted with Ctrl-C; what was finished is kept |",
            "",
        ]
    )


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _type(key: str) -> str:
    kind = NUMBERS.get(key, str)
    return {int: "whole number", float: "number", str: "text"}[kind]


def _meaning(metadata: Mapping[str, str]) -> str:
    says = metadata["help"].rstrip(".")
    return f"{says}: {metadata['takes']}." if metadata["takes"] else f"{says}."


def _shown(default: object) -> str:
    return "none" if default is None else f"`{default}`"
