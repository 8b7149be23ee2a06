"""``retrieve``, ``index`` and ``train tca`` as users type them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidlang.core import FeatureKey, FeatureRecipe, Features, FileIdentity, Sampling, VideoInfo
from vidlang.encoders.registry import find_encoder
from vidlang.store.feature_cache import FeatureCache
from vidlang.video.writer import write_video

WIDTH = 80


def mini_recipe() -> FeatureRecipe:
    spec = find_encoder("mini")
    assert spec is not None
    return FeatureRecipe(spec.name, spec.revision, Sampling())


def scene(seed: int, num_frames: int = 80) -> list[np.ndarray]:
    """A window that moves over a wide picture of coarse colours, so that every frame differs."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 24, 3))
    wide = np.kron(coarse, np.ones((12, 12, 1))).astype(np.uint8)
    return [wide[:, shift : shift + 96] for shift in (2 * np.arange(num_frames)).tolist()]


def write(path: Path, frames: list[np.ndarray]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, frames, 25.0, options={"preset": "ultrafast"})
    return path


def one_line(answer, code: int, *words: str) -> None:
    lines = answer.err.strip().splitlines()
    assert answer.code == code and answer.out == "" and len(lines) == 1, answer
    assert all(word in lines[0] for word in words), lines[0]


def fits(answer) -> None:
    """No escapes, no traces, and tables no wider than the terminal."""
    assert "\x1b" not in answer.out + answer.err and "Traceback" not in answer.err


# -- features without videos: nothing is encoded ---------------------------------------------------------------------


def put(workspace: Path, **rows: np.ndarray) -> None:
    """Features of videos that nobody has, a row a second."""
    cache = FeatureCache(workspace / "cache")
    for name, values in rows.items():
        edges = np.arange(len(values) + 1, dtype=np.int64)
        frames = np.stack([edges[:-1], edges[1:]], axis=1)
        info = VideoInfo(f"{name}.mp4", len(values), float(len(values)), 1.0, (64, 96))
        key = FeatureKey(f"{name}.mp4", mini_recipe())
        features = Features(key, info, values.astype(np.float32), frames, frames.astype(np.float64))
        cache.put(features, identity=FileIdentity(1, name, 0.0))


def random_rows(seed: int, num_rows: int = 12) -> np.ndarray:
    spec = find_encoder("mini")
    assert spec is not None
    return np.random.default_rng(seed).normal(size=(num_rows, spec.dim))


@pytest.fixture
def place(tmp_path) -> Path:
    """A workspace in the current folder: a scene, its copy, a clip of it with black bars around in time, and others."""
    one = random_rows(0, 20)
    others = {f"other{n}": random_rows(n + 10) for n in range(4)}
    put(tmp_path / ".vidlang", one=one, copy=one + 0.1 * random_rows(1, 20), clip=one[5:15], **others)
    (tmp_path / ".vidlang" / "vidlang.toml").write_text('encoder = "mini"\n')
    return tmp_path / ".vidlang"


CACHED = ("--cached", "--blank-frames", "keep")


def test_a_cached_query_lists_its_copies_and_the_seconds_that_match(vidlang, place):
    answer = vidlang("retrieve", "one.mp4", *CACHED)
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0].startswith("7 videos searched; plain rows; overlap; whitening none; encoder mini")
    assert "bundled encoder 'mini'" in lines[1] and "one.mp4" in lines
    rows = {line.split()[1]: line for line in lines if line.split()[:1] in (["1"], ["2"])}
    assert "0:00.0-0:20.0 = 0:00.0-0:20.0" in rows["copy.mp4"]
    assert "0:05.0-0:15.0 = 0:00.0-0:10.0" in rows["clip.mp4"]
    assert all(len(line) <= WIDTH for line in lines[2:] if not line.startswith("Results in"))
    assert (Path(answer.out.split("Results in ")[-1].strip()) / "rankings.csv").is_file()
    fits(answer)


