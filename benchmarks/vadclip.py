"""VadCLIP: CPU seconds of a training step and of an evaluated piece, beside a plain way of doing the same.

    python benchmarks/vadclip.py                     # UCF-Crime sizes, a quarter of the batch
    python benchmarks/vadclip.py --preset xd-violence --batch 96

The plain side is written here from the method's description and does the work as a direct reading of it does:
attention over all 256 positions with a mask for the windows, similarity graphs and top-k losses video by video, the
distance matrix built for every batch, prompts of all 77 positions, and at evaluation one video at a time with its texts
encoded anew. Both sides have the same weights (random, of the size of CLIP ViT-B/16's text tower) and read the same
videos; their outputs are compared before they are timed. One thread; the median of the repeats; CPU seconds of the
process.

Lengths: ``full`` gives every video 256 snippets. ``ucf`` draws them as UCF-Crime's are spread (median about 140
snippets, 28 % longer than 256 and pooled).
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

from vidlang.encoders.text import TextTower
from vidlang.methods.vadclip.config import PRESET_PROMPTS, VadClipConfig, preset
from vidlang.methods.vadclip.data import Sample, TrainingSet
from vidlang.methods.vadclip.predict import Predictor
from vidlang.methods.vadclip.train import Trainer

START, END = 49406, 49407


class LetterTokenizer:
    """One token per word, by length and first letter: the cost of a text does not depend on which tokens it has."""

    eos_token_id = END

    def __call__(self, texts: list[str]) -> dict[str, list[list[int]]]:
        rows = [[START, *(1000 + 97 * ord(word[0]) + len(word) for word in text.split()), END] for text in texts]
        return {"input_ids": rows}


def random_clip(seed: int = 0) -> CLIPModel:
    """CLIP with ViT-B/16's text tower (width 512, 12 layers, 8 heads) and a token visual tower."""
    text = CLIPTextConfig(
        hidden_size=512, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=8, projection_dim=512,
        hidden_act="quick_gelu", vocab_size=49408, bos_token_id=START, eos_token_id=END,
    )  # fmt: skip
    vision = CLIPVisionConfig(hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=1)
    torch.manual_seed(seed)
    return CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=512)).eval()


# The plain side


