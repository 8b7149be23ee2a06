"""Stage 2: the encoder's own byte-level BPE vocabulary, in CLIP's file formats.

Every byte has a token of its own, inside and at the end of a word, so any text tokenises without an unknown token.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from captions import corpus
from tokenizers import Tokenizer, models, trainers
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

CONTEXT = 77  # tokens; VadCLIP's learnable prompt needs the room
END_OF_WORD = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"


def letters() -> list[str]:
    """The 256 bytes, then the 256 bytes that end a word."""
    alphabet = sorted(ByteLevel.alphabet())
    return alphabet + [letter + END_OF_WORD for letter in alphabet]


def learn_merges(lines: list[str], size: int) -> list[list[str]]:
    """The most useful merges of ``lines``, most frequent first."""
    empty = CLIPTokenizer(vocab={START: 0, END: 1}, merges=[]).backend_tokenizer
    learner = Tokenizer(models.BPE(end_of_word_suffix=END_OF_WORD))
    # the normaliser and splitter are CLIP's own, so the merges are counted on the pieces that they will meet
    learner.normalizer, learner.pre_tokenizer = empty.normalizer, empty.pre_tokenizer
    # Named as special tokens, the letters keep this order; left to the trainer, letters that end a word get theirs by
    # chance, and with it the merges that are equally frequent.
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=letters(), end_of_word_suffix=END_OF_WORD, show_progress=False
    )
    learner.train_from_iterator(lines, trainer)
    merges: list[list[str]] = json.loads(learner.to_str())["model"]["merges"]
    return merges


def build_tokenizer(lines: list[str], size: int) -> CLIPTokenizer:
    """A CLIP tokenizer of at most ``size`` tokens: bytes, bytes that end a word, merges, start, end."""
    merges = learn_merges(lines, size)[: size - len(letters()) - 2]
    tokens = dict.fromkeys([*letters(), *("".join(pair) for pair in merges), START, END])
    pairs = [(left, right) for left, right in merges]
    vocab = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=pairs, model_max_length=CONTEXT)  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with clip_text/")
    parser.add_argument("--models", type=Path, required=True, help="folder with mobilenet_v2/ (its class names)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the encoder")
    parser.add_argument("--size", type=int, default=4096, help="tokens")
    args = parser.parse_args()
    tokenizer = build_tokenizer(corpus(args.data, args.models / "mobilenet_v2"), args.size)
    tokenizer.save_pretrained(args.out)
    print(f"{len(tokenizer)} tokens")


if __name__ == "__main__":
    main()
