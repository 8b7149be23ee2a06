"""Retrains the bundled encoder: frames, tokenizer, teacher, and five stages of training, then its judgement.

Example: python examples/mini_encoder/recipe.py --data DATA --models MODELS --work /tmp/mini --out vidlang/encoders/mini
DATA holds surv_fight/, clips/, near_dup/ and clip_text/; MODELS holds mobilenet_v2/. Photographs of your own
(``--photos``) help the image tower, a sentence encoder (``--sentences``, a folder of all-MiniLM-L6-v2) the texts.
``--scale`` stretches or shortens every stage: 1 takes about two hours on one core.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SHARD = 6000  # crops
logger = logging.getLogger("mini_encoder")


def stages(args: argparse.Namespace) -> list[list[str]]:
    """Command line of each stage, in order."""
    data, models = ["--data", str(args.data)], ["--models", str(args.models)]
    work, threads, out = ["--work", str(args.work)], ["--threads", str(args.threads)], ["--out", str(args.out)]
    photos = ["--photos", *map(str, args.photos)] if args.photos else []
    judges = ["--photos", *map(str, args.judge_photos)] if args.judge_photos else []
    sentences = ["--sentences", str(args.sentences)] if args.sentences else []

    def scaled(amount: int) -> str:
        return str(max(1, round(amount * args.scale)))

    return [
        ["frames.py", *data, *work, *photos],
        ["tokenizer.py", *data, *models, *out],
        *(
            ["teacher.py", *models, *work, *threads, "--count", scaled(SHARD), "--shard", str(n)]
            for n in range(args.shards)
        ),
        ["image.py", *models, *work, *out, *threads, "--steps", scaled(480)],
        ["clips.py", *models, *work, *out, *threads, "--steps", scaled(80)],
        ["space.py", *models, *work, *threads, "--steps", scaled(2000)],
        ["text.py", *data, *models, *sentences, *work, *out, *threads, "--steps", scaled(2400)],
        ["contrast.py", *data, *models, *sentences, *work, *out, *threads, "--steps", scaled(600)],
        ["evaluate.py", *data, *models, *threads, *judges, "--encoder", str(args.out)],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--photos", type=Path, nargs="*", default=[], help="folders of photographs to train on")
    parser.add_argument("--judge-photos", type=Path, nargs="*", default=[], help="folders of photographs to judge on")
    parser.add_argument("--sentences", type=Path, help="folder of a sentence encoder")
    parser.add_argument("--work", type=Path, required=True, help="scratch folder, about 8 GB")
    parser.add_argument("--out", type=Path, required=True, help="folder of the encoder")
    parser.add_argument("--scale", type=float, default=1.0, help="of the length of every stage")
    parser.add_argument("--shards", type=int, default=2, help=f"of {SHARD:,} crops each")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    # a waiting thread sleeps instead of spinning, which matters where other programs want the same cores
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
    for stage in stages(args):
        logger.info(" ".join(stage))
        subprocess.run([sys.executable, str(HERE / stage[0]), *stage[1:]], check=True, env=environment)


if __name__ == "__main__":
    main()
