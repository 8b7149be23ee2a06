"""What trained video networks look at, and how their kernels spread along time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidlang.core import BadInput, Progress, VideoInfo
from vidlang.report.kernels import DrawnLayer, kernels_png
from vidlang.report.masks import MAX_ROWS, Pixels, SheetRow, over_map, sheet_png
from vidlang.store.atomic import write_bytes
from vidlang.store.names import safe_component
from vidlang.store.workspace import Workspace
from vidlang.video.clips import uniform_starts
from vidlang.video.reader import FrameBatch, VideoReader, open_video
from vidlang.video.source import scaled_size
from vidlang.video.writer import write_video
from vidlang.workflows.fame import OneVideo, windows_of
from vidlang.workflows.targets import check_target, results_folder
from vidlang.workflows.video_networks import Network, find_network

if TYPE_CHECKING:
    from torch import Tensor

    from vidlang.methods.fame.kernels import KernelSpread
    from vidlang.methods.fame.predict import Predictor

WEIGHTS_ENDINGS = (".png",)
CAM_ENDINGS = (".mp4", ".png")


# -- activation maps -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CamReport:
    """Activation maps of one video."""

    video: VideoInfo
    windows: tuple[tuple[tuple[int, int], tuple[float, float]], ...]
    """Frames and seconds of each clip that the network saw, half-open."""
    file: Path
    made_by: dict[str, Any]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "schema": "vidlang.fame_cam/1",
            "made_by": self.made_by,
            "video": self.video.id,
            "size": list(self.video.size),
            "file": str(self.file),
            "windows": [{"frames": list(f), "seconds": [round(t, 4) for t in s]} for f, s in self.windows],
            "notes": list(self.notes),
        }


def show_activations(
    path: Path,
    workspace: Workspace,
    checkpoint: str | None,
    *,
    out: Path | None = None,
    size: int | None = None,
    frame_rate: float | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> CamReport:
    """Where a video network looks, over the frames of a video: its last feature map, without regard to classes.

    The network sees clips as in its training, but whole frames, whose shorter side is that of its square. Each clip's
    map goes from 0 at its least to 1 at its largest value, so strengths of different clips do not compare.

    size: pixels that the shorter side of what is written is brought down to    frame_rate: of a folder of images

    Raises:
        BadInput, UnknownName, BadCheckpoint, BadVideo: the target, the network or the video cannot be used.
    """
    progress = progress or Progress()
    if not path.exists():
        raise BadInput(f"{path} does not exist (here: {Path.cwd()}).")
    target = out or results_folder(workspace, "fame-cam") / f"{safe_component(path.name or path.resolve().name)}.mp4"
    check_target(target, [path], CAM_ENDINGS)
    network = find_network(workspace, checkpoint)
    predictor = network.predictor(_device_name(device))
    config = network.config
    with (
        open_video(path, short_side=size, frame_rate=frame_rate) as reader,
        progress.task("look", total=1, unit="video") as task,
        OneVideo(task) as told,
    ):
        notes = _CamNotes(reader, config.num_frames * config.step)
        shown = _activations(reader, predictor, notes, told)
        if target.suffix.lower() == ".mp4":
            write_video(target, shown, reader.info.frame_rate)
        else:
            for _ in shown:
                pass
            write_bytes(target, _cam_sheet(reader.info, notes.rows, network))
        made_by = {
            "method": "fame",
            "checkpoint": network.name,
            "arch": config.arch,
            "num_frames": config.num_frames,
            "step": config.step,
            "crop_size": config.crop_size,
        }
        return CamReport(reader.info, tuple(notes.windows), target, made_by, (*network.notes, *reader.warnings))


class _CamNotes:
    """The windows that have passed, and the pictures of some that lie evenly over the video."""

    def __init__(self, reader: VideoReader, window: int) -> None:
        self.window = window
        self.windows: list[tuple[tuple[int, int], tuple[float, float]]] = []
        self.rows: list[SheetRow] = []
        num_windows = max(1, -(-reader.info.num_frames // window))
        self._wanted = set(uniform_starts(num_windows, min(MAX_ROWS, num_windows)).tolist())

    def add(self, batch: FrameBatch, activation: NDArray[np.float32]) -> None:
        """activation: [N, h, w] of each frame"""
        seconds = (float(batch.seconds[0, 0]), float(batch.seconds[-1, 1]))
        if len(self.windows) in self._wanted:
            middle = len(batch) // 2
            frame = batch.frames[middle].copy()
            full = _enlarged(activation[middle], (frame.shape[0], frame.shape[1]))
            self.rows.append(SheetRow(*seconds, frame, full, over_map(frame, full)))
        self.windows.append(((int(batch.indices[0]), int(batch.indices[-1]) + 1), seconds))


def _activations(reader: VideoReader, predictor: Predictor, notes: _CamNotes, told: OneVideo) -> Iterator[Pixels]:
    """The frames under their maps; windows are noted as they pass."""
    for batch in windows_of(reader, notes.window):
        activation = activation_of(batch.frames, predictor)
        notes.add(batch, activation)
        for frame, values in zip(batch.frames, activation, strict=True):
            yield over_map(frame, _enlarged(values, (frame.shape[0], frame.shape[1])))
        told.passed(int(batch.indices[-1]) + 1, reader.info.num_frames)


def activation_of(frames: Pixels, predictor: Predictor) -> NDArray[np.float32]:
    """The activation map of one clip, for each of its frames.

    frames: [N, H, W, 3], a window of the network, or what is left of the video
    returns: [N, h, w] in 0..1, at the size that the network saw

    The network's frames come from evenly spaced places: every ``step``-th of a whole window, as in training.
    """
    import torch

    from vidlang.methods.fame.augment import normalise, resize
    from vidlang.methods.fame.cam import activation_map

    kept = np.arange(predictor.config.num_frames) * len(frames) // predictor.config.num_frames
    pixels: Tensor = torch.from_numpy(frames[kept]).permute(3, 0, 1, 2).to(predictor.device).float() / 255
    height, width = _network_size((frames.shape[1], frames.shape[2]), predictor.config.crop_size)
    with torch.no_grad():
        maps = predictor.network.maps(normalise(resize(pixels, height, width, antialias=True)[None]))
        found: NDArray[np.float32] = activation_map(maps, len(frames), (height, width))[0].cpu().numpy()
    return found


def _network_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(height, width) whose shorter side is ``side``, larger or smaller than it was."""
    if min(size) > side:
        return scaled_size(size, side)
    scale = side / min(size)
    return round(size[0] * scale), round(size[1] * scale)


