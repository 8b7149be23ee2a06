"""What people look at of results: targets that fit, players, stills, pages, overlays and pictures of scored videos."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stand_ins import Notes

from vidlang.core import BadInput
from vidlang.report.web import video_source
from vidlang.video.reader import probe
from vidlang.video.writer import write_video
from vidlang.workflows import page_parts
from vidlang.workflows.chosen import encoder_limits
from vidlang.workflows.extract import ExtractOptions
from vidlang.workflows.looks import Looks, page_words
from vidlang.workflows.page_parts import PageVideos
from vidlang.workflows.score import ScoreOptions, score

NASTY = "<img src=x onerror=alert(1)>.mp4"


def film(path: Path, codec: str = "libx264") -> Path:
    """Forty grey frames, ten a second."""
    write_video(path, (np.full((48, 64, 3), 5 * i, dtype=np.uint8) for i in range(40)), 10.0, codec=codec)
    return path


def frame_folder(path: Path) -> Path:
    path.mkdir()
    for index in range(8):
        Image.fromarray(np.full((20, 30, 3), 20 * index, dtype=np.uint8)).save(path / f"{index:03d}.png")
    return path


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"embed": True}, "--report FILE.html"),
        ({"overlay": Path("o"), "cached": True}, "--cached"),
        ({"plot_to": Path("p.png"), "plot": False}, "--no-plot"),
        ({"report": Path("page.pdf")}, ".html"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(asked, says):
    with pytest.raises(BadInput) as refused:
        Looks(**asked)
    assert says in str(refused.value) and "\n" not in str(refused.value)


def test_one_file_takes_one_video(tmp_path):
    one, two = {"a.mp4": film(tmp_path / "a.mp4")}, {"a.mp4": tmp_path / "a.mp4", "b.mp4": tmp_path / "b.mp4"}
    for asked in ({"plot_to": tmp_path / "p.svg"}, {"overlay": tmp_path / "o.mp4"}):
        Looks(**asked).check(one)
        with pytest.raises(BadInput, match="for 2 videos; name a folder"):
            Looks(**asked).check(two)
    Looks(plot_to=tmp_path / "folder", overlay=tmp_path / "folder").check(two)
    with pytest.raises(BadInput, match=re.escape(".png, .pdf, .svg")):
        Looks(plot_to=tmp_path / "p.jpeg").check(one)
    with pytest.raises(BadInput, match="the video itself"):
        Looks(overlay=tmp_path / "a.mp4").check(one)


def test_too_much_to_embed_is_refused_before_anything_is_done(tmp_path, monkeypatch):
    videos = {"a.mp4": film(tmp_path / "a.mp4"), "f": frame_folder(tmp_path / "f")}
    total = videos["a.mp4"].stat().st_size + sum(file.stat().st_size for file in videos["f"].iterdir())
    monkeypatch.setattr(page_parts, "EMBED_LIMIT", total)
    Looks(embed=True, report=tmp_path / "p.html").check(videos)
    monkeypatch.setattr(page_parts, "EMBED_LIMIT", total - 1)
    with pytest.raises(BadInput, match="--embed"):
        Looks(embed=True, report=tmp_path / "p.html").check(videos)
    Looks(report=tmp_path / "p.html").check(videos)


def test_videos_are_linked_where_browsers_play_them_and_else_it_is_said(tmp_path):
    files = {
        "a.mp4": film(tmp_path / "a.mp4"),
        "b.avi": film(tmp_path / "b.avi", "mpeg4"),
        "f": frame_folder(tmp_path / "f"),
    }
    videos = PageVideos(tmp_path / "page.html", files)
    assert videos.player("a.mp4").source == "a.mp4"
    assert videos.player("b.avi").source is None and "MPEG-4 Part 2 in AVI" in videos.player("b.avi").says
    assert videos.player("f").source is None and "folder of frames" in videos.player("f").says
    assert videos.player("cached.mp4").source is None and "cache" in videos.player("cached.mp4").says


def test_embedded_videos_are_as_they_are_or_copies_that_play(tmp_path, monkeypatch):
    files = {
        "a.mp4": film(tmp_path / "a.mp4"),
        "b.avi": film(tmp_path / "b.avi", "mpeg4"),
        "f": frame_folder(tmp_path / "f"),
    }
    videos = PageVideos(tmp_path / "page.html", files, {"f": 2.0}, embed=True)
    players = [videos.player(name) for name in files]
    assert all(str(player.source).startswith("data:video/mp4;base64,") for player in players)
    assert players[0].says == "" and "MPEG-4 Part 2 in AVI" in players[1].says and "folder of frames" in players[2].says
    assert videos.embedded > files["a.mp4"].stat().st_size
    monkeypatch.setattr(page_parts, "EMBED_LIMIT", videos.embedded)
    late = videos.player("a.mp4")
    assert late.source == "a.mp4" and "Not embedded" in late.says


def test_stills_are_pictures_of_videos_at_hand(tmp_path):
    videos = PageVideos(tmp_path / "page.html", {"a.mp4": film(tmp_path / "a.mp4"), "bad.mp4": tmp_path / "none.mp4"})
    assert [still[:3] if still else None for still in videos.stills("a.mp4", [0.5, 3.0])] == [b"\xff\xd8\xff"] * 2
    assert videos.stills("cached.mp4", [0.5]) == (None,)
    assert videos.stills("bad.mp4", [0.5]) == (None,)


def test_the_bundled_encoder_says_what_it_cannot_do_and_others_do_not():
    said = encoder_limits("mini")
    assert len(said) > 40 and not re.search(r"[*`#\n]", said)
    assert encoder_limits("clip-vit-b16") == "" == encoder_limits("imported")
    assert page_words({"encoder": "mini", "note": "weak"}, [], "t", "lead").notes == ("Weak.",)


# -- score -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def manifest(tmp_path) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(f'video,label,start,end\n"{NASTY}",<b>fire</b>,1,2.5\n', encoding="utf-8")
    return path


def test_a_page_an_overlay_and_a_picture_of_one_video(tmp_path, workspace, encoder, manifest):
    video = film(tmp_path / NASTY)
    page = tmp_path / "new folder" / "page.html"
    asked = ScoreOptions(
        labels=("fire",), threshold=0.0, manifest=manifest, report=page, overlay=tmp_path / "over.mp4",
        plot_to=tmp_path / "plot.svg", out=tmp_path / "results",
    )  # fmt: skip
    report = score([video], workspace, asked)
    html = page.read_text(encoding="utf-8")
    assert report.num_failed == 0
    assert NASTY not in html and "&lt;img src=x onerror=alert(1)&gt;.mp4" in html
    assert "<b>fire</b>" not in html and "&lt;b&gt;fire&lt;/b&gt;" in html
    assert video_source(video, page) in html and 'title="&lt;b&gt;fire&lt;/b&gt;, 0:01.0 – 0:02.5"' in html
    assert html.count("data:image/jpeg;base64,") == 1  # the one event from 0 to the end
    assert "What this encoder cannot do" in html and "zero-shot" in html
    assert abs(probe(tmp_path / "over.mp4").duration - 4.0) < 0.11
    assert "<svg" in (tmp_path / "plot.svg").read_text(encoding="utf-8")
    assert not list((tmp_path / "results").glob("*.png"))


def test_cached_videos_have_a_page_without_players(tmp_path, workspace, encoder):
    video = film(tmp_path / "a.mp4")
    score([video], workspace, ScoreOptions(labels=("fire",), plot=False))
    page = tmp_path / "page.html"
    score(["a.mp4"], workspace, ScoreOptions(labels=("fire",), plot=False, cached=True, report=page, threshold=0.0))
    html = page.read_text(encoding="utf-8")
    assert "<video" not in html and "no video was opened" in html and "data-seek" in html
    assert "data:image/jpeg" not in html


def test_folders_of_frames_keep_the_rate_of_their_features(tmp_path, workspace, encoder):
    """Eight frames, two a second: four seconds, also where nobody says the rate again."""
    folder, page = frame_folder(tmp_path / "f"), tmp_path / "page.html"
    asked = ScoreOptions(labels=("fire",), plot=False, threshold=0.0)
    score([folder], workspace, asked, extraction=ExtractOptions(frame_rate=2.0))
    score([folder], workspace, replace(asked, overlay=tmp_path / "o.mp4", report=page, embed=True))
    assert abs(probe(tmp_path / "o.mp4").duration - 4.0) < 0.01
    copy = re.search(r"data:video/mp4;base64,([A-Za-z0-9+/=]+)", page.read_text(encoding="utf-8"))
    (tmp_path / "copy.mp4").write_bytes(base64.b64decode(copy[1]))
    assert abs(probe(tmp_path / "copy.mp4").duration - 4.0) < 0.01
    known, unknown = (PageVideos(page, {"f": folder}, rates).stills("f", [1.0])[0] for rates in ({"f": 2.0}, {}))
    assert np.abs(np.asarray(Image.open(io.BytesIO(known))).astype(int) - 40).max() <= 2  # the frame from 1 s on
    assert np.abs(np.asarray(Image.open(io.BytesIO(unknown))).astype(int) - 140).max() <= 2  # 25 a second: the last


def test_videos_that_fail_are_named_on_the_page_and_sizes_are_said(tmp_path, workspace, encoder):
    film(tmp_path / "v.mp4")
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    page, notes = tmp_path / "page.html", Notes()
    paths = [tmp_path / "v.mp4", tmp_path / "bad.mp4"]
    score(paths, workspace, ScoreOptions(labels=("x",), plot=False, report=page, embed=True), progress=notes)
    html = page.read_text(encoding="utf-8")
    assert "<h2>Failed</h2>" in html and "<strong>bad.mp4</strong>" in html
    assert html.count("data:video/mp4;base64,") == 1
    assert any("MB of videos" in said for said in notes.messages)


def test_targets_are_checked_before_videos_are_read(tmp_path, workspace, encoder):
    film(tmp_path / "a.mp4"), film(tmp_path / "b.mp4")
    paths = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    with pytest.raises(BadInput, match="name a folder"):
        score(paths, workspace, ScoreOptions(labels=("x",), overlay=tmp_path / "o.mp4"))
    assert encoder.batches == []
