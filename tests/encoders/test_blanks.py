"""Blank frames, seen by the bundled encoder."""

from __future__ import annotations

import numpy as np
import pytest

from vidlang.encoders.blanks import CARDS, COLOURS, GRAIN, LEVELS, TEXTS, blank_frames
from vidlang.encoders.clip import load_encoder


def test_every_kind_is_there_and_they_are_the_same_at_every_call():
    frames = blank_frames(64)
    plain = len(LEVELS) + len(COLOURS)
    coarse = len(LEVELS) * len(GRAIN)
    assert frames.shape == (plain * (1 + len(GRAIN)) + coarse + 9 + len(CARDS) * len(TEXTS), 64, 64, 3)
    assert frames.dtype == np.uint8
    assert np.array_equal(frames, blank_frames(64))


@pytest.mark.parametrize("side", [112, 224, 336])
def test_cards_carry_letters_that_stay_inside(side):
    cards = blank_frames(side)[-len(CARDS) * len(TEXTS) :]
    for card in cards:
        ground = card[0, 0]
        assert (card[0] == ground).all() and (card[:, 0] == ground).all() and (card[:, -1] == ground).all()
        assert (card != ground).any()


def test_a_noisy_black_frame_is_blank_to_the_bundled_encoder_and_a_picture_is_not():
    encoder = load_encoder("mini", device="cpu")
    random = np.random.default_rng(5)
    black = np.clip(random.normal(6, 4, (1, 90, 160, 3)), 0, 255).astype(np.uint8)
    blocks = random.integers(0, 256, (1, 6, 8, 3)).repeat(20, 1).repeat(20, 2).astype(np.uint8)

    def unit(rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    blanks = unit(encoder.encode_frames(blank_frames(encoder.image_size)))
    assert (unit(encoder.encode_frames(black)) @ blanks.T).max() > 0.95
    assert (unit(encoder.encode_frames(blocks)) @ blanks.T).max() < 0.8
