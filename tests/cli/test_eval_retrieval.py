"""``eval retrieval`` and the import of its truths, as users type them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

from vidlang.core import Similarities
from vidlang.store.rankings import write_similarities


def test_from_a_list_of_pairs_to_a_table_and_to_json(vidlang, tmp_path):
    values = np.array([[0.9, 0.1]], dtype=np.float32)
    write_similarities(tmp_path / "similarities.npz", Similarities(("cut.mp4",), ("a/whole.mp4", "a/b.mp4"), values))
    (tmp_path / "pairs.csv").write_text("query,video\ncut,whole\n")
    imported = vidlang("datasets", "import", "pairs", "pairs.csv")
    assert (imported.code, imported.out.split(":")[0]) == (0, "Wrote truth.json")
    shown = vidlang("eval", "retrieval", ".", "--truth", "truth.json")
    assert shown.code == 0
    assert ["all", *["1.0000"] * 6, "1"] in [line.split() for line in shown.out.splitlines()]
    assert "1 queries, 2 videos searched" in shown.out
    assert "coverage of queries: 100.0 %" in shown.out
    assert "coverage of database: not known" in shown.out
    answer = vidlang("eval", "retrieval", "similarities.npz", "--pairs", "pairs.csv", "--mode", "reference", "--json")
    assert json.loads(answer.out)["tasks"]["all"]["mAP"] == 1


def test_mistakes_are_one_line(vidlang, tmp_path):
    for arguments, code, message in (
        (("eval", "retrieval"), 2, "Give the truth in one way"),
        (("eval", "retrieval", "--pairs", "none.csv"), 1, "none.csv cannot be read"),
        (("datasets", "import", "fivr", "."), 2, "import fivr-5k or fivr-200k"),
        (("datasets", "import", "cc-wep", "."), 2, "Did you mean 'cc-web'?"),
    ):
        answer = vidlang(*arguments)
        assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1), answer.err
        assert message in answer.err


def test_judging_loads_neither_torch_nor_scikit_learn(tmp_path):
    values = np.array([[0.9, 0.1]], dtype=np.float32)
    write_similarities(tmp_path / "similarities.npz", Similarities(("cut",), ("whole", "b"), values))
    (tmp_path / "pairs.csv").write_text("cut,whole\n")
    script = (
        "import sys\nsys.argv = ['vidlang', 'eval', 'retrieval', '.', '--pairs', 'pairs.csv']\n"
        "from vidlang.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    code = stop.code or 0\n"
        "heavy = sorted({'torch', 'sklearn', 'transformers', 'h5py', 'av'} & set(sys.modules))\n"
        "sys.stderr.write('HEAVY=' + ','.join(heavy))\nsys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("HEAVY="), done.stderr[-300:]
