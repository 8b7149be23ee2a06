"""Any id becomes a file name that every system takes, and comes back."""

import re
from urllib.parse import unquote

import pytest

from vidlang.store.names import MAX_BYTES, safe_component, safe_path

ODD = [
    "plain.mp4", "two words.mp4", "a#b=c&d.mp4", "100%.mp4", "%41.mp4", "A~1.mp4", "CON", "con.mp4", "LPT1.avi", "NUL ",
    "trailing.", "trailing...", " lead", ".hidden", "..", ".", "日本語.mp4", "é.mp4", "e\u0301.mp4", "new\nline.mp4",
    "<img src=x onerror=alert(1)>.mp4", 'quote"|?*:\\.mp4', "bad\udcff.mp4", "clip.h5", "COM¹",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("folder", [True, False])
def test_a_name_is_harmless_everywhere_and_reads_back(name, folder):
    safe = safe_component(name, folder=folder)
    assert not re.search(r'[<>:"|?*\\~/\x00-\x1f\x7f]', safe)
    assert safe[0] not in ". " and safe[-1] not in ". "
    assert not re.fullmatch(r"(?i)(con|nul|lpt1|com¹)(\..*)?", safe.rstrip())
    assert unquote(safe, errors="surrogatepass") == name


def test_different_names_stay_different():
    names = [*ODD, "Plain.mp4", "PLAIN.mp4", "", "x" * 300, "x" * 300 + "y", "%_"]
    assert len({safe_component(name) for name in names}) == len(names)


def test_plain_names_stay_readable():
    assert safe_path("Abuse/Abuse001_x264.mp4") == "Abuse/Abuse001_x264.mp4"


@pytest.mark.parametrize("name", ["x" * 300, "日" * 150, "%" * 200])
def test_long_names_are_cut_below_what_file_systems_allow(name):
    assert len(safe_component(name).encode()) <= MAX_BYTES


def test_no_id_climbs_out():
    assert safe_path("../../etc/passwd") == "%2E%2E/%2E%2E/etc/passwd"
    assert safe_path("a//b") == "a/%_/b"


def test_a_folder_never_takes_the_name_of_an_entry():
    assert safe_path("a.h5/b.mp4") == "a%2Eh5/b.mp4"
    assert safe_path("a.H5/b.mp4") == "a%2EH5/b.mp4"
