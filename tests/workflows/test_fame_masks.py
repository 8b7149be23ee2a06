"""Motion masks of videos, merged videos, activation maps and kernels: from files to files, by known endings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from vidlang.core import BadCheckpoint, BadInput, BadVideo
from vidlang.methods.fame.backbones import build_backbone
from vidlang.methods.fame.config import FameConfig
from vidlang.methods.fame.options import MaskOptions
from vidlang.methods.fame.predict import Predictor
from vidlang.methods.fame.windows import mask_frames
from vidlang.report.masks import SheetRow
from vidlang.store.checkpoints import ClipCheckpoint, ModelRegistry, write_torch_state
from vidlang.store.mask_file import MaskFile
from vidlang.store.video_backbones import ClipRecipe
from vidlang.video.reader import VideoReader, open_video
from vidlang.workflows.fame import WindowFacts, windows_of
from vidlang.workflows.fame_mask import MaskVideoOptions, mask_videos
from vidlang.workflows.fame_merge import Background, MergeOptions, merge_videos
from vidlang.workflows.fame_networks import activation_of, measure_kernels, show_activations

HEIGHT, WIDTH = 48, 64
RATE = 10.0
SEED = MaskOptions(method="seed", beta=0.2)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes frames as a folder of PNGs, which come back as they are."""

    def write(name: str, frames: list[np.ndarray]) -> Path:
        path = tmp_path / name
        path.mkdir()
        for index, frame in enumerate(frames):
            Image.fromarray(frame).save(path / f"{index:04}.png")
        return path

    return write


def moving(num_frames: int, shade: int = 40) -> list[np.ndarray]:
    """A bright square that goes right over a plain ground, two pixels a frame, from the left edge again at the end."""
    frames = []
    for index in range(num_frames):
        frame = np.full((HEIGHT, WIDTH, 3), shade, dtype=np.uint8)
        left = 2 * index % (WIDTH - 10)
        frame[20:30, left : left + 10] = (230, 60, 30)
        frames.append(frame)
    return frames


def still(num_frames: int) -> list[np.ndarray]:
    ground = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return [ground] * num_frames


def frames_of(path: Path, rate: float | None = None) -> np.ndarray:
    """[N, H, W, 3]"""
    with open_video(path, frame_rate=rate) as reader:
        return np.concatenate([batch.frames for batch in reader.read()])


# -- windows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_frames", "spans"),
    [
        (4, [(0, 4)]),
        (8, [(0, 4), (4, 8)]),
        (9, [(0, 4), (4, 9)]),
        (10, [(0, 4), (4, 8), (8, 10)]),
        (2, [(0, 2)]),
        (5, [(0, 5)]),
    ],
)
def test_a_last_frame_joins_the_window_before(folder, num_frames, spans):
    path = folder("v", moving(num_frames))
    with open_video(path, frame_rate=RATE) as reader:
        windows = list(windows_of(reader, 4))
    assert [(int(w.indices[0]), int(w.indices[-1]) + 1) for w in windows] == spans
    assert np.array_equal(np.concatenate([w.frames for w in windows]), moving(num_frames))
    assert [tuple(w.seconds[[0, -1], [0, 1]].round(6)) for w in windows] == [(a / RATE, b / RATE) for a, b in spans]


def test_one_frame_does_not_move(folder):
    path = folder("v", moving(1))
    with open_video(path) as reader, pytest.raises(BadVideo, match="v has one frame"):
        list(windows_of(reader, 16))


def test_no_more_than_two_windows_are_read_ahead(folder, monkeypatch):
    path, asked = folder("v", moving(40)), 0
    plain = VideoReader.read

    def counted(self: VideoReader, batch_size: int = 32) -> Iterator[object]:
        nonlocal asked
        for batch in plain(self, batch_size):
            asked += 1
            yield batch

    monkeypatch.setattr(VideoReader, "read", counted)
    with open_video(path, frame_rate=RATE) as reader:
        for number, _ in enumerate(windows_of(reader, 4), start=1):
            assert asked <= number + 1
    assert asked == 10


