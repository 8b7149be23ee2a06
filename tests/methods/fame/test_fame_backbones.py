"""Video networks against recorded outputs, names and counts, and what each of their heads promises."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from vidlang.core.errors import UnknownName
from vidlang.methods.fame.architectures import ARCHITECTURES, find_architecture
from vidlang.methods.fame.backbones import Backbone, build_backbone
from vidlang.nn.seed import seeded

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))
import golden_fame_networks as recorded


def num_stored(model: torch.nn.Module) -> int:
    """Weights and the running statistics of batch norm."""
    return sum(value.numel() for value in model.state_dict().values())


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    with seeded(0):
        return build_backbone("tiny").eval()


@pytest.mark.parametrize("name", recorded.NETWORKS)
def test_outputs_and_stages_equal_the_recorded_ones(golden_dir, name):
    rows = list(recorded._backbone(recorded.Golden(golden_dir / "fame"), name))
    assert sum(row.num_arrays for row in rows) > 12
    assert [row for row in rows if not row.holds] == []


def test_names_and_shapes_are_the_published_ones(golden_dir):
    rows = list(recorded._state_keys(recorded.Golden(golden_dir / "fame")))
    assert len(rows) == 8
    assert [row for row in rows if not row.holds] == []


@pytest.mark.parametrize(
    ("arch", "head", "millions"),
    [("r2plus1d_18", "classes", 31.38), ("i3d", "classes", 12.41), ("i3d", "embed", 13.48), ("tiny", "none", 0.37)],
)
def test_numbers_of_stored_values(arch, head, millions):
    with torch.device("meta"):
        model = build_backbone(arch, head=head, num_classes=101 if head == "classes" else None)
    assert round(num_stored(model) / 1e6, 2) == millions


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_sizes_at_the_published_clips(arch):
    spec = find_architecture(arch)
    with torch.device("meta"):
        model = build_backbone(arch, head="embed", embed_dim=128)
        clips = torch.empty(2, 3, spec.num_frames, spec.size, spec.size)
    moments, side = {"r2plus1d_18": (2, 7), "i3d": (2, 7), "tiny": (4, 8)}[arch]
    assert model.arch == arch
    assert model.dim == spec.dim
    assert model.maps(clips).shape == (2, spec.dim, moments, side, side)
    assert model.apply_head(torch.empty(2, spec.dim, device="meta")).shape == (2, 128)


@pytest.mark.parametrize("size", [(2, 40, 56), (7, 33, 21)])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_clips_of_any_size_go_through(arch, size):
    with torch.device("meta"):
        assert build_backbone(arch).eval().features(torch.empty(1, 3, *size)).shape == (1, find_architecture(arch).dim)


def test_features_are_the_mean_of_the_maps_and_the_output_without_head(tiny):
    clips = torch.randn(2, 3, 8, 32, 32)
    assert_close(tiny.features(clips), tiny.maps(clips).flatten(2).mean(2))
    assert torch.equal(tiny(clips), tiny.features(clips))


def test_a_moment_of_tiny_sees_19_frames(tiny):
    clips = torch.randn(1, 3, 48, 16, 16, requires_grad=True)
    maps = tiny.maps(clips)
    (gradient,) = torch.autograd.grad(maps[:, :, maps.shape[2] // 2].sum(), clips)
    assert int((gradient.abs().sum((0, 1, 3, 4)) > 0).sum()) == 19


def test_what_stands_still_looks_the_same_at_all_moments(tiny):
    still = torch.randn(1, 3, 1, 16, 16).expand(-1, -1, 48, -1, -1)
    maps = tiny.maps(still)[:, :, 3:-3]  # the ends see the padding
    assert_close(maps, maps[:, :, :1].expand_as(maps))


def test_tiny_tells_forwards_from_backwards(tiny):
    clips = torch.randn(1, 3, 16, 32, 32)
    assert (tiny.features(clips) - tiny.features(clips.flip(2))).abs().max() > 1e-3


@pytest.mark.parametrize("arch", ["tiny", "i3d"])
def test_scores_of_classes(arch):
    model = build_backbone(arch, head="classes", num_classes=5).eval()
    scores = model(torch.randn(2, 3, 8, 32, 32))
    assert scores.shape == (2, 5)
    sums = scores.exp().sum(1)
    assert torch.allclose(sums, torch.ones(2)) == (arch == "i3d")  # i3d gives logarithms of probabilities


def test_embeddings_of_i3d_have_length_1_and_those_of_tiny_do_not():
    clips = torch.randn(2, 3, 8, 32, 32)
    i3d, tiny = (build_backbone(arch, head="embed").eval()(clips).norm(dim=1) for arch in ("i3d", "tiny"))
    assert_close(i3d, torch.ones(2))
    assert (tiny - 1).abs().min() > 0.01


def test_dropout_is_for_classes_in_training():
    features = torch.ones(1, 192)
    embed, classes = (
        build_backbone("tiny", head=head, num_classes=number, dropout=0.7)  # type: ignore[arg-type]
        for head, number in (("embed", None), ("classes", 4))
    )
    assert torch.equal(embed.apply_head(features), embed.apply_head(features))
    assert not torch.equal(classes.apply_head(features), classes.apply_head(features))
    assert torch.equal(classes.eval().apply_head(features), classes.apply_head(features))


def test_weights_follow_the_seed():
    def drawn(seed: int) -> torch.Tensor:
        with seeded(seed):
            return build_backbone("tiny").stem.space[0].weight

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_convolutions_start_with_kaimings_deviation_by_outputs():
    weight = build_backbone("tiny").layer3.time[0].weight.detach()  # [192, 192, 3, 1, 1]
    assert float(weight.std()) == pytest.approx((2 / (192 * 3)) ** 0.5, rel=0.02)


def test_wrong_asks_are_refused():
    with pytest.raises(UnknownName, match="r2plus1d_18"):
        build_backbone("r2plus1d")
    with pytest.raises(ValueError, match="classes"):
        build_backbone("tiny", head="classes")
    with pytest.raises(ValueError, match="classes"):
        build_backbone("tiny", num_classes=3)
