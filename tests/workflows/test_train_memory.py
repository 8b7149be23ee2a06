"""Trainings whose features are more than the memory that they may fill."""

from __future__ import annotations

import json

from stand_ins import collection, recipe_of

from vidlang.nn.stream import StreamedRows
from vidlang.workflows.runs import USUAL_MEMORY, memory_for_rows, runs_folder
from vidlang.workflows.train_vadclip import TrainOptions, train_vadclip

SMALL = {
    "visual_length": 12, "attn_window": 4, "attn_heads": 2, "prompt_prefix": 2, "prompt_postfix": 2,
    "batch_size": 4, "epochs": 2, "learning_rate": 3e-3,
}  # fmt: skip


def test_a_training_of_few_bytes_reads_as_it_goes(workspace, cache, encoder, monkeypatch):
    collection(cache, recipe_of(encoder))
    made: list[StreamedRows] = []
    before = StreamedRows.__init__
    monkeypatch.setattr(StreamedRows, "__init__", lambda self, *args: (made.append(self), before(self, *args))[1])
    options = {"changes": SMALL, "device": "cpu"}
    train_vadclip(workspace, TrainOptions(name="held", **options))
    assert not made
    report = train_vadclip(workspace, TrainOptions(name="read", memory=6000, **options))
    (rows,) = made
    assert 0 < rows.most_resident <= 6000 // (4 * rows[0].shape[1]) < sum(rows.lengths)
    log = (runs_folder(workspace, "vadclip") / "read" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in log] == [1, 2]
    assert report.metrics[0].keys() >= {"auc_c", "auc_a", "auc_fusion"}


def test_what_is_asked_for_is_taken_and_else_a_part_of_the_machine():
    assert memory_for_rows(5) == 5
    assert memory_for_rows(None) > 1 << 20
    assert USUAL_MEMORY // 16 > 1 << 20
