"""Which files train the mini encoder and which only judge it; the one place where the two are told apart."""

from __future__ import annotations

import re
from pathlib import Path

TRAIN_LAST = 70  # surv_fight files 1..70 of each class train the encoder
TEST_FIRST = 73  # 73..100 judge it; 71 and 72 are left out as a gap between the two
HELD_OUT_FIRST = 71

# clip file → concept of captions.CONCEPTS, None where the clip only serves image distillation.
# Left out on purpose: highway_* (CC BY-NC), charades.mp4 and signs/ (held out), bmx/ (no stated licence).
TRAIN_CLIPS: dict[str, str | None] = {
    "arm_wrestling_broken_end.mp4": "arm wrestling",
    "av1_video.mkv": None,
    "bears.mp4": "bears",
    "car-detection.mp4": "traffic",
    "cars_mpeg4.avi": "traffic",
    "dog_walking.mp4": "dog walking",
    "flipping_a_pancake.mkv": "cooking",
    "h265_10bits.mp4": None,
    "nasa.mp4": None,
    "one-by-one-person-detection.mp4": "person walking",
    "orangutan.mp4": "orangutan",
    "pedestrians_vtest.mp4": "pedestrians",
    "pool_cleaning.mp4": "pool cleaning",
    "short_part0.mp4": None,
    "ucf101_makeup.avi": "makeup",
    "weightlifting.mp4": "weightlifting",
}


def surv_number(path: Path) -> int:
    """Number of a surv_fight file: ``nofi071.mp4`` → 71."""
    match = re.search(r"(\d+)$", path.stem)
    if match is None:
        raise ValueError(f"{path.name} carries no number: expected fi001.mp4 or nofi001.mp4")
    return int(match.group(1))


def surv_videos(data: Path, first: int, last: int) -> list[tuple[Path, int]]:
    """Files of surv_fight numbered first..last with their label, 1 for a fight."""
    return [
        (path, int(path.name.startswith("fi")))
        for path in sorted((data / "surv_fight").glob("*/*.mp4"))
        if first <= surv_number(path) <= last
    ]


def training_videos(data: Path) -> list[tuple[Path, str | None]]:
    """Every video that may train the encoder, with its caption concept."""
    surv = [(path, "fight" if label else "normal") for path, label in surv_videos(data, 1, TRAIN_LAST)]
    clips = [(data / "clips" / name, concept) for name, concept in TRAIN_CLIPS.items()]
    return [*surv, *clips]


def held_out_videos(data: Path) -> list[Path]:
    """Every video that is never shown in training."""
    surv = [path for path, _ in surv_videos(data, HELD_OUT_FIRST, 10_000)]
    return [
        *surv,
        *sorted((data / "near_dup").glob("*.mp4")),
        data / "clips" / "charades.mp4",
        *sorted((data / "clips" / "signs").glob("*.mkv")),
    ]


# text → the one video of clips/ and near_dup/ that it means; of the last three no frame was trained on
RETRIEVAL_TEXTS = {
    "a man lifting weights": "weightlifting.mp4",
    "a person walking a dog": "dog_walking.mp4",
    "bears": "bears.mp4",
    "an orangutan": "orangutan.mp4",
    "cooking a pancake": "flipping_a_pancake.mkv",
    "cleaning a swimming pool": "pool_cleaning.mp4",
    "two men arm wrestling": "arm_wrestling_broken_end.mp4",
    "cars in a parking lot": "car-detection.mp4",
    "cars on a highway": "highway_mpeg4.avi",
    "a chair": "chair-orig-22-sd-bar.mp4",
    "a person in a kitchen": "charades.mp4",
}