def _enlarged(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """[h, w] → [H, W], bilinear."""
    import torch
    import torch.nn.functional as F

    full: NDArray[np.float32] = F.interpolate(torch.from_numpy(values)[None, None], size, mode="bilinear")[0, 0].numpy()
    return full


def _cam_sheet(info: VideoInfo, rows: Sequence[SheetRow], network: Network) -> bytes:
    title = f"{info.id}: where {network.name} ({network.config.arch}) looks"
    return sheet_png(title, ("frame", "activation", "both"), rows, length=info.duration)


def _device_name(device: str) -> str:
    from vidlang.nn.device import choose_device

    return str(choose_device(device))


# -- temporal kernels ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WeightsReport:
    """Temporal kernels of one network, or of two layer by layer."""

    networks: tuple[str, ...]
    arch: str
    layers: tuple[tuple[KernelSpread, ...], ...]
    """For each layer a value for each network."""
    plot: Path | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "schema": "vidlang.fame_weights/1",
            "arch": self.arch,
            "checkpoints": list(self.networks),
            "layers": [
                {
                    "layer": spreads[0].layer,
                    "shape": list(spreads[0].shape),
                    "measured": spreads[0].measured,
                    "edges": [float(edge) for edge in spreads[0].edges],
                    "spreads": [
                        {
                            "mean": spread.mean,
                            "std": spread.std,
                            "mean_abs": spread.mean_abs,
                            "near_zero": spread.near_zero,
                            "change": spread.change,
                            "histogram": [int(count) for count in spread.histogram],
                        }
                        for spread in spreads
                    ],
                }
                for spreads in self.layers
            ],
            "plot": None if self.plot is None else str(self.plot),
            "notes": list(self.notes),
        }


def measure_kernels(
    workspace: Workspace, checkpoint: str, other: str | None = None, *, plot: Path | None = None
) -> WeightsReport:
    """How widely the temporal kernels of a network spread, layer by layer, beside those of another one.

    Raises:
        BadInput, UnknownName, BadCheckpoint: a network cannot be used, two have different layers, or the picture cannot
        be written.
    """
    from vidlang.methods.fame.kernels import compare_kernels, temporal_kernels

    if plot is not None:
        check_target(plot, [], WEIGHTS_ENDINGS)
    networks = [find_network(workspace, name) for name in (checkpoint, other) if name is not None]
    states = [network.predictor("cpu").network.state_dict() for network in networks]
    layers: list[tuple[KernelSpread, ...]]
    if len(states) == 1:
        layers = [(spread,) for spread in temporal_kernels(states[0])]
    else:
        layers = [(pair.first, pair.second) for pair in compare_kernels(*states)]
    names = tuple(network.name for network in networks)
    arch = networks[0].config.arch
    if plot is not None:
        drawn = [
            DrawnLayer(s[0].layer, tuple(x.std for x in s), tuple(x.histogram for x in s), s[0].edges) for s in layers
        ]
        write_bytes(plot, kernels_png(names, drawn, title=f"temporal kernels of {arch}: {layers[0][0].measured}"))
    return WeightsReport(names, arch, tuple(layers), plot, tuple(note for n in networks for note in n.notes))
