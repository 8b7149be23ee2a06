"""Dry runs of trainings: they promise the steps that the trainings then take, and leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from moving_films import NAMING
from moving_films import SMALL as FAME
from moving_films import collection as film_collection
from stand_ins import collection, film, put_seconds, recipe_of, unit_rows

from vidlang.core import BadInput, BadManifest
from vidlang.methods.tca.train import Trainer as TcaTrainer
from vidlang.methods.vadclip.train import Trainer as VadclipTrainer
from vidlang.methods.wtal.train import Trainer as WtalTrainer
from vidlang.workflows import train_plans
from vidlang.workflows.extract import ExtractOptions
from vidlang.workflows.recognize_fame import RecognizeOptions, recognize_fame
from vidlang.workflows.train_fame import TrainFameOptions, train_fame
from vidlang.workflows.train_tca import TrainTcaOptions, train_tca
from vidlang.workflows.train_vadclip import TrainOptions, train_vadclip
from vidlang.workflows.train_wtal import ABLATIONS, TrainWtalOptions, train_wtal
from vidlang.workflows.video_networks import Batches

VADCLIP = {"visual_length": 12, "attn_window": 4, "attn_heads": 2, "batch_size": 4, "epochs": 2}
TCA = {"num_heads": 2, "feedforward": 16, "epochs": 2, "batch_size": 4, "num_negatives": 2, "min_batches": 2}
WTAL = {
    "cbp_width": 32, "cbp_layers": 1, "cbp_heads": 2, "vlp_layers": 1, "vlp_heads": 2, "freeze_prompts": True,
    "batch_size": 16, "min_batches": 5, "warmup_steps": 10, "warmup_min_steps": 10, "plateau_epochs": 0, "rounds": 1,
    "phase_passes": 1, "phase_min_steps": 5, "stop_growth": 0.0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch) -> None:
    monkeypatch.setattr("vidlang.workflows.runs.curves_png", lambda *_, **__: b"")


@pytest.fixture
def collected(cache, encoder) -> list[str]:
    """18 videos of nine rows: six normal, six fights, six falls."""
    return collection(cache, recipe_of(encoder))


@pytest.fixture
def manifest(tmp_path, collected) -> Path:
    """Of each class number 4 is the test and number 5 validates; one video is not in the cache."""
    splits = {"4": "test", "5": "val"}
    lines = [f"{i},{i.split('/')[0]},{splits.get(i.split('.')[0][-1], 'train')}" for i in collected]
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(["video,label,split", *lines, "fight/far.mp4,fight,train"]) + "\n")
    return path


@pytest.fixture
def steps(monkeypatch) -> list[int]:
    """One entry per step that a training takes."""
    taken: list[int] = []
    for trainer in (VadclipTrainer, TcaTrainer, WtalTrainer):
        monkeypatch.setattr(trainer, "step", counting(trainer.step, taken))
    real = Batches.__call__

    def batches(self, epoch):
        for batch in real(self, epoch):
            taken.append(1)
            yield batch

    monkeypatch.setattr(Batches, "__call__", batches)
    return taken


def counting(step, taken: list[int]):
    def counted(*arguments, **more):
        taken.append(1)
        return step(*arguments, **more)

    return counted


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def lines_of(plan) -> dict[str, tuple[str, str]]:
    return {item.name: (item.action, item.detail) for item in plan.items}


def test_vadclip_counts_videos_rows_and_steps(tmp_path, workspace, encoder, manifest, steps):
    options = TrainOptions(changes=VADCLIP, manifest=manifest, name="run", device="cpu")
    before = tree(tmp_path)
    plan = train_plans.plan_vadclip(workspace, options)
    assert tree(tmp_path) == before and not encoder.loaded_as
    shown = lines_of(plan)
    assert shown["fight"] == shown["normal"] == ("train", "4 videos, 36 rows, 1 to validate")
    assert shown["fight/far.mp4"] == ("skip", "has no features in the cache")
    facts = plan.facts
    assert (facts["videos"], facts["validate"], facts["classes"], facts["rows"], facts["epochs"]) == (12, 3, 3, 108, 2)
    assert facts["folder"] == str(workspace.results_dir / "train" / "vadclip" / "run")
    report = train_vadclip(workspace, options)
    assert len(steps) == facts["steps"] and str(report.folder) == facts["folder"]
    with pytest.raises(BadInput, match="There is a run called 'run' already"):
        train_plans.plan_vadclip(workspace, options)


def test_several_seeds_are_several_trainings(workspace, collected):
    one = train_plans.plan_vadclip(workspace, TrainOptions(changes=VADCLIP))
    three = train_plans.plan_vadclip(workspace, TrainOptions(changes=VADCLIP, num_seeds=3))
    assert three.facts["steps"] == 3 * one.facts["steps"] and "for each of 3 seeds" in three.summary
    assert three.facts["folder"].endswith("<time>")


def test_what_cannot_be_trained_is_refused_in_the_same_words(workspace, collected):
    for options in (TrainOptions(changes={**VADCLIP, "attn_heads": 5}), TrainOptions(select_on="test")):
        with pytest.raises(BadInput) as planned:
            train_plans.plan_vadclip(workspace, options)
        with pytest.raises(BadInput) as real:
            train_vadclip(workspace, options)
        assert str(planned.value).split(", the dimension")[0] == str(real.value).split(", the dimension")[0]
    with pytest.raises(BadManifest, match="No video is labelled 'calm'"):
        train_plans.plan_wtal(workspace, TrainWtalOptions(normal="calm"))


def test_tca_of_copies_promises_what_it_then_makes(tmp_path, workspace, cache, encoder, steps):
    for number in range(4):
        film(tmp_path / "v" / f"{number}.mp4", 48, shift=3 * number)
    (tmp_path / "v" / "bad.mp4").write_text("no film")
    before = tree(tmp_path)
    options = TrainTcaOptions(changes=TCA, num_copies=2, name="run", device="cpu")
    plan = train_plans.plan_tca([tmp_path / "v"], workspace, options)
    assert tree(tmp_path) == before and not encoder.loaded_as
    shown = lines_of(plan)
    assert shown["0.mp4"] == ("train", "2 edited copies, about 3 rows each, to be extracted")
    assert shown["bad.mp4"][0] == "skip" and plan.num_failed == 0
    # an original and two copies are three pairs
    assert plan.facts["pairs"] == 12 and plan.facts["sources"] == {"train": 4, "validate": 0, "test": 0}
    train_tca([tmp_path / "v"], workspace, options, extraction=ExtractOptions(num_workers=1))
    assert len(steps) == plan.facts["steps"]
    again = train_plans.plan_tca([tmp_path / "v"], workspace, TrainTcaOptions(changes=TCA, num_copies=2))
    assert lines_of(again)["0.mp4"][1].endswith("features are there")


def test_tca_holds_the_same_sources_out(tmp_path, workspace, cache, encoder):
    recipe = recipe_of(encoder)
    for number in range(10):
        rows = unit_rows(4, 8, seed=number)
        put_seconds(cache, recipe, f"{number}a.mp4", rows)
        put_seconds(cache, recipe, f"{number}b.mp4", rows)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("query,video\n" + "".join(f"{n}a.mp4,{n}b.mp4\n" for n in range(10)))
    options = TrainTcaOptions(changes=TCA, pairs=pairs, val_fraction=0.3, test_fraction=0.3)
    plan = train_plans.plan_tca([], workspace, options)
    assert plan.facts["sources"] == {"train": 4, "validate": 3, "test": 3} and plan.facts["rows"] == 80
    of_both = [{lines_of(plan)[f"{number}{side}.mp4"][0] for side in "ab"} for number in range(10)]
    assert all(len(actions) == 1 for actions in of_both)


def test_wtal_counts_the_steps_of_all_phases(workspace, encoder, manifest, steps):
    options = TrainWtalOptions(changes=WTAL, manifest=manifest, name="run", device="cpu")
    plan = train_plans.plan_wtal(workspace, options)
    assert not encoder.loaded_as
    # 12 videos in a batch of 16 are one step a pass, five an epoch: two epochs of warm-up, one of B, one of F
    assert (plan.facts["epochs"], plan.facts["steps"]) == (4, 20)
    assert lines_of(plan)["normal"] == ("train", "4 videos, 36 rows, 1 to test")
    assert lines_of(plan)["the validation videos have no times, so the last good phase is kept"] == ("note", "")
    train_wtal(workspace, options)
    assert len(steps) == 20
    every = train_plans.plan_wtal(workspace, TrainWtalOptions(changes=WTAL, manifest=manifest, ablation=True))
    assert every.facts["variants"] == len(ABLATIONS) and f"in {len(ABLATIONS)} variants" in every.summary


def test_fame_counts_batches_of_both_kinds(tmp_path, workspace, steps):
    films = film_collection(tmp_path / "films")
    options = TrainFameOptions(changes=FAME, name="run", device="cpu", num_workers=0)
    before = tree(tmp_path)
    plan = train_plans.plan_fame([films], workspace, options)
    assert plan is not None and tree(tmp_path) == before
    # eight videos in batches of four, twice
    assert plan.facts["steps"] == 4 and plan.facts["videos"] == 8 and plan.facts["kind"] == "pretrain"
    train_fame([films], workspace, options)
    assert len(steps) == 4
    naming = RecognizeOptions("linear", "run", NAMING, name="named", device="cpu", num_workers=0)
    plan = train_plans.plan_fame([films], workspace, naming)
    assert plan is not None and lines_of(plan)["red"][1] == "3 videos, 1 to test"
    recognize_fame([films], workspace, naming)
    assert len(steps) == 4 + plan.facts["steps"]
