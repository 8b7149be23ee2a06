"""``eval localization`` and the import of its truths, as users type them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from vidlang.core import Detection, Segment
from vidlang.store.results import write_detections

FOUND = [
    Detection("films/a.mp4", Segment(0.0, 10.0), "Diving", 0.9),
    Detection("films/a.mp4", Segment(50.0, 60.0), "Diving", 0.8),
    Detection("films/a.mp4", Segment(0.0, 10.0), "Dancing", 0.7),
]


@pytest.fixture
def results(tmp_path):
    entries = {"a": {"subset": "test", "annotations": [{"label": "Diving", "segment": ["0", "8"]}]}}
    (tmp_path / "gt.json").write_text(json.dumps({"database": entries}))
    write_detections(tmp_path / "found" / "detections.jsonl", FOUND)
    return tmp_path / "found"


def test_from_annotations_to_a_table_and_to_json(vidlang, results):
    imported = vidlang("datasets", "import", "thumos14", "gt.json", "-o", "t.csv")
    assert (imported.code, imported.out) == (0, "Wrote t.csv: 1 videos (1 test), 1 true segments.\n")
    shown = vidlang("eval", "localization", results, "--manifest", "t.csv", "--split", "test")
    assert shown.code == 0, shown.err
    lines = [line.split() for line in shown.out.splitlines()]
    assert lines[0][:5] == ["protocol", "thumos14,", "AP", "interp;", str(results / "detections.jsonl")]
    assert ["class", "true", "found", "@0.1", "@0.3", "@0.5", "@0.7", "mean"] in lines
    assert ["Diving", "1", "2", *["1.0000"] * 5] in lines
    assert ["0.7", "1.0000"] in lines and ["mean", "of", "0.3:0.7", "1.0000"] in lines
    assert "1 videos, 1 true segments, 2 predictions judged, 1 left out" in shown.out
    assert "1 prediction with a label that the truth does not have left out: Dancing" in shown.err
    options = ("--protocol", "activitynet", "--ap", "hits", "--tiou", "0.5:0.3:0.8,0.9", "--json")
    answer = vidlang("eval", "localization", results, "--manifest", "gt.json", *options)
    fields = json.loads(answer.out)
    assert fields["mAP"] == {"0.5": 1.0, "0.8": 1.0, "0.9": 0.0}  # 8 of 10 seconds
    assert (fields["schema"], fields["protocol"], fields["ap"]) == (
        "vidlang.eval_localization/1",
        "activitynet",
        "hits",
    )


def test_long_lists_of_thresholds_fit_on_a_line(vidlang, results):
    shown = vidlang("eval", "localization", results, "--manifest", "gt.json", "--protocol", "activitynet")
    assert "@0.5 " in shown.out and "@0.95" in shown.out and "@0.55" not in shown.out
    assert max(map(len, shown.out.splitlines()[1:])) <= 80
    assert "mean of 0.5:0.95" in shown.out


def test_mistakes_are_one_line(vidlang, results):
    for arguments, code, message in (
        (("eval", "localization", results), 2, "give --manifest"),
        (("eval", "localization", "--manifest", "gt.json"), 2, "Run: vidlang localize"),
        (("eval", "localization", results, "--manifest", "gt.json", "--tiou", "half"), 2, "--tiou takes"),
        (("eval", "localization", "gt.json", "--manifest", "gt.json"), 2, "holds true segments"),
        (("datasets", "import", "thumos14", "found"), 1, "holds no annotation of THUMOS14"),
        (("datasets", "import", "thumos", "."), 2, "Did you mean 'thumos14'?"),
    ):
        answer = vidlang(*arguments)
        assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1), answer.err
        assert message in answer.err


def test_judging_loads_neither_torch_nor_scikit_learn(results):
    script = (
        "import sys\nsys.argv = ['vidlang', 'eval', 'localization', 'found', '--manifest', 'gt.json']\n"
        "from vidlang.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    code = stop.code or 0\n"
        "heavy = sorted({'torch', 'sklearn', 'transformers', 'h5py', 'av'} & set(sys.modules))\n"
        "sys.stderr.write('HEAVY=' + ','.join(heavy))\nsys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=results.parent, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("HEAVY="), done.stderr[-300:]