# -- masks -----------------------------------------------------------------------------------------------------------


def test_a_file_of_masks_gives_back_any_number_of_any_size(tmp_path):
    rng = np.random.default_rng(0)
    masks = rng.random((5, 7, 11)) < 0.4  # 77 pixels: no whole number of bytes
    facts = [WindowFacts((4 * i, 4 * i + 4), (i / 2, i / 2 + 0.5), 0.4, float(i), i != 3) for i in range(5)]
    with MaskFile(tmp_path / "m.npz") as file:
        for mask in masks:
            file.add(mask)
        file.finish(facts, {"beta": 0.4})
    with np.load(tmp_path / "m.npz", allow_pickle=False) as found:
        assert found["masks"].dtype == np.bool_ and np.array_equal(found["masks"], masks)
        assert found["frames"].tolist() == [[4 * i, 4 * i + 4] for i in range(5)]
        assert found["seconds"].tolist() == [[i / 2, i / 2 + 0.5] for i in range(5)]
        assert found["moves"].tolist() == [True, True, True, False, True]
        assert found["energy"].tolist() == [0, 1, 2, 3, 4] and json.loads(str(found["options"])) == {"beta": 0.4}
    assert [path.name for path in tmp_path.iterdir()] == ["m.npz"]


def test_each_window_has_the_mask_of_its_own_frames(folder, workspace, tmp_path):
    path = folder("v", moving(10))
    out = tmp_path / "m.npz"
    report = mask_videos([path], workspace, MaskVideoOptions(masks=SEED, window=4, out=out, frame_rate=RATE))
    with np.load(out) as found:
        for mask, energy, (first, last) in zip(found["masks"], found["energy"], found["frames"], strict=True):
            own = mask_frames(np.stack(moving(10)[first:last]), SEED)
            assert np.array_equal(mask, own.mask) and mask.sum() == int(0.2 * HEIGHT * WIDTH)
            assert energy == pytest.approx(own.energy * 85)  # 255 grey levels over three channels
        options = json.loads(str(found["options"]))
    assert (options["mask"], options["beta"], options["window"]) == ("seed", 0.2, 4)
    [video] = report.videos
    assert (
        [w.frames for w in video.windows] == [(0, 4), (4, 8), (8, 10)]
        and video.warnings
        == (
            # the rate is given
        )
    )
    assert video.area == pytest.approx(int(0.2 * HEIGHT * WIDTH) / (HEIGHT * WIDTH))


def test_energy_is_grey_levels_by_head(folder, workspace, tmp_path):
    dark, light = (np.full((HEIGHT, WIDTH, 3), shade, dtype=np.uint8) for shade in (100, 106))
    path = folder("v", [dark, light, dark, light])
    report = mask_videos([path], workspace, MaskVideoOptions(masks=SEED, out=tmp_path / "m.png", frame_rate=RATE))
    assert report.videos[0].energy == pytest.approx(6.0, abs=1e-4)


def test_where_nothing_moves_the_mask_is_empty_and_a_warning_counts_the_windows(folder, workspace, tmp_path):
    path = folder("v", [*moving(8), *[moving(8)[-1]] * 8])
    options = MaskVideoOptions(window=4, out=tmp_path / "m.npz", frame_rate=RATE)
    [video] = mask_videos([path], workspace, options).videos
    assert [w.moves for w in video.windows] == [True, True, False, False]
    assert video.warnings == ("no motion in 2 of 4 windows; their masks are empty",)
    with np.load(tmp_path / "m.npz") as found:
        assert found["masks"].any((1, 2)).tolist() == found["moves"].tolist() == [True, True, False, False]


