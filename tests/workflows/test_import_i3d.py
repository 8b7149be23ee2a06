"""I3D features beside CLIP features of the same video: the rows of one moment have one time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vidlang.core import BadInput, Features, Progress
from vidlang.methods.wtal.inputs import align
from vidlang.store.feature_cache import FeatureCache
from vidlang.video.reader import open_video
from vidlang.workflows.cache import import_npy

VIDEO = "clips/weightlifting.mp4"


def save(path: Path, num_rows: int, seed: int = 0) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).standard_normal((num_rows, 1024)).astype(np.float32)
    np.save(path, values)
    return values


def load(cache: FeatureCache, encoder: str, sampling: str) -> Features:
    [key] = [k for k in cache if k.recipe.encoder == encoder and k.recipe.sampling.name.startswith(sampling)]
    return cache.get(key)


def onto(features: Features, seconds: np.ndarray) -> np.ndarray:
    """[T, D]: the rows averaged over other intervals [T, 2], as the method does it."""
    return align(features.values, features.seconds, seconds)


def similarities(rows: np.ndarray) -> np.ndarray:
    """Cosines of all pairs of different rows."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return (unit @ unit.T)[np.triu_indices(len(rows), 1)]


def test_a_folder_of_rgb_and_flow_becomes_one_recipe(tmp_path, cache):
    for seed, name in enumerate(("a", "day/b")):
        save(tmp_path / "rgb" / f"{name}.npy", 5, seed)
        save(tmp_path / "flow" / f"{name}.npy", 5 + seed, 10 + seed)
    outcomes = import_npy(cache, [tmp_path], "i3d", 25.0, 16, None, Progress())
    assert [(o.video_id, o.status) for o in outcomes] == [("a", "done"), ("day/b", "done")]
    [recipe] = cache.recipes()
    assert recipe.encoder == "i3d" and recipe.revision == "imported:unknown/rgb+flow" and recipe.sampling.stride == 16
    assert all(cache.get(key).dim == 2048 and cache.get(key).num_snippets == 5 for key in cache)


def test_without_a_stride_every_video_fails_and_nothing_is_kept(tmp_path, cache):
    save(tmp_path / "a_rgb.npy", 5)
    save(tmp_path / "a_flow.npy", 5)
    [outcome] = import_npy(cache, [tmp_path], "i3d", 25.0, None, None, Progress())
    assert outcome.status == "failed" and "Give --stride" in str(outcome.error) and not cache.recipes()


def test_a_name_or_times_for_several_videos_are_refused(tmp_path, cache):
    save(tmp_path / "a.npy", 5)
    save(tmp_path / "b.npy", 5)
    for options in ({"video": "a.mp4"}, {"times": tmp_path / "ms.npy"}):
        with pytest.raises(BadInput, match="is for one video, but 2 were found"):
            import_npy(cache, [tmp_path], "i3d", 25.0, 16, None, Progress(), **options)


@pytest.fixture
def genuine(shared_data_dir, cache) -> FeatureCache:
    """Features of one real clip of 355 frames, with the times at which I3D rows end and CLIP rows start.

    I3D of 24 frames at 25 per second and of 64 frames at the clip's own rate; CLIP 5 times a second and of every frame.
    """
    stem = str(shared_data_dir / "features" / "v_GGSY1Qvo990_")

    def take(name: str, encoder: str, fps: float | None = None, stride: int | None = None, **options):
        [outcome] = import_npy(
            cache, [Path(stem + name)], encoder, fps, stride, None, Progress(), video=VIDEO, **options
        )
        assert outcome.error is None

    times = Path(stem + "i3d_stack24_25fps_ms.npy")
    flow = [Path(stem + "i3d_flow_raft_stack24_25fps.npy")]
    take("i3d_rgb_stack24_25fps.npy", "i3d", 25.0, flow=flow, times=times, stamps="end")
    take("i3d_rgb_stack24_25fps.npy", "i3d", 25.0, 24, flow=flow)
    flow = [Path(stem + "i3d_flow_raft_stack64_nativefps.npy")]
    take("i3d_rgb_stack64_nativefps.npy", "i3d", 19.62, 64, flow=flow)
    take("clip_vitb32_5fps.npy", "clip-vit-b32")
    take("clip_vitb32_everyframe.npy", "clip-vit-b32")
    return cache


