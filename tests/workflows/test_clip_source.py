"""Batches of clips: every video once, the right windows, whatever the workers; broken videos are named once."""

from __future__ import annotations

import threading

import av
import numpy as np
import pytest

from vidlang.video.clips import ClipFile, ClipSampling
from vidlang.workflows import clip_source
from vidlang.workflows.clip_source import ClipSource

SAMPLING = ClipSampling(num_frames=4, step=2, short_side=None)
NUM_VIDEOS = 7


def write_video(path, number, num_frames=20, size=(32, 48)):
    """Frames as bright as 10 times their index; the first rows carry the video's number."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4" if path.suffix == ".avi" else "libx264", rate=25, options={"g": "6"})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.bit_rate = 4_000_000
        for index in range(num_frames):
            pixels = np.full((*size, 3), 20 + 10 * index, np.uint8)
            pixels[: size[0] // 2] = 20 + 25 * number
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    names = [f"{number}{'.avi' if number % 2 else '.mp4'}" for number in range(NUM_VIDEOS)]
    return [(name, write_video(folder / name, number)) for number, name in enumerate(names)]


def numbers(clip):
    """(video, frame indices) that clip [3, T, H, W] shows."""
    half = clip.shape[2] // 2
    videos = {round((float(frame[:, : half - 4].mean()) - 20) / 25) for frame in clip.transpose(1, 0, 2, 3)}
    assert len(videos) == 1
    return videos.pop(), [round((float(frame[:, half + 4 :].mean()) - 20) / 10) for frame in clip.transpose(1, 0, 2, 3)]


def shown(batches):
    """Video → the first frames of its windows; checks that every frame is the right one."""
    found = {}
    for batch in batches:
        assert len(batch.clips) == len(batch.indices)
        for index, clips in zip(batch.indices, batch.clips, strict=True):
            starts = []
            for clip in clips:
                video, frames = numbers(clip)
                assert video == index and frames == list(range(frames[0], frames[0] + 8, 2))
                starts.append(frames[0])
            assert int(index) not in found, "a video came twice"
            found[int(index)] = tuple(starts)
    return found


def test_every_video_comes_once_in_two_windows_of_its_own(videos):
    batches = list(ClipSource(videos, SAMPLING, batch_size=1).epoch(0))
    assert [batch.clips.shape for batch in batches] == [(1, 2, 3, 4, 32, 48)] * NUM_VIDEOS
    assert all(batch.clips.dtype == np.uint8 and batch.clips.flags.c_contiguous for batch in batches)
    found = shown(batches)
    assert sorted(found) == list(range(NUM_VIDEOS))
    assert all(first != second for first, second in found.values())


def test_the_last_incomplete_batch_is_dropped(videos):
    source = ClipSource(videos, SAMPLING, batch_size=3, windows=1)
    batches = list(source.epoch(0))
    assert [batch.clips.shape[:2] for batch in batches] == [(3, 1)] * 2 == [(3, 1)] * source.num_batches
    assert len(shown(batches)) == 6
    assert list(ClipSource(videos, SAMPLING, batch_size=8).epoch(0)) == []


@pytest.mark.parametrize("num_workers", [0, 1, 4])
def test_seed_and_epoch_alone_decide_what_comes(videos, num_workers):
    def run(seed, epoch, workers, before=()):
        source = ClipSource(videos, SAMPLING, batch_size=2, seed=seed, num_workers=workers)
        for earlier in before:
            list(source.epoch(earlier))
        return [(batch.indices.tolist(), batch.clips.tobytes()) for batch in source.epoch(epoch)]

    plain = run(3, 5, 2)
    assert run(3, 5, num_workers, before=(4,)) == plain
    assert [indices for indices, _ in run(3, 6, num_workers)] != [indices for indices, _ in plain]
    assert [indices for indices, _ in run(4, 5, num_workers)] != [indices for indices, _ in plain]


def test_shards_have_as_many_batches_and_no_video_in_common(videos):
    whole = shown(ClipSource(videos, SAMPLING, batch_size=1).epoch(2))
    parts = [list(ClipSource(videos, SAMPLING, batch_size=1, shard=(rank, 3)).epoch(2)) for rank in range(3)]
    assert [len(part) for part in parts] == [2, 2, 2]
    together = [shown(part) for part in parts]
    assert len({index for part in together for index in part}) == 6
    assert all(whole[index] == starts for part in together for index, starts in part.items())


@pytest.mark.parametrize("kept", [0, 3, 100])
def test_frames_are_counted_once_a_video(videos, monkeypatch, kept):
    monkeypatch.setattr(clip_source, "MAX_KEPT", kept)
    counted = []
    plain = ClipFile._count
    monkeypatch.setattr(ClipFile, "_count", lambda self: counted.append(self._id) or plain(self))
    source = ClipSource(videos, SAMPLING, batch_size=1)
    for epoch in range(3):
        assert len(shown(source.epoch(epoch))) == NUM_VIDEOS
    assert sorted(counted) == sorted(name for name, _ in videos)


def test_a_broken_video_is_named_once_and_left_out(videos, tmp_path, caplog, monkeypatch):
    (tmp_path / "torn.mp4").write_bytes(b"no video")
    opened = []
    plain = ClipFile.__init__
    monkeypatch.setattr(
        ClipFile, "__init__", lambda self, path, **more: opened.append(path.name) or plain(self, path, **more)
    )
    source = ClipSource([("c/torn.mp4", tmp_path / "torn.mp4"), *videos], SAMPLING, batch_size=1)
    for epoch in range(2):
        indices = [int(batch.indices[0]) for batch in source.epoch(epoch)]
        assert sorted(indices) == list(range(1, NUM_VIDEOS + 1))
    assert list(source.failed) == ["c/torn.mp4"] and "does not open as a video" in source.failed["c/torn.mp4"]
    assert len([record for record in caplog.records if "c/torn.mp4" in record.message]) == 1
    assert opened.count("torn.mp4") == 1


def test_one_broken_video_costs_a_batch_and_no_repetition(videos, tmp_path):
    source = ClipSource([("torn.mp4", tmp_path / "none.mp4"), *videos], SAMPLING, batch_size=4)
    assert source.num_batches == 2
    (batch,) = source.epoch(0)
    assert len(set(batch.indices.tolist())) == 4 and 0 not in batch.indices


def test_videos_of_different_sizes_keep_theirs(videos, tmp_path):
    wide = write_video(tmp_path / "wide.mp4", 1, size=(32, 64))
    mixed = ClipSource([videos[0], ("wide.mp4", wide)], ClipSampling(4, 2, 16), batch_size=2)
    (batch,) = mixed.epoch(0)
    sizes = {int(index): clips.shape for index, clips in zip(batch.indices, batch.clips, strict=True)}
    assert sizes == {0: (2, 3, 4, 16, 24), 1: (2, 3, 4, 16, 32)}


def test_leaving_an_epoch_early_stops_the_workers(videos):
    batches = ClipSource(videos, SAMPLING, batch_size=1, num_workers=2).epoch(0)
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("vidlang-prefetch")]


def test_errors_that_are_not_of_a_video_are_not_hidden(videos, monkeypatch):
    def fail(*_args):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(clip_source, "random_starts", fail)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        list(ClipSource(videos, SAMPLING, batch_size=1).epoch(0))


def test_numbers_that_make_no_batches_are_refused(videos):
    for wrong in ({"batch_size": 0}, {"windows": 0}, {"num_workers": -1}, {"shard": (2, 2)}):
        with pytest.raises(ValueError, match="expected positive sizes"):
            ClipSource(videos, SAMPLING, **{"batch_size": 1, **wrong})
