"""Motion is where frames differ, in grey levels, whatever the frame rate."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from vidlang.core import BadInput, Sampling, VideoInfo
from vidlang.video.motion import EnergyMap, MotionCurve, MotionOptions, Steps, energy_at, motion_energy, open_motion
from vidlang.video.snippets import open_snippets
from vidlang.video.writer import write_video

GOLDEN = Path(os.environ.get("VIDLANG_SHARED", Path(__file__).resolve().parents[3] / "shared")) / "golden" / "fame"

LOSSLESS = {"codec": "ffv1", "pixel_format": "bgr0"}
SECONDS = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]])


def flicker(path, rate: float):
    """One second still, one second of 40 grey levels up and down each eighth of a second, one second still."""

    def level(t: float) -> int:
        return 100 + 40 * (int(t * 8 + 1e-6) % 2) if 1.0 <= t + 1e-6 < 2.0 else 100

    frames = [np.full((64, 96, 3), level(i / rate), np.uint8) for i in range(round(3 * rate))]
    write_video(path, frames, rate, **LOSSLESS)
    return path


@pytest.mark.parametrize("rate", [8.0, 16.0, 24.0])
def test_only_the_second_that_changes_has_energy(tmp_path, rate):
    still, moving, after = motion_energy(flicker(tmp_path / "a.mkv", rate), SECONDS)
    assert still == 0
    assert moving == pytest.approx(35, abs=5.5)  # 7 of the 8 comparisons differ by 40
    assert after == pytest.approx(5, abs=5.5)  # the step back at its start


def test_a_still_video_and_a_single_frame_do_not_move(tmp_path):
    write_video(tmp_path / "still.mkv", [np.full((64, 96, 3), 90, np.uint8)] * 30, 10.0, **LOSSLESS)
    assert motion_energy(tmp_path / "still.mkv", SECONDS).tolist() == [0, 0, 0]
    write_video(tmp_path / "one.mkv", [np.full((64, 96, 3), 90, np.uint8)], 10.0, **LOSSLESS)
    assert motion_energy(tmp_path / "one.mkv", SECONDS[:1]).tolist() == [0]


def test_an_interval_between_two_comparisons_takes_the_nearest(tmp_path):
    path = flicker(tmp_path / "a.mkv", 8.0)
    inside, outside = motion_energy(path, np.array([[1.51, 1.52], [0.51, 0.52]]))
    assert (inside, outside) == (40, 0)


# -- curves over snippets --------------------------------------------------------------------------------------------


def noise(path: Path, num_frames: int, rate: float = 25.0, size: tuple[int, int] = (32, 48)) -> np.ndarray:
    """A lossless film of random pixels, brighter from frame to frame; returns its frames."""
    top = np.linspace(20, 255, num_frames)[:, None, None, None]
    frames = (np.random.default_rng(num_frames).random((num_frames, *size, 3)) * top).astype(np.uint8)
    write_video(path, list(frames), rate, **LOSSLESS)
    return frames


def curve_of(path: Path, sampling: Sampling, **options) -> MotionCurve:
    with open_motion(path, sampling, MotionOptions(**options)) as stream:
        for _ in stream:
            pass
        return stream.curve


def inner_steps(frames: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """The plain way: all frames at once, differences inside each span."""
    steps = np.abs(np.diff(frames.astype(np.float64), axis=0)).mean(axis=(1, 2, 3))
    return np.array([steps[first : last - 1].mean() for first, last in spans])


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(stride=5), Sampling(fps=2.0), Sampling(fps=0.3)], ids=str)
def test_the_curve_lines_up_with_snippets_and_is_the_mean_of_their_steps(tmp_path, sampling):
    frames = noise(tmp_path / "a.mkv", 150)
    curve = curve_of(tmp_path / "a.mkv", sampling)
    with open_snippets(tmp_path / "a.mkv", sampling) as snippets:
        for _ in snippets:
            pass
        assert np.array_equal(curve.frames, snippets.frames) and np.array_equal(curve.seconds, snippets.seconds)
        assert curve.video == snippets.info
    assert curve.energy == pytest.approx(inner_steps(frames, curve.frames), rel=1e-5)
    assert curve.shift is None and curve.compared_size == (32, 48)


def test_a_snippet_of_one_frame_has_the_step_that_leads_to_it(tmp_path):
    frames = noise(tmp_path / "a.mkv", 6)
    steps = np.abs(np.diff(frames.astype(float), axis=0)).mean(axis=(1, 2, 3))
    each = curve_of(tmp_path / "a.mkv", Sampling(stride=1))
    assert each.energy == pytest.approx([steps[0], *steps], rel=1e-5)  # nothing leads to the first
    held = curve_of(tmp_path / "a.mkv", Sampling(fps=50.0))  # every frame is two snippets
    assert held.energy == pytest.approx(np.repeat([steps[0], *steps], 2), rel=1e-5)


def test_one_frame_does_not_move(tmp_path):
    noise(tmp_path / "one.mkv", 1)
    curve = curve_of(tmp_path / "one.mkv", Sampling(), compensate=True)
    assert curve.energy.tolist() == [0] and curve.shift is not None and curve.shift.tolist() == [[0, 0]]


def test_a_rate_compares_fewer_frames(tmp_path):
    frames = noise(tmp_path / "a.mkv", 64, rate=32.0)
    curve = curve_of(tmp_path / "a.mkv", Sampling(), rate=8.0)  # frames 0, 4, 8, 12 of each snippet
    expected = [
        np.abs(np.diff(frames[first : first + 16 : 4].astype(float), axis=0)).mean() for first in range(0, 64, 16)
    ]
    assert curve.energy == pytest.approx(expected, rel=1e-5)
    slow = curve_of(tmp_path / "a.mkv", Sampling(stride=8), rate=2.0)  # frames 0, 16, 32, 48: every other snippet
    steps = [np.abs(frames[last].astype(float) - frames[last - 16]).mean() for last in (16, 32, 48)]
    assert slow.energy == pytest.approx([steps[0], steps[0], *np.repeat(steps, 2)], rel=1e-5)


def test_frames_come_with_the_map_of_their_snippet(tmp_path):
    frames = noise(tmp_path / "a.mkv", 150)
    with open_motion(tmp_path / "a.mkv", Sampling(stride=100), keep_frames=True) as stream:
        parts = list(stream)
        assert [len(part.frames) for part in parts] == [64, 36, 50]  # the last is no snippet, and is shown all the same
        assert np.array_equal(np.concatenate([part.frames for part in parts]), frames)
        apart = np.abs(np.diff(frames.astype(float), axis=0)).mean(axis=3)
        for part, (first, last) in zip(parts, ((0, 63), (63, 99), (100, 149)), strict=True):
            assert part.energy == pytest.approx(apart[first:last].mean(axis=0), abs=1e-3)
        inner = np.concatenate([apart[:99], apart[100:]])
        assert stream.energy == pytest.approx(inner.mean(axis=0), abs=1e-3)
        brightness = frames.mean(axis=0) @ [0.299, 0.587, 0.114]
        assert np.abs(stream.background - brightness).max() <= 0.51


def test_a_pan_is_taken_off_and_borders_do_not_count(tmp_path):
    scene = np.random.default_rng(0).integers(0, 255, (24, 60, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    frames = [np.ascontiguousarray(scene[:, 3 * place : 3 * place + 128]) for place in range(20)]
    write_video(tmp_path / "pan.mkv", frames, 10.0, **LOSSLESS)
    plain = curve_of(tmp_path / "pan.mkv", Sampling(stride=10))
    still = curve_of(tmp_path / "pan.mkv", Sampling(stride=10), compensate=True)
    assert plain.energy.min() > 20 and still.energy.tolist() == [0, 0]
    assert still.shift is not None and still.shift.tolist() == [[0, -3]] * 2


def test_memory_does_not_grow_with_the_video(tmp_path):
    peaks = []
    for num_frames in (60, 240):
        noise(tmp_path / "a.mkv", num_frames)
        tracemalloc.start()
        curve_of(tmp_path / "a.mkv", Sampling())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs golden/fame of the shared development data ($VIDLANG_SHARED)")
@pytest.mark.parametrize("name", ["random_56", "square_noise_48x64", "square_clean_56", "degenerate_56"])
def test_the_map_is_the_recorded_seed(name):
    with np.load(GOLDEN / f"{name}.npz") as recorded:
        clips, seeds = recorded["clips_u8"], recorded["seed_raw"]
    for clip, seed in zip(clips, seeds, strict=True):
        steps, energy = Steps(), EnergyMap(seed.shape)
        for frame in clip.transpose(1, 2, 3, 0):
            step = steps.push(np.ascontiguousarray(frame))
            if step is not None:
                energy.add(step)
        assert np.abs(energy.mean() * 3 / 255 - seed).max() < 1e-6


def test_mistakes_are_said():
    with pytest.raises(BadInput, match="at 16 pixels or more, got 8"):
        MotionOptions(short_side=8)
    with pytest.raises(BadInput, match="must be positive, got 0"):
        MotionOptions(rate=0.0)
    steps = Steps()
    steps.push(np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(ValueError, match=r"uint8 \[20, 20, 3\], got uint8 \[20, 24, 3\]"):
        steps.push(np.zeros((20, 24, 3), np.uint8))
    with pytest.raises(ValueError, match="got float32"):
        Steps().push(np.zeros((20, 20, 3), np.float32))


# -- a curve on other intervals --------------------------------------------------------------------------------------


def curve(seconds, energy) -> MotionCurve:
    times = np.array(seconds, dtype=np.float64)
    frames = np.arange(len(times))[:, None] + [0, 1]
    return MotionCurve(VideoInfo("v", 9, 9.0, 1.0, (4, 4)), frames, times, np.array(energy, dtype=np.float32))


def test_a_curve_on_its_own_intervals_is_itself():
    known = curve([[0, 1], [1, 2], [2, 2.5]], [1.0, 5.0, 3.0])
    assert energy_at(known, known.seconds) == pytest.approx([1, 5, 3])


def test_intervals_get_the_mean_of_what_they_share():
    known = curve([[0, 2], [2, 4], [6, 8]], [1.0, 5.0, 9.0])
    wanted = np.array([[1.0, 3.0], [0.0, 8.0], [3.0, 7.0], [4.5, 5.5], [20.0, 30.0], [-3.0, -1.0], [2.5, 2.5]])
    # halves of two; all three; across the gap; in the gap, as near to both; behind, before, and a moment
    assert energy_at(known, wanted) == pytest.approx([3, 5, 7, 5, 9, 1, 5])
