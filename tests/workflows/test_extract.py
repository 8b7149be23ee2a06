"""Extraction: the right frames become the right rows, whatever is batched with what, killed, or broken."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stand_ins import CLOSE, DIM, ColourEncoder, colours, film, recipe_of

from vidlang.core import BadInput, BadVideo, FeatureKey, FeatureRecipe, Sampling
from vidlang.core.shares import Share
from vidlang.store.atomic import is_temporary
from vidlang.store.feature_cache import FeatureCache
from vidlang.video.reader import identify
from vidlang.video.writer import write_video
from vidlang.workflows.extract import ExtractOptions, extract


@pytest.fixture
def encoder() -> ColourEncoder:
    return ColourEncoder()


@pytest.fixture
def run(cache, encoder):
    """Extraction into ``cache``; returns its report."""

    def call(*paths, recipe: FeatureRecipe | None = None, progress=None, **options):
        return extract(paths, cache, recipe or recipe_of(encoder), lambda: encoder, ExtractOptions(**options), progress)

    return call


def rows_of(cache: FeatureCache, recipe: FeatureRecipe, video_id: str) -> np.ndarray:
    """[T, 3]"""
    return cache.get(FeatureKey(video_id, recipe)).values[..., :3]


def statuses(report) -> dict[str, str]:
    return {outcome.video_id: outcome.status for outcome in report.outcomes}


def test_rows_are_the_colours_of_the_middle_frames_and_a_tail_is_dropped(tmp_path, cache, encoder, run):
    film(tmp_path / "v" / "a.mp4", 16 * 3 + 10)
    report = run(tmp_path / "v")
    features = cache.get(FeatureKey("a.mp4", recipe_of(encoder)))
    assert statuses(report) == {"a.mp4": "done"}
    assert features.values.shape == (3, DIM) and features.values.dtype == np.float32
    np.testing.assert_allclose(features.values[:, :3], colours([8, 24, 40]), atol=CLOSE)
    assert features.frames.tolist() == [[0, 16], [16, 32], [32, 48]]
    np.testing.assert_allclose(features.seconds, [[0, 0.64], [0.64, 1.28], [1.28, 1.92]], atol=1e-6)
    assert (features.video.num_frames, features.video.size) == (58, (32, 48))


@pytest.mark.parametrize(
    ("sampling", "frames"),
    [
        ({"pick": "first"}, [[0], [16]]),
        ({"pick": "mean"}, [range(16), range(16, 32)]),
        ({"stride": 5}, [[2], [7], [12], [17], [22], [27]]),
        ({"fps": 2.5}, [[5], [15], [25]]),
        ({"fps": 2.5, "pick": "first"}, [[0], [10], [20]]),
        ({"fps": 2.5, "pick": "mean"}, [range(10), range(10, 20), range(20, 30)]),
    ],
)
def test_each_way_of_sampling_takes_its_frames(tmp_path, cache, encoder, run, sampling, frames):
    film(tmp_path / "a.mp4", 32)
    recipe = recipe_of(encoder, **sampling)
    run(tmp_path / "a.mp4", recipe=recipe)
    expected = np.stack([colours(group).mean(axis=0) for group in frames])
    np.testing.assert_allclose(rows_of(cache, recipe, "a.mp4"), expected, atol=CLOSE)


def test_ten_crops_come_as_crop_row_dimension(tmp_path, cache, encoder, run):
    film(tmp_path / "a.mp4", 40)
    recipe = recipe_of(encoder, crops="ten")
    run(tmp_path / "a.mp4", recipe=recipe)
    values = cache.get(FeatureKey("a.mp4", recipe)).values
    assert values.shape == (10, 2, DIM)
    expected = colours([8, 24])[None] + 1000 * np.arange(10)[:, None, None]
    np.testing.assert_allclose(values[..., :3], expected, atol=CLOSE)


@pytest.mark.parametrize("num_frames", [1, 5, 15])
def test_a_video_shorter_than_a_snippet_has_one_row(tmp_path, cache, encoder, run, num_frames):
    film(tmp_path / "short.mp4", num_frames)
    run(tmp_path / "short.mp4")
    rows = rows_of(cache, recipe_of(encoder), "short.mp4")
    np.testing.assert_allclose(rows, colours([num_frames // 2]), atol=CLOSE)


def test_batches_that_span_videos_give_the_rows_of_one_by_one(tmp_path, encoder, run, cache):
    lengths = {"a.mp4": 90, "b.mp4": 7, "c.mp4": 33, "d.mp4": 160, "sub/e.mp4": 48}
    for shift, (name, length) in enumerate(lengths.items()):
        film(tmp_path / "v" / name, length, shift=20 * shift)
    report = run(tmp_path / "v", batch_size=7, num_workers=3, mixed=True)
    together, encoder.batches = encoder.batches, []
    assert max(together) == 7 and sum(together) == report.num_images == 5 + 1 + 2 + 10 + 3
    for shift, (name, length) in enumerate(lengths.items()):
        alone = FeatureCache(tmp_path / "alone")
        extract([tmp_path / "v" / name], alone, recipe_of(encoder), lambda: encoder, ExtractOptions(1, 1))
        rows = rows_of(cache, recipe_of(encoder), name)
        assert np.array_equal(rows, rows_of(alone, recipe_of(encoder), Path(name).name))
        expected = [length // 2] if length < 16 else range(8, length - 7, 16)
        np.testing.assert_allclose(rows, colours(expected, 20 * shift), atol=CLOSE)


def test_which_frames_share_a_batch_follows_from_the_video_alone(tmp_path, encoder, run):
    lengths = {"a.mp4": 90, "b.mp4": 7, "c.mp4": 160}
    for name, length in lengths.items():
        film(tmp_path / "v" / name, length)
    run(tmp_path / "v", batch_size=4, num_workers=3)
    together, alone = sorted(encoder.batches), []
    for name in lengths:
        encoder.batches.clear()
        run(tmp_path / "v" / name, batch_size=4, num_workers=1, overwrite=True)
        alone += encoder.batches
    assert together == sorted(alone) == [1, 1, 2, 4, 4, 4]


def test_an_entry_knows_where_its_video_lies_and_hands_it_on_to_nobody(tmp_path, cache, run):
    path = film(tmp_path / "v" / "a.mp4", 20)
    run(tmp_path / "v")
    [entry] = cache.entries()
    assert entry.made_with["file"] == str(path.resolve())
    cache.pack(tmp_path / "all.h5")
    [packed] = FeatureCache(tmp_path / "all.h5").entries()
    assert packed.made_with == {name: value for name, value in entry.made_with.items() if name != "file"}
    assert str(tmp_path).encode() not in (tmp_path / "all.h5").read_bytes()


def test_a_share_takes_its_videos_only(tmp_path, cache, encoder):
    for number in range(6):
        film(tmp_path / "v" / f"{number}.mp4", 16)
    found = []
    for number in (1, 2, 3):
        report = extract([tmp_path / "v"], cache, recipe_of(encoder), lambda: encoder, share=Share(number, 3))
        found += [outcome.video_id for outcome in report.outcomes]
        assert all(outcome.status == "done" for outcome in report.outcomes)
    assert sorted(found) == [f"{number}.mp4" for number in range(6)]


def test_what_is_there_is_skipped_and_needs_no_encoder(tmp_path, cache, encoder, run):
    film(tmp_path / "v" / "a.mp4", 20)
    run(tmp_path / "v")

    def no_encoder():
        raise AssertionError("nothing has to be encoded")

    report = extract([tmp_path / "v"], cache, recipe_of(encoder), no_encoder)
    assert statuses(report) == {"a.mp4": "skipped"}
    assert report.lines()[0].startswith("0 extracted, 1 already there, 0 failed")
    assert statuses(run(tmp_path / "v", overwrite=True)) == {"a.mp4": "done"}


def test_another_file_of_the_same_name_is_extracted_again(tmp_path, cache, encoder, run):
    path = film(tmp_path / "v" / "a.mp4", 32)
    run(tmp_path / "v")
    film(path, 32, shift=50)
    assert statuses(run(tmp_path / "v")) == {"a.mp4": "done"}
    np.testing.assert_allclose(rows_of(cache, recipe_of(encoder), "a.mp4"), colours([8, 24], 50), atol=CLOSE)
    os.utime(path, (1e9, 1e9))
    assert statuses(run(tmp_path / "v")) == {"a.mp4": "skipped"}


def test_another_recipe_is_another_entry(tmp_path, cache, encoder, run):
    film(tmp_path / "a.mp4", 32)
    run(tmp_path / "a.mp4")
    run(tmp_path / "a.mp4", recipe=recipe_of(encoder, pick="first"))
    assert len(cache.recipes()) == 2
    np.testing.assert_allclose(rows_of(cache, recipe_of(encoder), "a.mp4"), colours([8, 24]), atol=CLOSE)


def test_a_bad_file_is_one_failed_outcome_and_the_others_are_done(tmp_path, cache, encoder, run, notes):
    for index in range(3):
        film(tmp_path / "v" / f"good{index}.mp4", 40)
    (tmp_path / "v" / "bad.mp4").write_text("this is no film\n" * 100)
    (tmp_path / "v" / "empty.mp4").touch()
    report = run(tmp_path / "v", progress=notes, batch_size=4)
    assert statuses(report) == {"bad.mp4": "failed", "empty.mp4": "failed"} | {f"good{i}.mp4": "done" for i in range(3)}
    assert report.num_failed == 2
    errors = {outcome.video_id: outcome.error for outcome in report.outcomes if outcome.error}
    assert all(isinstance(error, BadVideo) and "\n" not in str(error) for error in errors.values())
    assert "bad.mp4" in str(errors["bad.mp4"])
    assert sorted(message.split(":")[0] for message in notes.messages) == ["failed", "failed"]
    assert sorted(key.video_id for key in cache) == ["good0.mp4", "good1.mp4", "good2.mp4"]
    assert cache.verify() == []
    assert notes.done["extract"] == pytest.approx(5)
    assert [row["status"] for row in report.to_dict()["videos"]] == ["failed", "failed", "done", "done", "done"]


def test_a_truncated_film_keeps_what_decodes_and_says_so(tmp_path, cache, encoder, run, notes):
    whole = film(tmp_path / "whole.mkv", 400)
    data = whole.read_bytes()
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "cut.mkv").write_bytes(data[: len(data) // 2])
    report = run(tmp_path / "v", progress=notes)
    assert statuses(report) == {"cut.mkv": "done"}
    entry = cache.entry(FeatureKey("cut.mkv", recipe_of(encoder)))
    assert entry.warnings and entry.warnings[0] in report.outcomes[0].detail
    assert any(message.startswith("cut.mkv: ") for message in notes.messages)
    rows = rows_of(cache, recipe_of(encoder), "cut.mkv")
    assert 3 <= len(rows) < 25
    np.testing.assert_allclose(rows[:-1], colours(range(8, 16 * len(rows) - 16, 16)), atol=CLOSE)


def test_a_file_that_disappears_is_its_own_failure(tmp_path, encoder, run, cache):
    film(tmp_path / "v" / "a.mp4", 20)
    film(tmp_path / "v" / "b.mp4", 20)
    run(tmp_path / "v" / "a.mp4")

    def load():
        (tmp_path / "v" / "b.mp4").unlink()
        return encoder

    report = extract([tmp_path / "v"], cache, recipe_of(encoder), load)
    assert statuses(report) == {"a.mp4": "skipped", "b.mp4": "failed"}
    assert "b.mp4" in str(report.outcomes[1].error) and "unexpectedly" not in str(report.outcomes[1].error)


def test_a_cached_file_that_became_unreadable_is_its_own_failure(tmp_path, cache, run, monkeypatch):
    film(tmp_path / "v" / "a.mp4", 20)
    film(tmp_path / "v" / "b.mp4", 20)
    run(tmp_path / "v")

    def locked(path):
        if path.name == "a.mp4":
            raise BadVideo(f"{path} cannot be read (Permission denied).")
        return identify(path)

    monkeypatch.setattr("vidlang.workflows.extract.identify", locked)
    monkeypatch.setattr("vidlang.workflows.extract_reading.identify", locked)
    assert statuses(run(tmp_path / "v")) == {"a.mp4": "failed", "b.mp4": "skipped"}


def test_looking_whether_features_are_there_reads_each_entry_once(tmp_path, cache, run, monkeypatch):
    """An entry on an object store is one request."""
    film(tmp_path / "v" / "a.mp4", 20)
    film(tmp_path / "v" / "b.mp4", 20)
    run(tmp_path / "v")
    asked, entry = [], FeatureCache.entry
    monkeypatch.setattr(FeatureCache, "entry", lambda self, key: asked.append(key.video_id) or entry(self, key))
    assert set(statuses(run(tmp_path / "v")).values()) == {"skipped"}
    assert asked == ["a.mp4", "b.mp4"]


def test_images_in_a_folder_are_a_video(tmp_path, cache, encoder, run):
    folder = tmp_path / "v" / "camera"
    folder.mkdir(parents=True)
    for index in range(20):
        Image.fromarray(np.broadcast_to(colours([index]).astype(np.uint8), (32, 48, 3))).save(folder / f"{index}.png")
    run(tmp_path / "v", frame_rate=10.0)
    features = cache.get(FeatureKey("camera", recipe_of(encoder)))
    np.testing.assert_allclose(features.values[:, :3], colours([8]), atol=1e-3)
    np.testing.assert_allclose(features.seconds, [[0, 1.6]], atol=1e-6)


def scene(path: Path, moving: range, num_frames: int = 80) -> Path:
    """A grey place; during ``moving`` a small bright square crosses it."""

    def picture(index: int) -> np.ndarray:
        frame = np.full((64, 96, 3), 90, dtype=np.uint8)
        if index in moving:
            left = 4 + (index * 6) % 80
            frame[24:34, left : left + 10] = 230
        return frame

    write_video(path, (picture(i) for i in range(num_frames)), 25.0, options={"crf": "1", "preset": "ultrafast"})
    return path


def reusing(encoder: ColourEncoder, **sampling: object) -> FeatureRecipe:
    return FeatureRecipe(encoder.name, encoder.revision, Sampling(**sampling), reuse_static=3.0)  # type: ignore[arg-type]


def test_rows_of_a_still_scene_repeat_and_moving_ones_do_not(tmp_path, cache, encoder, run):
    path, moving = scene(tmp_path / "scene.mp4", range(40, 50)), range(40, 50)
    recipe = reusing(encoder, stride=1)
    report = run(path, recipe=recipe)
    run(path, recipe=recipe_of(encoder, stride=1))
    rows, plain = (rows_of(cache, r, "scene.mp4") for r in (recipe, recipe_of(encoder, stride=1)))
    assert rows.shape == plain.shape == (80, 3)
    assert (rows[1:25] == rows[0]).all()
    assert np.array_equal(rows[40:50], plain[40:50])
    # of 69 still frames that follow an encoded one, every 25th is encoded all the same
    assert report.num_reused == 80 - 1 - len(moving) - 1 - 2
    assert report.num_reused + report.num_images == 80
    assert len(report.reuse_cosines) == 2 and min(report.reuse_cosines) > 0.999
    assert any("66 rows (82%) repeat the row before" in line for line in report.lines())
    assert any("on 2 checked rows" in line for line in report.lines())


def test_reuse_and_means_do_not_go_together(tmp_path, encoder, run):
    path = scene(tmp_path / "scene.mp4", range(40, 50))
    with pytest.raises(BadInput, match=r"--reuse-static .* --pick middle or first"):
        run(path, recipe=reusing(encoder, pick="mean"))


def test_an_interrupted_run_leaves_a_clean_cache_and_the_next_one_finishes(tmp_path, cache, encoder, run):
    for index in range(6):
        film(tmp_path / "v" / f"{index}.mp4", 48, shift=10 * index)
    encoder.fails_at = 4
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "v", batch_size=3, num_workers=2)
    done = sorted(key.video_id for key in cache)
    assert len(done) < 6 and cache.verify() == []
    assert not [path for path in cache.root.rglob("*") if is_temporary(path)]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("vidlang-worker")]
    report = run(tmp_path / "v", batch_size=3, num_workers=2)
    assert [o.video_id for o in report.outcomes if o.status == "skipped"] == done
    assert report.num_failed == 0 and len(list(cache)) == 6
    for index in range(6):
        rows = rows_of(cache, recipe_of(encoder), f"{index}.mp4")
        np.testing.assert_allclose(rows, colours([8, 24, 40], 10 * index), atol=CLOSE)


def test_two_runs_at_once_over_one_folder_agree(tmp_path, cache):
    for index in range(4):
        film(tmp_path / "v" / f"{index}.mp4", 48, shift=10 * index)
    reports = []

    def work() -> None:
        encoder = ColourEncoder()
        reports.append(extract([tmp_path / "v"], FeatureCache(cache.root), recipe_of(encoder), lambda: encoder))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reports) == 2 and all(report.num_failed == 0 for report in reports)
    assert cache.verify() == [] and len(list(cache)) == 4
    for index in range(4):
        rows = rows_of(cache, recipe_of(ColourEncoder()), f"{index}.mp4")
        np.testing.assert_allclose(rows, colours([8, 24, 40], 10 * index), atol=CLOSE)


def test_values_that_are_no_numbers_are_not_kept(tmp_path, cache, encoder, run, monkeypatch):
    film(tmp_path / "a.mp4", 20)
    monkeypatch.setattr(encoder, "encode_pixels", lambda pixels: np.full((len(pixels), DIM), np.nan, np.float32))
    report = run(tmp_path / "a.mp4")
    assert report.num_failed == 1 and "not finite" in str(report.outcomes[0].error)
    assert list(cache) == []


def test_a_damaged_entry_is_extracted_again(tmp_path, cache, encoder, run):
    film(tmp_path / "a.mp4", 20)
    run(tmp_path / "a.mp4")
    entry = cache.entry(FeatureKey("a.mp4", recipe_of(encoder)))
    entry.path.write_bytes(entry.path.read_bytes()[:100])
    assert statuses(run(tmp_path / "a.mp4")) == {"a.mp4": "done"}
    assert cache.verify() == []


def test_pictures_among_the_results_are_no_video(tmp_path, cache, run):
    film(tmp_path / "a.mp4", 20)
    picture = tmp_path / "workspace" / "results" / "score" / "1" / "a.mp4.png"
    picture.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(picture)
    assert statuses(run(tmp_path)) == {"a.mp4": "done"}


def test_nothing_to_extract_is_bad_input(tmp_path, run):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="empty holds no videos"):
        run(tmp_path / "empty")
    with pytest.raises(BadInput, match=r"nowhere\.mp4 does not exist"):
        run(tmp_path / "nowhere.mp4")
    with pytest.raises(BadInput, match="One of the paths is empty"):
        run("")
    with pytest.raises(BadInput, match="frame rate of images must be positive, got 0"):
        ExtractOptions(frame_rate=0.0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        ExtractOptions(batch_size=0)


def test_float16_rows_are_stored_as_the_recipe_says(tmp_path, cache, encoder, run):
    film(tmp_path / "a.mp4", 40)
    recipe = FeatureRecipe(encoder.name, encoder.revision, dtype="float16")
    run(tmp_path / "a.mp4", recipe=recipe)
    values = cache.get(FeatureKey("a.mp4", recipe)).values
    assert values.dtype == np.float16
    np.testing.assert_allclose(values[:, :3], colours([8, 24]), atol=CLOSE)


def boxed_film(path: Path, num_frames: int, rows: slice, columns: slice) -> Path:
    """White bars around flat pictures in ``colour(i)``: the mean over a whole frame is far from the picture's."""
    frames = []
    for index in range(num_frames):
        frame = np.full((96, 128, 3), 255, dtype=np.uint8)
        frame[rows, columns] = colours([index])[0]
        frames.append(frame)
    write_video(path, frames, 25.0, options={"crf": "4", "preset": "ultrafast"})
    return path


