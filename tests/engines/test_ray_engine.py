"""Ray: the rows of the local engine, byte for byte, whoever is killed meanwhile. Slow: Ray's processes take a while."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from vidlang.core import BadInput, VidlangError
from vidlang.engines.base import Again, Finished, Produced
from vidlang.engines.ray import RayEngine, RayOptions, _Last, _Order, _portable


def test_items_come_in_the_order_of_their_job_however_they_arrive():
    order = _Order()
    arrivals = [(2, "c"), (0, "a"), (4, _Last(None)), (1, "b"), (3, "d")]
    events = [event for index, item in arrivals for event in order.take(index, item, "job")]
    assert events == [*(Produced("job", letter) for letter in "abcd"), Finished("job")]


def test_a_failure_ends_its_job_once_whatever_is_missing():
    order, error = _Order(), ValueError("torn")
    arrivals = [(1, "b"), (2, _Last(error)), (0, "a"), (3, _Last(error))]
    events = [event for index, item in arrivals for event in order.take(index, item, "job")]
    assert events == [Finished("job", error)]


def test_an_error_that_does_not_travel_says_the_same():
    class Local(VidlangError):
        """Not importable, so it does not pickle."""

    assert str(_portable(Local("a.mp4 is torn."))) == "a.mp4 is torn."
    assert isinstance(_portable(Local("x")), VidlangError)
    assert "no room" in str(_portable(type("Odd", (Exception,), {})("no room")))


class FlakyEngine(RayEngine):
    """Whose passes lose what ``lost`` says, without any process."""

    def __init__(self, lost: list[set[str]]) -> None:
        super().__init__(RayOptions(retries=len(lost) - 1))
        self.lost = lost

    def connect(self):
        return self

    def _one_pass(self, jobs, produce, load_stage, group):
        lost = self.lost.pop(0)
        for number, job in jobs.items():
            for item in produce(job):
                yield number, Produced(job, load_stage()([item])[0])
            if job not in lost:
                yield number, Finished(job)


def test_what_a_dead_worker_did_is_done_again_and_nothing_else():
    engine = FlakyEngine([{"b", "c"}, {"c"}, {"c"}])
    events = list(engine.run(["a", "b", "c"], lambda job: iter([job * 2]), lambda: lambda items: items))
    assert [event for event in events if event == Produced("a", "aa")] == [Produced("a", "aa")]
    assert [event.job for event in events if isinstance(event, Again)] == ["b", "c", "c"]
    ended = {event.job: event.error for event in events if isinstance(event, Finished)}
    assert ended["a"] is None and ended["b"] is None and "died 3 times" in str(ended["c"])


def test_resources_are_shared_out():
    engine = RayEngine()
    engine._share_out({"CPU": 8.0})
    assert (engine.decoders, engine.encoders, engine.gpus_per_encoder) == (7, 1, 0.0)
    engine._share_out({"CPU": 64.0, "GPU": 8.0})
    assert (engine.decoders, engine.encoders, engine.gpus_per_encoder) == (56, 8, 1.0)
    shared = RayEngine(RayOptions(gpus_per_encoder=0.5))
    shared._share_out({"CPU": 4.0, "GPU": 1.0})
    assert (shared.decoders, shared.encoders) == (2, 2)
    with pytest.raises(BadInput, match="3 encoders of 1 GPUs each do not fit"):
        RayEngine(RayOptions(encoders=3, gpus_per_encoder=1.0))._share_out({"CPU": 4.0, "GPU": 2.0})
    with pytest.raises(ValueError, match="decoders must be at least 1, got 0"):
        RayOptions(decoders=0)


@pytest.fixture(scope="module")
def engine():
    pytest.importorskip("ray.data", reason="Ray Data is not installed (extra ray)")
    with RayEngine(RayOptions(decoders=1, encoders=1)) as engine:
        yield engine


@pytest.fixture
def videos(tmp_path) -> Path:
    from vidlang.video.writer import write_video

    rng = np.random.default_rng(0)
    for name, num_frames in {"a": 40, "b": 90, "sub/c": 20}.items():
        path = tmp_path / "v" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        scene = np.kron(rng.integers(0, 255, (4, 6, 3)), np.ones((16, 16, 1))).astype(np.uint8)
        write_video(path, (np.roll(scene, 2 * i, axis=1) for i in range(num_frames)), 25.0)
    (tmp_path / "v" / "torn.mp4").write_text("no film")
    return tmp_path / "v"


@pytest.mark.slow
def test_entries_are_those_of_the_local_engine_with_a_worker_killed(engine, videos, tmp_path):
    """The encoder is killed with SIGKILL while it holds a video."""
    import torch

    from vidlang.store.feature_cache import FeatureCache
    from vidlang.store.workspace import Settings
    from vidlang.workflows.extract import extract
    from vidlang.workflows.extract_cluster import EncoderChoice, by_ray
    from vidlang.workflows.recipe import RecipeChanges, encoder_loader, make_recipe

    recipe = make_recipe(Settings(encoder="mini"), RecipeChanges(stride=4))
    load = encoder_loader("mini", recipe.precision, "cpu")
    local, far = FeatureCache(tmp_path / "local"), FeatureCache(tmp_path / "ray")
    extract([videos], local, recipe, load)
    choice = EncoderChoice("mini", recipe.precision, "cpu", recipe.features, torch.get_num_threads())
    plain = by_ray(engine, choice)

    class Deadly:
        """A stage that kills its own process when it is first asked for; a local class travels by value."""

        def __init__(self, load_stage, mark: Path) -> None:
            self.load_stage, self.mark = load_stage, mark

        def __call__(self):
            if not self.mark.exists():
                self.mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)
            return self.load_stage()

    def deadly(num_crops, batch_size):
        return Deadly(plain.load_stage(num_crops, batch_size), tmp_path / "encoder-killed")

    report = extract([videos], far, recipe, load, elsewhere=type(plain)(engine, deadly))
    assert (tmp_path / "encoder-killed").exists()
    status = {outcome.video_id: outcome.status for outcome in report.outcomes}
    assert status == {"a.mp4": "done", "b.mp4": "done", "sub/c.mp4": "done", "torn.mp4": "failed"}
    files = {path.relative_to(local.root): path.read_bytes() for path in local.root.rglob("*") if path.is_file()}
    assert {p.relative_to(far.root): p.read_bytes() for p in far.root.rglob("*") if p.is_file()} == files
