"""Answers of --json and result files, held against the schemas that ``vidlang schema`` prints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vidlang as package
from vidlang.core import FeatureKey, FeatureRecipe, Features, Sampling, UnknownName, VideoInfo
from vidlang.core.schemas import SCHEMAS, SOURCES, find_schema
from vidlang.core.schemas.page import schemas_page
from vidlang.encoders.registry import find_encoder
from vidlang.store.feature_cache import FeatureCache

jsonschema = pytest.importorskip("jsonschema", reason="the package jsonschema of the extra dev")

ROOT = Path(package.__file__).parent
PAGE = ROOT.parent / "docs" / "json.md"
INTERNAL = {
    "activitynet": "the JSON of ActivityNet, with our version in its field 'version'",
    "ann": "an index file that vidlang alone reads",
    "ann_recall": "an index file that vidlang alone reads",
    "checkpoint": "the format of a checkpoint, in store/checkpoints.py",
    "demo": "what a folder of the demo was made with",
    "features": "the kind of a packed cache, no JSON",
    "index": "an index file that vidlang alone reads",
    "index_part": "an index file that vidlang alone reads",
    "vectors": "exported vectors: their layout stands in docs/formats.md",
    "index_state": "an index file that vidlang alone reads",
    "rejected": "a list that vidlang alone reads",
    "train_state": "what going on with a training needs",
}
"""Names of formats that are no answers and no results, and why."""


def check(document: dict[str, Any]) -> str:
    """Holds a document against the schema that it names; returns the name."""
    schema = find_schema(document["schema"])
    jsonschema.Draft202012Validator(schema).validate(document)
    return str(schema["title"])


def put(workspace: Path, *video_ids: str, num_rows: int = 3) -> None:
    """Features of the bundled encoder's width, drawn at random."""
    spec = find_encoder("mini")
    assert spec is not None
    recipe = FeatureRecipe(spec.name, spec.revision, Sampling())
    frames = np.array([[16 * row, 16 * row + 16] for row in range(num_rows)], dtype=np.int64)
    for seed, video_id in enumerate(video_ids):
        rows = np.random.default_rng(seed).normal(size=(num_rows, spec.dim)).astype(np.float32)
        info = VideoInfo(video_id, 16 * num_rows, 0.64 * num_rows, 25.0, (64, 96))
        FeatureCache(workspace / "cache").put(
            Features(FeatureKey(video_id, recipe), info, rows, frames, frames / 25), identity=None
        )


@pytest.fixture
def cached(tmp_path) -> Path:
    put(tmp_path / ".vidlang", "fight/a.mp4", "fight/b.mp4", "normal/c.mp4")
    (tmp_path / ".vidlang" / "vidlang.toml").write_text('encoder = "mini"\n')
    return tmp_path


# -- the schemas themselves ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_schema_is_one(name):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["$id"] == f"vidlang.{name}/1" and SOURCES[name]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMAS[name]).validate({"schema": "vidlang.another/1"})


def test_a_schema_is_found_by_each_of_its_names():
    assert find_schema("scores") is find_schema("vidlang.scores/1") is SCHEMAS["scores"]
    with pytest.raises(UnknownName, match="Did you mean 'scores'"):
        find_schema("scors")


def test_every_name_in_the_code_has_a_schema_or_is_internal():
    found: set[str] = set()
    for path in ROOT.rglob("*.py"):
        if "schemas" not in path.parts:
            found |= set(re.findall(r'["\']vidlang\.([a-z_.]+)/\d', path.read_text(encoding="utf-8")))
    assert found - set(SCHEMAS) - set(INTERNAL) == set()
    assert "score" in found


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == schemas_page(), "run: vidlang schema --markdown > docs/json.md"


def test_the_command_prints_what_tools_read(vidlang):
    assert json.loads(vidlang("schema", "score").out) == SCHEMAS["score"]
    assert check(json.loads(vidlang("schema", "--json").out)) == "schemas"
    listed = vidlang("schema").out
    assert all(name in listed for name in SCHEMAS)


# -- answers ---------------------------------------------------------------------------------------------------------

