"""Videos to a video network, and to one that names classes; small films of two colours."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from moving_films import NAMING, SMALL, collection, manifest, moving_film

from vidlang.core import BadCheckpoint, BadInput, BadManifest, UnknownName
from vidlang.methods.fame.backbones import build_backbone
from vidlang.methods.fame.config import FameConfig, FinetuneConfig, preset
from vidlang.methods.fame.predict import Predictor
from vidlang.nn.seed import seeded
from vidlang.report.training_curves import curves_png
from vidlang.store.checkpoints import ClipCheckpoint, ModelRegistry, load_checkpoint
from vidlang.store.video_backbones import ClipRecipe
from vidlang.workflows import runs
from vidlang.workflows.clip_source import ClipBatch
from vidlang.workflows.recognize_fame import RecognizeOptions, recognize_fame
from vidlang.workflows.runs import RunFolder, runs_folder
from vidlang.workflows.train_fame import TrainFameOptions, pretraining_config, train_fame
from vidlang.workflows.video_networks import Batches, find_network, fitted_batches, open_run


def options(**changes) -> TrainFameOptions:
    own = {**SMALL, **changes.pop("changes", {})}
    return TrainFameOptions(**{"changes": own, "name": "run", "device": "cpu", "num_workers": 0, **changes})


def naming(kind: str = "finetune", checkpoint: str = "run", **changes) -> RecognizeOptions:
    own = {**NAMING, **changes.pop("changes", {})}
    given = {"name": kind, "device": "cpu", "num_workers": 0, **changes}
    return RecognizeOptions(kind, checkpoint, own, **given)


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch) -> None:
    """They take longer than the training."""
    monkeypatch.setattr(runs, "curves_png", lambda *_, **__: b"")


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    return collection(tmp_path_factory.mktemp("films"))


def state_of(workspace, name: str = "run") -> dict[str, torch.Tensor]:
    return ModelRegistry(workspace.models_dir).find_clips("fame", name).state


def facts_of(workspace, name: str = "run") -> dict:
    return json.loads((runs_folder(workspace, "fame") / name / "run.json").read_text())


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# -- without labels --------------------------------------------------------------------------------------------------


def test_a_folder_of_videos_becomes_a_registered_network(workspace, films, monkeypatch):
    monkeypatch.setattr(runs, "curves_png", curves_png)
    report = train_fame([films], workspace, options())
    assert report is not None
    log = [json.loads(line) for line in (report.folder / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in log] == [1, 2] and all(row["area"] == 0.5 for row in log)
    assert [row[0] for row in report.table] == [1, 2] and report.table[1][1] == log[1]["loss"]
    assert (report.folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    found = ModelRegistry(workspace.models_dir).find_clips("fame")
    assert found.recipe == ClipRecipe(4, 1, 32, 36) and found.class_names == () and found.extra["kind"] == "pretrain"
    assert found.state.keys() == build_backbone("tiny").state_dict().keys()
    assert found.metrics["loss"] == log[1]["loss"]
    both = load_checkpoint(report.folder / "last")
    assert isinstance(both, ClipCheckpoint) and both.state["queue"].shape == (128, 8)
    assert torch.equal(both.state["encoder_q.stem.space.0.weight"], found.state["stem.space.0.weight"])
    assert facts_of(workspace)["finished"] and len(facts_of(workspace)["train"]) == 8
    assert json.loads(json.dumps(report.to_dict()))["schema"] == "vidlang.train_fame/1"


class Stopped(Exception):
    """What a power cut is to a training."""


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(workspace, films, monkeypatch):
    train_fame([films], workspace, options(name="straight"))
    keep = RunFolder.keep

    def cut(run, state) -> None:
        keep(run, state)
        raise Stopped

    monkeypatch.setattr(RunFolder, "keep", cut)
    with pytest.raises(Stopped):
        train_fame([films], workspace, options())
    monkeypatch.setattr(RunFolder, "keep", keep)
    with pytest.raises(BadInput, match="started with another config"):
        train_fame([films], workspace, options(resume=True, changes={"beta": 0.3}))
    report = train_fame([films], workspace, options(name=None, resume=True))  # the newest unfinished one
    assert report is not None and report.folder.name == "run" and [row[0] for row in report.table] == [1, 2]
    assert same(state_of(workspace, "run"), state_of(workspace, "straight"))


def test_a_manifest_chooses_videos_and_its_labels_change_nothing(workspace, films, tmp_path):
    listed = manifest(tmp_path / "a.csv", tests=(3,), values=(2,))
    train_fame([films], workspace, options(manifest=listed))
    assert facts_of(workspace)["train"] == ["blue/0.mp4", "blue/1.mp4", "red/0.mp4", "red/1.mp4"]
    other = tmp_path / "b.csv"
    other.write_text(listed.read_text().replace(",blue,", ",jump,").replace(",red,", ",jump,"))
    train_fame([films], workspace, options(manifest=other, name="other"))
    assert same(state_of(workspace), state_of(workspace, "other"))
    with pytest.raises(BadInput, match=r"None of the given videos is in .*none\.csv"):
        train_fame([films], workspace, options(manifest=manifest(tmp_path / "none.csv", tests=range(4)), name="x"))


def test_broken_videos_are_named_and_the_others_are_learned_from(workspace, tmp_path):
    folder = collection(tmp_path / "v", per_colour=3)
    (folder / "red" / "0.mp4").write_bytes(b"not a video")
    report = train_fame([folder], workspace, options(changes={"epochs": 1, "min_batches": 2}))
    assert report is not None and len(report.table) == 1
    assert [note for note in report.notes if note.startswith("red/0.mp4 is left out: ")]
    for path in folder.rglob("*.mp4"):
        path.write_bytes(b"not a video")
    with pytest.raises(BadInput, match="do not fill one batch: 6 do not read, such as"):
        train_fame([folder], workspace, options(name="none"))


def test_what_a_published_file_holds_beside_the_network_is_said(workspace, tmp_path):
    weights = {f"module.encoder_q.{k}": v for k, v in build_backbone("tiny").state_dict().items()}
    usual = {"module.queue": torch.zeros(2, 4), "module.encoder_k.stem.space.0.weight": torch.zeros(1)}
    torch.save({"state_dict": weights | usual}, tmp_path / "plain.pth.tar")
    assert find_network(workspace, str(tmp_path / "plain.pth.tar")).notes == ()
    more = {"module.encoder_q.extra.weight": torch.zeros(1)}
    torch.save({"state_dict": weights | usual | more}, tmp_path / "more.pth.tar")
    [note] = find_network(workspace, str(tmp_path / "more.pth.tar")).notes
    assert note == "more.pth.tar holds 1 tensors that tiny does not have, such as encoder_q.extra.weight"


def test_the_preset_follows_the_network_and_published_files_are_started_from(workspace, films, tmp_path):
    with seeded(5):
        weights = build_backbone("tiny").state_dict()
    file = tmp_path / "checkpoint.pth.tar"
    torch.save({"epoch": 3, "state_dict": {f"module.encoder_q.{k}": v for k, v in weights.items()}}, file)
    still = {"epochs": 1, "learning_rate": 1e-12}
    report = train_fame([films], workspace, options(init=str(file), changes=still))
    assert report is not None and facts_of(workspace)["started_from"] == "checkpoint.pth.tar"
    after = state_of(workspace)
    kernels = [name for name in weights if weights[name].ndim == 5]
    assert kernels and all(torch.allclose(after[name], weights[name], atol=1e-9) for name in kernels)
    with pytest.raises(BadInput, match=r"checkpoint\.pth\.tar is a tiny, not a i3d"):
        train_fame([films], workspace, options(init=str(file), changes={"arch": "i3d"}, name="x"))
    for arch, name in (("i3d", "kinetics"), ("r2plus1d_18", "ucf101"), ("tiny", "small")):
        asked = TrainFameOptions(changes={"arch": arch})
        assert pretraining_config(asked) == preset(name, arch=arch)


def test_batches_fit_the_videos_and_the_processes():
    small = FameConfig(batch_size=16, queue_size=512)
    config, notes = fitted_batches(small, 6, {}, 1)
    assert (config.batch_size, config.queue_size) == (6, 6)
    assert len(notes) == 2 and "a batch has 6, not 16" in notes[0] and "the queue has 6 keys, not 512" in notes[1]
    assert fitted_batches(small, 7, {}, 2)[0].batch_size == 6
    assert fitted_batches(small, 1024, {}, 4) == (small, [])
    assert fitted_batches(small, 1023, {}, 4)[0].queue_size == 496  # no key of a video among those of the others
    config, notes = fitted_batches(small, 100, {"queue_size": 512}, 1)
    assert config == small and "holds keys of the same video" in notes[0]
    for asked, num_videos, processes, why in (
        ({"batch_size": 16}, 6, 1, "--batch-size is 16 but there are 6 videos"),
        ({}, 1, 1, "at least 2 videos"),
        ({}, 3, 4, "too few for 4 processes"),
        ({}, 100, 3, "cannot be shared by 3 processes"),
    ):
        with pytest.raises(BadInput, match=why):
            fitted_batches(small, num_videos, asked, processes)
    assert fitted_batches(FinetuneConfig(), 5, {}, 1)[0].batch_size == 5


@dataclass
class Some:
    """A source of so many batches a pass."""

    counts: list[int]
    failed: dict[str, str]
    asked: list[int]

    def epoch(self, epoch: int):
        self.asked.append(epoch)
        for _ in range(self.counts.pop(0)):
            yield ClipBatch([], torch.zeros(0).numpy())


def test_every_process_gives_as_many_batches_whatever_does_not_read():
    source = Some([3, 2, 2, 4], {}, [])
    batches = Batches(source, 5)
    assert len(list(batches(0))) == 5 and len(list(batches(1))) == 5
    assert len(set(source.asked)) == 4  # each pass draws other windows
    with pytest.raises(BadInput, match="1 do not read, such as a"):
        list(Batches(Some([0], {"a.mp4": "why"}, []), 2)(0))


@dataclass
class Tells:
    """A process, and all that it told the others."""

    rank: int
    told: list
    size: int = 2

    def from_first(self, make):
        if self.rank:
            return self.told.pop(0)
        self.told.append(make())
        return self.told[-1]


def test_only_the_first_process_writes_and_the_others_have_its_state(workspace, films):
    train_fame([films], workspace, options())
    for name, resume, epoch in (("run", True, 2), (None, False, None)):
        first, told = open_run(workspace, name, resume, {}, Tells(0, sent := []))
        assert first is not None and first.path.is_dir() and getattr(told, "epoch", None) == epoch
        before = sorted(runs_folder(workspace, "fame").rglob("*"))
        assert open_run(workspace, name, resume, {}, Tells(1, sent)) == (None, told) and not sent
        assert sorted(runs_folder(workspace, "fame").rglob("*")) == before


# -- naming classes --------------------------------------------------------------------------------------------------


def test_a_fine_tuned_network_knows_colours(workspace, films, tmp_path):
    train_fame([films], workspace, options(changes={"epochs": 1}))
    listed = manifest(tmp_path / "labels.csv", tests=(3,), values=(2,))
    report = recognize_fame([films], workspace, naming(manifest=listed))
    assert report is not None and report.columns[1:] == ("top-1", "top-5", "mean per class", "test videos")
    assert report.table[0] == ("finetune", 1.0, None, 1.0, 2) and report.table[1][1] == 0.5
    found = ModelRegistry(workspace.models_dir).find_clips("fame", "finetune")
    assert found.class_names == ("blue", "red") and found.extra["started_from"] == "run"
    assert FinetuneConfig.from_dict(dict(found.config)).crop_size == 32 and found.metrics["top-1"] == 1.0
    network = find_network(workspace, "finetune")
    assert isinstance(network.predictor("cpu"), Predictor) and network.class_names == ("blue", "red")
    assert not [name for name in network.backbone() or {} if name.startswith("fc")]
    log = (report.folder / "log.jsonl").read_text().splitlines()
    assert len(log) == 6 and "top1" in json.loads(log[0])


def test_the_linear_probe_learns_its_last_layer_alone(workspace, films):
    train_fame([films], workspace, options(changes={"epochs": 1}))
    report = recognize_fame(
        [films],
        workspace,
        naming("linear", test_fraction=0.25, changes={"keep_features": True, "epochs": 40, "lr_milestones": ()}),
    )
    assert report is not None and report.table[0][1] == 1.0
    assert any("2 of 8 are held out" in note for note in report.notes)
    before, after = state_of(workspace, "run"), state_of(workspace, "linear")
    assert set(after) - set(before) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_fresh_weights_are_a_start_too(workspace, films):
    shape = {name: SMALL[name] for name in ("num_frames", "step", "crop_size", "short_side")}
    report = recognize_fame([films], workspace, naming(checkpoint="random", changes={**shape, "epochs": 1}))
    assert report is not None and facts_of(workspace, "finetune")["started_from"] == "random"


def test_what_cannot_be_learned_is_said_in_one_line(workspace, films, tmp_path):
    train_fame([films], workspace, options(changes={"epochs": 1}))
    with pytest.raises(BadInput, match="--beta, --queue-size belongs to another kind"):
        naming(changes={"beta": 0.1, "queue_size": 4})
    with pytest.raises(UnknownName, match=r"no fame checkpoint called 'runn'\. Did you mean 'run'"):
        recognize_fame([films], workspace, naming(checkpoint="runn"))
    with pytest.raises(BadInput, match="run is a tiny, not a i3d"):
        recognize_fame([films], workspace, naming(changes={"arch": "i3d"}))
    (tmp_path / "weights.pth").write_bytes(b"something else")
    with pytest.raises(BadCheckpoint, match="does not read as a PyTorch file"):
        recognize_fame([films], workspace, naming(checkpoint=str(tmp_path / "weights.pth")))
    for text, why in (
        ("red/0.mp4,red|blue,train", "one class a video"),
        ("red/0.mp4,red,train\nred/1.mp4,red,test", "at least two classes"),
        ("red/0.mp4,red,train\nblue/1.mp4,blue,test", "No training video is of the class 'blue'"),
    ):
        (tmp_path / "m.csv").write_text(f"video,label,split\n{text}\n")
        with pytest.raises(BadManifest, match=why):
            recognize_fame([films], workspace, naming(manifest=tmp_path / "m.csv"))
    moving_film(tmp_path / "flat" / "a.mp4")
    with pytest.raises(BadManifest, match="No video lies in a class folder"):
        recognize_fame([tmp_path / "flat"], workspace, naming())
