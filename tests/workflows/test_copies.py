"""Self-made copies: what lies in the cache afterwards, what a second call does, and what a failure costs."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from stand_ins import ColourEncoder, film, recipe_of

from vidlang.core import BadInput, BadVideo, FeatureKey
from vidlang.store.feature_cache import FeatureCache
from vidlang.video import edits
from vidlang.video.reader import identify, open_video
from vidlang.workflows import copies
from vidlang.workflows.copies import copies_of, make_copies, mapping_of
from vidlang.workflows.extract import ExtractOptions, extract_videos

RECIPE = recipe_of(ColourEncoder(), fps=5.0)


@pytest.fixture
def encoder() -> ColourEncoder:
    return ColourEncoder()


@pytest.fixture
def videos(tmp_path) -> list[tuple[str, Path]]:
    """Three films of 2 s, each of its own colours."""
    names = ["a.mp4", "b.mp4", "deep/c.mp4"]
    return [(name, film(tmp_path / name, 50, shift=40 * place)) for place, name in enumerate(names)]


@pytest.fixture
def make(cache, encoder):
    def call(videos, num_copies=2, seed=0, progress=None, recipe=RECIPE, **more):
        options = ExtractOptions(num_workers=2, **{k: more.pop(k) for k in ("overwrite", "batch_size") if k in more})
        return make_copies(videos, num_copies, seed, recipe, lambda: encoder, cache, options, progress, **more)

    return call


def statuses(report) -> dict[str, str]:
    return {outcome.video_id: outcome.status for outcome in report.outcomes}


def stamps(cache: FeatureCache) -> dict[str, int]:
    return {entry.key.video_id: entry.path.stat().st_mtime_ns for entry in cache.entries()}


def test_each_video_gets_its_copies_and_their_files_are_gone(videos, cache, make, notes, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    report = make(videos, progress=notes)
    assert statuses(report) == {"a.mp4": "done", "b.mp4": "done", "deep/c.mp4": "done"}
    assert (report.num_made, report.num_there, report.num_failed) == (6, 0, 0)
    found = copies_of(cache, RECIPE)
    assert {video_id: len(keys) for video_id, keys in found.items()} == {"a.mp4": 2, "b.mp4": 2, "deep/c.mp4": 2}
    for video_id, keys in found.items():
        assert [key.video_id.startswith(f"{video_id}/copy{k}-") for k, key in enumerate(keys)] == [True, True]
        assert keys[0].video_id.split("-")[-1] != keys[1].video_id.split("-")[-1]
    assert not list((tmp_path / "temporary").iterdir())
    assert notes.done["copies"] == 6
    assert "6 copies made" in report.lines()[0]
    assert json.loads(json.dumps(report.to_dict()))["made"] == 6


def test_an_entry_says_what_was_done_and_which_seconds_show_which(videos, cache, make):
    make(videos)
    for video_id, keys in copies_of(cache, RECIPE).items():
        path = dict(videos)[video_id]
        for key in keys:
            entry = cache.entry(key)
            assert entry.identity.same_content(identify(path))
            listed = json.loads(entry.made_with["edits"])
            assert 2 <= len(listed) <= 4 and all(hasattr(edits, edit["edit"]) for edit in listed)
            for here, there in mapping_of(entry):
                assert 0 <= here.start < here.end <= entry.video.duration + 1e-6
                assert 0 <= there.start < there.end <= 2.0 + 1e-6


def test_rows_show_what_the_mapping_says(tmp_path, cache, make, monkeypatch):
    """Half speed after a cut: the copy's colours are those of the source at the mapped seconds."""
    chosen = (edits.CutOut(0.6, 1.2), edits.Speed(0.5))
    monkeypatch.setattr(copies, "random_edits", lambda *a, **b: chosen)
    make([("a.mp4", film(tmp_path / "a.mp4", 50))], 1)
    key = copies_of(cache, RECIPE)["a.mp4"][0]
    features = cache.get(key)
    pairs = mapping_of(cache.entry(key))
    expected = [[[0, 1.2], [0, 0.6]], [[1.2, 2.8], [1.2, 2]]]
    np.testing.assert_allclose([[[a.start, a.end], [b.start, b.end]] for a, b in pairs], expected, atol=1e-6)
    assert features.values.shape[0] == 14
    for (start, end), row in zip(features.seconds, features.values, strict=True):
        middle = (start + end) / 2
        here, there = next(pair for pair in pairs if pair[0].start <= middle < pair[0].end)
        frame = (there.start + (middle - here.start) / 2) * 25
        red = 30 + (int(frame) * 7) % 190
        assert abs(row[0] - red) <= 7 + 6  # the neighbour at an edge, and what coding twice changes


