"""Frames pushed one by one give the masks of whole clips, window after window, in memory that does not grow."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from vidlang.methods.fame.mask import clip_masks
from vidlang.methods.fame.options import MaskOptions
from vidlang.methods.fame.windows import FrameMask, WindowMask, largest, mask_frames, merge_frames

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))
import golden_fame as recorded


def frames_of(clip):
    """[3, T, H, W] tensor → [T, H, W, 3]"""
    return np.ascontiguousarray(clip.numpy().transpose(1, 2, 3, 0))


def clip_of(frames):
    """[T, H, W, 3] → [1, 3, T, H, W]"""
    return torch.from_numpy(np.ascontiguousarray(frames.transpose(3, 0, 1, 2)))[None]


def moving_frames(num_frames=5, height=24, width=28, seed=0):
    rng = np.random.default_rng(seed)
    frames = np.repeat(rng.integers(40, 200, (1, height, width, 3)), num_frames, axis=0)
    square = rng.integers(0, 256, (8, 8, 3))
    for t, frame in enumerate(frames):
        at = 3 + t % (width - 12)
        frame[5:13, at : at + 8] = square
    return np.clip(frames + rng.integers(-3, 4, frames.shape), 0, 255).astype(np.uint8)


OPTIONS = [
    MaskOptions(),
    MaskOptions(hue="reference", beta=0.3),
    MaskOptions(method="seed"),
    MaskOptions(method="seed", raw=True, beta=0.1),
    MaskOptions(method="grid"),
    MaskOptions(method="gauss", beta=0.7),
]


def assert_same(found, frames, options):
    whole = clip_masks(clip_of(frames), options)
    assert found.moves == bool(whole.moves[0])
    assert found.energy == pytest.approx(float(whole.energy[0]), rel=1e-5)
    np.testing.assert_allclose(found.score, whole.score[0].numpy(), atol=1e-5)
    assert (found.mask != whole.mask[0].numpy()).mean() <= 0.001


@pytest.fixture(scope="module")
def golden(golden_dir):
    return recorded.Golden(golden_dir / "fame")


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: f"{options.method}-{options.hue}-{options.beta}")
def test_recorded_clips_have_the_masks_of_whole_clips(golden, options):
    assert len(golden.cases) == 7
    for case in golden.cases:
        for clip in case.tensor("clips_u8"):
            assert_same(mask_frames(frames_of(clip), options), frames_of(clip), options)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: f"{options.method}-{options.hue}-{options.beta}")
def test_rendered_frames_have_the_masks_of_whole_clips(options):
    frames = moving_frames(height=90, width=70)
    found = mask_frames(frames, options)
    assert_same(found, frames, options)
    assert found.area == pytest.approx(0.5 if options.method == "grid" else options.beta, abs=0.02)


def test_the_seed_by_hand():
    frames = np.zeros((3, 4, 4, 3), dtype=np.uint8)
    frames[1, 2, 1] = (255, 0, 0)
    frames[2, 2, 1] = (0, 51, 0)
    found = mask_frames(frames, MaskOptions(method="seed", beta=1 / 16))
    assert found.seed[2, 1] == pytest.approx((1 + 1 + 0.2) / 2)
    assert found.energy == pytest.approx(1.1 / 16)
    assert found.mask.sum() == 1
    assert found.mask[2, 1]


def test_windows_follow_one_another_and_know_nothing_of_each_other():
    first, second = moving_frames(seed=1), moving_frames(seed=2)
    window = WindowMask((24, 28))
    found = []
    for frames in (first, second, first):
        for frame in frames:
            window.push(frame)
        assert window.num_frames == 5
        found.append(window.finish())
        assert window.num_frames == 0
    alone = [mask_frames(frames) for frames in (first, second, first)]
    for one, other in zip(found, alone, strict=True):
        assert np.array_equal(one.mask, other.mask)
        assert np.array_equal(one.seed, other.seed)
        assert one.energy == other.energy


def test_a_frame_may_be_overwritten_once_it_is_pushed():
    frames, buffer = moving_frames(), np.empty((24, 28, 3), dtype=np.uint8)
    window = WindowMask((24, 28))
    for frame in frames:
        buffer[:] = frame
        window.push(buffer)
    assert np.array_equal(window.finish().seed, mask_frames(frames).seed)


@pytest.mark.parametrize("num_frames", [257, 258, 259, 600])
def test_sums_of_many_frames_do_not_run_over(num_frames):
    """Black and white in turn: the sums of differences are as large as they get."""
    frames = np.zeros((num_frames, 2, 2, 3), dtype=np.uint8)
    frames[1::2, 0] = 255
    window = WindowMask((2, 2), MaskOptions(method="seed"))
    for _ in range(2):
        for frame in frames:
            window.push(frame)
        assert window.finish().seed.tolist() == [[3.0, 3.0], [0.0, 0.0]]


def test_colours_of_many_frames_do_not_run_over():
    """A long window of the same few frames has the colours, and so the mask, of a short one."""
    frames = moving_frames(num_frames=4)
    there_and_back = np.concatenate([frames, frames[-2:0:-1]])  # each pass begins where the last one ends
    long = np.concatenate([there_and_back] * 100)
    clip = clip_of(long)
    assert (mask_frames(long).mask != clip_masks(clip).mask[0].numpy()).mean() <= 0.001


def test_without_motion_there_is_no_mask():
    still = np.repeat(moving_frames(num_frames=1), 4, axis=0)
    found = mask_frames(still)
    assert (found.moves, found.energy, found.area) == (False, 0.0, 0.0)
    assert not found.mask.any()
    assert not found.score.any()


def test_memory_does_not_grow_with_the_window():
    def peak(num_frames):
        window, frames = WindowMask((60, 60)), moving_frames(num_frames=2, height=60, width=60)
        tracemalloc.start()
        for t in range(num_frames):
            window.push(frames[t % 2])
        window.finish()
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(4)
    assert peak(400) < peak(8) + 60 * 60 * 3 * 4 * 2  # less than two more frames of 32 bits


def test_merged_frames_by_hand():
    frames, backgrounds = moving_frames(seed=1), moving_frames(seed=2)
    found = mask_frames(frames)
    expected = np.where(found.mask[None, :, :, None], frames, backgrounds)
    assert np.array_equal(merge_frames(frames, backgrounds, found), expected)
    assert np.array_equal(merge_frames(frames[2], backgrounds[2], found), expected[2])
    out = np.empty_like(frames)
    assert merge_frames(frames, backgrounds, found, out=out) is out
    assert np.array_equal(out, expected)


def test_frames_that_do_not_move_stay_whole():
    still, backgrounds = np.repeat(moving_frames(num_frames=1), 5, axis=0), moving_frames(seed=2)
    merged = merge_frames(still, backgrounds, mask_frames(still))
    assert np.array_equal(merged, still)
    assert merged is not still


def test_equal_values_are_taken_by_index():
    rows = np.array([[1, 2, 1, 1, 0, 1], [5, 5, 5, 5, 5, 5]], dtype=np.float32)
    assert largest(rows, 3).tolist() == [
        [True, True, True, False, False, False],
        [True, True, True, False, False, False],
    ]
    assert not largest(rows, 0).any()
    assert largest(rows, 6).all()


def test_what_cannot_be_masked_is_refused():
    window = WindowMask((24, 28))
    with pytest.raises(ValueError, match="at least 2 frames of a window, got 0"):
        window.finish()
    window.push(moving_frames()[0])
    with pytest.raises(ValueError, match="at least 2 frames of a window, got 1"):
        window.finish()
    with pytest.raises(ValueError, match=r"uint8 \[24, 28, 3\], got uint8 \(28, 24, 3\)"):
        window.push(np.zeros((28, 24, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"uint8 \[24, 28, 3\], got float64"):
        window.push(np.zeros((24, 28, 3)))
    with pytest.raises(ValueError, match="too small for a blur of 41 taps"):
        WindowMask((20, 28), MaskOptions(crop_size=410))
    with pytest.raises(ValueError, match=r"frames must be \[T, H, W, 3\]"):
        mask_frames(moving_frames()[0])


def test_frames_that_do_not_fit_are_not_merged():
    frames = moving_frames()
    found = mask_frames(frames)
    with pytest.raises(ValueError, match="differ in size"):
        merge_frames(frames, frames[:2], found)
    with pytest.raises(ValueError, match="differ in size"):
        merge_frames(frames[:, :10], frames[:, :10], found)
    with pytest.raises(ValueError, match="must be uint8, got float64 and uint8"):
        merge_frames(frames / 255, frames, found)


def test_a_mask_says_its_area():
    mask = np.array([[True, False], [False, False]])
    assert FrameMask(mask, True, 1.0, mask.astype(np.float32), mask.astype(np.float32)).area == 0.25


def test_windows_load_no_torch():
    script = "import sys, vidlang.methods.fame.windows\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
