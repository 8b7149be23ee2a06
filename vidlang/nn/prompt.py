"""Learned context around class words: embeddings that a frozen text tower reads like a sentence (CoOp, IJCV 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidlang.core.errors import BadInput
from vidlang.nn.text import TextEncoder


@dataclass(frozen=True, eq=False)
class PromptPlan:
    """Which position of each class sentence is a word and which is learned.

    With prefix P, postfix Q and m words, the positions are
    ``start · P learned · m words · Q learned · end``, and nothing after the longest end: the tower is causal, so later
    positions cannot be seen from it.
    """

    words: Tensor
    """[C, L, E] embeddings of start, words and end in their places; 0 elsewhere."""
    learned: Tensor
    """[C, L] bool, True where a row of the context table stands."""
    eot_index: Tensor
    """[C] position of the end token."""

    def embeddings(self, table: Tensor) -> Tensor:
        """The sentences. A context row is taken by absolute position, the same for all classes.

        table: [context_length, E]    returns: [C, L, E] on the words' device
        """
        rows = table[: self.words.shape[1]].to(self.words.device, self.words.dtype)  # [L, E]
        return torch.where(self.learned[..., None], rows, self.words)


def plan_prompts(text: TextEncoder, prompts: Sequence[str], prefix: int, postfix: int) -> PromptPlan:
    """Lays out one sentence per class.

    Raises:
        BadInput: a prompt is empty, or its words and the learned positions exceed the tower's context.
    """
    tokens = text.tokenize(prompts)  # [C, context_length]
    eot = text.eot_index(tokens).cpu()  # [C], words are 1 … eot - 1
    for prompt, num_words in zip(prompts, (eot - 1).tolist(), strict=True):
        needed = prefix + num_words + postfix + 2
        if num_words < 1:
            raise BadInput(f"the prompt {prompt!r} has no words. Give each class a text to be recognised by.")
        if needed > text.context_length:
            raise BadInput(
                f"the prompt {prompt!r} needs {needed} positions with its {prefix} + {postfix} learned ones, "
                f"the text encoder reads {text.context_length}. Shorten the prompt."
            )
    num_positions = int(eot.max()) + prefix + postfix + 1
    with torch.no_grad():
        embedded = text.embed_tokens(tokens[:, : int(eot.max()) + 1])  # [C, longest, E]
    words = embedded.new_zeros(len(prompts), num_positions, embedded.shape[-1])
    learned = torch.zeros(len(prompts), num_positions, dtype=torch.bool)
    for c, end in enumerate(eot.tolist()):
        words[c, 0] = embedded[c, 0]
        words[c, prefix + 1 : prefix + end] = embedded[c, 1:end]
        words[c, prefix + end + postfix] = embedded[c, end]
        learned[c, 1 : prefix + 1] = True
        learned[c, prefix + end : prefix + end + postfix] = True
    return PromptPlan(words, learned.to(words.device), (eot + prefix + postfix).to(words.device))
