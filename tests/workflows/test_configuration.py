"""Settings of the file and the environment, where each comes from, and the page about them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from vidlang.core.errors import BadInput, UnknownName
from vidlang.store.workspace import Settings, read_origins, read_settings
from vidlang.workflows.configuration import configuration_page, known_settings, one_setting, unknown_variables
from vidlang.workflows.workspace import init

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "vidlang.toml"
    path.write_text('encoder = "mini"\nfps = 2.0\n')
    return path


def test_the_environment_beats_the_file_and_the_file_the_default(file):
    settings = read_settings(file, {"VIDLANG_ENCODER": "clip-vit-l14", "VIDLANG_DEVICE": "cpu", "VIDLANG_PICK": ""})
    assert settings == Settings(encoder="clip-vit-l14", fps=2.0, device="cpu")
    origins = read_origins(file, {"VIDLANG_ENCODER": "clip-vit-l14"})
    assert origins["encoder"] == ("clip-vit-l14", "VIDLANG_ENCODER")
    assert origins["fps"] == (2.0, str(file)) and origins["stride"] == (16, "default")


def test_a_stride_of_the_environment_takes_the_place_of_a_rate_of_the_file(file):
    settings = read_settings(file, {"VIDLANG_STRIDE": "8"})
    assert (settings.stride, settings.fps) == (8, None)
    assert read_settings(file, {"VIDLANG_STRIDE": "8", "VIDLANG_FPS": "1.5"}).fps == 1.5


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("VIDLANG_STRIDE", "many", "must be a number, got 'many'"),
        ("VIDLANG_STRIDE", "0", "VIDLANG_STRIDE: .*got 0"),
        ("VIDLANG_PICK", "last", "VIDLANG_PICK: .*got 'last'"),
        ("VIDLANG_MOTION", "pull", "VIDLANG_MOTION: .*pull"),
    ],
)
def test_a_wrong_variable_is_named(file, variable, value, words):
    with pytest.raises(BadInput, match=words) as raised:
        read_settings(file, {variable: value})
    assert "\n" not in str(raised.value)


def test_a_setting_is_found_by_key_flag_and_variable(tmp_path):
    settings = known_settings(tmp_path, {})
    assert [setting.key for setting in settings] == [field.name for field in fields(Settings)]
    for name in ("device", "--device", "VIDLANG_DEVICE"):
        assert one_setting(settings, name).value == "auto"
    with pytest.raises(UnknownName, match="Did you mean 'device'"):
        one_setting(settings, "devise")


def test_only_near_misses_among_the_variables_are_named():
    assert unknown_variables(["VIDLANG_ENCODER", "VIDLANG_WORKSPACE", "VIDLANG_SHARED", "PATH"]) == []
    (note,) = unknown_variables(["VIDLANG_ENCODR"])
    assert "VIDLANG_ENCODR" in note and "Did you mean VIDLANG_ENCODER?" in note


def test_init_writes_every_key_with_its_meaning_and_nothing_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDLANG_DEVICE", "cuda:3")
    text = init(tmp_path, encoder="mini", device=None, force=False).read_text()
    for field in fields(Settings):
        assert f"{field.name} =" in text and field.metadata["help"].rstrip(".") in text
    assert 'encoder = "mini"' in text and "cuda:3" not in text
    assert read_settings(tmp_path / "vidlang.toml", {}) == Settings(encoder="mini")


def test_every_flag_of_the_page_is_an_option_of_extract():
    import typer

    from vidlang.cli.app import app

    extract = typer.main.get_command(app).commands["extract"]  # type: ignore[attr-defined]
    options = {name for param in extract.params for name in param.opts}
    assert {setting.flag for setting in known_settings(None, {})} <= options


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == configuration_page(), (
        "run: vidlang config --markdown > docs/configuration.md"
    )
