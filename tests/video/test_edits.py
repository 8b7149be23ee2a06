"""Edits on videos whose frames carry their number: which frame a copy shows, where, and what its mapping says."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from coded_videos import NUM_FRAMES, RATE, code, encode, indices_of, number_of, picture, vfr_stamps

from vidlang.core import BadInput, BadVideo, Segment
from vidlang.video.edits import (
    KINDS,
    BlackBars,
    Blur,
    Brightness,
    Clip,
    Contrast,
    Crop,
    CutOut,
    Edit,
    Flip,
    Grey,
    HideIn,
    Intro,
    Logo,
    Noise,
    PictureEdit,
    Reencode,
    Resize,
    Sepia,
    Shown,
    Speed,
    apply,
    filled,
    fingerprint,
    join,
    random_edits,
)
from vidlang.video.reader import open_video
from vidlang.video.writer import write_video

CRF = 12
FRAME = 1 / RATE


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Frames 0 to 59 at 25 frames per second: 2.4 s."""
    return encode(tmp_path_factory.mktemp("source") / "source.mp4", "libx264")


@pytest.fixture(scope="module")
def host(tmp_path_factory) -> Path:
    """Frames 500 to 559, 2.4 s, twice as large and wider."""
    return encode(tmp_path_factory.mktemp("host") / "host.mp4", "libx264", first=500, size=(96, 160))


@pytest.fixture
def edited(tmp_path, source):
    """Frames of the copy, and the copy."""

    def make(*edits: Edit, path: Path = source, **options):
        copy = apply(path, edits, tmp_path / "copy.mp4", crf=CRF, **options)
        return frames_of(copy.path), copy

    return make


def frames_of(path: Path) -> np.ndarray:
    """[N, H, W, 3]"""
    with open_video(path) as reader:
        return np.concatenate([batch.frames for batch in reader.read()])


def frame_at(second: float) -> int:
    return int(second * RATE + 1e-6)


def held_to(mapping, indices, rate: float, shown_at: Callable[[float], int] = frame_at, slack: int = 0) -> bool:
    """Whether every frame of a copy shows what the mapping says: ours inside its pieces, none of ours outside.

    slack: frames by which a picture may be off, where a time lies at the edge of a frame.
    """
    for number, index in enumerate(indices):
        time = (number + 0.3) / rate
        piece = next((piece for piece in mapping if piece[0].start <= time < piece[0].end), None)
        if piece is None:
            if 0 <= index < NUM_FRAMES:
                return False
            continue
        here, there = piece
        second = there.start + (time - here.start) / here.duration * there.duration
        if abs(index - shown_at(second)) > slack:
            return False
    return True


def seconds(mapping) -> list[list[float]]:
    """Rows of (start, end) in the copy, (start, end) in the source."""
    return [[a.start, a.end, b.start, b.end] for a, b in mapping]


# -- time ------------------------------------------------------------------------------------------------------------


def test_without_edits_the_copy_shows_the_source(edited):
    frames, copy = edited()
    assert indices_of(frames) == list(range(60))
    np.testing.assert_allclose(seconds(copy.mapping), [[0, 2.4, 0, 2.4]], atol=1e-6)
    assert (copy.duration, copy.frame_rate) == (pytest.approx(2.4), 25)


