"""Published feature files in and out, exactly."""

import io
import zipfile

import numpy as np
import pytest

from vidlang.core import BadInput, FeatureKey, FeatureRecipe, Features, Sampling, VideoInfo
from vidlang.store.npy import compare_rows, find_npy, read_npy_features, read_rows, write_npy_features


def rows(num_rows=3, dim=8, dtype="float16", seed=0):
    return np.random.default_rng(seed).standard_normal((num_rows, dim)).astype(dtype)


def save_crops(folder, name, crops=range(10), **options):
    folder.mkdir(parents=True, exist_ok=True)
    for crop in crops:
        np.save(folder / f"{name}__{crop}.npy", rows(seed=crop, **options))


def read(folder, video_id, **options):
    return read_npy_features(video_id, find_npy([folder])[video_id], encoder="clip-vit-b16", **options)


def test_crops_of_a_video_are_found_together(tmp_path):
    save_crops(tmp_path / "Abuse", "Abuse001_x264")
    save_crops(tmp_path, "v=38GQ9L2meyE__#1_label_B6-0-0", crops=[0, 5])
    np.save(tmp_path / "plain.npy", rows())
    np.save(tmp_path / "plain_ms.npy", np.arange(3.0))
    groups = find_npy([tmp_path])
    assert list(groups) == ["Abuse/Abuse001_x264", "plain", "v=38GQ9L2meyE__#1_label_B6-0-0"]
    assert [len(files) for files in groups.values()] == [10, 1, 2]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_ten_crops_become_one_video(tmp_path, dtype):
    save_crops(tmp_path, "v", dtype=dtype)
    features = read(tmp_path, "v", frame_rate=30)
    assert features.values.shape == (10, 3, 8) and features.values.dtype == dtype
    assert np.array_equal(features.values[7], rows(seed=7, dtype=dtype))
    assert features.frames.tolist() == [[0, 16], [16, 32], [32, 48]]
    assert np.array_equal(features.seconds, features.frames / 30)
    assert features.key.recipe == FeatureRecipe(
        "clip-vit-b16", "imported:unknown", Sampling(crops="ten"), dtype=dtype)  # fmt: skip
    assert features.video.num_frames == 48 and features.video.duration == 48 / 30


def test_one_crop_may_be_chosen_and_is_another_recipe(tmp_path):
    save_crops(tmp_path, "v", crops=[0, 5])
    mirrored, centre = read(tmp_path, "v", frame_rate=24, crop=5), read(tmp_path, "v", frame_rate=24, crop=0)
    assert np.array_equal(mirrored.values, rows(seed=5))
    assert mirrored.key.recipe.fingerprint != centre.key.recipe.fingerprint
    with pytest.raises(BadInput, match="only crops 0, 5"):
        read(tmp_path, "v", frame_rate=24, crop=3)


def test_missing_and_unequal_crops_are_named(tmp_path):
    save_crops(tmp_path / "a", "v", crops=[0, 1, 2, 4, 5, 6, 7, 8])
    with pytest.raises(BadInput, match="v lacks crops 3, 9 of ten"):
        read(tmp_path / "a", "v", frame_rate=30)
    save_crops(tmp_path / "b", "v")
    np.save(tmp_path / "b" / "v__4.npy", rows(4))
    with pytest.raises(BadInput, match=r"v__4\.npy is \[4, 8\] float16, but crop 0 is \[3, 8\] float16"):
        read(tmp_path / "b", "v", frame_rate=30)


def test_without_a_clock_the_error_says_what_to_give(tmp_path):
    save_crops(tmp_path, "v")
    with pytest.raises(BadInput, match=r"tell no time\. .*--fps \(UCF-Crime 30, XD-Violence 24\)"):
        read(tmp_path, "v")
    with pytest.raises(BadInput, match="frame rate must be positive"):
        read(tmp_path, "v", frame_rate=0)


def test_plain_files_take_stride_and_rate(tmp_path):
    np.save(tmp_path / "v.npy", rows(dtype="float64"))
    features = read(tmp_path, "v", frame_rate=25, stride=8)
    assert features.values.dtype == np.float32 and features.frames[-1].tolist() == [16, 24]
    assert features.key.recipe.sampling == Sampling(stride=8)


