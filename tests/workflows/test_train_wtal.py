"""Video labels and cached features to a checkpoint that localizes; small rows of known actions."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from stand_ins import DIM, put_seconds, recipe_of, unit_rows

from vidlang.core import BadInput, BadManifest, FeatureRecipe, MissingFeatures, Sampling, UnknownName
from vidlang.methods.wtal.config import WtalConfig
from vidlang.report.training_curves import curves_png
from vidlang.store.checkpoints import ModelRegistry, load_checkpoint
from vidlang.workflows.evaluate_localization import evaluate_localization
from vidlang.workflows.localize import LocalizeOptions, localize
from vidlang.workflows.recipe import RecipeChanges
from vidlang.workflows.runs import runs_folder
from vidlang.workflows.train_wtal import ABLATIONS, TrainWtalOptions, decide, train_wtal

SMALL = {
    "cbp_width": 32, "cbp_layers": 1, "cbp_heads": 2, "vlp_layers": 1, "vlp_heads": 2, "freeze_prompts": True,
    "input_dropout": 0.0, "batch_size": 16, "min_batches": 5, "warmup_steps": 10, "warmup_min_steps": 10,
    "plateau_epochs": 0, "rounds": 1, "phase_passes": 1, "phase_min_steps": 5, "learning_rate": 3e-3, "mil_ratio": 4,
    "stop_growth": 0.0,
}  # fmt: skip
ACTIONS = ("dive", "jump")
I3D = FeatureRecipe("i3d", "imported:unknown/rgb+flow", Sampling())


def options(**changes) -> TrainWtalOptions:
    return TrainWtalOptions(**{"changes": SMALL, "name": "run", "device": "cpu", **changes})


def rows_with(action: int | None, seed: int, length: int = 16, dim: int = DIM) -> tuple[np.ndarray, tuple[int, int]]:
    """Rows near one direction; for five seconds somewhere, near that of an action. Rows, and when."""
    generator = np.random.default_rng(seed)
    rows = np.zeros((length, dim), dtype=np.float32)
    rows[:, :4] = 0.1 * generator.normal(size=(length, 4))
    rows[:, 0] += 1
    first = int(generator.integers(2, length - 7))
    if action is not None:
        rows[first : first + 5, 0] -= 1
        rows[first : first + 5, 1 + action] += 1
    return rows, (first, first + 5)


Times = dict[str, tuple[str, int, int] | None]


def fill(cache, recipe, *, per_class: int = 5, ending: str = ".mp4") -> Times:
    """Videos of both actions and of none; what happens when."""
    times: Times = {}
    for action, name in ((0, "dive"), (1, "jump"), (None, "normal")):
        for number in range(per_class):
            video_id = f"{name}/{name[0]}{number}{ending}"
            rows, (start, end) = rows_with(action, seed=10 * len(times) + 1)
            put_seconds(cache, recipe, video_id, rows)
            times[video_id] = None if action is None else (name, start, end)
    return times


PICTURE = "vidlang.workflows.runs.curves_png"


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch) -> None:
    """They take longer than the training."""
    monkeypatch.setattr(PICTURE, lambda *_, **__: b"")


@pytest.fixture
def collected(cache, encoder) -> Times:
    return fill(cache, recipe_of(encoder))


def manifest_of(path, times: Times, wrong: bool = False) -> None:
    """Two videos of each class are the test; ``wrong`` moves the times of all others."""
    lines = ["video,label,start,end,split"]
    for video_id, what in times.items():
        split = "test" if video_id.split(".")[0].endswith(("3", "4")) else "train"
        start, end = what[1:] if what else ("", "")
        if wrong and what and split == "train":
            start, end = 0, 1
        lines.append(f"{video_id},{what[0] if what else 'normal'},{start},{end},{split}")
    path.write_text("\n".join(lines) + "\n")


def state_of(workspace, name: str = "run") -> dict[str, torch.Tensor]:
    return ModelRegistry(workspace.models_dir).find("wtal", name).state


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def facts_of(workspace, name: str = "run") -> dict:
    return json.loads((runs_folder(workspace, "wtal") / name / "run.json").read_text())


# -- the whole road --------------------------------------------------------------------------------------------------


def test_labels_to_weights_to_segments_to_map(tmp_path, workspace, collected):
    manifest_of(tmp_path / "labels.csv", collected)
    changes = {**SMALL, "warmup_steps": 60, "warmup_min_steps": 60, "learning_rate": 1e-2, "rounds": 0}
    report = train_wtal(workspace, options(manifest=tmp_path / "labels.csv", changes=changes))
    folder = runs_folder(workspace, "wtal") / "run"
    assert report.folder == folder and report.measured_on == "test"
    assert [row[0] for row in report.table] == ["zero-shot VLP", "cbp", "vlp", "average"]
    assert report.columns[1:] == ("mAP@0.1", "mAP@0.3", "mAP@0.5", "mAP@0.7", "average .1-.7", "fg IoU", "bg IoU")
    cbp = report.table[1]
    assert cbp[3] > 0.7 and cbp[6] > 0.5 and report.table[0][3] < cbp[3]
    assert json.loads(json.dumps(report.to_dict()))["table"][1]["what"] == "cbp"

    assert [(row["round"], row["step"], row["branch"]) for row in report.pseudo_labels] == [
        (0, "warm-up", "cbp"),
        (0, "warm-up", "vlp"),
    ]
    sure = report.pseudo_labels[0]
    assert sure["foreground_drop"] > 0.5 and sure["background_drop"] > 0.5  # what is sure is mostly right
    assert sure["foreground_wrong"] <= sure["foreground_drop"]  # rows left open are missed

    asked = LocalizeOptions(cached=True, plot=False, device="cpu", manifest=tmp_path / "labels.csv", split="test")
    found = localize(["*"], workspace, asked)
    assert len(found.videos) == 6 and found.class_names == ACTIONS and found.made_by["checkpoint"] == "run"
    assert found.made_by["branch"] == "cbp"
    judged = evaluate_localization(workspace, manifest=tmp_path / "labels.csv", split="test")
    assert judged.scores.mean[4] == pytest.approx(cbp[3])  # tIoU 0.5, as the table of the training has it
    vlp = localize(["*"], workspace, replace(asked, branch="vlp"))
    judged = evaluate_localization(workspace, vlp.folder, manifest=tmp_path / "labels.csv", split="test")
    assert judged.scores.mean[4] == pytest.approx(report.table[2][3])


def test_a_run_leaves_its_log_its_facts_its_picture_and_both_weights(workspace, collected, monkeypatch):
    monkeypatch.setattr(PICTURE, curves_png)
    report = train_wtal(workspace, options())
    folder = report.folder
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in log] == list(range(1, len(log) + 1))
    ends = [row for row in log if row.get("phase_end")]
    assert [row["phase"] for row in ends] == [0, 1, 2]  # warm-up, B, F
    for row in ends:
        for branch in ("cbp", "vlp"):
            shares = [row[f"{kind}_{branch}"] for kind in ("foreground", "background", "undecided")]
            assert sum(shares) == pytest.approx(1)
    facts = facts_of(workspace)
    assert facts["finished"] and facts["class_names"] == list(ACTIONS) and sorted(facts["train"]) == sorted(collected)
    assert WtalConfig.from_dict(facts["config"]).cbp_width == 32
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert load_checkpoint(folder / "last").class_names == ACTIONS
    assert report.table == () and any("under 10 videos" in note for note in report.notes)
    best = ModelRegistry(workspace.models_dir).find("wtal", "run")
    assert best.extra["encoder"] == "mini" and best.extra["second"] is None
    assert best.extra["num_train_videos"] == len(collected)


def test_a_checkpoint_decides_the_features(workspace, collected):
    train_wtal(workspace, options())
    with pytest.raises(BadInput, match="The checkpoint decides the features"):
        localize(["*"], workspace, LocalizeOptions(cached=True), RecipeChanges(stride=8))
    with pytest.raises(UnknownName, match="run"):
        localize(["*"], workspace, LocalizeOptions(cached=True, checkpoint="rum"))
    words = localize(["dive/*"], workspace, LocalizeOptions(labels=("a dive",), cached=True, plot=False))
    assert words.made_by["method"] == "zero-shot" and words.class_names == ("a dive",)


def test_the_mixed_branches_lie_between_both(workspace, collected):
    train_wtal(workspace, options())

    def curve(**changes) -> np.ndarray:
        asked = LocalizeOptions(cached=True, plot=False, device="cpu", **changes)
        return localize(["dive/d0.mp4"], workspace, asked).videos[0].curve

    cbp, vlp = curve(), curve(branch="vlp")
    np.testing.assert_allclose(curve(branch="average"), (cbp + vlp) / 2, atol=1e-6)
    np.testing.assert_allclose(curve(branch="weighted", weight=0.25), 0.25 * cbp + 0.75 * vlp, atol=1e-6)


# -- what training never sees ----------------------------------------------------------------------------------------


def test_times_of_training_videos_are_never_read(tmp_path, workspace, collected):
    for name, wrong in (("right", False), ("wrong", True)):
        manifest_of(tmp_path / f"{name}.csv", collected, wrong)
        train_wtal(workspace, options(name=name, manifest=tmp_path / f"{name}.csv"))
    assert same(state_of(workspace, "right"), state_of(workspace, "wrong"))
    used = facts_of(workspace, "right")["train"]
    assert used and not [i for i in used if i.endswith(("3.mp4", "4.mp4"))]


def test_no_times_at_all_give_the_same_weights(tmp_path, workspace, collected):
    manifest_of(tmp_path / "timed.csv", collected)
    lines = [line.split(",") for line in (tmp_path / "timed.csv").read_text().splitlines()]
    (tmp_path / "bare.csv").write_text("\n".join(f"{line[0]},{line[1]},{line[4]}" for line in lines) + "\n")
    for name in ("timed", "bare"):
        report = train_wtal(workspace, options(name=name, manifest=tmp_path / f"{name}.csv"))
        assert bool(report.table) == (name == "timed")
    assert same(state_of(workspace, "timed"), state_of(workspace, "bare"))


def test_validation_videos_choose_the_phase_and_do_not_train(tmp_path, workspace, collected):
    manifest_of(tmp_path / "labels.csv", collected)
    report = train_wtal(workspace, options(manifest=tmp_path / "labels.csv", val_fraction=0.3))
    facts = facts_of(workspace)
    assert facts["validation"] and not set(facts["train"]) & set(facts["validation"])
    log = [json.loads(line) for line in (report.folder / "log.jsonl").read_text().splitlines()]
    best = max((row for row in log if row.get("phase_end")), key=lambda row: (row["map"], row["epoch"]))
    assert ModelRegistry(workspace.models_dir).find("wtal", "run").extra["epoch"] == best["epoch"]


def test_validation_without_times_is_said_and_left_out(workspace, collected):
    report = train_wtal(workspace, options(val_fraction=0.3))
    assert any("validation videos have no times" in note for note in report.notes)


def test_times_in_frames_are_said_before_training_and_not_measured(tmp_path, workspace, collected):
    manifest_of(tmp_path / "labels.csv", collected)
    text = (tmp_path / "labels.csv").read_text()
    (tmp_path / "labels.csv").write_text(text.replace("start,end", "start_frame,end_frame"))
    report = train_wtal(workspace, options(manifest=tmp_path / "labels.csv"))
    assert report.table == () and facts_of(workspace)["finished"]
    assert any("are in frames, so nothing is measured on the 6 videos held out" in note for note in report.notes)


# -- normal ----------------------------------------------------------------------------------------------------------


def test_the_normal_class_is_no_action_whatever_its_name(tmp_path, workspace, collected):
    train_wtal(workspace, options())
    lines = ["video,label"] + [f"{i},{what[0] if what else 'calm'}" for i, what in collected.items()]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    train_wtal(workspace, options(name="calm", normal="calm", manifest=tmp_path / "labels.csv"))
    assert facts_of(workspace, "calm")["class_names"] == list(ACTIONS)
    assert same(state_of(workspace), state_of(workspace, "calm"))
    train_wtal(workspace, options(name="action", manifest=tmp_path / "labels.csv"))
    assert facts_of(workspace, "action")["class_names"] == ["calm", *ACTIONS]


def test_cached_videos_without_a_class_folder_are_left_out_and_named(cache, encoder, collected):
    put_seconds(cache, recipe_of(encoder), "loose.mp4", unit_rows(5, DIM))
    found = decide(cache, recipe_of(encoder), options())
    assert found.notes == ("1 cached videos lie in no class folder and are left out, such as loose.mp4",)
    assert {label.video_id for label in found.train} == set(collected)


def test_what_cannot_be_trained_is_said_in_one_line(tmp_path, workspace, cache, encoder):
    recipe = recipe_of(encoder)
    with pytest.raises(MissingFeatures, match=r"is empty\. Run: vidlang extract"):
        train_wtal(workspace, options())
    put_seconds(cache, recipe, "bare.mp4", unit_rows(5, DIM))
    with pytest.raises(BadManifest, match="No cached video lies in a class folder"):
        train_wtal(workspace, options())
    put_seconds(cache, recipe, "normal/n.mp4", unit_rows(5, DIM))
    with pytest.raises(BadManifest, match="no class of action"):
        train_wtal(workspace, options())
    for number in range(2):
        put_seconds(cache, recipe, f"dive/{number}.mp4", unit_rows(5, DIM, seed=number))
    (tmp_path / "one.csv").write_text("video,label\ndive/0.mp4,dive\ndive/1.mp4,dive\n")
    with pytest.raises(BadInput, match="All videos have the same classes, such as 'dive'") as refused:
        train_wtal(workspace, options(manifest=tmp_path / "one.csv"))
    assert "\n" not in str(refused.value) and "normal videos" in str(refused.value)
    (tmp_path / "test.csv").write_text("video,label,split\ndive/0.mp4,dive,test\nnormal/n.mp4,normal,test\n")
    with pytest.raises(BadInput, match="No video is left to train on"):
        train_wtal(workspace, options(manifest=tmp_path / "test.csv"))
    with pytest.raises(BadManifest, match="No video is labelled 'calm'"):
        train_wtal(workspace, options(normal="calm"))
    (tmp_path / "absent.csv").write_text("video,label\nelsewhere.mp4,dive\n")
    with pytest.raises(MissingFeatures, match=r"No video of .*absent\.csv is in the cache"):
        train_wtal(workspace, options(manifest=tmp_path / "absent.csv"))
    with pytest.raises(UnknownName, match="cbp_width"):
        train_wtal(workspace, options(changes={"cbp_widht": 3}))
    with pytest.raises(BadInput, match="leave --resume out"):
        options(ablation=True, resume=True)
    assert not list(runs_folder(workspace, "wtal").glob("*"))


# -- resume ----------------------------------------------------------------------------------------------------------


class Killed(Exception):
    """The end of a process, as seen from inside."""


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path, workspace, collected, monkeypatch, epoch
):
    manifest = tmp_path / "labels.csv"
    manifest_of(manifest, collected)
    from vidlang.store.checkpoints import save_train_state

    def save(folder, tensors, numbers):
        path = save_train_state(folder, tensors, numbers)
        if numbers["epoch"] == epoch:
            raise Killed
        return path

    train_wtal(workspace, options(name="whole", manifest=manifest))
    with monkeypatch.context() as patch:
        patch.setattr("vidlang.workflows.runs.save_train_state", save)
        with pytest.raises(Killed):
            train_wtal(workspace, options(manifest=manifest))
    assert not facts_of(workspace)["finished"]
    with pytest.raises(BadInput, match="started with another config"):
        train_wtal(workspace, options(manifest=manifest, changes={**SMALL, "seed": 1}, resume=True))
    train_wtal(workspace, options(name=None, manifest=manifest, resume=True))
    assert facts_of(workspace)["finished"] and same(state_of(workspace), state_of(workspace, "whole"))
    for file in ("log.jsonl", "pseudo_labels.jsonl"):
        logs = [(runs_folder(workspace, "wtal") / name / file).read_text() for name in ("run", "whole")]
        assert logs[0] == logs[1] and logs[0]


def test_a_finished_run_resumes_to_what_it_was(workspace, collected):
    train_wtal(workspace, options())
    before = state_of(workspace)
    train_wtal(workspace, options(resume=True))
    assert same(before, state_of(workspace))


# -- a second encoder ------------------------------------------------------------------------------------------------


@pytest.fixture
def with_i3d(cache, collected) -> Times:
    """Rows of another width on another grid, under ids without endings, as imported arrays have them."""
    for number, video_id in enumerate(collected):
        rows = np.repeat(unit_rows(8, 24, seed=number), 2, axis=0)
        put_seconds(cache, I3D, video_id.removesuffix(".mp4"), rows)
    return collected


def test_a_second_encoder_is_found_by_matching_and_used_by_localize(workspace, cache, encoder, with_i3d):
    changes = {**SMALL, "cbp_inputs": "second"}
    train_wtal(workspace, options(changes=changes, second="i3d"))
    checkpoint = ModelRegistry(workspace.models_dir).find("wtal", "run")
    assert checkpoint.extra["second"] == I3D.to_dict()
    asked = LocalizeOptions(cached=True, plot=False, device="cpu")
    before = {found.video.id: found.curve for found in localize(["*"], workspace, asked).videos}
    assert set(before) == set(with_i3d)
    put_seconds(cache, I3D, "dive/d0", unit_rows(16, 24, seed=99))
    put_seconds(cache, recipe_of(encoder), "dive/late.mp4", rows_with(0, 5)[0])
    report = localize(["*"], workspace, asked)
    after = {found.video.id: found.curve for found in report.videos}
    assert {i for i in before if not np.array_equal(before[i], after[i])} == {"dive/d0.mp4"}
    [failed] = [outcome for outcome in report.outcomes if outcome.status == "failed"]
    assert failed.video_id == "dive/late.mp4" and "has no features of i3d" in str(failed.error)


def test_a_second_encoder_must_be_named_there_and_read(workspace, cache, encoder, with_i3d):
    changes = {**SMALL, "cbp_inputs": "both"}
    with pytest.raises(BadInput, match="--second i3d"):
        train_wtal(workspace, options(changes=changes))
    with pytest.raises(MissingFeatures, match="no features of 'i3x'"):
        train_wtal(workspace, options(changes=changes, second="i3x"))
    with pytest.raises(BadInput, match="--cbp-inputs second or both"):
        train_wtal(workspace, options(second="i3d"))
    put_seconds(cache, recipe_of(encoder), "dive/late.mp4", rows_with(0, 5)[0])
    with pytest.raises(MissingFeatures, match=r"dive/late\.mp4 has no features of i3d"):
        train_wtal(workspace, options(changes=changes, second="i3d"))
    put_seconds(cache, replace(I3D, revision="other"), "dive/d0", unit_rows(16, 24))
    with pytest.raises(MissingFeatures, match="several kinds of features of 'i3d'"):
        train_wtal(workspace, options(changes=changes, second="i3d"))


# -- ablation --------------------------------------------------------------------------------------------------------


def test_an_ablation_trains_all_variants_and_registers_the_full_method(tmp_path, workspace, collected, notes):
    manifest_of(tmp_path / "labels.csv", collected)
    asked = options(manifest=tmp_path / "labels.csv", ablation=True)
    report = train_wtal(workspace, asked, progress=notes)
    titles = [f"{title}: {branch}" for title in ABLATIONS for branch in ("cbp", "vlp", "average")]
    assert [row[0] for row in report.table] == ["zero-shot VLP", *titles]
    assert len({len(row) for row in report.table} | {len(report.columns)}) == 1
    assert [m for m in notes.messages if m.startswith("Ablation")][-1].startswith(f"Ablation {len(ABLATIONS)} of")
    assert [summary.name for summary in ModelRegistry(workspace.models_dir).list("wtal")] == ["run"]
    assert report.checkpoint.endswith("run") and report.folder.name == "run"
    plain = train_wtal(workspace, options(name="plain", manifest=tmp_path / "labels.csv"))
    assert same(state_of(workspace), state_of(workspace, "plain"))
    full = [row[1:] for row in report.table if str(row[0]).startswith("B+F: ")]
    assert full == [row[1:] for row in plain.table[1:]]  # the warm-up that variants share changes nothing
    assert report.pseudo_labels == plain.pseudo_labels
    with pytest.raises(BadInput, match="a run called 'run' already"):
        train_wtal(workspace, asked)