def test_half_speed_shows_each_frame_twice_and_lasts_twice_as_long(edited):
    frames, copy = edited(Speed(0.5))
    assert indices_of(frames) == [k // 2 for k in range(120)]
    np.testing.assert_allclose(seconds(copy.mapping), [[0, 4.8, 0, 2.4]], atol=1e-6)


def test_double_speed_shows_every_second_frame(edited):
    frames, copy = edited(Speed(2))
    assert indices_of(frames) == list(range(0, 60, 2))
    np.testing.assert_allclose(seconds(copy.mapping), [[0, 1.2, 0, 2.4]], atol=1e-6)


def test_a_cut_leaves_two_pieces(edited):
    frames, copy = edited(CutOut(0.8, 1.6))
    assert indices_of(frames) == [*range(20), *range(40, 60)]
    np.testing.assert_allclose(seconds(copy.mapping), [[0, 0.8, 0, 0.8], [0.8, 1.6, 1.6, 2.4]], atol=1e-6)


def test_a_cut_to_the_end_leaves_the_beginning(edited):
    frames, copy = edited(CutOut(0.8, 99))
    assert indices_of(frames) == list(range(20))
    np.testing.assert_allclose(seconds(copy.mapping), [[0, 0.8, 0, 0.8]], atol=1e-6)


def test_a_clip_is_what_was_asked_for(edited):
    frames, copy = edited(Clip(0.4, 1.2))
    assert indices_of(frames) == list(range(10, 30))
    np.testing.assert_allclose(seconds(copy.mapping), [[0, 0.8, 0.4, 1.2]], atol=1e-6)


def test_cuts_between_frames_divide_the_source_by_time(edited):
    """0.61 s lies in frame 15, of which the copy keeps the last 0.03 s."""
    _, copy = edited(Clip(0.61, 1.33))
    np.testing.assert_allclose(seconds(copy.mapping), [[0, 0.72, 0.61, 1.33]], atol=1e-6)


def test_the_clip_lies_inside_its_host(edited, host):
    frames, copy = edited(HideIn(host, 1.0))
    assert indices_of(frames) == [*range(500, 525), *range(60), *range(525, 560)]
    np.testing.assert_allclose(seconds(copy.mapping), [[1, 3.4, 0, 2.4]], atol=1e-6)
    assert frames.shape[1:] == (48, 80, 3)


@pytest.mark.parametrize(("at", "first"), [(0, 0), (2.4, 60)])
def test_the_ends_of_a_host_are_places_too(edited, host, at, first):
    frames, copy = edited(HideIn(host, at))
    assert indices_of(frames) == [*range(500, 500 + first), *range(60), *range(500 + first, 560)]
    np.testing.assert_allclose(seconds(copy.mapping), [[at, at + 2.4, 0, 2.4]], atol=1e-6)


def test_a_long_host_is_shown_only_so_far(edited, host):
    frames, _ = edited(HideIn(host, 0.4, length=0.8))
    assert indices_of(frames) == [*range(500, 510), *range(60), *range(510, 520)]


def test_a_plain_intro_moves_everything(edited):
    frames, copy = edited(Intro(0.4, colour=(10, 20, 200)))
    assert indices_of(frames[10:]) == list(range(60))
    assert np.abs(frames[:10].astype(int) - (10, 20, 200)).max() < 12
    np.testing.assert_allclose(seconds(copy.mapping), [[0.4, 2.8, 0, 2.4]], atol=1e-6)


def test_an_intro_may_be_the_beginning_of_another_video(edited, host):
    frames, copy = edited(Intro(0.4, host))
    assert indices_of(frames) == [*range(500, 510), *range(60)]
    np.testing.assert_allclose(seconds(copy.mapping), [[0.4, 2.8, 0, 2.4]], atol=1e-6)


def test_an_intro_longer_than_its_video_lasts_as_long_as_that(edited, host):
    frames, copy = edited(Intro(9, host))
    assert len(frames) == 120
    np.testing.assert_allclose(seconds(copy.mapping), [[2.4, 4.8, 0, 2.4]], atol=1e-6)


def test_a_title_card_carries_words(edited):
    frames, _ = edited(Intro(0.2, title="PART TWO"))
    assert frames[0].max() > 180 and np.median(frames[0]) < 30


def test_edits_of_time_follow_each_other_and_the_mapping_follows_them(edited, host):
    frames, copy = edited(CutOut(0.8, 1.6), Speed(0.5), HideIn(host, 0.4), Intro(0.2))
    expected = [[0.6, 2.2, 0, 0.8], [2.2, 3.8, 1.6, 2.4]]
    np.testing.assert_allclose(seconds(copy.mapping), expected, atol=1e-6)
    assert held_to(copy.mapping, indices_of(frames), RATE)
    assert indices_of(frames)[5:15] == list(range(500, 510))


def test_edits_hold_two_frames_at_most(host):
    """A film without an end passes through all of them, so memory does not grow with the length."""
    drawn = 0

    def endless() -> Iterator[Shown]:
        nonlocal drawn
        for drawn in itertools.count():
            yield Shown(drawn / 5, (drawn + 1) / 5, None, lambda: picture(code(1)))

    frames: Iterator[Shown] = endless()
    for edit in (CutOut(3, 4), Noise(3), Speed(2), Flip(), HideIn(host, 1), Intro(1), Logo()):
        frames = edit.edited(frames)
    shown = list(itertools.islice(frames, 1 + 25 + 500))  # the intro, the host until the clip, the clip
    assert shown[-1].start > 50
    assert drawn <= 500 + 5 + 2  # five were cut out
    assert [s.start for s in shown[1:]] == pytest.approx([s.end for s in shown[:-1]])


def test_the_order_of_edits_counts(edited):
    assert edited(Speed(2), Clip(0, 0.8))[1].mapping[0][1] == Segment(0, 1.6)
    assert edited(Clip(0, 0.8), Speed(2))[1].mapping[0][1] == Segment(0, 0.8)


def test_another_frame_rate_keeps_the_clock(edited):
    frames, copy = edited(CutOut(0.8, 1.6), frame_rate=12.5)
    assert len(frames) == 20 and copy.duration == pytest.approx(1.6)
    assert indices_of(frames) == [*range(0, 20, 2), *range(40, 60, 2)]


def test_frames_of_uneven_length_are_shown_by_time(tmp_path, edited):
    """The copy shows at each moment the frame that the source shows then, also across the frame held for 2 s."""
    path = encode(tmp_path / "uneven.mp4", "libx264", stamps=vfr_stamps())
    starts = np.array(vfr_stamps()) / 1000

    def shown_at(second: float) -> int:
        return int(np.searchsorted(starts, second + 1e-4, side="right")) - 1

    frames, copy = edited(path=path, frame_rate=50)
    assert held_to(copy.mapping, indices_of(frames), 50, shown_at)
    assert len(set(indices_of(frames))) > 50
    frames, copy = edited(CutOut(0.5, 1.0), Speed(0.8), path=path, frame_rate=40)
    assert len(copy.mapping) == 2
    assert held_to(copy.mapping, indices_of(frames), 40, shown_at)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_edits_chance_draws_the_mapping_says_what_is_shown(edited, host, seed):
    """Only edits of time, two of them, so that the numbers stay readable."""
    random = np.random.default_rng(seed)
    start, length, at = random.uniform((0.1, 0.2, 0), (1.0, 0.9, 2))
    times = {
        0: Speed(float(random.choice([0.37, 0.75, 1.3, 1.9]))),
        1: CutOut(start, start + length),
        2: Clip(start, start + length),
        3: HideIn(host, at),
        4: Intro(at + 0.01),
    }
    chosen = sorted(random.choice(5, 2, replace=False).tolist())
    frames, copy = edited(*(times[index] for index in chosen))
    shown = indices_of(frames)
    assert sum(0 <= index < NUM_FRAMES for index in shown) > 3
    assert held_to(copy.mapping, shown, RATE, slack=1)
    assert not held_to(
        [(here, Segment(there.start + 0.2, there.end + 0.2)) for here, there in copy.mapping], shown, RATE
    )


# -- pictures --------------------------------------------------------------------------------------------------------


def test_flip_mirrors_and_twice_is_nothing(edited):
    frames, copy = edited(Flip())
    assert indices_of(frames[:, :, ::-1]) == list(range(60))
    assert copy.mapping[0][0] == copy.mapping[0][1]
    assert indices_of(edited(Flip(), Flip())[0]) == list(range(60))


def test_resize_keeps_the_picture_and_its_aspect(edited):
    frames, _ = edited(Resize(24))
    assert frames.shape[1:] == (24, 40, 3) and indices_of(frames) == list(range(60))
    frames, _ = edited(Resize(96))
    assert frames.shape[1:] == (96, 160, 3) and indices_of(frames) == list(range(60))


def test_a_crop_is_a_window():
    pixels = np.arange(100 * 200 * 3).reshape(100, 200, 3).astype(np.uint8)
    np.testing.assert_array_equal(Crop(0.5).picture(pixels, 0), pixels[25:75, 50:150])
    np.testing.assert_array_equal(Crop(0.5, (0, 1)).picture(pixels, 0), pixels[:50, 100:])
    np.testing.assert_array_equal(Crop(1.0).picture(pixels, 0), pixels)


@pytest.mark.parametrize(("kind", "axis"), [("letterbox", 0), ("pillarbox", 1)])
def test_bars_have_the_stated_share_and_the_picture_is_whole(kind, axis, edited):
    pixels = np.full((90, 120, 3), 200, np.uint8)
    framed = BlackBars(0.25, kind, (0, 0, 7)).picture(pixels, 0)
    is_bar = (framed == (0, 0, 7)).all(axis=(1 - axis, 2))
    assert is_bar.mean() == pytest.approx(0.25)
    assert is_bar[: is_bar.sum() // 2].all() and is_bar[-(is_bar.sum() // 2) :].all()
    assert (framed == 200).all(axis=2).sum() == 90 * 120
    frames, _ = edited(BlackBars(0.25, kind))
    inside = frames[:, 8:56] if axis == 0 else frames[:, :, 14:94]
    assert indices_of(inside) == list(range(60))


def test_grey_has_equal_channels_and_keeps_light():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    grey = Grey().picture(pixels, 0)
    assert (grey == grey[..., :1]).all()
    np.testing.assert_allclose(grey[..., 0], pixels @ [0.299, 0.587, 0.114], atol=1)


def test_sepia_is_a_matrix_of_colours():
    grey = np.full((4, 4, 3), 100, np.uint8)
    np.testing.assert_array_equal(Sepia().picture(grey, 0)[0, 0], [135, 120, 94])  # 100 * (1.351, 1.203, 0.937)
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    np.testing.assert_allclose(Sepia().picture(red, 0)[0, 0], [79, 70, 54], atol=1)


def test_light_and_contrast_by_head():
    pixels = np.array([[[0, 100, 250]]], np.uint8)
    assert Brightness(1.2, 10).picture(pixels, 0).tolist() == [[[10, 130, 255]]]
    assert Contrast(0.5).picture(pixels, 0).tolist() == [[[64, 114, 189]]]


def test_blur_spreads_a_point_by_its_sigma():
    pixels = np.zeros((61, 61, 3), np.uint8)
    pixels[30, 30] = 255
    pixels[28:33, 28:33] = 255
    blurred = Blur(3.0).picture(pixels, 0)[..., 0].astype(float)
    places = np.arange(61) - 30
    spread = (blurred.sum(axis=0) * places**2).sum() / blurred.sum()
    assert spread == pytest.approx(3.0**2 + 2.0, rel=0.25)  # variances add: a box of 5 pixels has (25 - 1) / 12 = 2


def test_noise_has_its_strength_and_each_picture_its_own():
    pixels = np.full((120, 160, 3), 128, np.uint8)
    first, second = (Noise(8, seed=3).picture(pixels, number).astype(float) - 128 for number in (0, 1))
    assert first.std() == pytest.approx(8, rel=0.05) and abs(first.mean()) < 0.5
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05
    np.testing.assert_array_equal(Noise(8, seed=3).picture(pixels, 1).astype(float) - 128, second)


@pytest.mark.parametrize("corner", ["top-left", "top-right", "bottom-left", "bottom-right"])
def test_a_logo_changes_its_corner_and_nothing_else(corner):
    pixels = np.full((100, 160, 3), 90, np.uint8)
    marked = Logo(corner, 0.3, seed=5).picture(pixels, 0)
    rows, columns = np.nonzero((marked != pixels).any(axis=2))
    assert len(rows) > 0.3 * 30 * 30
    assert rows.max() - rows.min() < 30 and columns.max() - columns.min() < 30
    assert (rows.max() < 50) == corner.startswith("top") and (columns.max() < 80) == corner.endswith("left")
    faint = Logo(corner, 0.3, opacity=0.5, seed=5).picture(pixels, 0)
    np.testing.assert_allclose(faint, (marked.astype(float) + pixels) / 2, atol=1)
    assert (Logo(corner, 0.3, seed=6).picture(pixels, 0) != marked).any()


@pytest.mark.parametrize("size", [(2, 2), (3, 5), (48, 80), (51, 83), (200, 16)])
def test_every_edit_of_pictures_takes_any_size(size):
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    edits: list[PictureEdit] = [
        *(Resize(8), Crop(0.5, (1, 0)), Flip(), Logo(), BlackBars(0.1), BlackBars(0.9, "pillarbox"), Grey()),
        *(Brightness(2, -5), Contrast(1.5), Sepia(), Blur(2), Noise(10)),
    ]
    for edit in edits:
        before = pixels.copy()
        changed = edit.picture(pixels, 0)
        assert changed.dtype == np.uint8 and changed.ndim == 3 and min(changed.shape) >= 1, edit.name
        np.testing.assert_array_equal(pixels, before, err_msg=edit.name)


def test_coarser_coding_makes_a_smaller_file(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (10, 64, 64, 3), dtype=np.uint8)
    write_video(tmp_path / "noise.mp4", frames, 10, options={"crf": "5"})
    fine, coarse = (apply(tmp_path / "noise.mp4", [Reencode(crf)], tmp_path / f"{crf}.mp4").path for crf in (20, 45))
    assert coarse.stat().st_size < fine.stat().st_size / 3


def test_a_picture_of_another_aspect_loses_its_edges():
    pixels = picture(code(7), 96, 320)
    assert number_of(filled(pixels[:, 80:240], (48, 80))) == number_of(filled(pixels, (48, 80)))
    assert filled(pixels, (31, 17)).shape == (31, 17, 3)


def test_pictures_of_folders_and_smaller_sources(tmp_path, edited):
    from PIL import Image

    (tmp_path / "frames").mkdir()
    for index in range(20):
        Image.fromarray(picture(code(index), 96, 160)).save(tmp_path / "frames" / f"{index}.png")
    frames, copy = edited(CutOut(0.5, 1.0), path=tmp_path / "frames", image_rate=10, short_side=48)
    assert frames.shape[1:] == (48, 80, 3)
    assert indices_of(frames) == [*range(5), *range(10, 20)]
    assert copy.frame_rate == 10


def test_joined_videos_follow_each_other(tmp_path, source, host):
    join([source, host, source], tmp_path / "long.mp4", 6.0, (48, 80), RATE)
    frames = frames_of(tmp_path / "long.mp4")
    assert indices_of(frames) == [*range(60), *range(500, 560), *range(30)]
    with pytest.raises(BadInput, match=r"last 2\.4 s together"):
        join([source], tmp_path / "short.mp4", 6.0, (48, 80), RATE)


# -- what cannot be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("edit", [CutOut(2.4, 3), Clip(5, 6)])
def test_times_behind_the_end_are_refused(edited, edit, tmp_path):
    with pytest.raises(BadInput, match=r"there are 2\.4 s"):
        edited(edit)
    assert not list(tmp_path.iterdir())


def test_a_place_behind_the_hosts_end_is_refused(edited, host):
    with pytest.raises(BadInput, match=r"host\.mp4 lasts 2\.4 s"):
        edited(HideIn(host, 7))


def test_nothing_left_is_refused(edited):
    with pytest.raises(BadInput, match=r"Nothing of .* is left after these edits: cut out 0-9 s"):
        edited(CutOut(0, 9))


def test_a_broken_source_or_host_is_named(tmp_path, edited):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(BadVideo, match="broken"):
        edited(Flip(), path=tmp_path / "broken.mp4")
    with pytest.raises(BadVideo, match="broken"):
        edited(HideIn(tmp_path / "broken.mp4", 1))


@pytest.mark.parametrize(
    "make",
    [
        *(lambda: Speed(0), lambda: CutOut(3, 2), lambda: Clip(-1, 2), lambda: Crop(0), lambda: Crop(0.5, (2, 0))),
        *(lambda: Logo("middle"), lambda: BlackBars(1), lambda: BlackBars(0.5, "frame"), lambda: Reencode(60)),
        *(lambda: Intro(0), lambda: HideIn(Path("a"), -1), lambda: HideIn(Path("a"), 5, length=4), lambda: Blur(-1)),
    ],
)
def test_impossible_edits_are_refused_where_they_are_made(make):
    with pytest.raises(ValueError, match=r"must|expected"):
        make()


# -- drawn by chance -------------------------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_edits():
    assert random_edits(3, 20.0) == random_edits(3, 20.0)
    assert fingerprint(random_edits(3, 20.0)) == fingerprint(random_edits(3, 20.0))
    assert len({fingerprint(random_edits(seed, 20.0)) for seed in range(200)}) == 200


@pytest.mark.parametrize("strength", ["mild", "strong"])
def test_two_to_four_edits_of_different_kinds_and_every_kind_comes(strength):
    hosts = [Path("a.mp4"), Path("b.mp4")]
    drawn = [random_edits((1, seed), 12.0, strength=strength, hosts=hosts) for seed in range(400)]
    assert {len(edits) for edits in drawn} == {2, 3, 4}
    for edits in drawn:
        assert len({type(edit) for edit in edits}) == len(edits)
        json.dumps([edit.to_dict() for edit in edits])
    kinds = {type(edit) for edits in drawn for edit in edits}
    assert kinds == {
        *(Reencode, Resize, Crop, Flip, Speed, Logo, BlackBars, Brightness, Contrast, Grey, Sepia, Blur, Noise),
        *(CutOut, Clip, Intro, HideIn),
    }
    timed = sum(any(isinstance(edit, (CutOut, Clip, Speed)) for edit in edits) for edits in drawn)
    assert 0.3 < timed / len(drawn) < 0.7
    assert len(KINDS) == 8


def test_strong_edits_take_more_away():
    def lost(strength) -> float:
        cuts = [e for s in range(400) for e in random_edits(s, 10.0, strength=strength) if isinstance(e, CutOut)]
        return float(np.mean([cut.end - cut.start for cut in cuts]))

    assert 1.0 <= lost("mild") <= 2.5 <= lost("strong") <= 5.0


@pytest.mark.parametrize("duration", [0.04, 0.5, 2.4])
@pytest.mark.parametrize("strength", ["mild", "strong"])
def test_what_chance_draws_fits_videos_of_any_length(tmp_path, duration, strength):
    num_frames = round(duration * RATE)
    path = encode(tmp_path / "short.mp4", "libx264", num_frames=num_frames)
    for seed in range(8):
        copy = apply(path, random_edits(seed, duration, strength=strength), tmp_path / "copy.mp4")
        assert copy.mapping and copy.duration > 0
        for here, there in copy.mapping:
            assert 0 <= here.start < here.end <= copy.duration + 1e-6
            assert 0 <= there.start < there.end <= duration + 1e-6
