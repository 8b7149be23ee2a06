import runpy
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "train_and_score.py"


def test_the_example_scores_a_film(tmp_path, capsys):
    runpy.run_path(str(EXAMPLE))["main"](tmp_path)
    name, curve, events = capsys.readouterr().out.strip().split("  ")
    assert name.endswith(".mp4") and curve and events.endswith("events")