def test_a_sheet_shows_the_windows_that_move_most_in_order_of_time(folder, workspace, tmp_path, monkeypatch):
    drawn: list[SheetRow] = []

    def sheet(title: str, columns: object, rows: list[SheetRow], **_: object) -> bytes:
        assert title.startswith("v: the 6 windows of 9 that move most; seed, beta 0.2")
        drawn.extend(rows)
        return b"drawn"

    monkeypatch.setattr("vidlang.workflows.fame_mask.sheet_png", sheet)
    changes = [5, 0, 30, 10, 40, 0, 50, 20, 60]  # grey levels that change inside each window of two frames
    frames = [shade for change in changes for shade in shades(100, 100 + change)]
    options = MaskVideoOptions(masks=SEED, window=2, out=tmp_path / "m.png", frame_rate=RATE)
    [video] = mask_videos([folder("v", frames)], workspace, options).videos
    assert [round(window.energy) for window in video.windows] == changes
    assert [round(row.start * RATE) // 2 for row in drawn] == [2, 3, 4, 6, 7, 8]
    assert [round(float(row.heat.mean())) for row in drawn] == [30, 10, 40, 50, 20, 60]
    assert (tmp_path / "m.png").read_bytes() == b"drawn"


def test_the_video_shows_the_mask_or_what_moves(folder, workspace, tmp_path):
    path = folder("v", moving(10))
    for plain in (True, False):
        options = MaskVideoOptions(masks=SEED, window=4, out=tmp_path / "m.mp4", plain=plain, frame_rate=RATE)
        mask_videos([path], workspace, options)
        shown = frames_of(tmp_path / "m.mp4").astype(int)
        assert shown.shape == (10, HEIGHT, WIDTH, 3)
        own = mask_frames(np.stack(moving(10)[:4]), SEED).mask
        if plain:
            assert ((shown[1].mean(-1) > 127) == own).mean() > 0.97
        else:
            assert shown[0][~own].mean() == pytest.approx(16, abs=6)  # 0.4 of 40
            assert shown[0][22:28, 2:8].mean(axis=(0, 1)) == pytest.approx([230, 60, 30], abs=30)


def test_a_folder_gets_every_kind_of_every_video_and_a_report(folder, workspace, tmp_path):
    (tmp_path / "videos").mkdir()
    for name in ("a", "b"):
        folder(f"videos/{name}", moving(6))
    options = MaskVideoOptions(kinds=("mp4", "npz", "png"), out=tmp_path / "out", size=24, frame_rate=RATE)
    report = mask_videos([tmp_path / "videos"], workspace, options)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a.mp4", "a.npz", "a.png", "b.mp4", "b.npz", "b.png", "masks.json"]
    written = json.loads((tmp_path / "out" / "masks.json").read_text())
    assert written == json.loads(json.dumps(report.to_dict())) and written["schema"] == "vidlang.fame_mask/1"
    with np.load(tmp_path / "out" / "b.npz") as found:
        assert found["masks"].shape == (1, 24, 32)
    assert frames_of(tmp_path / "out" / "a.mp4").shape == (6, 24, 32, 3)


def test_one_of_several_videos_may_fail_and_a_single_one_says_why(folder, workspace, tmp_path, notes):
    (tmp_path / "videos").mkdir()
    folder("videos/good", moving(6))
    folder("videos/one", moving(1))
    options = MaskVideoOptions(kinds=("png",), out=tmp_path / "out", frame_rate=RATE)
    report = mask_videos([tmp_path / "videos"], workspace, options, notes)
    assert notes.done == {"mask": pytest.approx(2)} and notes.messages[0].startswith("failed: one has one frame")
    assert report.num_failed == 1 and [video.video.id for video in report.videos] == ["good"]
    assert "one has one frame" in report.to_dict()["failed"][0]["reason"]
    with pytest.raises(BadVideo, match="one has one frame"):
        mask_videos([tmp_path / "videos" / "one"], workspace, options)


def test_targets_that_cannot_be_are_refused_before_anything_is_read(folder, workspace, tmp_path):
    path = folder("v", moving(4))
    other = folder("w", moving(4))

    def refused(words: str, *paths: Path, **changes: object) -> None:
        with pytest.raises(BadInput, match=words):
            mask_videos(paths or [path], workspace, MaskVideoOptions(**changes))  # type: ignore[arg-type]

    refused(r"the ending '\.avi'", out=tmp_path / "x.avi")
    refused("one file, and there are 2", path, other, out=tmp_path / "x.mp4")
    refused("among the frames", out=path / "x.png")
    refused("at least 2 frames", window=1)
    refused("--write takes some of mp4, npz, png", kinds=("mp4", "gif"))
    refused("too small for a blur", masks=MaskOptions(crop_size=2000), out=tmp_path / "x.png")
    film = tmp_path / "film.mp4"
    mask_videos([path], workspace, MaskVideoOptions(out=film))
    refused("is the video itself", film, out=film)
    assert not (tmp_path / "x.mp4").exists() and len(list(path.iterdir())) == 4


# -- merging ---------------------------------------------------------------------------------------------------------


def shades(*values: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> list[np.ndarray]:
    return [np.full((*size, 3), value, dtype=np.uint8) for value in values]


def test_a_background_is_shown_by_its_own_clock_and_starts_again(folder):
    path = folder("bg", shades(10, 20, 30, 40))  # a tenth of a second each
    times = np.array([0.0, 0.05, 0.1, 0.35, 0.4, 0.75, 0.8])
    with Background(path, 0.0, MergeOptions(frame_rate=RATE)) as behind:
        shown = behind.at(times, (HEIGHT, WIDTH))[:, 0, 0, 0].tolist()
        assert shown == [10, 10, 20, 40, 10, 40, 10]
        assert behind.at(np.array([0.9]), (HEIGHT, WIDTH))[0, 0, 0, 0] == 20 and behind.num_rounds == 3
        assert behind.notes((HEIGHT, WIDTH)) == ["the background is shorter and starts again 2 times"]
    with Background(path, 0.2, MergeOptions(frame_rate=RATE)) as behind:
        assert behind.at(times, (HEIGHT, WIDTH))[:, 0, 0, 0].tolist() == [30, 30, 40, 20, 30, 20, 30]


def test_a_single_picture_is_a_background_for_ever(folder):
    with Background(folder("bg", shades(77)), 0.0, MergeOptions(frame_rate=RATE)) as behind:
        assert set(behind.at(np.array([0.0, 5.0, 5000.0]), (HEIGHT, WIDTH)).ravel()) == {77}
        assert behind.num_rounds == 1


def test_a_background_fills_the_picture_from_its_middle(folder):
    wide = np.zeros((10, 40, 3), dtype=np.uint8)  # left dark, middle 100, right light
    wide[:, 13:27], wide[:, 27:] = 100, 250
    with Background(folder("bg", [wide]), 0.0, MergeOptions(frame_rate=RATE)) as behind:
        [shown] = behind.at(np.array([0.0]), (HEIGHT, HEIGHT))
        assert shown.shape == (HEIGHT, HEIGHT, 3) and np.abs(shown.astype(int) - 100).max() <= 2
        assert behind.notes((HEIGHT, HEIGHT)) == [
            "the background 40x10 is scaled and cropped around its middle to 48x48"
        ]


def test_what_moves_stands_before_the_other_video(folder, workspace, tmp_path):
    front, back = folder("fg", moving(12)), folder("bg", shades(*range(120, 220, 10)))
    options = MergeOptions(masks=SEED, window=4, out=tmp_path / "m.mp4", frame_rate=RATE)
    report = merge_videos(front, back, workspace, options)
    found = frames_of(tmp_path / "m.mp4").astype(int)
    assert len(found) == 12
    for first in (0, 4, 8):
        own = mask_frames(np.stack(moving(12)[first : first + 4]), SEED).mask
        for index in range(first, first + 4):
            behind = 120 + 10 * (index % 10)
            assert np.median(np.abs(found[index][~own] - behind)) <= 3
            assert np.median(np.abs(found[index][own] - moving(12)[index][own])) <= 6
    assert report.notes == ("the background is shorter and starts again once",) and report.summary.warnings == ()
    plain = report.to_dict()
    assert plain["schema"] == "vidlang.fame_merge/1" and plain["background"] == "bg" and len(plain["windows"]) == 3


def test_where_nothing_moves_frames_stay_unmerged(folder, workspace, tmp_path):
    front, back = folder("fg", shades(*[60] * 8)), folder("bg", shades(200))
    options = MergeOptions(window=4, out=tmp_path / "m.mp4", frame_rate=RATE)
    report = merge_videos(front, back, workspace, options)
    assert np.abs(frames_of(tmp_path / "m.mp4").astype(int) - 60).max() <= 2
    assert report.summary.warnings == ("no motion in 2 of 2 windows; their frames stay unmerged",)


def test_the_same_video_gives_the_background_at_a_drawn_distance(folder, workspace, tmp_path):
    ramp = [frame + np.uint8(3 * index) for index, frame in enumerate(moving(24))]
    path = folder("v", ramp)

    def merged(seed: int) -> tuple[np.ndarray, float]:
        options = MergeOptions(
            masks=SEED, window=4, intra=True, seed=seed, out=tmp_path / f"{seed}.mp4", frame_rate=RATE
        )
        report = merge_videos(path, None, workspace, options)
        [note] = report.notes
        return frames_of(tmp_path / f"{seed}.mp4").astype(int), float(note.split(" s later")[0].split()[-1])

    shown, distance = merged(1)
    assert 0.4 <= distance <= 2.0
    corner = 40 + 3 * int(distance * RATE + 1e-6)  # the first frame's ground is that of the frame so much later
    # the upper rows are in the mask: all of the ground changes alike, and among equals the first are taken
    assert abs(int(np.median(shown[0][-8:, :8])) - corner) <= 3
    again, same = merged(1)
    assert same == distance and np.abs(shown - again).mean() < 1  # the coder's threads may round otherwise
    assert len({merged(seed)[1] for seed in range(1, 5)}) > 1


def test_videos_that_do_not_go_together_are_refused(folder, workspace, tmp_path):
    front, back = folder("fg", moving(6)), folder("bg", shades(1, 2))

    def refused(words: str, *paths: Path | None, **changes: object) -> None:
        with pytest.raises(BadInput, match=words):
            options = {"out": tmp_path / "m.mp4", "frame_rate": RATE, **changes}
            merge_videos(*paths, workspace, MergeOptions(**options))  # type: ignore[arg-type]

    refused("Name a second video", front, None)
    refused("over itself changes nothing", front, front)
    refused("leave the second out", front, back, intra=True)
    refused("needs two windows of 16", front, None, intra=True)
    refused("does not exist", front, tmp_path / "none.mp4")
    refused("what can be written is .mp4", front, back, out=tmp_path / "m.npz")
    refused("among the frames", front, back, out=back / "m.mp4")
    assert not (tmp_path / "m.mp4").exists()


# -- networks --------------------------------------------------------------------------------------------------------


class Bright(nn.Module):
    """A network whose map is the red of what it sees, in cells of 8 by 8 pixels, every second frame."""

    def maps(self, clips: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool3d(clips[:, :1] + 5, (2, 8, 8))


def predictor_of(network: nn.Module, **changes: object) -> Predictor:
    found = Predictor.__new__(Predictor)
    found.network = network  # type: ignore[assignment]
    found.config = FameConfig(num_frames=8, step=2, crop_size=48, short_side=48, **changes)  # type: ignore[arg-type]
    found.device = torch.device("cpu")
    return found


@pytest.mark.parametrize("num_frames", [16, 17, 5])
def test_activation_lies_where_the_network_answers_most(num_frames):
    frames = np.zeros((num_frames, 96, 128, 3), dtype=np.uint8)
    frames[:, 64:, 96:, 0] = 255  # lower right
    found = activation_of(frames, predictor_of(Bright()))
    assert found.shape == (num_frames, 48, 64) and found.min() == 0 and found.max() == 1
    assert (found[:, 40:, 56:] > 0.95).all() and (found[:, :24, :40] < 0.05).all()


def test_activation_follows_time():
    frames = np.zeros((16, 48, 64, 3), dtype=np.uint8)
    frames[8:, ..., 0] = 255
    found = activation_of(frames, predictor_of(Bright())).mean((1, 2))
    assert (found[:6] < 0.1).all() and (found[-6:] > 0.9).all()


def test_maps_are_written_as_video_and_as_sheet(folder, workspace, tmp_path):
    path = folder("v", moving(20))
    for ending in ("mp4", "png"):
        out = tmp_path / f"cam.{ending}"
        report = show_activations(path, workspace, "random", out=out, frame_rate=RATE, device="cpu")
        assert out.is_file() and [frames for frames, _ in report.windows] == [(0, 16), (16, 20)]
    assert frames_of(tmp_path / "cam.mp4").shape == (20, HEIGHT, WIDTH, 3)
    assert report.made_by["arch"] == "tiny" and report.to_dict()["schema"] == "vidlang.fame_cam/1"
    with pytest.raises(BadInput, match=r"what can be written is \.mp4, \.png"):
        show_activations(path, workspace, "random", out=tmp_path / "cam.npz")
    with pytest.raises(BadCheckpoint, match="train fame"):
        show_activations(path, workspace, None, out=tmp_path / "cam.mp4")


def test_kernels_of_two_networks_are_compared_layer_by_layer(workspace, tmp_path):
    torch.manual_seed(0)
    state = build_backbone("tiny").state_dict()
    wide = {name: value * 2 if value.ndim == 5 else value for name, value in state.items()}
    for name, tensors in (("one", state), ("wide", wide)):
        write_torch_state(tmp_path / f"{name}.pth", tensors)
    paths = [str(tmp_path / f"{name}.pth") for name in ("one", "wide")]
    report = measure_kernels(workspace, *paths, plot=tmp_path / "k.png")
    assert report.networks == ("one.pth", "wide.pth") and (tmp_path / "k.png").read_bytes()[:4] == b"\x89PNG"
    for first, second in report.layers:
        assert second.std == pytest.approx(2 * first.std, rel=1e-5) and second.change == pytest.approx(first.change)
        assert first.std == pytest.approx(float(state[first.layer].double().std(correction=0)), rel=1e-6)
    plain = report.to_dict()
    assert plain["schema"] == "vidlang.fame_weights/1" and len(plain["layers"]) == len(report.layers) > 1
    assert [len(layer["spreads"]) for layer in measure_kernels(workspace, paths[0]).to_dict()["layers"]] == [1] * len(
        report.layers
    )
    assert json.loads(json.dumps(plain)) == plain


def test_a_checkpoint_of_the_workspace_is_found_by_its_name_and_the_newest_without(folder, workspace, tmp_path):
    config = FameConfig()
    recipe = ClipRecipe(config.num_frames, config.step, config.crop_size, config.short_side)
    state = build_backbone("tiny", head="embed").state_dict()
    registry = ModelRegistry(workspace.models_dir)
    registry.register(ClipCheckpoint("fame", config.to_dict(), recipe, (), state, extra={"name": "mine"}), "mine")
    assert measure_kernels(workspace, "mine", "random").networks == ("mine", "random")
    path = folder("v", moving(4))
    report = show_activations(path, workspace, None, out=tmp_path / "c.png", frame_rate=RATE, device="cpu")
    assert report.made_by["checkpoint"] == "mine" and report.made_by["num_frames"] == config.num_frames


def test_weights_that_are_none_are_refused(workspace, tmp_path):
    write_torch_state(tmp_path / "other.pth", {"a": torch.zeros(3)})
    with pytest.raises(BadCheckpoint, match="not the weights of a known video network"):
        measure_kernels(workspace, str(tmp_path / "other.pth"))
    with pytest.raises(BadInput, match=r"what can be written is \.png"):
        measure_kernels(workspace, "random", plot=tmp_path / "k.svg")
