"""Videos whose every number follows from one, for tests of the index; loads no torch, so that writers start quickly."""

import numpy as np

from vidlang.store.index import IndexItem

WIDTH, TEXT_WIDTH = 4, 8


def some_item(number, text=True, stamp="10-1"):
    """Video n has 1 + n % 5 rows, and windows when n is divisible by 3; its numbers follow from n."""
    rng = np.random.default_rng(number)
    num_rows, num_vectors = 1 + number % 5, 3 if number % 3 == 0 else 1
    edges = np.arange(num_rows + 1) + number
    return IndexItem(
        f"v/{number}.mp4",
        f"v/{number}.mp4.h5",
        stamp,
        None if number % 4 == 0 else f"digest{number}",
        number + 0.5,
        rng.standard_normal((num_vectors, WIDTH), np.float32),
        rng.standard_normal((num_rows, WIDTH), np.float32),
        np.stack([edges[:-1], edges[1:]], 1) / 3,
        rng.standard_normal((num_rows, TEXT_WIDTH), np.float32) if text else None,
    )


def items(*numbers, **options):
    return [some_item(number, **options) for number in numbers]
