"""Retrains the bundled encoder from nothing: frames, tokenizer, teacher, training, evaluation, one after the other.

Example: python examples/mini_encoder/recipe.py --data DATA --models MODELS --work /tmp/mini --out vidlang/encoders/mini
DATA holds surv_fight/, clips/, near_dup/ and clip_text/; MODELS holds mobilenet_v2/. With ``--minutes 120`` the
whole is planned for under three hours on two cores.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
logger = logging.getLogger("mini_encoder")


def stages(args: argparse.Namespace) -> list[list[str]]:
    """Command line of each stage, in order."""
    data, models = ["--data", str(args.data)], ["--models", str(args.models)]
    work, threads = ["--work", str(args.work)], ["--threads", str(args.threads)]
    return [
        ["frames.py", *data, *work],
        ["tokenizer.py", *data, *models, "--out", str(args.out)],
        *(["teacher.py", *models, *work, *threads, "--shard", str(shard)] for shard in range(args.shards)),
        ["train.py", *data, *models, *work, *threads, "--out", str(args.out), "--minutes", str(args.minutes),
         *(["--compile"] if args.compile else [])],
        ["evaluate.py", *data, *models, *threads, "--encoder", str(args.out)],
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="scratch folder, about 5 GB")
    parser.add_argument("--out", type=Path, required=True, help="folder of the encoder")
    parser.add_argument("--minutes", type=float, default=120, help="of stage 4, the training itself")
    parser.add_argument("--shards", type=int, default=2, help="of 24,000 crops each")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="needs a C++ compiler; about 1.4 times faster")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    # a waiting thread sleeps instead of spinning, which matters where other programs want the same cores
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
    for stage in stages(args):
        logger.info(" ".join(stage))
        subprocess.run([sys.executable, str(HERE / stage[0]), *stage[1:]], check=True, env=environment)


if __name__ == "__main__":
    main()
