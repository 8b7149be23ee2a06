"""Published feature files in and out, exactly."""

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
