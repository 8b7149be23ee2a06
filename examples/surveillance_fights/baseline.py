"""What a plain feature reaches on the same split: the mean over frames, and logistic regression.

    python examples/surveillance_fights/baseline.py --collection fights --mobilenet models/mobilenet_v2

Prints the AUC on the test clips and the frame AUC on the untrimmed videos for MobileNetV2 (a ``transformers`` folder),
for the bundled encoder ``mini``, and for ``mini`` with random weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers.utils import logging as transformers_logging

from vidlang.core import Label, Sampling
from vidlang.datasets.manifest import read_manifest
from vidlang.encoders.clip import ClipEncoder, load_encoder
from vidlang.encoders.preprocess import PixelRecipe
from vidlang.encoders.towers import ConvolutionalTower
from vidlang.encoders.weights import load_dual, locate
from vidlang.video.snippets import open_snippets

Encode = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collection", type=Path, required=True, help="folder that prepare.py wrote")
    parser.add_argument("--mobilenet", type=Path, help="transformers folder of a MobileNetV2")
    parser.add_argument("--seeds", type=int, default=3, help="random initialisations")
    arguments = parser.parse_args()
    transformers_logging.set_verbosity_error()
    encoders: dict[str, list[Encode]] = {"mini": [mini()]}
    encoders["random weights"] = [mini(seed) for seed in range(arguments.seeds)]
    if arguments.mobilenet:
        encoders = {"MobileNetV2": [mobilenet(arguments.mobilenet)], **encoders}
    print(f"{'feature':16} {'clip AUC':>9} {'frame AUC':>10}")
    for name, choices in encoders.items():
        results = np.array([judge(encode, arguments.collection) for encode in choices])
        video, frame = results.mean(axis=0)
        spread = f"  (std {results[:, 0].std(ddof=1):.3f}, {results[:, 1].std(ddof=1):.3f})" if len(results) > 1 else ""
        print(f"{name:16} {video:9.3f} {frame:10.3f}{spread}")


def judge(encode: Encode, collection: Path) -> tuple[float, float]:
    """AUC on test clips by their mean feature; frame AUC on untrimmed videos, snippet by snippet."""
    labels = read_manifest(collection / "clips.csv")
    rows = {label.video_id: features(collection / "videos" / label.video_id, encode)[0] for label in labels}
    train = [label for label in labels if label.split == "train"]
    test = [label for label in labels if label.split == "test"]
    head = make_pipeline(
        StandardScaler(), LogisticRegressionCV(Cs=np.logspace(-5, 0, 11), cv=5, scoring="roc_auc", max_iter=2000)
    )
    head.fit(np.stack([rows[label.video_id].mean(axis=0) for label in train]), [is_fight(label) for label in train])
    means = np.stack([rows[label.video_id].mean(axis=0) for label in test])
    clip_auc = roc_auc_score([is_fight(label) for label in test], head.decision_function(means))
    truth, scores, weights = [], [], []
    for label in read_manifest(collection / "untrimmed.csv"):
        values, seconds = features(collection / "untrimmed" / label.video_id, encode)
        scores.append(head.decision_function(values))
        middle = seconds.mean(axis=1)
        events = [event.segment for event in label.segments if event.segment]
        truth.append(np.array([any(e.start <= time < e.end for e in events) for time in middle]))
        weights.append(seconds[:, 1] - seconds[:, 0])
    frame_auc = roc_auc_score(np.concatenate(truth), np.concatenate(scores), sample_weight=np.concatenate(weights))
    return float(clip_auc), float(frame_auc)


def is_fight(label: Label) -> bool:
    return label.classes == ("fight",)


def features(path: Path, encode: Encode) -> tuple[np.ndarray, np.ndarray]:
    """Rows [T, D] of the middle frames of 16-frame snippets, and their seconds [T, 2]."""
    with open_snippets(path, Sampling()) as stream:
        pairs = [pair for batch in stream for pair in zip(batch.frames, batch.rows, strict=True)]
        kept = [(frame, row) for frame, rows in pairs for row in rows]
        seconds = stream.seconds
    frames = [frame for frame, row in kept if row < len(seconds)]
    return encode(np.stack(frames)), seconds


def mini(random_seed: int | None = None) -> Encode:
    """The bundled encoder, or the same network with fresh weights."""
    if random_seed is None:
        return load_encoder("mini", device="cpu").encode_frames
    from transformers.models.vision_text_dual_encoder.modeling_vision_text_dual_encoder import (
        VisionTextDualEncoderModel,
    )

    source = locate("mini")
    torch.manual_seed(random_seed)
    model = VisionTextDualEncoderModel(load_dual(source).config).eval()
    pixels = PixelRecipe.from_folder(source.folder, model.config.vision_config.image_size)
    tower = ConvolutionalTower(model)
    encoder = ClipEncoder("random", str(random_seed), tower, None, pixels, device=torch.device("cpu"))
    return encoder.encode_frames


def mobilenet(folder: Path) -> Encode:
    """Pooled features [N, 1280] of a MobileNetV2."""
    from PIL import Image
    from transformers import MobileNetV2Model

    model = MobileNetV2Model.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()

    def encode(frames: np.ndarray) -> np.ndarray:
        pixels = np.stack(
            [np.asarray(Image.fromarray(f).resize((224, 224), Image.Resampling.BILINEAR)) for f in frames]
        )
        batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.inference_mode():
            return model(batch).pooler_output.numpy()

    return encode


if __name__ == "__main__":
    main()
