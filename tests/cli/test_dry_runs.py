"""--dry-run says what would be done, leaves nothing behind, and ends as the real run would."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vidlang.core import FeatureRecipe, Sampling, VideoInfo
from vidlang.workflows.extract_plan import estimated_rows
from vidlang.workflows.plan import Plan, PlannedItem


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def test_extract_tells_what_is_new_there_and_broken(vidlang, tmp_path, film):
    film(tmp_path / "v" / "a.mp4", num_frames=34)
    assert vidlang("extract", "v/a.mp4", "--encoder", "mini").code == 0
    film(tmp_path / "v" / "b.mp4", num_frames=48)
    before = tree(tmp_path)
    answer = vidlang("extract", "v", "--encoder", "mini", "--dry-run", "--json")
    plan = json.loads(answer.out)
    assert answer.code == 0 and tree(tmp_path) == before
    assert {item["name"]: item["action"] for item in plan["items"]} == {"a.mp4": "skip", "b.mp4": "extract"}
    assert plan["facts"]["rows"] == 3  # 48 frames at a stride of 16
    assert plan["facts"]["bytes"] == 3 * 4 * plan_width()
    real = vidlang("extract", "v", "--encoder", "mini", "--json")
    listed = json.loads(vidlang("cache", "list", "b.mp4", "--json").out)["videos"]
    assert real.code == 0 and listed[0]["rows"] == 3
    (tmp_path / "v" / "c.mp4").write_text("no film")
    said = vidlang("extract", "v", "--encoder", "mini", "--dry-run")
    assert said.code == vidlang("extract", "v", "--encoder", "mini").code == 1
    assert "fail  c.mp4" in said.out and said.out.endswith("Nothing was written.\n")


def plan_width() -> int:
    from vidlang.encoders.registry import find_encoder

    spec = find_encoder("mini")
    assert spec is not None
    return spec.dim


def test_a_dry_run_makes_the_checks_of_the_real_one(vidlang, tmp_path, film):
    film(tmp_path / "a.mp4")
    wrong = ("extract", "a.mp4", "--encoder", "mini", "--reuse-static", "3", "--pick", "mean")
    dry, real = vidlang(*wrong, "--dry-run"), vidlang(*wrong)
    assert (dry.code, dry.err) == (real.code, real.err) and dry.code == 2
    for words in (("extract", "nowhere.mp4", "--encoder", "mini"), ("index", "build"), ("cache", "pack", "x.h5")):
        dry, real = vidlang(*words, "--dry-run"), vidlang(*words)
        assert dry.code == real.code != 0 and dry.err == real.err, words
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    assert vidlang("demo", "--out", "full", "--dry-run").code == 2
    assert not (tmp_path / ".vidlang").exists()


def test_the_demo_lists_its_steps_and_makes_no_folder(vidlang, tmp_path):
    answer = vidlang("demo", "--quick", "--dry-run")
    assert answer.code == 0 and "run  train-vadclip" in answer.out
    assert tree(tmp_path) == {}


def test_annotations_are_read_and_not_written(vidlang, tmp_path):
    (tmp_path / "pairs.csv").write_text("query,video\na.mp4,b.mp4\n")
    dry = vidlang("datasets", "import", "pairs", "pairs.csv", "--dry-run", "--json")
    assert dry.code == 0, dry.err
    plan = json.loads(dry.out)
    assert [item["action"] for item in plan["items"]] == ["write"] and plan["items"][0]["name"] == "truth.json"
    assert not (tmp_path / "truth.json").exists()
    assert vidlang("datasets", "import", "pairs", "pairs.csv").code == 0
    size = (tmp_path / "truth.json").stat().st_size
    assert plan["items"][0]["detail"] == f"{size} bytes"
    again = vidlang("datasets", "import", "pairs", "pairs.csv", "--dry-run")
    assert "replaces what is there" in again.out


@pytest.mark.parametrize(
    ("frames", "duration", "sampling", "rows"),
    [
        (32, 1.28, Sampling(), 2),
        (33, 1.32, Sampling(), 3),
        (0, 1.32, Sampling(), 3),  # a header without a count
        (250, 10.0, Sampling(fps=2.0), 20),
        (1, 0.04, Sampling(fps=2.0), 1),
    ],
)
def test_rows_are_estimated_by_the_length(frames, duration, sampling, rows):
    info = VideoInfo("x.mp4", frames, duration, 25.0, (64, 96))
    assert estimated_rows(info, FeatureRecipe("mini", "r", sampling)) == rows


def test_a_long_plan_is_cut_for_people_and_whole_for_programs():
    plan = Plan("cache rm", "30 entries would be deleted.", tuple(PlannedItem(str(n), "delete") for n in range(30)))
    assert len(plan.lines()) == 22 and plan.lines()[-2] == "... and 10 more (--json lists all)"
    assert len(plan.to_dict()["items"]) == 30 and plan.num_failed == 0


def test_import_counts_what_would_fail(vidlang, tmp_path):
    np.save(tmp_path / "good.npy", np.ones((3, plan_width()), np.float32))
    (tmp_path / "bad.npy").write_text("no numbers")
    words = ("cache", "import", "good.npy", "bad.npy", "--encoder", "mini", "--stride", "16", "--fps", "25")
    dry = vidlang(*words, "--dry-run", "--json")
    plan = json.loads(dry.out)
    assert {Path(item["name"]).stem: item["action"] for item in plan["items"]} == {"good": "import", "bad": "fail"}
    assert not (tmp_path / ".vidlang" / "cache").exists()
    assert dry.code == vidlang(*words).code == 1
