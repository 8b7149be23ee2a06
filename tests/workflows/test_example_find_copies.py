import re
import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "find_copies.py"


def test_the_example_finds_where_the_copy_comes_from(tmp_path, capsys):
    runpy.run_path(str(EXAMPLE))["main"](tmp_path)
    (line,) = capsys.readouterr().out.splitlines()
    found = re.fullmatch(r"copy\.mp4 is in dusk\.mp4 \(similarity (.+)\): (.+)-(.+) s = (.+)-(.+) s", line)
    assert found is not None, line
    similarity, *seconds = (float(number) for number in found.groups())
    assert similarity > 0.8
    assert seconds == pytest.approx([0.0, 6.0, 4.0, 10.0], abs=0.6)  # a row is half a second
    (folder,) = (tmp_path / ".vidlang" / "results" / "retrieve").iterdir()
    assert (folder / "copy.mp4.png").read_bytes().startswith(b"\x89PNG")
