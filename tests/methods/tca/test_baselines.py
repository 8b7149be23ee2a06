"""NetVLAD, NeXtVLAD, LSTM and GRU: recorded numbers, loops, padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tca_golden import largest_difference, needs_golden, tensors, weights
from tca_plain import batch_norm, netvlad, nextvlad, numbers, unit

from vidlang.core.errors import BadInput
from vidlang.methods.tca.baselines import Gru, Lstm, NetVlad, NextVlad
from vidlang.methods.tca.video_encoder import row_weights
from vidlang.nn.seed import seeded

MAKERS = {
    "netvlad": lambda: NetVlad(16, 8, 24, 8),
    "nextvlad": lambda: NextVlad(16, 4, 24, 8, groups=4),
    "lstm": lambda: Lstm(16, 16),
    "gru": lambda: Gru(16, 16),
}
LENGTHS = torch.tensor([7, 3, 1])


@pytest.fixture(params=MAKERS)
def made(request):
    with seeded(0):
        encoder = MAKERS[request.param]().eval()
        for parameter in encoder.parameters():
            parameter.data += 0.2 * torch.randn_like(parameter)
        for name, buffer in encoder.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.1 * torch.randn_like(buffer))
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand_like(buffer))
    return request.param, encoder.requires_grad_(False)


def rows(seed=1) -> torch.Tensor:
    x = torch.randn(3, 7, 16, generator=torch.Generator().manual_seed(seed))
    x[1, 3:], x[2, 1:] = 0, 0
    return x


@needs_golden
@pytest.mark.parametrize("name", MAKERS)
def test_recorded_outputs_are_reached(name):
    recorded, encoder = tensors("baselines"), MAKERS[name]().eval()
    encoder.load_state_dict(weights("baselines", f"{name}."))
    x, lengths = recorded[f"{name}_x"].transpose(1, 2), recorded["lengths"].long()
    with torch.no_grad():
        assert largest_difference(encoder.video(x, lengths), recorded[f"{name}_video"]) < 1e-5
        if f"{name}_residuals" in recorded:
            residuals = encoder.residuals(x, row_weights(lengths, x.shape[1], None))
            assert largest_difference(residuals, recorded[f"{name}_residuals"]) < 1e-5
        else:
            frames = torch.cat(encoder.frames(x, lengths))
            assert largest_difference(frames, recorded[f"{name}_frames_flat"]) < 1e-5


def test_they_compute_what_plain_loops_compute(made):
    name, encoder = made
    x = rows()
    videos = encoder.video(x, LENGTHS).numpy()
    for index, length in enumerate(LENGTHS.tolist()):
        one = x[index, :length].numpy()
        if name == "netvlad":
            expected = netvlad(encoder.state_dict(), one)
        elif name == "nextvlad":
            expected = nextvlad(encoder.state_dict(), one, groups=4)
        else:
            run = encoder.LSTM if name == "lstm" else encoder.GRU
            state = numbers(encoder.state_dict())
            normed = torch.from_numpy(batch_norm(one.astype(np.float64), state, "bn1")).float()
            expected = unit(run(normed[None])[0][0].numpy().mean(0))
        np.testing.assert_allclose(videos[index], expected, atol=1e-5)


def test_what_stands_in_the_padding_changes_no_bit(made):
    encoder = made[1]
    clean = rows()
    dirty = clean.clone()
    dirty[1, 3:], dirty[2, 1:] = 9.0, float("nan")
    for ours, theirs in zip(encoder.both(dirty, LENGTHS), encoder.both(clean, LENGTHS), strict=True):
        assert torch.equal(ours, theirs)


def test_videos_in_the_batch_change_nothing(made):
    encoder = made[1]
    x = rows()
    alone = encoder.video(x[1:2], LENGTHS[1:2])
    torch.testing.assert_close(encoder.video(x, LENGTHS)[1:2], alone, atol=1e-6, rtol=0)


def test_netvlad_takes_no_part_of_rows_without_weight():
    with seeded(0):
        encoder = NetVlad(16, 8, 24, 8).eval()
    x = rows()[:1]
    seen = torch.tensor([[1.0, 1, 0, 1, 1, 0, 0]])
    kept = x[:, [0, 1, 3, 4]]
    expected = encoder.video(kept, torch.tensor([4]))
    torch.testing.assert_close(encoder.video(x, torch.tensor([7]), seen), expected, atol=1e-6, rtol=0)


def test_vlad_frames_are_the_rows_that_went_in():
    encoder = NetVlad(16, 8, 24, 8).eval()
    x = rows()
    torch.testing.assert_close(encoder.frames(x, LENGTHS)[1], torch.nn.functional.normalize(x[1, :3], dim=-1))


def test_netvlad_starts_from_its_centres():
    encoder = NetVlad(16, 8, 24, 8)
    torch.testing.assert_close(encoder.conv.weight[..., 0], 2 * encoder.centroids)
    torch.testing.assert_close(encoder.conv.bias, -encoder.centroids.norm(dim=1))


def test_shapes_that_do_not_divide_are_named():
    with pytest.raises(BadInput, match=r"gating_reduction must divide the width of the video vector, 20; 8 does not"):
        NetVlad(16, 8, 20, 8)
    with pytest.raises(BadInput, match=r"vlad_groups must divide the widened rows, 30; 8 does not\. Use 1, 2, 3, 5"):
        NextVlad(15, 4, 24, 8)
