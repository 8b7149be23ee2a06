"""Maps, matrices and attention from features in a cache to files; nothing is encoded."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from stand_ins import DIM, ColourEncoder, film, put_seconds, recipe_of, unit_rows

from vidlang.core import BadInput, FeatureKey, MissingFeatures, UnknownName
from vidlang.methods.tca.attention import attention_received
from vidlang.methods.tca.config import TcaConfig
from vidlang.methods.tca.model import new_encoder
from vidlang.store.checkpoints import Checkpoint, ModelRegistry
from vidlang.video.reader import identify
from vidlang.workflows.attention import AttentionOptions, video_attention
from vidlang.workflows.cache_map import MapOptions, cache_map
from vidlang.workflows.extract import ExtractOptions, extract
from vidlang.workflows.gallery import GalleryOptions
from vidlang.workflows.matrix import MatrixOptions, similarity_matrix
from vidlang.workflows.video_files import locate_videos

RECIPE = recipe_of(ColourEncoder())
KEEP = GalleryOptions(blank_frames="keep")


def register(workspace, network: str = "transformer", name: str = "one") -> Checkpoint:
    config = TcaConfig(encoder=network, num_heads=2, feedforward=16, residual=False, num_clusters=4)
    torch.manual_seed(1)
    state = {key: value + 0.5 * torch.randn_like(value) if value.is_floating_point() else value
             for key, value in new_encoder(config, DIM).state_dict().items()}  # fmt: skip
    checkpoint = Checkpoint(
        "tca", config.to_dict(), RECIPE, (), state, {}, {"name": name, "width": DIM, "encoder": "mini"}
    )
    ModelRegistry(workspace.models_dir).register(checkpoint, name=name)
    return checkpoint


@pytest.fixture
def rows(cache) -> dict[str, np.ndarray]:
    """Two classes along two axes, four rows a video, and one video in no folder."""
    made = {}
    for place, name in enumerate(("fight/a.mp4", "fight/b.mp4", "calm/c.mp4", "calm/d.mp4", "e.mp4")):
        values = 0.1 * np.random.default_rng(place).normal(size=(4, DIM)).astype(np.float32)
        values[:, place // 2] += 1
        put_seconds(cache, RECIPE, name, values)
        made[name] = values
    return made


# -- maps ------------------------------------------------------------------------------------------------------------


def test_a_map_of_videos_is_written_as_asked_and_says_the_same_everywhere(workspace, rows, tmp_path):
    files = tuple(tmp_path / "out" / name for name in ("m.html", "m.png", "m.csv", "m.svg"))
    report = cache_map(workspace, MapOptions(out=files))
    assert all(path.stat().st_size for path in files) and report.written == files
    table = list(csv.DictReader(files[2].open(encoding="utf-8")))
    points = report.to_dict()["points"]
    assert [row["video"] for row in table] == [point["video"] for point in points] == sorted(rows)
    assert {row["video"]: row["label"] for row in table} == {
        "fight/a.mp4": "fight", "fight/b.mp4": "fight", "calm/c.mp4": "calm", "calm/d.mp4": "calm",
        "e.mp4": "unlabelled",
    }  # fmt: skip
    assert all(float(row["x"]) == pytest.approx(point["x"]) for row, point in zip(table, points, strict=True))
    assert sum(report.plane.explained) > 0.9 and "of the variance" in report.lines()[0]
    ends = {(point["start"], point["end"]) for point in points}
    assert ends == {(0.0, 4.0)}
    near = dict(zip(report.shown.ids, report.neighbours[:, 0].tolist(), strict=True))
    assert report.shown.ids[near["fight/a.mp4"]] == "fight/b.mp4"
    assert "1 of 5 videos have no label" in report.notes[0]


def test_the_same_map_twice_is_the_same_page(workspace, rows, tmp_path):
    options = MapOptions(method="tsne", out=(tmp_path / "a.html", tmp_path / "b.html"), seed=3)
    report = cache_map(workspace, options)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert report.plane.perplexity == pytest.approx(4 / 3) and "perplexity 1.33, seed 3" in report.lines()[0]


def test_snippets_have_the_labels_of_their_seconds(workspace, rows, tmp_path):
    manifest = tmp_path / "labels.csv"
    manifest.write_text("video,label,start,end\nfight/a.mp4,punch,1,3\ncalm/c.mp4,normal,,\n")
    options = MapOptions(patterns=("*/a.mp4", "calm/c*"), by="snippet", labels=manifest, out=(tmp_path / "m.csv",))
    report = cache_map(workspace, options)
    found = list(zip(report.shown.ids, report.shown.seconds[:, 0].tolist(), report.shown.labels, strict=True))
    calm = [("calm/c.mp4", float(second), "normal") for second in range(4)]
    named = ["no event", "punch", "punch", "no event"]
    assert found == calm + [("fight/a.mp4", float(s), label) for s, label in enumerate(named)]


def test_too_many_points_are_drawn_by_the_seed_and_said(workspace, rows, tmp_path):
    options = MapOptions(by="snippet", max_points=7, out=(tmp_path / "m.csv",), seed=1)
    report = cache_map(workspace, options)
    assert len(report.shown.ids) == 7 and report.notes[0].startswith("7 of 20 snippets shown")
    assert cache_map(workspace, options).shown.ids == report.shown.ids
    videos = cache_map(workspace, replace(options, by="video", max_points=3))
    assert len(set(videos.shown.ids)) == 3 and videos.notes[0].startswith("3 of 5 videos shown")


def test_a_checkpoint_shows_its_own_vectors(workspace, rows, tmp_path, encoder):
    register(workspace)
    options = MapOptions(out=(tmp_path / "m.csv",))
    plain, learned = cache_map(workspace, options), cache_map(workspace, replace(options, checkpoint="one"))
    assert learned.made_by["checkpoint"] == "one" and plain.made_by["checkpoint"] is None
    assert sorted(learned.shown.ids) == sorted(plain.shown.ids)
    order = [learned.shown.ids.index(video_id) for video_id in plain.shown.ids]
    assert not np.allclose(np.abs(learned.plane.points[order]), np.abs(plain.plane.points))


def test_what_gives_no_map_is_refused_in_one_line(workspace, rows, tmp_path):
    out = (tmp_path / "m.csv",)
    with pytest.raises(BadInput, match=r"at least 3 points, and there are 2\. Extract more videos, or --by snippet"):
        cache_map(workspace, MapOptions(patterns=("fight/*",), out=out))
    with pytest.raises(MissingFeatures, match="No cached video matches nothing"):
        cache_map(workspace, MapOptions(patterns=("nothing",), out=out))
    with pytest.raises(UnknownName, match="recipe"):
        cache_map(workspace, MapOptions(recipe="ffff", out=out))
    with pytest.raises(BadInput, match=r"--perplexity must be from 1 to 4 for 5 points, got 9"):
        cache_map(workspace, MapOptions(method="tsne", perplexity=9, out=out))
    with pytest.raises(BadInput, match="belongs to --method tsne"):
        MapOptions(perplexity=3)
    with pytest.raises(BadInput, match=r"must end in \.html"):
        MapOptions(out=(Path("map.gif"),))
    assert not out[0].exists()


def test_a_page_has_stills_of_the_videos_at_hand(workspace, cache, encoder, tmp_path, monkeypatch):
    for place in range(3):
        film(tmp_path / "videos" / f"{place}.mp4", 32, shift=40 * place)
    extract([tmp_path / "videos"], cache, RECIPE, lambda: encoder, ExtractOptions(num_workers=1))
    monkeypatch.chdir(tmp_path)
    cache_map(workspace, MapOptions(out=(tmp_path / "m.html",), stills=2))
    page = (tmp_path / "m.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 2 and "2 of 3 points have a still" in page
    assert '"0.mp4": "videos/0.mp4"' in page
    (tmp_path / "videos").rename(tmp_path / "elsewhere away")
    (tmp_path / "deep").mkdir()
    (tmp_path / "elsewhere away").rename(tmp_path / "deep" / "films")
    cache_map(workspace, MapOptions(out=(tmp_path / "n.html",)))
    assert "3 of 3 videos are not at hand" in (tmp_path / "n.html").read_text(encoding="utf-8")
    cache_map(workspace, MapOptions(out=(tmp_path / "n.html",), videos=(tmp_path / "deep" / "films",)))
    assert (tmp_path / "n.html").read_text(encoding="utf-8").count("data:image/jpeg;base64,") == 3


# -- where videos are ------------------------------------------------------------------------------------------------


def test_a_video_is_found_by_its_name_and_its_content(workspace, cache, encoder, tmp_path, monkeypatch):
    good = film(tmp_path / "videos" / "deep" / "a.mp4", 32)
    extract([tmp_path / "videos"], cache, RECIPE, lambda: encoder, ExtractOptions(num_workers=1))
    key = FeatureKey("deep/a.mp4", RECIPE)
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    assert locate_videos(cache, [key]) == {"deep/a.mp4": good}  # beside the workspace
    other = film(empty / "deep" / "a.mp4", 32, shift=90)
    assert identify(other) != identify(good)
    assert locate_videos(cache, [key]) == {"deep/a.mp4": good}  # another film of that name is passed over
    good.unlink()
    assert locate_videos(cache, [key]) == {}
    assert locate_videos(cache, [FeatureKey("gone.mp4", RECIPE)]) == {}


# -- matrices --------------------------------------------------------------------------------------------------------


def test_a_matrix_is_what_rows_say_and_its_copy_lies_on_the_line(workspace, cache, tmp_path):
    scene = unit_rows(30, DIM, seed=1)
    put_seconds(cache, RECIPE, "one.mp4", scene)
    put_seconds(cache, RECIPE, "clip.mp4", scene[8:20])
    for number in range(3):
        put_seconds(cache, RECIPE, f"{number}.mp4", unit_rows(12, DIM, seed=number + 9))
    out = tmp_path / "deep" / "m.png"
    report = similarity_matrix(workspace, "clip.mp4", "one.mp4", MatrixOptions(KEEP, out))
    np.testing.assert_allclose(report.similarity, scene[8:20] @ scene.T, atol=1e-5)
    ((mine, theirs),) = report.segments
    assert (mine.start, mine.end, theirs.start, theirs.end) == (0, 12, 8, 20)
    assert report.overlap == pytest.approx(1, abs=1e-4) and out.read_bytes().startswith(b"\x89PNG")
    said = json.loads(json.dumps(report.to_dict()))
    assert np.shape(said["matrix"]) == (12, 30) and said["segments"] == [[[0, 12], [8, 20]]]


def test_a_video_that_is_not_cached_and_a_picture_of_another_kind_are_refused(workspace, rows):
    with pytest.raises(MissingFeatures, match=r"nobody\.mp4 has no features"):
        similarity_matrix(workspace, "e.mp4", "nobody.mp4", MatrixOptions(KEEP, None))
    with pytest.raises(BadInput, match=r"must end in \.png"):
        MatrixOptions(KEEP, Path("m.jpg"))


# -- attention -------------------------------------------------------------------------------------------------------


def test_attention_is_that_of_the_checkpoint_and_written_as_asked(workspace, rows, tmp_path):
    checkpoint = register(workspace)
    options = AttentionOptions(KEEP, (tmp_path / "a.png", tmp_path / "a.csv"))
    report = video_attention(workspace, "fight/a.mp4", options)
    encoder = new_encoder(TcaConfig.from_dict(dict(checkpoint.config)), DIM)
    encoder.load_state_dict(checkpoint.state)
    unit = rows["fight/a.mp4"] / np.linalg.norm(rows["fight/a.mp4"], axis=1, keepdims=True)
    np.testing.assert_allclose(report.attention, attention_received(encoder, unit), atol=1e-6)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    table = list(csv.DictReader((tmp_path / "a.csv").open(encoding="utf-8")))
    assert [float(row["start"]) for row in table] == [0, 1, 2, 3]
    assert sum(float(row["mean"]) for row in table) == pytest.approx(1, abs=1e-5)
    assert report.to_dict()["made_by"]["checkpoint"] == "one"


def test_what_attends_to_nothing_is_refused(workspace, rows):
    with pytest.raises(BadInput, match="vidlang train tca"):
        video_attention(workspace, "e.mp4", AttentionOptions(KEEP))
    with pytest.raises(BadInput, match="attend to nothing"):
        AttentionOptions(GalleryOptions("plain"))
    register(workspace, "gru", "recurrent")
    with pytest.raises(BadInput, match="belongs to the transformer"):
        video_attention(workspace, "e.mp4", AttentionOptions(KEEP))
    with pytest.raises(MissingFeatures, match=r"nobody\.mp4"):
        video_attention(workspace, "nobody.mp4", AttentionOptions(KEEP))


def test_even_attention_is_said(workspace, rows, tmp_path):
    checkpoint = register(workspace)
    state = {name: torch.zeros_like(v) if "in_proj" in name else v for name, v in checkpoint.state.items()}
    ModelRegistry(workspace.models_dir).register(replace(checkpoint, state=state), name="one", replace=True)
    report = video_attention(workspace, "e.mp4", AttentionOptions(KEEP, (tmp_path / "a.csv",)))
    np.testing.assert_allclose(report.attention, 0.25, atol=1e-6)
    assert "attends almost evenly" in report.notes[0]
