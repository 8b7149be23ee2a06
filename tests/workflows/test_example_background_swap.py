"""The background-swap example: what is said of its films is true, and its shares are those of known networks."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vidlang.core import BadInput
from vidlang.methods.fame.config import preset

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "background_swap"
SIDE = 48


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """``run`` with ``films`` inside, imported as when it is started as a script."""
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module("run")
    finally:
        sys.path.remove(str(FOLDER))
        for name in ("run", "films"):
            sys.modules.pop(name, None)


def places(example, number: int, folder: str = "a") -> list:
    """Still grounds of one grey each."""
    shades = np.linspace(40, 200, number).astype(np.uint8)
    frames = [np.full((5, SIDE, SIDE, 3), shade, dtype=np.uint8) for shade in shades]
    return [example.Footage(f"{folder}/{index:02}.mp4", pixels) for index, pixels in enumerate(frames)]


def test_a_film_shows_its_motion_before_its_footage(example):
    [place] = places(example, 1)
    for motion in example.MOTIONS:
        shown = example.film(motion, place, np.random.default_rng(3)).astype(int)
        assert shown.shape == (example.NUM_FRAMES, SIDE, SIDE, 3)
        person = abs(shown - 40).max(axis=-1) > 12  # beyond the noise
        assert 0.02 < person.mean() < 0.5, motion
        assert (person[0] ^ person[8]).mean() > 0.003, motion  # it moves
    films = example.film.__globals__

    def place_at(motion: str, seconds: float) -> float:
        return films["performer"](motion, SIDE, 44.0, np.random.default_rng(1)).at(seconds)[0]

    moved = {motion: abs(place_at(motion, 1.3) - place_at(motion, 1.2)) for motion in example.MOTIONS}
    assert [motion for motion in example.MOTIONS if moved[motion]] == ["walk", "run"]  # the others keep their place
    assert moved["run"] == pytest.approx(moved["walk"] * 2.3 / 0.8)


def test_footage_turns_at_its_ends(example):
    frames = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), dtype=np.uint8)
    assert example.Footage("x", frames).from_frame(2, 8)[:, 0, 0, 0].tolist() == [2, 3, 2, 1, 0, 1, 2, 3]
    assert example.Footage("x", frames[:1]).from_frame(0, 3).max() == 0


def test_places_of_training_and_tests_differ_and_do_not_touch(example):
    footage = [*places(example, 20, "a"), *places(example, 20, "b")]
    train, test = example.split_footage(footage, 6)
    numbers = {folder: [int(p.name[2:4]) for p in train if p.name.startswith(folder)] for folder in "ab"}
    tests = {folder: [int(p.name[2:4]) for p in test if p.name.startswith(folder)] for folder in "ab"}
    assert len(train) == 24 and len(test) == 6
    assert all(max(numbers[folder]) + 1 < min(tests[folder]) for folder in "ab")
    with pytest.raises(BadInput, match="6 places to test are needed"):
        example.split_footage(places(example, 9), 6)


@pytest.fixture
def noise(example, monkeypatch) -> None:
    """Films that take no time: noise."""

    def film(motion: str, footage: object, random: np.random.Generator) -> np.ndarray:
        return random.integers(0, 256, (example.NUM_FRAMES, SIDE, SIDE, 3), dtype=np.uint8)

    monkeypatch.setattr(example, "film", film)


class Brightness:
    """A network that sees how light a film is."""

    def video_feature(self, clips: np.ndarray) -> np.ndarray:
        assert clips.shape == (4, 3, 8, SIDE, SIDE) and clips.dtype == np.uint8
        return np.array([clips.mean(), 1.0])


def test_networks_of_known_knowledge_get_known_shares(example, noise):
    films = example.training_films(places(example, 12), seed=0)
    grids = example.test_grids(places(example, 12), seed=0)
    assert len(grids) == 2 and all(len(grid.films) == 72 for grid in grids)
    for name, by in (("motions", 1.0), ("backgrounds", 0.0)):
        learned = np.eye(6)[getattr(films, name) % 6]
        found = example.judge(learned, films, [np.eye(6)[getattr(grid, name)] for grid in grids], grids)
        assert (found["by motion"], found["by background"], found["motion nearer"]) == (by, 1 - by, by)
        assert found["margin"] == pytest.approx(1.2 * (2 * by - 1), abs=0.01)  # cosines 1 and -1/5 about the centre
    assert example.judge(np.eye(6)[films.motions], films, [np.eye(6)[g.motions] for g in grids], grids)[
        "motion probe"
    ] == pytest.approx(1.0)
    rows = example.vectors(Brightness(), films.films[:2], preset("small"))
    assert rows.shape == (2, 2) and rows[0, 0] == pytest.approx(127.5, abs=1)


def test_batches_hold_two_windows_of_each_film_and_depend_on_seed_and_epoch_alone(example, noise):
    films = example.training_films(places(example, 7), seed=0)
    assert len(films.films) >= example.LEAST_FILMS
    for place in range(7):
        assert len(set(films.motions[films.backgrounds == place].tolist())) == 1
    source = example.Source(films, preset("small"))
    first, again, other = list(source(0)), list(source(0)), list(source(1))
    assert first[0].clips.shape == (16, 2, 3, 8, SIDE, SIDE)
    assert all(np.array_equal(a.clips, b.clips) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].indices, other[0].indices)
    one = films.films[first[0].indices[0]]
    windows = [example.window(one, start, preset("small")) for start in range(example.num_windows(preset("small")))]
    assert all(any(np.array_equal(view, each) for each in windows) for view in first[0].clips[0])