class PlainBlock(nn.Module):
    """Pre-norm block with torch's own multi-head attention and a mask over all pairs of positions."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(dim, heads)
        self.ln_1, self.ln_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.c_fc, self.c_proj = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        y = self.c_fc(self.ln_2(x))
        return x + self.c_proj(y * torch.sigmoid(1.702 * y))


class PlainText(nn.Module):
    """The text tower over all 77 positions, from the weights of a transformers CLIP."""

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        source = clip.text_model
        self.tokens, self.positions = source.embeddings.token_embedding, source.embeddings.position_embedding.weight
        self.blocks = nn.ModuleList(PlainBlock(512, 8) for _ in source.encoder.layers)
        self.ln_final, self.projection = source.final_layer_norm, clip.text_projection
        for block, layer in zip(self.blocks, source.encoder.layers, strict=True):
            of = layer.self_attn
            parts = (of.q_proj, of.k_proj, of.v_proj)
            with torch.no_grad():
                block.attn.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
                block.attn.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
            block.attn.out_proj.load_state_dict(of.out_proj.state_dict())
            for ours, theirs in (("ln_1", "layer_norm1"), ("ln_2", "layer_norm2")):
                getattr(block, ours).load_state_dict(getattr(layer, theirs).state_dict())
            block.c_fc.load_state_dict(layer.mlp.fc1.state_dict())
            block.c_proj.load_state_dict(layer.mlp.fc2.state_dict())
        self.requires_grad_(False)

    def forward(self, tokens: Tensor, table: Tensor, prefix: int, postfix: int) -> Tensor:
        """tokens: [C, 77]    table: [77, 512]    returns: [C, 512]"""
        embeddings = table.expand(len(tokens), -1, -1).clone()
        words = self.tokens(tokens)
        ends = []
        for c, row in enumerate(tokens):
            end = int((row == END).int().argmax())
            embeddings[c, 0] = words[c, 0]
            embeddings[c, prefix + 1 : prefix + end] = words[c, 1:end]
            embeddings[c, prefix + end + postfix] = words[c, end]
            ends.append(prefix + end + postfix)
        mask = torch.full((77, 77), -torch.inf).triu(1)
        x = (embeddings + self.positions).transpose(0, 1)
        for block in self.blocks:
            x = block(x, mask)
        return self.projection(self.ln_final(x.transpose(0, 1))[torch.arange(len(tokens)), ends])


class PlainVadClip(nn.Module):
    """The video side, video by video where the description is."""

    def __init__(self, config: VadClipConfig, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(PlainBlock(512, config.attn_heads) for _ in range(config.attn_layers))
        self.own = nn.ParameterDict(
            {name.replace(".", "/"): value.clone() for name, value in state.items() if not name.startswith("temporal")}
        )
        for at, block in enumerate(self.blocks):
            stem = f"temporal.resblocks.{at}."
            named = {name.removeprefix(stem): value for name, value in state.items() if name.startswith(stem)}
            block.load_state_dict({name.removeprefix("mlp."): value for name, value in named.items()})

    def of(self, name: str) -> Tensor:
        return self.own[name.replace(".", "/")]

    def linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.of(f"{name}.weight"), self.of(f"{name}.bias"))

    def feed_forward(self, x: Tensor, name: str) -> Tensor:
        y = self.linear(x, f"{name}.c_fc")
        return self.linear(y * torch.sigmoid(1.702 * y), f"{name}.c_proj")

    def convolve(self, x: Tensor, graph: Tensor, name: str) -> Tensor:
        mixed = graph @ (x @ self.of(f"{name}.weight"))
        if name in ("gc1", "gc3"):
            kernel, bias = self.of(f"{name}.residual.weight"), self.of(f"{name}.residual.bias")
            x = F.conv1d(x.transpose(1, 2), kernel, bias, padding=2).transpose(1, 2)
        y = mixed + x
        return y * torch.sigmoid(1.702 * y)

    def similarity(self, x: Tensor, lengths: Tensor) -> Tensor:
        norm = x.norm(dim=2, keepdim=True)
        cosine = x @ x.transpose(1, 2) / (norm @ norm.transpose(1, 2) + 1e-20)
        graph = torch.zeros_like(cosine)
        for b, length in enumerate(lengths.tolist()):
            part = cosine[b, :length, :length]
            graph[b, :length, :length] = F.softmax(torch.where(part > 0.7, part, torch.zeros_like(part)), 1)
        return graph

    def forward(self, features: Tensor, lengths: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        batch, length, _ = features.shape
        window = self.config.attn_window
        mask = torch.full((length, length), -torch.inf)
        for start in range(0, length, window):
            mask[start : start + window, start : start + window] = 0
        x = (features + self.of("frame_position_embeddings.weight")).transpose(0, 1)
        for block in self.blocks:
            x = block(x, mask)
        x = x.transpose(0, 1)
        steps = np.arange(length)
        far = torch.from_numpy(np.exp(-np.abs(steps[:, None] - steps[None]) / math.e)).float().repeat(batch, 1, 1)
        near = self.similarity(x, lengths)
        first = self.convolve(self.convolve(x, near, "gc1"), near, "gc2")
        second = self.convolve(self.convolve(x, far, "gc3"), far, "gc4")
        visual = self.linear(torch.cat((first, second), 2), "linear")
        anomaly = self.linear(visual + self.feed_forward(visual, "mlp2"), "classifier")
        prompt = (anomaly.transpose(1, 2) @ visual).squeeze(1)
        prompt = prompt / prompt.norm(dim=-1, keepdim=True)
        fused = texts.expand(batch, -1, -1) + prompt[:, None]
        fused = fused + self.feed_forward(fused, "mlp1")
        unit = visual / visual.norm(dim=-1, keepdim=True)
        return anomaly[..., 0], unit @ (fused / fused.norm(dim=-1, keepdim=True)).transpose(1, 2) / 0.07


def plain_losses(
    anomaly: Tensor, logits: Tensor, texts: Tensor, labels: Tensor, lengths: Tensor, weight: float
) -> Tensor:
    scores, classes = torch.zeros(0), torch.zeros(0)
    for b, length in enumerate(lengths.tolist()):
        count = length // 16 + 1
        highest, _ = anomaly[b, :length].sigmoid().topk(min(count, length))
        scores = torch.cat([scores, highest.mean().view(1)])
        highest, _ = logits[b, :length].topk(min(count, length), dim=0)
        classes = torch.cat([classes, highest.mean(0, keepdim=True)])
    shares = labels / labels.sum(1, keepdim=True)
    loss = F.binary_cross_entropy(scores, 1 - labels[:, 0])
    loss = loss - (shares * F.log_softmax(classes, 1)).sum(1).mean()
    normal = texts[0] / texts[0].norm()
    contrast = sum((normal @ (text / text.norm())).abs() for text in texts[1:]) / (len(texts) - 1)
    return loss + weight * contrast


# Measuring


def cpu_seconds(work: Callable[[], Any], repeat: int) -> tuple[float, float]:
    """Median CPU and wall seconds of several runs after one for warming up."""
    cpu, wall = [], []
    for run in range(repeat + 1):
        before = time.process_time(), time.perf_counter()
        work()
        if run:
            cpu.append(time.process_time() - before[0])
            wall.append(time.perf_counter() - before[1])
    return statistics.median(cpu), statistics.median(wall)


def lengths_like(kind: str, count: int, seed: int = 0) -> list[int]:
    if kind == "full":
        return [256] * count
    drawn = np.random.default_rng(seed).lognormal(math.log(138.5), 1.05, count)
    return [int(min(256, max(6, n))) for n in drawn]


def training_set_of(names: dict[str, str], lengths: list[int]) -> TrainingSet:
    rng = np.random.default_rng(1)
    videos = tuple(rng.normal(0, 0.45, (length, 512)).astype(np.float32) for length in lengths)
    labels = np.zeros((len(lengths), len(names)), dtype=np.float32)
    for b in range(len(lengths)):
        labels[b, 0 if b < len(lengths) // 2 else 1 + b % (len(names) - 1)] = 1
    return TrainingSet(videos, labels, tuple(names), tuple(names.values()))


def line(out: list[str], name: str, ours: tuple[float, float], plain: tuple[float, float]) -> None:
    out.append(
        f"{name:<44} {plain[0]:8.3f} ({plain[1]:7.3f})  {ours[0]:8.3f} ({ours[1]:7.3f})  {plain[0] / ours[0]:6.1f}x"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=["ucf-crime", "xd-violence"], default="ucf-crime")
    parser.add_argument("--batch", type=int, default=32, help="videos per training step (published: 128 and 96)")
    parser.add_argument("--lengths", choices=["full", "ucf"], default="full")
    parser.add_argument("--videos", type=int, default=16, help="videos to evaluate, one piece of 256 each")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--skip-training", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)

    config, names = preset(options.preset), PRESET_PROMPTS[options.preset]
    clip = random_clip()
    text, plain_text = TextTower(clip, LetterTokenizer()), PlainText(clip)
    videos = training_set_of(names, lengths_like(options.lengths, options.batch))
    ours = Trainer(videos, config, text)
    state = {name: value.clone() for name, value in ours.model.state_dict().items()}
    plain = PlainVadClip(config, state)
    tokens = text.tokenize(videos.prompts)

    def plain_texts() -> Tensor:
        table = plain.of("text_prompt_embeddings.weight")
        return plain_text(tokens, table, config.prompt_prefix, config.prompt_postfix)

    samples = [Sample((row,), row) for row in range(options.batch)]
    features, lengths, labels = videos.batch(samples, config.visual_length)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=config.learning_rate)

    def plain_step() -> float:
        texts = plain_texts()
        anomaly, logits = plain(features, lengths, texts)
        loss = plain_losses(anomaly, logits, texts, labels, lengths, config.contrastive_weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    out = [f"{options.preset}, batch {options.batch}, lengths {options.lengths}, {torch.get_num_threads()} thread"]
    out.append(f"{'CPU seconds (wall)':<44} {'plain':>18}  {'vidlang':>18}  {'times':>6}")
    if not options.skip_training:
        first = abs(float(ours.step(samples).total.detach()) - plain_step())
        assert first < 1e-4, f"the two sides differ by {first}"
        slow = cpu_seconds(plain_step, options.repeat)
        line(out, "training step, float32", cpu_seconds(lambda: ours.step(samples), options.repeat), slow)
        half = Trainer(videos, preset(options.preset, precision="bfloat16"), text)
        line(out, "training step, bfloat16", cpu_seconds(lambda: half.step(samples), options.repeat), slow)

    sizes = lengths_like(options.lengths, options.videos, seed=2)
    whole = [np.random.default_rng(b).normal(0, 0.45, (n, 512)).astype(np.float32) for b, n in enumerate(sizes)]
    plain = PlainVadClip(config, state)
    predictor = Predictor(state, config, list(names), videos.prompts, text)

    @torch.no_grad()
    def plain_evaluation(count: int) -> list[Tensor]:
        scores = []
        for video in whole[:count]:
            padded = F.pad(torch.from_numpy(video), (0, 0, 0, 256 - len(video)))
            anomaly, logits = plain(padded[None], torch.tensor([len(video)]), plain_texts())
            scores.append(torch.cat([anomaly.sigmoid()[..., None], logits.softmax(-1)], -1)[0, : len(video)])
        return scores

    def evaluation() -> None:
        Predictor(state, config, list(names), videos.prompts, text).predict_many(whole)

    few = min(4, options.videos)
    theirs = plain_evaluation(1)[0]
    prediction = predictor.predict(whole[0])
    gap = float(np.abs(np.column_stack([prediction.c_branch, prediction.classes]) - theirs.numpy()).max())
    assert gap < 1e-4, f"the two sides differ by {gap}"
    slow = cpu_seconds(lambda: plain_evaluation(few), options.repeat)
    slow = (slow[0] / few, slow[1] / few)
    each = [value / options.videos for value in cpu_seconds(evaluation, options.repeat)]
    line(out, f"evaluated piece, {options.videos} videos with their texts", (each[0], each[1]), slow)
    for precision in ("float32", "bfloat16"):
        predictor.precision = precision
        each = [value / options.videos for value in cpu_seconds(lambda: predictor.predict_many(whole), options.repeat)]
        line(out, f"evaluated piece, texts known, {precision}", (each[0], each[1]), slow)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    out.append(f"peak memory of the process {peak:.1f} GiB")
    sys.stdout.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