def test_a_second_call_makes_nothing_and_loads_no_encoder(videos, cache, make):
    make(videos)
    before = stamps(cache)
    report = make_copies(videos, 2, 0, RECIPE, lambda: pytest.fail("loaded"), cache)
    assert set(statuses(report).values()) == {"skipped"} and report.num_there == 6
    assert stamps(cache) == before


def test_more_copies_add_to_those_there_and_another_seed_makes_others(videos, cache, make):
    make(videos, 2)
    before = stamps(cache)
    report = make(videos, 3)
    assert (report.num_made, report.num_there) == (3, 6)
    assert before.items() <= stamps(cache).items()
    assert make(videos, 2, seed=1).num_made == 6
    assert len(list(cache)) == 15
    assert make(videos, 3, strength="strong").num_made == 9


def test_the_copies_depend_on_nothing_but_content_seed_and_number(videos, cache, make, tmp_path, encoder):
    make(videos, 2)
    other = FeatureCache(tmp_path / "other")
    extract_videos(videos, other, RECIPE, lambda: encoder, ExtractOptions())
    make_copies(list(reversed(videos)), 2, 0, RECIPE, lambda: encoder, other, ExtractOptions(num_workers=1))
    assert copies_of(cache, RECIPE) == copies_of(other, RECIPE)
    for keys in copies_of(cache, RECIPE).values():
        for key in keys:
            np.testing.assert_array_equal(cache.get(key).values, other.get(key).values)


def test_originals_with_features_are_not_read_for_their_length(videos, cache, make, tmp_path, encoder, monkeypatch):
    make(videos)
    originals, again = FeatureCache(tmp_path / "originals"), FeatureCache(tmp_path / "again")
    extract_videos(videos, originals, RECIPE, lambda: encoder, ExtractOptions())
    monkeypatch.setattr(copies, "open_video", lambda *a, **b: pytest.fail("read"))
    make_copies(videos, 2, 0, RECIPE, lambda: encoder, again, originals=originals)
    assert copies_of(again, RECIPE) == copies_of(cache, RECIPE)


def test_interrupted_work_goes_on_where_it_stopped(videos, cache, make, encoder, monkeypatch):
    monkeypatch.setattr(copies, "GROUP", 2)
    encoder.fails_at = len(encoder.batches) + 3
    with pytest.raises(KeyboardInterrupt):
        make(videos, batch_size=1000)
    kept = stamps(cache)
    assert len(kept) == 2
    encoder.fails_at = None
    report = make(videos)
    assert (report.num_made, report.num_there) == (4, 2)
    assert kept.items() <= stamps(cache).items()


def test_overwrite_makes_them_again(videos, cache, make):
    make(videos)
    report = make(videos, overwrite=True)
    assert (report.num_made, report.num_there) == (6, 0)
    assert len(list(cache)) == 6