def test_genuine_rows_end_where_their_video_ends(genuine, shared_data_dir):
    with open_video(shared_data_dir / VIDEO) as reader:
        for _ in reader.read_where(lambda *_: False):
            pass
        duration = reader.info.duration
    assert duration == pytest.approx(18.094, abs=1e-3)
    found = {
        name: load(genuine, encoder, sampling)
        for name, encoder, sampling in (
            ("i3d24", "i3d", "stride24"),
            ("i3d64", "i3d", "stride64"),
            ("clip5", "clip-vit-b32", "fps5"),
            ("clip", "clip-vit-b32", "fps19.62"),
        )
    }
    shapes = {name: features.values.shape for name, features in found.items()}
    assert shapes == {"i3d24": (18, 2048), "i3d64": (5, 2048), "clip5": (90, 512), "clip": (355, 512)}
    steps = {"i3d24": 24 / 25, "i3d64": 64 / 19.62, "clip5": 0.2, "clip": 1 / 19.62}
    for name, features in found.items():
        left = duration - features.seconds[-1, 1]
        assert features.seconds[0, 0] == 0 and -1e-3 < left < steps[name], name


def test_genuine_time_stamps_and_stride_give_the_same_times(genuine):
    stamped, even = load(genuine, "i3d", "fps1.042"), load(genuine, "i3d", "stride24")
    np.testing.assert_allclose(stamped.seconds, even.seconds, atol=1e-9)
    assert np.array_equal(stamped.values, even.values) and np.array_equal(stamped.frames, even.frames)


def test_genuine_i3d_time_stamps_are_not_taken_for_starts(genuine, shared_data_dir):
    stem = str(shared_data_dir / "features" / "v_GGSY1Qvo990_i3d_")
    [outcome] = import_npy(
        genuine,
        [Path(stem + "rgb_stack24_25fps.npy")],
        "i3d",
        25.0,
        24,
        None,
        Progress(),
        times=Path(stem + "stack24_25fps_ms.npy"),
    )
    assert "--stamps end or --stamps start" in str(outcome.error)


@pytest.mark.parametrize("sampling", ["stride24", "stride64"])
def test_clip_rows_averaged_over_i3d_windows_are_as_many(genuine, sampling):
    i3d = load(genuine, "i3d", sampling)
    sparse, dense = (load(genuine, "clip-vit-b32", name) for name in ("fps5", "fps19.62"))
    aligned = [onto(clip, i3d.seconds) for clip in (sparse, dense)]
    assert all(rows.shape == (i3d.num_snippets, 512) and np.isfinite(rows).all() for rows in aligned)
    cosines = (aligned[0] * aligned[1]).sum(axis=1) / np.prod([np.linalg.norm(r, axis=1) for r in aligned], axis=0)
    assert cosines.min() > 0.98
    # Windows of 0.96 s hold whole rows of 0.2 s and a part of one.
    first = load(genuine, "clip-vit-b32", "fps5").values[:5]
    if sampling == "stride24":
        np.testing.assert_allclose(aligned[0][0], (first[:4].sum(axis=0) * 0.2 + first[4] * 0.16) / 0.96, atol=1e-5)


def test_i3d_rows_on_the_grid_of_clip_are_as_many_and_stay_in_their_window(genuine):
    i3d, clip = load(genuine, "i3d", "stride24"), load(genuine, "clip-vit-b32", "fps5")
    rows = onto(i3d, clip.seconds)
    assert rows.shape == (90, 2048)
    for row, (start, end) in zip(rows, clip.seconds, strict=True):
        window = min(int(start / 0.96 + 1e-9), 17)
        if end <= (window + 1) * 0.96 + 1e-9 or window == 17:
            np.testing.assert_allclose(row, i3d.values[window], atol=1e-5)


def test_i3d_rows_taken_one_row_late_agree_less_with_clip(genuine):
    """Moments that look alike to one encoder look alike to the other. Ends read as starts would lose some of that."""
    i3d, clip = load(genuine, "i3d", "stride24"), load(genuine, "clip-vit-b32", "fps19.62")
    inner = slice(0, -1)  # shifted by a row, the last one would lie behind the end
    appearance = similarities(i3d.values[inner, :1024])
    in_time, late = (
        np.corrcoef(appearance, similarities(onto(clip, i3d.seconds[inner] + shift)))[0, 1] for shift in (0, 0.96)
    )
    assert in_time > late + 0.05