def test_time_stamps_make_the_seconds(tmp_path):
    np.save(tmp_path / "v.npy", rows(4))
    np.save(tmp_path / "v_ms.npy", np.array([0.0, 200.0, 400.0, 700.0]))
    features = read(tmp_path, "v")
    assert features.seconds.tolist() == [[0.0, 0.2], [0.2, 0.4], [0.4, 0.7], [0.7, 0.7 + features.seconds[0, 1]]]
    assert features.frames.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert features.key.recipe.sampling.fps == 5.0
    assert read(tmp_path, "v", frame_rate=10).frames.tolist() == [[0, 2], [2, 4], [4, 7], [7, 9]]


@pytest.mark.parametrize("stamps", [[0.0, 1.0], [0.0, 2.0, 1.0], [0.0, 0.0, 0.0], [0.0, np.nan, 1.0]])
def test_bad_time_stamps_are_refused(tmp_path, stamps):
    np.save(tmp_path / "v.npy", rows())
    np.save(tmp_path / "v_ms.npy", np.array(stamps))
    with pytest.raises(BadInput, match=r"ascend|milliseconds of 3 rows"):
        read(tmp_path, "v")


def test_real_features_with_time_stamps(shared_data_dir):
    folder = shared_data_dir / "features"
    groups = find_npy([folder])
    five = next(name for name in groups if name.endswith("clip_vitb32_5fps"))
    every = next(name for name in groups if name.endswith("clip_vitb32_everyframe"))
    assert not any(name.endswith("_ms") for name in groups if "i3d" not in name)
    slow, dense = (read_npy_features(name, groups[name], encoder="clip-vit-b32") for name in (five, every))
    assert slow.values.shape == (90, 512) and slow.key.recipe.sampling.fps == 5.0
    assert slow.seconds[-1].tolist() == pytest.approx([17.8, 18.0])
    assert dense.values.shape == (355, 512) and dense.key.recipe.sampling.fps == 19.62
    nearest = np.abs(dense.seconds[:, 0] - slow.seconds[:, :1]).argmin(axis=1)
    assert compare_rows(slow.values, dense.values[nearest]).mean() > 0.95


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("num_crops", [1, 10])
def test_import_of_an_export_is_exact(tmp_path, dtype, num_crops):
    save_crops(tmp_path / "in" / "A", "v.mp4", dtype=dtype)
    features = read(tmp_path / "in", "A/v.mp4", frame_rate=30, crop=0 if num_crops == 1 else None)
    paths = write_npy_features(tmp_path / "out", features)
    assert len(paths) == num_crops and paths[0] == tmp_path / "out" / "A" / "v.mp4__0.npy"
    again = read(tmp_path / "out", "A/v.mp4", frame_rate=30, crop=0 if num_crops == 1 else None)
    assert again.key == features.key and again.video == features.video
    assert again.values.tobytes() == features.values.tobytes() and np.array_equal(again.seconds, features.seconds)


def test_export_casts_but_never_to_infinity(tmp_path):
    rulers = np.array([[0, 16]])
    key = FeatureKey("v", FeatureRecipe("e", "r"))
    big = Features(key, VideoInfo("v", 16, 1, 16, (1, 1)), np.float32([[1e6, 1]]), rulers, rulers / 16)
    with pytest.raises(BadInput, match="too large for float16"):
        write_npy_features(tmp_path, big, "float16")
    assert read_rows(write_npy_features(tmp_path, big, "float32")[0]).tolist() == [[1e6, 1]]
    with pytest.raises(ValueError, match="float16 or float32, got int8"):
        write_npy_features(tmp_path, big, "int8")


class Trap:
    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return (open, (str(self.victim), "w"))


def test_objects_are_refused_and_nothing_runs(tmp_path):
    path = tmp_path / "v.npy"
    np.save(path, np.array([Trap(tmp_path / "victim")], dtype=object), allow_pickle=True)
    with pytest.raises(BadInput, match=r"v\.npy is not read \(it holds Python objects\)"):
        read_rows(path)
    assert not (tmp_path / "victim").exists()