def test_copies_of_another_content_are_replaced(videos, cache, make, tmp_path):
    make(videos)
    old = copies_of(cache, RECIPE)
    film(tmp_path / "a.mp4", 60, shift=5)
    report = make(videos)
    assert statuses(report) == {"a.mp4": "done", "b.mp4": "skipped", "deep/c.mp4": "skipped"}
    found = copies_of(cache, RECIPE)
    assert len(found["a.mp4"]) == 2 and not set(found["a.mp4"]) & set(old["a.mp4"])
    assert found["b.mp4"] == old["b.mp4"]


def test_a_video_that_fails_is_an_outcome_and_the_others_go_on(videos, cache, make, notes, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    mixed = [videos[0], ("broken.mp4", tmp_path / "broken.mp4"), ("gone.mp4", tmp_path / "gone.mp4"), videos[1]]
    report = make(mixed, progress=notes)
    expected = {"a.mp4": "done", "broken.mp4": "failed", "gone.mp4": "failed", "b.mp4": "done"}
    assert statuses(report) == expected and report.num_failed == 2
    assert all(isinstance(outcome.error, BadVideo) for outcome in report.outcomes if outcome.status == "failed")
    assert sum("broken.mp4" in message for message in notes.messages) == 1
    assert notes.done["copies"] == 8
    assert sorted(copies_of(cache, RECIPE)) == ["a.mp4", "b.mp4"]


def test_one_copy_that_fails_fails_its_video_and_keeps_the_others(videos, cache, make, monkeypatch):
    def chance(seed, duration, **more):
        return (edits.Clip(5, 6),) if seed[1] == 0 else (edits.Flip(), edits.Grey())

    monkeypatch.setattr(copies, "random_edits", chance)
    report = make(videos[:1])
    assert statuses(report) == {"a.mp4": "failed"}
    assert "behind the end" in str(report.outcomes[0].error)
    assert [key.video_id for key in copies_of(cache, RECIPE)["a.mp4"]] == [
        f"a.mp4/copy1-{edits.fingerprint((edits.Flip(), edits.Grey()))}"
    ]


def test_a_header_that_promises_too_much_does_no_harm(tmp_path, cache, make):
    """A file cut off in its middle: the copies come from the half that decodes."""
    whole = film(tmp_path / "whole.mkv", 100)
    data = whole.read_bytes()
    (tmp_path / "half.mkv").write_bytes(data[: len(data) // 2])
    with open_video(tmp_path / "half.mkv") as reader:
        promised = reader.info.duration
        assert sum(1 for _ in reader.timed_frames("some")) / 25 < 0.75 * promised
    report = make([("half.mkv", tmp_path / "half.mkv")], 6)
    assert statuses(report) == {"half.mkv": "done"} and report.num_made == 6


def test_other_recipes_have_their_own_copies(videos, cache, make, encoder):
    make(videos[:1])
    other = recipe_of(encoder, fps=10.0)
    assert make(videos[:1], recipe=other).num_made == 2
    assert {key.recipe for key in copies_of(cache, other)["a.mp4"]} == {other}
    assert [key.video_id for key in copies_of(cache, other)["a.mp4"]] == [
        key.video_id for key in copies_of(cache, RECIPE)["a.mp4"]
    ]


def test_what_is_no_copy_has_no_mapping(videos, cache, encoder):
    extract_videos(videos, cache, RECIPE, lambda: encoder, ExtractOptions())
    assert copies_of(cache, RECIPE) == {}
    with pytest.raises(BadInput, match=r"a\.mp4 is not an edited copy"):
        mapping_of(cache.entry(FeatureKey("a.mp4", RECIPE)))


def test_impossible_calls_are_refused(videos, cache, make, tmp_path, encoder):
    with pytest.raises(ValueError, match="num_copies"):
        make(videos, 0)
    make(videos[:1])
    cache.pack(tmp_path / "packed.h5")
    with pytest.raises(BadInput, match=r"packed\.h5 is a packed file"):
        make_copies(videos, 1, 0, RECIPE, lambda: encoder, FeatureCache(tmp_path / "packed.h5"))