def test_json_has_a_schema_and_nothing_else_is_on_stdout(vidlang, place):
    told = json.loads(vidlang("retrieve", "one.mp4", "other*", *CACHED, "--json").out)
    assert told["schema"] == "vidlang.retrieve/1" and told["gallery"] == 7
    assert {query["query"] for query in told["queries"]} == {"one.mp4", *(f"other{n}.mp4" for n in range(4))}
    best = next(q for q in told["queries"] if q["query"] == "one.mp4")["hits"][:2]
    assert {hit["video"] for hit in best} == {"copy.mp4", "clip.mp4"}


def test_quiet_says_nothing_and_keeps_the_results(vidlang, place, tmp_path):
    answer = vidlang("retrieve", "one.mp4", *CACHED, "--quiet", "--out", "found", "--plot")
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert sorted(p.name for p in (tmp_path / "found").iterdir()) == ["one.mp4.png", "rankings.csv", "rankings.jsonl"]


def test_options_of_the_search_reach_it(vidlang, place):
    def hits(*options: str) -> list[str]:
        told = json.loads(vidlang("retrieve", "one.mp4", *CACHED, *options, "--json").out)
        return [hit["video"] for hit in told["queries"][0]["hits"]]

    assert len(hits("--top", "1")) == 1
    assert set(hits("--threshold", "0.8")) == {"copy.mp4", "clip.mp4"}
    assert set(hits("--max-false-positives", "0.1")) <= {"copy.mp4", "clip.mp4"}
    assert len(hits("--shortlist", "3")) == 3
    assert hits("--similarity", "chamfer")[0] == "copy.mp4"
    assert "other1.mp4" not in hits("--background", "other*")
    told = json.loads(vidlang("retrieve", "one.mp4", *CACHED, "--no-segments", "--json").out)
    assert all(hit["segments"] == [] for hit in told["queries"][0]["hits"])
    judged = vidlang("retrieve", "one.mp4", *CACHED, "--threshold", "0.8")
    assert "of 42 pairs of different gallery videos reach 0.800" in judged.out


def test_what_was_rejected_is_left_out_until_it_is_asked_for(vidlang, place):
    rejected = vidlang("retrieve", "one.mp4", "--reject", "copy.mp4")
    assert (rejected.code, rejected.out) == (0, "copy.mp4 is rejected as a match of one.mp4\n")
    assert vidlang("retrieve", "one.mp4", "--reject", "copy.mp4", "--quiet").out == ""
    answer = vidlang("retrieve", "one.mp4", *CACHED)
    assert " copy.mp4 " not in answer.out
    assert "1 rejected videos left out; --with-rejected shows them" in answer.out
    assert " copy.mp4 " in vidlang("retrieve", "one.mp4", *CACHED, "--with-rejected").out
    assert "1 rejected pairs are remembered" in vidlang("index", "info").out
    one_line(vidlang("retrieve", "--reject", "copy.mp4"), 2, "--reject names videos that do not match one query")
    one_line(vidlang("retrieve", "a.mp4", "--reject", "a.mp4"), 2, "cannot be rejected as a match of itself")


def test_groups_of_the_whole_gallery(vidlang, place):
    answer = vidlang("retrieve", "--all-pairs", "--blank-frames", "keep", "--threshold", "0.8")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("1 groups of near-duplicates with 3 of 7 videos\n")
    for words in ("Group 1: 3 videos", "  clip.mp4", "0:00.0-0:10.0 = 0:05.0-0:15.0", "of 42 pairs"):
        assert words in answer.out
    fits(answer)
    told = json.loads(vidlang("retrieve", "--all-pairs", "--blank-frames", "keep", "--json").out)
    assert told["schema"] == "vidlang.duplicates/1"
    assert [group["videos"] for group in told["groups"]] == [["clip.mp4", "copy.mp4", "one.mp4"]]
    one_line(vidlang("retrieve", "one.mp4", "--all-pairs"), 2, "leave queries and --text out")