def test_other_content_is_refused(tmp_path):
    path = tmp_path / "v.npy"
    for array, match in [
        (np.arange(6).reshape(2, 3), "holds int64"),
        (np.zeros(3, "f4"), r"has shape \[3\]"),
        (np.zeros((0, 3), "f4"), r"v\.npy"),
        (np.array([[0, 1], [0, np.nan]], "f4"), "not finite in row 1"),
    ]:
        np.save(path, array)
        with pytest.raises(BadInput, match=match):
            read_rows(path)
    whole = rows(50)
    np.save(path, whole)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(BadInput, match="is not read"):
        read_rows(path)
    path.write_text("hello")
    with pytest.raises(BadInput, match="is not read"):
        read_rows(path)
    with pytest.raises(BadInput, match="no file"):
        read_rows(tmp_path / "none.npy")


def test_nothing_found_and_twice_found_are_refused(tmp_path):
    with pytest.raises(BadInput, match="holds none"):
        find_npy([tmp_path])
    save_crops(tmp_path / "a", "v")
    save_crops(tmp_path / "b", "v")
    with pytest.raises(BadInput, match="would both be v"):
        find_npy([tmp_path / "a", tmp_path / "b"])


def test_cosines_go_as_far_as_both_rows():
    one = np.array([[1, 0], [1, 1], [0, 0]], "f4")
    other = np.array([[2, 0], [1, 0], [1, 0], [1, 0]], "f2")
    assert compare_rows(one, other) == pytest.approx([1, np.sqrt(0.5), 0])
    with pytest.raises(ValueError, match="of one width"):
        compare_rows(one, np.zeros((3, 5), "f4"))
    with pytest.raises(ValueError, match="no row to compare"):
        compare_rows(one, other[:0])


# -- two parts, windows, archives ------------------------------------------------------------------------------------


def read_i3d(folder, video_id="v", **options):
    return read_npy_features(video_id, find_npy([folder])[video_id], encoder="i3d", **options)


