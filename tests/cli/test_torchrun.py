"""``torchrun … vidlang train``: two real processes leave what one leaves, and say things once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from vidlang.core import FeatureKey, Features, FileIdentity, VideoInfo
from vidlang.store.feature_cache import FeatureCache
from vidlang.store.workspace import Settings, Workspace, write_settings
from vidlang.workflows.recipe import RecipeChanges, make_recipe

pytestmark = pytest.mark.slow  # every process loads torch

TRAININGS = {
    "vadclip": "--attn-heads 2 --visual-length 12 --attn-window 4 --batch-size 5 --epochs 2",
    "tca": "--positives labels --num-heads 4 --feedforward 64 --window 8 --bank-size 40 --batch-size 5 --epochs 2"
    " --min-batches 2",
    "wtal": "--batch-size 5 --cbp-width 32 --warmup-steps 4 --warmup-min-steps 0 --phase-min-steps 0 --min-batches 2",
}
# of whole trainings, where rounding grows from step to step; test_two_processes holds single steps to 1e-5
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Eighteen videos of three classes in the cache, with features of the bundled encoder's kind."""
    place = Workspace(tmp_path_factory.mktemp("workspace"), Settings(encoder="mini"))
    write_settings(place, place.settings)
    recipe, cache = make_recipe(place.settings, RecipeChanges()), FeatureCache(place.cache_dir)
    random = np.random.default_rng(0)
    for number in range(18):
        kind, length = ("normal", "jump", "swim")[number % 3], 6 + number * 5 % 9
        rows = random.normal(size=(length, 256)).astype(np.float32)
        rows[2:5, number % 3] += 8
        frames = np.arange(length)[:, None] * 16 + np.array([0, 16])
        video = VideoInfo(f"{kind}/v{number}.mp4", length * 16, length * 16 / 25, 25.0, (90, 160))
        features = Features(FeatureKey(video.id, recipe), video, rows, frames, frames / 25)
        cache.put(features, identity=FileIdentity(1, "0", 0.0))
    return place


def vidlang(workspace: Workspace, processes: int, *words: str) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-m"]
    if processes > 1:
        start += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    given = ["vidlang", *words, "--workspace", str(workspace.root), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([*start, *given], capture_output=True, text=True, timeout=600, env=environment)


def log_of(workspace: Workspace, method: str, name: str) -> list[dict[str, float | str | None]]:
    """Everything an epoch says of itself but how long it took."""
    file = workspace.results_dir / "train" / method / name / "log.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [{key: value for key, value in row.items() if "seconds" not in key} for row in rows]


def weights_of(workspace: Workspace, method: str, name: str) -> dict[str, np.ndarray]:
    """Without the biases of attention, of which those of the keys move by rounding alone."""
    (file,) = Path(workspace.models_dir / method / name).glob("*.safetensors")
    return {key: value for key, value in load_file(file).items() if "in_proj" not in key or "bias" not in key}


@pytest.mark.parametrize("method", TRAININGS)
def test_two_processes_leave_what_one_leaves(workspace, method):
    words = ["train", method, *TRAININGS[method].split()]
    done = vidlang(workspace, 2, *words, "--name", "two", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema"] == f"vidlang.train_{method}/1".replace("train_vadclip", "train")
    alone = vidlang(workspace, 1, *words, "--name", "one", "--quiet")
    assert alone.returncode == 0, alone.stderr
    logs = [log_of(workspace, method, name) for name in ("one", "two")]
    assert len(logs[0]) == len(logs[1]) > 1
    for number, (one, two) in enumerate(zip(*logs, strict=True)):
        assert one.keys() == two.keys()
        # WTAL's phases learn from thresholds, over which rounding of the steps before may push a snippet
        tolerance = TOLERANCE if method != "wtal" or number < 3 else 0.02
        for key, value in one.items():
            exact = value is None or isinstance(value, str)
            assert two[key] == (value if exact else pytest.approx(value, abs=tolerance, rel=tolerance)), key
    one, two = (weights_of(workspace, method, name) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items() if method != "wtal" else ():
        # Adam divides by the size of the gradient: where that is rounding alone, a step of the rate may go either way
        apart = ~np.isclose(two[name], value, atol=TOLERANCE, rtol=TOLERANCE)
        assert apart.mean() < 1e-3, name


def test_what_is_wrong_is_said_once_and_ends_all(workspace):
    done = vidlang(workspace, 2, "train", "vadclip", "--batch-size", "5", "--attn-heads", "7")
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("Error:")]
    assert len(said) == 1 and "--attn-heads 7" in said[0]
