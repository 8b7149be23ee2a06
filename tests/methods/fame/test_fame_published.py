"""Files of others: taken apart, put together again, and refused with one clear line."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vidlang.core.errors import BadCheckpoint
from vidlang.methods.fame.backbones import build_backbone
from vidlang.methods.fame.moco import MoCo
from vidlang.methods.fame.published import PublishedWeights, read_published, write_published
from vidlang.nn.seed import seeded

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def pretraining() -> State:
    """As training in many processes stores it."""
    with seeded(0):
        moco = MoCo(lambda: build_backbone("tiny", head="embed"), queue_size=4)
        for key in moco.encoder_k.parameters():
            key += 1  # so that the two encoders can be told apart
    return {f"module.{name}": value for name, value in moco.state_dict().items()}


def as_published(arch: str, **head: object) -> State:
    """Names and shapes of a whole network, each tensor one number repeated."""
    with torch.device("meta"):
        state = build_backbone(arch, **head).state_dict()  # type: ignore[arg-type]
    return {name: torch.zeros((), dtype=value.dtype).expand(value.shape) for name, value in state.items()}


def test_a_pretraining_gives_its_query_encoder(pretraining):
    weights = read_published(pretraining)
    assert (weights.arch, weights.kind, weights.num_classes) == ("tiny", "pretraining", None)
    for name, value in weights.backbone.items():
        assert torch.equal(value, pretraining[f"module.encoder_q.{name}"])
    assert set(weights.head) == {"fc.0.weight", "fc.0.bias", "fc.2.weight", "fc.2.bias"}
    assert {"queue", "queue_ptr", "encoder_k.stem.space.0.weight"} <= weights.left_over.keys()
    assert len(weights.backbone) + len(weights.head) + len(weights.left_over) == len(pretraining)


def test_what_is_read_fits_the_network(pretraining):
    weights = read_published(pretraining)
    build_backbone("tiny").load_state_dict(weights.backbone)
    build_backbone("tiny", head="embed").load_state_dict(weights.backbone | weights.head)


def test_a_whole_file_and_one_without_prefix_read_the_same(pretraining):
    bare = {name.removeprefix("module."): value for name, value in pretraining.items()}
    file = {"epoch": 200, "arch": "tiny", "state_dict": bare, "optimizer": {"state": {}, "param_groups": []}}
    expected, read = read_published(pretraining), read_published(file)
    assert expected.backbone.keys() == read.backbone.keys()
    assert expected.left_over.keys() == read.left_over.keys()
    assert all(torch.equal(value, read.backbone[name]) for name, value in expected.backbone.items())


def test_torchvisions_layout_is_a_classifier():
    weights = read_published(as_published("r2plus1d_18", head="classes", num_classes=400))
    assert (weights.arch, weights.kind, weights.num_classes) == ("r2plus1d_18", "classifier", 400)
    assert weights.left_over == {}
    assert len(weights.backbone) == 222


def test_an_i3d_with_its_head_of_embeddings_is_a_backbone():
    weights = read_published(as_published("i3d", head="embed"))
    assert (weights.arch, weights.kind, weights.num_classes) == ("i3d", "backbone", None)
    assert set(weights.head) == {"id_head.2.weight", "id_head.2.bias", "id_head.4.weight", "id_head.4.bias"}


@pytest.mark.parametrize("head", [{"head": "embed"}, {"head": "classes", "num_classes": 7}, {}])
def test_writing_gives_the_file_back(head):
    file = {f"module.{name}": value for name, value in build_backbone("tiny", **head).state_dict().items()}
    assert_same(write_published(read_published(file)), file)


def test_writing_gives_a_pretraining_back(pretraining):
    assert_same(write_published(read_published(pretraining)), pretraining)


def assert_same(ours: State, theirs: State) -> None:
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_a_backbone_alone_is_written_as_the_query_encoder():
    state = build_backbone("tiny").state_dict()
    written = write_published(PublishedWeights("tiny", "pretraining", dict(state)))
    assert list(written) == [f"module.encoder_q.{name}" for name in state]
    assert read_published(written).kind == "pretraining"


def test_strange_names_are_left_over_and_said_so():
    state = as_published("tiny") | {"ema.decay": torch.tensor(0.9), "projector.weight": torch.ones(2)}
    assert set(read_published(state).left_over) == {"ema.decay", "projector.weight"}


def test_half_precision_and_old_files_without_counters_are_read():
    state = {name: value.half() for name, value in as_published("tiny").items() if "num_batches" not in name}
    weights = read_published(state)
    build_backbone("tiny").load_state_dict(weights.backbone)
    assert weights.backbone["stem.space.0.weight"].dtype == torch.float32
    assert weights.backbone["stem.space.1.num_batches_tracked"].dtype == torch.int64


def test_what_is_read_is_a_copy():
    state = {name: value.clone() for name, value in as_published("tiny").items()}
    weights = read_published(state)
    state["stem.space.0.weight"].fill_(7)
    assert int(weights.backbone["stem.space.0.weight"].max()) == 0


def without(name: str) -> State:
    return {key: value for key, value in as_published("tiny").items() if key != name}


WRONG = {
    "empty": ({}, "holds no weights"),
    "no tensors": ({"epoch": 3, "arch": "i3d"}, "epoch, arch are no tensor"),
    "one number among them": (as_published("tiny") | {"epoch": 3}, "epoch is no tensor"),
    "another network": ({"conv1.weight": torch.ones(1), "bn1.weight": torch.ones(1)}, "begin with conv1.weight"),
    "state is no table": ({"state_dict": [torch.ones(2)]}, "holds no weights"),
    "a tensor missing": (without("layer3.time.0.weight"), "not complete: layer3.time.0.weight is missing"),
    "another width": (
        as_published("tiny") | {"stem.space.0.weight": torch.zeros(16, 2, 1, 5, 5)},
        r"stem.space.0.weight is \(16, 2, 1, 5, 5\), expected \(16, 3, 1, 5, 5\)",
    ),
    "not finite": (
        as_published("tiny") | {"stem.space.1.bias": torch.full((16,), torch.nan)},
        "stem.space.1.bias is not",
    ),
    "key encoder alone": ({"encoder_k.stem.space.0.weight": torch.ones(1)}, "begin with encoder_k"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_files_are_refused_with_one_line(case):
    file, message = WRONG[case]
    with pytest.raises(BadCheckpoint, match=message) as caught:
        read_published(file)
    assert "\n" not in str(caught.value)
