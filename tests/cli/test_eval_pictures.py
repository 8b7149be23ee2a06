"""``eval … --plot`` and ``--report``, as users type them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vidlang.core import Scores, VideoInfo
from vidlang.store.results import write_scores


@pytest.fixture
def results(tmp_path):
    """One calm video, and one that burns from second 1 to 3."""
    found = []
    for video_id, curve in (("calm.mp4", [0.1, 0.2]), ("fire.mp4", [0.1, 0.8, 0.9, 0.3])):
        edges = np.arange(len(curve) + 1) * 10
        frames = np.stack([edges[:-1], edges[1:]], axis=1)
        video = VideoInfo(video_id, int(edges[-1]), edges[-1] / 10, 10.0, (8, 8))
        found.append(Scores(video, frames, frames / 10, np.array(curve, np.float32)))
    write_scores(tmp_path / "found" / "scores.jsonl", found)
    (tmp_path / "labels.csv").write_text("video,label,start,end\ncalm.mp4,normal,,\nfire.mp4,fire,1,3\n")
    return tmp_path / "found"


def test_pictures_and_page_are_written_and_named(vidlang, results, tmp_path):
    asked = ["eval", "anomaly", results, "--manifest", tmp_path / "labels.csv"]
    shown = vidlang(*asked, "--plot", tmp_path / "a.pdf", "--report", tmp_path / "a.html")
    assert shown.code == 0, shown.err
    assert f"Written: {tmp_path / 'a.pdf'}, {tmp_path / 'a.html'}" in shown.out
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    assert "ROC over frames" in (tmp_path / "a.html").read_text(encoding="utf-8")
    quiet = vidlang(*asked, "--quiet", "--json", "--plot", tmp_path / "b.png")
    assert json.loads(quiet.out)["videos"] == 2 and quiet.err == ""
    assert (tmp_path / "b.png").is_file()


def test_a_wrong_ending_is_refused_in_one_line(vidlang, results, tmp_path):
    refused = vidlang("eval", "anomaly", results, "--plot", tmp_path / "a.jpg")
    assert refused.code == 2 and refused.out == ""
    assert len(refused.err.splitlines()) == 1 and "--plot takes" in refused.err