CACHE_ANSWERS = [
    (("cache", "list"), "cache.recipes"),
    (("cache", "list", "*"), "cache.entries"),
    (("cache", "verify"), "cache.verify"),
    (("cache", "export", "npy"), "cache.export"),
    (("cache", "pack", "all.h5"), "cache.pack"),
    (("cache", "pack", "all.h5", "--dry-run"), "plan"),
    (("cache", "rm", "normal/*", "--dry-run"), "plan"),
    (("cache", "rm", "normal/*", "--yes"), "cache.rm"),
    (("index", "build", "--dry-run"), "plan"),
    (("index", "build", "--blank-frames", "keep"), "index_update"),
    (("index", "update", "--blank-frames", "keep"), "index_update"),
    (("index", "info"), "index_info"),
    (("index", "verify"), "index_verify"),
    (("index", "export", "--blank-frames", "keep", "--format", "npy", "-o", "vectors"), "index_export"),
    (("models", "list"), "models"),
    (("models", "show", "mini"), "model"),
    (("config",), "config"),
    (("init", "--workspace", "other"), "init"),
    (("demo", "--quick", "--dry-run"), "plan"),
]


@pytest.mark.parametrize(("words", "name"), CACHE_ANSWERS, ids=lambda value: value if isinstance(value, str) else None)
def test_answers_about_what_is_kept(vidlang, cached, words, name):
    answer = vidlang(*words, "--json")
    assert answer.code == 0, answer.err
    assert check(json.loads(answer.out)) == name


def test_an_approximate_index_is_built_ahead_and_told_about(vidlang, cached):
    pytest.importorskip("faiss", reason='needs faiss: pip install "vidlang[ann]"')
    answer = vidlang("index", "build", "--blank-frames", "keep", "--approximate", "auto", "--memory", "50", "--json")
    assert answer.code == 0 and check(json.loads(answer.out)) == "index_update"
    assert "approximate index: hnsw over" in answer.err


def test_features_that_come_and_are_compared(vidlang, cached):
    np.save(cached / "x.npy", np.ones((3, find_encoder("mini").dim), np.float32))  # type: ignore[union-attr]
    words = ("cache", "import", "x.npy", "--encoder", "mini", "--stride", "16", "--fps", "25")
    plan = json.loads(vidlang(*words, "--dry-run", "--json").out)
    assert check(plan) == "plan" and plan["facts"]["videos"] == 1
    assert check(json.loads(vidlang(*words, "--json").out)) == "cache.import"
    assert check(json.loads(vidlang("cache", "compare", "fight/a.mp4", "x.npy", "--json").out)) == "cache.compare"


def test_what_is_asked_of_cached_videos(vidlang, cached):
    scored = json.loads(vidlang("score", "*", "--cached", "--labels", "fire,smoke", "--no-plot", "--json").out)
    assert check(scored) == "score" and len(scored["videos"]) == 3
    for line in (Path(scored["folder"]) / "scores.jsonl").read_text().splitlines():
        assert check(json.loads(line)) == "scores"
    assert check(json.loads(vidlang("eval", "anomaly", "--json").out)) == "eval.anomaly"
    words = ("localize", "*", "--cached", "--labels", "fire,smoke", "--no-plot", "--json")
    found = json.loads(vidlang(*words).out)
    assert check(found) == "localize"
    for file, name in (("detections.jsonl", "detections"), ("videos.jsonl", "video_scores")):
        for line in (Path(found["folder"]) / file).read_text().splitlines():
            assert check(json.loads(line)) == name


def test_what_is_found_among_cached_videos(vidlang, cached):
    words = ("retrieve", "fight/a.mp4", "--cached", "--blank-frames", "keep", "--json")
    answer = vidlang(*words)
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert check(found) == "retrieve" and found["gallery"] == 3
    for line in (Path(found["folder"]) / "rankings.jsonl").read_text().splitlines():
        assert check(json.loads(line)) == "rankings"
    answer = vidlang("retrieve", "--all-pairs", "--blank-frames", "keep", "--json")
    assert check(json.loads(answer.out)) == "duplicates"


def test_what_is_seen_in_films(vidlang, tmp_path, film):
    film(tmp_path / "v" / "a.mp4")
    (tmp_path / "v" / "b.mp4").write_text("no film")
    answer = vidlang("extract", "v", "--encoder", "mini", "--json")
    assert answer.code == 1 and check(json.loads(answer.out)) == "extract"
    answer = vidlang("diff", "v", "--write", "json", "--json")
    assert answer.code == 1 and check(json.loads(answer.out)) == "motion"
    answer = vidlang("fame", "mask", "v/a.mp4", "-o", "mask.npz", "--json")
    assert answer.code == 0 and check(json.loads(answer.out)) == "fame_mask"
    answer = vidlang("fame", "merge", "v/a.mp4", "--background", "intra", "-o", "merged.mp4", "--json")
    assert answer.code == 0 and check(json.loads(answer.out)) == "fame_merge"


def test_an_answer_without_a_schema_is_not_printed():
    from vidlang.cli.render import print_json

    with pytest.raises(ValueError, match="must have a schema"):
        print_json({"videos": []})
