"""Coded videos, each written once for all tests of this room."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from coded_videos import KINDS, write_file

os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder greets on stderr otherwise


@pytest.fixture(scope="session")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """kind → path of the file whose frames carry their numbers."""
    written: dict[str, Path] = {}

    def path_of(kind: str) -> Path:
        if kind not in written:
            folder = tmp_path_factory.mktemp(kind)
            try:
                written[kind] = write_file(folder / f"video{KINDS[kind][0]}", kind)
            except av.codec.codec.UnknownCodecError as missing:
                pytest.skip(f"this PyAV has no encoder {missing} for {kind}")
        return written[kind]

    return path_of
