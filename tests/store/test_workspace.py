"""Where a project's files lie, and its settings file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vidlang.core.errors import BadInput
from vidlang.store.workspace import ENVIRONMENT_VARIABLE, Settings, Workspace, open_workspace, write_settings


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)


def settings_of(text: str, folder: Path) -> Settings:
    folder.mkdir(exist_ok=True)
    (folder / "vidlang.toml").write_text(text)
    return open_workspace(folder).settings


def test_the_flag_beats_the_environment_beats_the_current_folder(monkeypatch, tmp_path):
    assert open_workspace().root == Path(".vidlang")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "elsewhere"))
    assert open_workspace().root == tmp_path / "elsewhere"
    assert open_workspace(tmp_path / "given").root == tmp_path / "given"
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "")
    assert open_workspace().root == Path(".vidlang")


def test_opening_creates_nothing_and_has_the_defaults(tmp_path):
    place = open_workspace(tmp_path / "new")
    assert place.settings == Settings() and not place.root.exists()
    assert (place.cache_dir, place.models_dir, place.results_dir) == tuple(
        tmp_path / "new" / name for name in ("cache", "models", "results")
    )


def test_written_settings_read_back(tmp_path):
    settings = replace(Settings(), encoder="mini", fps=2.5, stride=8, device="cuda:1", dtype="float16")
    path = write_settings(Workspace(tmp_path / "w"), settings)
    assert path == tmp_path / "w" / "vidlang.toml"
    assert open_workspace(tmp_path / "w").settings == settings
    write_settings(Workspace(tmp_path / "w"), Settings())
    assert open_workspace(tmp_path / "w").settings == Settings()


def test_names_with_quotes_and_backslashes_read_back(tmp_path):
    settings = Settings(encoder='C:\\modèles 😀\\a "b"\n')
    write_settings(Workspace(tmp_path / "w"), settings)
    assert open_workspace(tmp_path / "w").settings == settings


def test_what_the_file_leaves_out_stays_default(tmp_path):
    assert settings_of('encoder = "mini"\n', tmp_path / "w") == Settings(encoder="mini")
    assert settings_of("", tmp_path / "w") == Settings()
    assert settings_of("fps = 2\n", tmp_path / "w").fps == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('encodr = "mini"\n', r"unknown setting 'encodr'\. Did you mean 'encoder'\?"),
        ("[train]\nepochs = 3\n", "unknown setting 'train'"),
        ('stride = "16"\n', "stride must be int, got '16'"),
        ("stride = true\n", "stride must be int, got True"),
        ("stride = 1.5\n", "stride must be int"),
        ("encoder = 3\n", "encoder must be str, got 3"),
        ("encoder = \n", "does not read as TOML"),
        ('encoder = "mini\n', "does not read as TOML"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path, text, message):
    with pytest.raises(BadInput, match=message) as raised:
        settings_of(text, tmp_path / "w")
    assert "vidlang.toml" in str(raised.value) and "\n" not in str(raised.value)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "vidlang.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match=r"vidlang\.toml does not read as TOML"):
        open_workspace(tmp_path)


@pytest.mark.parametrize(
    "text", ['pick = "last"\n', 'crops = "five"\n', "stride = 0\n", "fps = -1.0\n", 'precision = "int8"\n']
)
def test_a_value_that_no_recipe_takes_is_refused_with_its_file(tmp_path, text):
    with pytest.raises(BadInput, match=r"vidlang\.toml: .*got"):
        settings_of(text, tmp_path / "w")


def test_a_file_is_no_workspace(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(BadInput, match="is a file, but the workspace is a folder"):
        open_workspace(tmp_path / "x")


def test_motion_in_the_settings_is_a_word_with_details(tmp_path):
    (tmp_path / "vidlang.toml").write_text('motion = "pool:seed:0.3"\n')
    assert open_workspace(tmp_path).settings.motion == "pool:seed:0.3"
    (tmp_path / "vidlang.toml").write_text('motion = "pull"\n')
    with pytest.raises(BadInput, match=r"vidlang\.toml: .*pull"):
        open_workspace(tmp_path)