def test_complete_similarities_are_judged_by_eval(vidlang, place, tmp_path):
    (tmp_path / "pairs.csv").write_text("query,video\none.mp4,copy.mp4\none.mp4,clip.mp4\n")
    assert vidlang("retrieve", "one.mp4", *CACHED, "--complete").code == 0
    answer = vidlang("eval", "retrieval", "--pairs", "pairs.csv", "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert told["source"].endswith("similarities.npz") and told["tasks"]["all"]["mAP"] == 1


# -- usage -----------------------------------------------------------------------------------------------------------


def test_nothing_there_yet_says_what_to_run(vidlang, tmp_path):
    write(tmp_path / "a.mp4", scene(0, 20))
    for command in (["retrieve", "a.mp4"], ["retrieve", "--all-pairs"], ["index", "build"], ["index", "update"]):
        one_line(vidlang(*command, "--encoder", "mini"), 1, "is empty", "Run: vidlang extract")
    one_line(vidlang("index", "fit-whitening", "--encoder", "mini"), 1, "is empty", "Run: vidlang extract")
    assert vidlang("index", "info").out.startswith("There is no index yet: vidlang retrieve makes one.\n")
    told = json.loads(vidlang("index", "info", "--json").out)
    assert told == {"schema": "vidlang.index_info/1", "indexes": [], "damaged": [], "rejected_pairs": 0}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing*", "--cached"], ["No video of the gallery matches nothing*", "vidlang cache list"]),
        (["nowhere.mp4"], ["nowhere.mp4"]),
        (["--text", " "], ["--text needs words"]),
        (["--quiet"], ["Name a video or an image"]),
        (["one.mp4", "--cached", "--threshold", "0.5", "--max-false-positives", "0.1"], ["two ways to set one thing"]),
        (["one.mp4", "--cached", "--max-false-positives", "2"], ["share between 0 and 1"]),
        (["one.mp4", "--cached", "--background", "no*"], ["No video of the gallery matches --background 'no*'"]),
        (["one.mp4", "--cached", "--similarity", "comparator"], ["--comparator weights.pth"]),
        (["one.mp4", "--cached", "--checkpoint", "nothing"], ["no tca checkpoint called 'nothing'"]),
        (["one.mp4", "--cached", "--plot", "--no-segments"], ["--plot"]),
        (["one.mp4", "--cached", "--whitening", "whiten", "--components", "5000"], ["components"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value[0] != value[-1] else None,
)
def test_what_cannot_be_asked_is_one_line(vidlang, place, arguments, words):
    one_line(vidlang("retrieve", *arguments, "--blank-frames", "keep"), 2, *words)


def test_a_choice_that_is_none_is_usage(vidlang, place):
    answer = vidlang("retrieve", "one.mp4", "--similarity", "cosinus")
    assert answer.code == 2 and "cosinus" in answer.err and "Traceback" not in answer.err


def test_odd_names_are_shown_as_they_are(vidlang, place):
    put(place, **{"[bold]loud": random_rows(0, 20), "esc\x1b[31m": random_rows(1, 20)})
    for command in (["one.mp4", "[[]bold]*", "esc*", "--cached"], ["--all-pairs", "--threshold", "0.1"]):
        answer = vidlang("retrieve", *command, "--blank-frames", "keep")
        assert answer.code == 0 and "[bold]loud.mp4" in answer.out and "esc\\x1b[31m.mp4" in answer.out
        fits(answer)


# -- index -----------------------------------------------------------------------------------------------------------


def test_the_index_is_built_kept_up_and_described(vidlang, place):
    built = vidlang("index", "build", "--blank-frames", "keep")
    assert built.code == 0 and built.out.startswith("7 videos, 98 rows of width"), built
    assert "7 added, 0 changed, 0 removed" in built.out and "whitening none" in built.out
    put(place, more=random_rows(50))
    FeatureCache(place / "cache").remove(FeatureKey("other0.mp4", mini_recipe()))
    updated = vidlang("index", "update", "--blank-frames", "keep")
    assert "1 added, 0 changed, 0 removed" in updated.out
    assert "1 videos are no longer in the cache and stay in the index; --prune removes them" in updated.out
    told = json.loads(vidlang("index", "update", "--prune", "--blank-frames", "keep", "--json").out)
    assert told["schema"] == "vidlang.index_update/1"
    assert (told["added"], told["gone"], told["pruned"], told["videos"]) == (0, 1, 1, 7)
    info = vidlang("index", "info")
    assert info.code == 0 and "0 rejected pairs are remembered" in info.out
    (found,) = json.loads(vidlang("index", "info", "--json").out)["indexes"]
    assert (found["videos"], found["removed"]) == (7, 1) and Path(found["folder"]).is_dir()
    assert found["spec"]["recipe"]["encoder"] == "mini"
    assert "Built anew: asked for" in vidlang("index", "build", "--blank-frames", "keep").out


def test_a_damaged_index_says_how_to_build_it_again(vidlang, place):
    vidlang("index", "build", "--blank-frames", "keep")
    state = next((place / "index").glob("*/state.json"))
    state.write_text("{")
    info = vidlang("index", "info")
    assert info.code == 0 and "is damaged" in info.err
    one_line(vidlang("retrieve", "one.mp4", *CACHED), 1, "state.json", "is damaged", "build it again")
    one_line(vidlang("retrieve", "one.mp4", *CACHED, "--comparator", "nowhere.pth"), 1, "state.json")
    assert vidlang("index", "build", "--blank-frames", "keep").code == 0
    one_line(vidlang("retrieve", "one.mp4", *CACHED, "--comparator", "nowhere.pth"), 1, "no file nowhere.pth")
    assert vidlang("retrieve", "one.mp4", *CACHED).code == 0


def test_a_damaged_entry_is_named_and_the_others_are_searched(vidlang, place):
    entry = FeatureCache(place / "cache").entry(FeatureKey("other1.mp4", mini_recipe()))
    entry.path.write_bytes(entry.path.read_bytes()[:200])
    answer = vidlang("retrieve", "one.mp4", *CACHED)
    assert answer.code == 0 and answer.out.startswith("6 videos searched") and "other1.mp4" in answer.err


def test_a_whitening_is_fitted_and_the_next_search_takes_it(vidlang, place):
    answer = vidlang("index", "fit-whitening", "--components", "6")
    assert answer.code == 0 and "to 6 dimensions, fitted on 98 rows" in answer.out, answer
    assert "whitening whiten to 6 of" in vidlang("retrieve", "one.mp4", *CACHED).out
    told = json.loads(vidlang("index", "fit-whitening", "--components", "5", "-o", "pca.npz", "--json").out)
    assert told["components"] == 5 and Path(told["file"]).name == "pca.npz"
    with np.load("pca.npz") as archive:
        assert set(archive.files) == {"U", "lams", "mu", "Utmu"}


# -- real videos, the bundled encoder --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """A folder of ``videos/`` and a workspace that has their features and index."""
    from vidlang.store.workspace import open_workspace
    from vidlang.workflows.extract import ExtractOptions, extract
    from vidlang.workflows.gallery import open_gallery
    from vidlang.workflows.recipe import RecipeChanges, encoder_loader, make_recipe

    folder = tmp_path_factory.mktemp("films")
    for number in range(4):
        write(folder / "videos" / f"{number}.mp4", scene(number))
    (folder / "ws").mkdir()
    (folder / "ws" / "vidlang.toml").write_text('encoder = "mini"\nstride = 8\n')
    workspace = open_workspace(folder / "ws")
    recipe = make_recipe(workspace.settings, RecipeChanges())
    load = encoder_loader("mini", "float32", "cpu")
    extract([folder / "videos"], FeatureCache(workspace.cache_dir), recipe, load, ExtractOptions(num_workers=1))
    open_gallery(workspace)
    return folder


def test_a_clip_an_image_and_a_text_are_asked_and_a_broken_file_fails_alone(vidlang, films, tmp_path):
    write(tmp_path / "clip.mp4", scene(2)[24:64])
    Image.fromarray(scene(1)[40]).save(tmp_path / "still.png")
    (tmp_path / "broken.mp4").write_text("no film")
    (tmp_path / "broken.png").write_text("no image")
    queries = ("clip.mp4", "still.png", "broken.mp4", "broken.png", "--text", "colours")
    answer = vidlang("retrieve", *queries, "--workspace", films / "ws", "--json")
    assert answer.code == 1
    told = json.loads(answer.out)
    hits = {query["query"]: query["hits"] for query in told["queries"]}
    assert hits["clip.mp4"][0]["video"] == "2.mp4" and hits["still.png"][0]["video"] == "1.mp4"
    assert hits["clip.mp4"][0]["segments"] == [
        {"query": [pytest.approx(0, abs=0.4), pytest.approx(1.6, abs=0.4)],
         "video": [pytest.approx(0.96, abs=0.4), pytest.approx(2.56, abs=0.4)]}
    ]  # fmt: skip
    assert len(hits["colours"]) == 4 and all(abs(hit["similarity"]) <= 1 for hit in hits["colours"])
    assert sorted(row["query"] for row in told["failed"]) == ["broken.mp4", "broken.png"]
    for name in ("broken.mp4", "broken.png"):
        assert answer.err.count(f"{name} ") == 1, answer.err
    assert answer.err.endswith("2 of 5 queries failed; the others are answered.\n")
    shown = vidlang("retrieve", "broken.mp4", "still.png", "--workspace", films / "ws")
    assert shown.code == 1 and "1.mp4" in shown.out and shown.err.count("broken.mp4 ") == 1
    fits(shown)
    quiet = vidlang("retrieve", "broken.mp4", "--workspace", films / "ws", "--quiet")
    assert quiet.code == 1 and quiet.out == "" and quiet.err.count("broken.mp4 ") == 1
    lost = vidlang("retrieve", "broken.mp4", "--workspace", films / "ws")
    assert lost.code == 1 and "Results in" not in lost.out


def test_a_text_shows_seconds_of_the_video_alone(vidlang, films):
    answer = vidlang("retrieve", "--text", "colours", "--workspace", films / "ws")
    assert answer.code == 0, answer.err
    rows = [line for line in answer.out.splitlines() if ".mp4" in line and line.split()[0] in "1234"]
    assert len(rows) == 4 and not any("=" in line for line in rows)


def test_training_on_copies_makes_a_checkpoint_that_retrieve_takes(vidlang, tmp_path):
    for number in range(3):
        write(tmp_path / "videos" / f"{number}.mp4", scene(number, 32))
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "vidlang.toml").write_text('encoder = "mini"\nstride = 8\n')
    quick = ("--num-heads", "2", "--feedforward", "16", "--epochs", "1", "--min-batches", "1", "--batch-size", "4")
    train = ("train", "tca", "videos", "--workspace", "ws", "--copies", "2", *quick, "--num-negatives", "2")
    answer = vidlang(*train, "--val-fraction", "0", "--test-fraction", "0", "--name", "own")
    assert answer.code == 0, answer.err
    assert "3 videos with 6 edited copies (mild)" in answer.out and "Next: vidlang retrieve query.mp4" in answer.out
    assert "too few videos to hold some out" in answer.err
    fits(answer)
    one_line(vidlang(*train, "--name", "own"), 2, "a run called 'own' already")
    one_line(vidlang(*train, "--num-heads", "7", "--name", "b"), 2, "heads")
    one_line(vidlang(*train, "--val-fraction", "0.6", "--test-fraction", "0.6"), 2, "leave something to train on")
    one_line(vidlang("train", "tca", "--workspace", "ws"), 2, "edited copies of them are made: vidlang train tca")
    taken = vidlang("retrieve", "0.mp4", "--workspace", "ws", *CACHED)
    assert taken.code == 0 and "checkpoint own" in taken.out
    plain = vidlang("retrieve", "0.mp4", "--workspace", "ws", *CACHED, "--checkpoint", "plain")
    assert "plain rows" in plain.out
    other = vidlang("retrieve", "0.mp4", "--workspace", "ws", *CACHED, "--checkpoint", "own", "--stride", "16")
    one_line(other, 2, "The checkpoint own reads features", "or plain")
    assert "own" in vidlang("models", "list", "--workspace", "ws").out
