import pytest
import torch
from torch.testing import assert_close

from vidlang.nn.mil import topk_mean


def test_one_in_sixteen_and_one_more_counts():
    scores = torch.arange(33.0)[None, :, None]
    assert topk_mean(scores, torch.tensor([33])).item() == 31.0  # 32, 31, 30
    assert topk_mean(scores, torch.tensor([16])).item() == 14.5  # 15, 14
    assert topk_mean(scores, torch.tensor([15])).item() == 14.0
    assert topk_mean(scores, torch.tensor([1])).item() == 0.0


def test_classes_choose_on_their_own_and_padding_never():
    scores = torch.tensor([[[1.0, 9.0], [5.0, 2.0], [99.0, 99.0]]])
    assert topk_mean(scores, torch.tensor([2])).tolist() == [[5.0, 9.0]]


def test_no_more_snippets_than_there_are():
    scores = torch.tensor([[[1.0], [3.0], [50.0]]])
    assert topk_mean(scores, torch.tensor([2]), ratio=1).item() == 2.0


def test_gradient_goes_to_the_chosen_alone():
    scores = torch.tensor([[[1.0], [5.0], [4.0], [9.0]]], requires_grad=True)
    topk_mean(scores, torch.tensor([3]), ratio=2).sum().backward()
    assert_close(scores.grad[0, :, 0], torch.tensor([0.0, 0.5, 0.5, 0.0]))


def test_a_video_without_snippets_is_refused():
    with pytest.raises(ValueError, match=r"at least one snippet, got lengths \[3, 0\]"):
        topk_mean(torch.zeros(2, 3, 1), torch.tensor([3, 0]))