@pytest.mark.parametrize("preprocess", ["exact", "fast"])
def test_cropped_borders_leave_the_colours_of_the_picture(tmp_path, cache, encoder, run, notes, preprocess):
    boxed_film(tmp_path / "a.mp4", 48, slice(16, 80), slice(0, 96))
    plain = FeatureRecipe(encoder.name, encoder.revision, preprocess=preprocess)
    recipe = replace(plain, borders="crop")
    assert run(tmp_path / "a.mp4", recipe=plain).outcomes[0].detail == ""
    report = run(tmp_path / "a.mp4", recipe=recipe, progress=notes)
    np.testing.assert_allclose(rows_of(cache, recipe, "a.mp4"), colours([8, 24, 40]), atol=CLOSE)
    assert (rows_of(cache, plain, "a.mp4") > colours([8, 24, 40]) + 25).all()
    said = "borders cropped from 3 frames: up to 16 px top, 16 px bottom, 32 px right of 128 x 96"
    assert report.outcomes[0].detail == said and notes.messages == [f"a.mp4: {said}"]
    assert cache.get(FeatureKey("a.mp4", recipe)).video.num_frames == 48


def test_a_film_without_borders_has_the_same_rows_cropped_or_not(tmp_path, cache, encoder, run):
    film(tmp_path / "a.mp4", 48)
    plain, cropped = recipe_of(encoder), replace(recipe_of(encoder), borders="crop")
    run(tmp_path / "a.mp4", recipe=plain)
    assert run(tmp_path / "a.mp4", recipe=cropped).outcomes[0].detail == ""
    np.testing.assert_array_equal(rows_of(cache, cropped, "a.mp4"), rows_of(cache, plain, "a.mp4"))


def test_borders_of_images_in_a_folder_and_ten_crops(tmp_path, cache, encoder, run):
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(16):
        frame = np.zeros((40, 60, 3), dtype=np.uint8)
        frame[:, 12:48] = 200 - index
        Image.fromarray(frame).save(folder / f"{index:03}.png")
    recipe = replace(recipe_of(encoder, crops="ten"), borders="crop")
    run(folder, recipe=recipe, frame_rate=25.0)
    rows = rows_of(cache, recipe, "frames")
    np.testing.assert_allclose(rows[:, 0] - 1000 * np.arange(10)[:, None], 192, atol=0)


def test_an_encoder_of_other_rows_than_the_recipe_is_refused(tmp_path, cache, encoder, run):
    film(tmp_path / "a.mp4", 20)
    with pytest.raises(
        BadInput, match=r"^mini/stride16-middle/regions asks for regions rows, but .* pooled rows of mini"
    ):
        run(tmp_path / "a.mp4", recipe=replace(recipe_of(encoder), features="regions"))
    assert list(cache) == []