def save_parts(folder, lengths=(4, 4), names=("v_rgb", "v_flow"), dim=1024, dtype="float32"):
    parts = [rows(n, dim, dtype, seed) for seed, n in enumerate(lengths)]
    for name, part in zip(names, parts, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{name}.npy", part)
    return parts


@pytest.mark.parametrize("names", [("v_rgb", "v_flow"), ("rgb/v", "flow/v")])
def test_rgb_and_flow_are_joined_rgb_first(tmp_path, names):
    rgb, flow = save_parts(tmp_path, names=names)
    np.save(tmp_path / "other.npy", rows())
    assert list(find_npy([tmp_path])) == ["other", "v"]
    features = read_i3d(tmp_path, stride=16, frame_rate=25)
    assert np.array_equal(features.values, np.hstack([rgb, flow]))
    assert features.key.recipe == FeatureRecipe("i3d", "imported:unknown/rgb+flow", Sampling(stride=16))
    assert features.seconds.tolist() == [[0.64 * t, 0.64 * (t + 1)] for t in range(4)]
    assert features.video.duration == 2.56 and features.video.frame_rate == 25


def test_parts_in_folders_of_their_own_are_joined_by_name(tmp_path):
    rgb, flow = save_parts(tmp_path, names=("a/train/v", "b/train/v"))
    groups = find_npy([tmp_path / "a"], [tmp_path / "b"])
    assert list(groups) == ["train/v"]
    features = read_npy_features("train/v", groups["train/v"], encoder="i3d", stride=16, frame_rate=25)
    assert np.array_equal(features.values, np.hstack([rgb, flow]))
    one = find_npy([tmp_path / "a" / "train" / "v.npy"], [tmp_path / "b" / "train" / "v.npy"])
    assert one == {"v": groups["train/v"]}


def test_parts_in_one_folder_given_twice_are_told_apart_by_their_endings(tmp_path):
    save_parts(tmp_path)
    save_parts(tmp_path, names=("w_rgb", "w_flow"))
    assert find_npy([tmp_path], [tmp_path]) == find_npy([tmp_path])
    np.save(tmp_path / "x.npy", rows())
    with pytest.raises(BadInput, match="would be both rgb and flow"):
        find_npy([tmp_path], [tmp_path])


def test_a_part_without_the_other_is_refused_not_imported_alone(tmp_path):
    save_parts(tmp_path)
    np.save(tmp_path / "w_rgb.npy", rows())
    with pytest.raises(BadInput, match=r"There is no flow of w\."):
        find_npy([tmp_path])
    np.save(tmp_path / "x_flow.npy", rows())
    (tmp_path / "w_rgb.npy").unlink()
    with pytest.raises(BadInput, match=r"There is no rgb of x\."):
        find_npy([tmp_path])


def test_a_lone_file_called_rgb_keeps_its_name(tmp_path):
    np.save(tmp_path / "camera_rgb.npy", rows())
    assert list(find_npy([tmp_path])) == ["camera_rgb"]


@pytest.mark.parametrize("lengths", [(4, 5), (5, 4)])
def test_parts_that_differ_by_one_row_are_cut_to_the_shorter(tmp_path, lengths):
    rgb, flow = save_parts(tmp_path, lengths)
    np.save(tmp_path / "v_ms.npy", np.arange(5) * 640.0)
    features = read_i3d(tmp_path)
    assert np.array_equal(features.values, np.hstack([rgb[:4], flow[:4]]))
    np.testing.assert_allclose(features.seconds[:, 0], [0, 0.64, 1.28, 1.92])
    save_parts(tmp_path, (4, 6))
    with pytest.raises(BadInput, match=r"rgb is \[4, 1024\] .* and flow is \[6, 1024\]"):
        read_i3d(tmp_path, stride=16, frame_rate=25)


def test_a_joint_file_has_the_recipe_of_the_joined_parts(tmp_path):
    parts = save_parts(tmp_path / "parts")
    (tmp_path / "joint").mkdir()
    np.save(tmp_path / "joint" / "v.npy", np.hstack(parts))
    joined, joint = (read_i3d(tmp_path / name, stride=16, frame_rate=25) for name in ("parts", "joint"))
    assert joint.key == joined.key and np.array_equal(joint.values, joined.values)
    np.save(tmp_path / "joint" / "rgb.npy", parts[0])
    alone = read_i3d(tmp_path / "joint", "rgb", stride=16, frame_rate=25)
    assert alone.key.recipe.revision == "imported:unknown"


def test_i3d_rows_of_another_width_are_refused(tmp_path):
    np.save(tmp_path / "v.npy", rows(2048, 7))
    with pytest.raises(BadInput, match=r"rows of 7 numbers, I3D makes 1024 .* or 2048"):
        read_i3d(tmp_path, stride=16, frame_rate=25)


def test_stride_and_rate_of_plain_files_are_never_guessed(tmp_path):
    save_parts(tmp_path)
    with pytest.raises(BadInput, match="Give --stride"):
        read_i3d(tmp_path, frame_rate=25)
    with pytest.raises(BadInput, match="tell no time"):
        read_i3d(tmp_path, stride=16)


def test_a_window_wider_than_the_stride_overlaps_and_is_another_recipe(tmp_path):
    save_parts(tmp_path)
    features = read_i3d(tmp_path, stride=4, window=16, frame_rate=30)
    assert features.frames.tolist() == [[0, 16], [4, 20], [8, 24], [12, 28]]
    assert np.array_equal(features.seconds, features.frames / 30)
    assert features.key.recipe.revision == "imported:unknown/rgb+flow/window16"
    assert read_i3d(tmp_path, stride=4, window=4, frame_rate=30).key == read_i3d(tmp_path, stride=4, frame_rate=30).key


def test_a_frame_rate_beside_the_file_is_used_and_is_no_video(tmp_path):
    save_parts(tmp_path)
    np.save(tmp_path / "v_fps.npy", np.array(25.0))
    np.save(tmp_path / "v_timestamps_ms.npy", np.arange(4) * 640.0)
    assert list(find_npy([tmp_path])) == ["v"]
    features = read_i3d(tmp_path)
    assert features.video.frame_rate == 25 and features.frames[-1].tolist() == [48, 64]
    np.save(tmp_path / "v_fps.npy", np.array("often"))
    with pytest.raises(BadInput, match="must hold one number"):
        read_i3d(tmp_path)


def test_time_stamps_of_ends_are_told_from_starts_or_asked_for(tmp_path):
    save_parts(tmp_path)
    np.save(tmp_path / "v_ms.npy", np.array([640.0, 1280.0, 1920.0, 2560.0]))
    with pytest.raises(BadInput, match="--stamps end or --stamps start"):
        read_i3d(tmp_path)
    ends, starts = read_i3d(tmp_path, stamps="end"), read_i3d(tmp_path, stamps="start")
    np.testing.assert_allclose(ends.seconds, [[0, 0.64], [0.64, 1.28], [1.28, 1.92], [1.92, 2.56]])
    np.testing.assert_allclose(starts.seconds, ends.seconds + 0.64)
    wide = read_i3d(tmp_path, stamps="end", window=32, stride=16, frame_rate=25)
    np.testing.assert_allclose(wide.seconds, [[0, 0.64], [0, 1.28], [0.64, 1.92], [1.28, 2.56]])
    with pytest.raises(BadInput, match=r"--window counts frames.* Give it with --fps"):
        read_i3d(tmp_path, stamps="end", window=32)


def test_time_stamps_that_contradict_the_stride_are_refused(tmp_path):
    save_parts(tmp_path)
    np.save(tmp_path / "v_ms.npy", np.arange(4) * 640.0)
    assert read_i3d(tmp_path, stride=16, frame_rate=25).num_snippets == 4
    with pytest.raises(BadInput, match=r"0\.640 s apart, but --stride 24 at 25 frames per second is 0\.960 s"):
        read_i3d(tmp_path, stride=24, frame_rate=25)


def test_archives_of_named_arrays_are_read(tmp_path):
    rgb, flow = rows(4, 1024, "float32"), rows(4, 1024, "float32", 1)
    np.savez(tmp_path / "v.npz", rgb=rgb, flow=flow, timestamps_ms=np.arange(4) * 640.0)
    np.savez_compressed(tmp_path / "w.npz", features=np.hstack([rgb, flow]))
    assert list(find_npy([tmp_path])) == ["v", "w"]
    parts, joint = read_i3d(tmp_path, "v"), read_i3d(tmp_path, "w", stride=16, frame_rate=25)
    assert np.array_equal(parts.values, np.hstack([rgb, flow])) and np.array_equal(parts.values, joint.values)
    np.testing.assert_allclose(parts.seconds, joint.seconds)
    np.savez(tmp_path / "v.npz", one=rgb, two=flow)
    with pytest.raises(BadInput, match=r"holds the arrays one, two\. Name them rgb and flow"):
        read_i3d(tmp_path, "v", stride=16, frame_rate=25)


def test_archives_of_objects_or_of_nothing_are_refused_and_nothing_runs(tmp_path):
    path = tmp_path / "v.npz"
    np.savez(path, rows=np.array([Trap(tmp_path / "victim")], dtype=object), allow_pickle=True)
    with pytest.raises(BadInput, match="Python objects"):
        read_rows(path)
    assert not (tmp_path / "victim").exists()
    for content in (b"hello", b"PK\x03\x04 torn"):
        path.write_bytes(content)
        with pytest.raises(BadInput, match="is not read"):
            read_rows(path)
    np.savez(path)
    with pytest.raises(BadInput, match="holds the arrays none"):
        read_rows(path)
    whole = io.BytesIO()
    np.save(whole, rows())
    header = whole.getvalue().replace(b"(3, 8), }  ", b"(3, 9999999999999), }")[:200]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rows.npy", header)
    with pytest.raises(BadInput, match="is not read"):
        read_rows(path)


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "v.npz", rows=np.zeros((1000, 100), np.float32))
    monkeypatch.setattr("vidlang.store.npy.MAX_ARCHIVE_BYTES", 1000)
    with pytest.raises(BadInput, match="would unpack to"):
        read_rows(tmp_path / "v.npz")
