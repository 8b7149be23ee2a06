"""``vidlang plan`` as it is typed: measured here, on films of these tests and on drawn ones."""

from __future__ import annotations

import json

import pytest

from vidlang.core.schemas import find_schema

jsonschema = pytest.importorskip("jsonschema", reason="the package jsonschema of the extra dev")

QUICK = ("--encoder", "mini", "--measure", "0.1")


def test_a_folder_is_measured_and_nothing_is_written(vidlang, film, tmp_path):
    film(tmp_path / "videos" / "a.mp4", 34)
    film(tmp_path / "videos" / "b.mp4", 34)
    before = sorted(tmp_path.rglob("*"))
    answer = vidlang("plan", "videos", *QUICK, "--gpus", "1,2", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    jsonschema.Draft202012Validator(find_schema("estimate")).validate(found)
    assert sorted(tmp_path.rglob("*")) == before
    assert found["videos"] == 2 and found["rows"] >= 2 and found["images"] == found["rows"]
    assert found["source_bytes"] == sum(path.stat().st_size for path in (tmp_path / "videos").iterdir())
    one, two = found["table"]
    assert two["seconds"] <= one["seconds"] and one["least_seconds"] <= one["seconds"] <= one["most_seconds"]
    assert found["rates"]["on_cores"] and any("No GPU" in note for note in found["notes"])


def test_hours_of_videos_like_these_scale_everything(vidlang, film, tmp_path):
    film(tmp_path / "a.mp4", 25)  # one second
    words = ("--images-per-second", "1000", "--encoder", "clip-vit-b16", "--measure", "0.1", "--fps", "1", "--json")
    found = json.loads(vidlang("plan", "a.mp4", "10 hours", *words).out)
    assert found["video_seconds"] == pytest.approx(36_000)
    assert found["videos"] == pytest.approx(36_000, rel=0.05) and found["rows"] == pytest.approx(36_000, rel=0.05)
    assert found["index_bytes"] == found["rows"] * 512 * 4  # the encoder's width is known without its weights
    assert found["rates"]["encode"] == {"middle": 1000, "low": 1000, "high": 1000}


def test_the_table_for_people(vidlang, film, tmp_path):
    film(tmp_path / "a.mp4", 25)
    answer = vidlang("plan", "a.mp4", "1000000", "hours", *QUICK, "--images-per-second", "9e9", "--price-per-hour", "2")
    assert answer.code == 0, answer.err
    assert "1,000,000 hours" in answer.out
    assert "64" in answer.out and "files" in answer.out and "packs" in answer.out
    assert "as you say" in answer.out


def test_hours_alone_are_measured_on_drawn_videos(vidlang):
    answer = vidlang("plan", "20 hours", *QUICK, "--images-per-second", "500", "--json")
    found = json.loads(answer.out)
    assert (found["videos"], found["source_bytes"]) == (120, 20 * 3600 * 250_000)
    assert any("drawn" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("0 hours",), "hours above 0"),
        (("nothing.mp4",), "nothing.mp4"),
        (("1 hour", "--gpus", "0"), "--gpus takes whole numbers"),
        (("1 hour", "--network", "0"), "network must be above 0"),
        (("1 hour", "--measure", "-1"), "measure seconds must be above 0"),
    ],
)
def test_what_cannot_be_planned_is_one_line(vidlang, words, said):
    answer = vidlang("plan", *words, "--encoder", "mini", "--images-per-second", "5")
    assert answer.code == 2 and said in answer.err and len(answer.err.strip().splitlines()) == 1
