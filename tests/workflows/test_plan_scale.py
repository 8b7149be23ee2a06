"""The arithmetic of plans, by head."""

from __future__ import annotations

import pytest

from vidlang.core import BadInput, FeatureRecipe, Sampling
from vidlang.workflows.plan_scale import (
    ENTRY_BYTES,
    Rates,
    Site,
    Spread,
    Workload,
    counts_in,
    estimate,
    hours_in,
    large_size,
    long_time,
    stages,
    workload,
)

RECIPE = FeatureRecipe("mini", "1", Sampling(fps=1.0))
HOUR = 3600.0


def work(**changes) -> Workload:
    """100 hours in 10 videos, 1 image a second."""
    values = {
        "num_videos": 10,
        "video_seconds": 100 * HOUR,
        "images": 360_000,
        "rows": 360_000,
        "source_bytes": 36_000,
        "feature_bytes": 1,
        "index_bytes": 1,
    }
    return Workload(**{**values, **changes})


def rates(decode: float = 100.0, encode: float = 100.0, on_cores: bool = False) -> Rates:
    return Rates(Spread.exactly(decode), Spread.exactly(encode), on_cores, "by head")


# -- rows and bytes --------------------------------------------------------------------------------------------------


def test_an_hour_at_one_row_a_second():
    found = workload(RECIPE, num_videos=2, video_seconds=HOUR, frame_rate=25, source_bytes=7, dim=256)
    assert (found.rows, found.images, found.source_bytes) == (3600, 3600, 7)
    assert found.index_bytes == 3600 * 256 * 4
    assert found.feature_bytes == 3600 * (256 * 4 + 32) + 2 * ENTRY_BYTES


def test_a_stride_counts_frames_and_crops_and_halves_count_bytes():
    recipe = FeatureRecipe("mini", "1", Sampling(stride=16, crops="ten"), dtype="float16")
    found = workload(recipe, num_videos=1, video_seconds=64, frame_rate=25, source_bytes=0, dim=8)
    assert (found.rows, found.images) == (100, 1000)
    assert found.feature_bytes == 100 * (10 * 8 * 2 + 32) + ENTRY_BYTES


def test_means_send_every_frame_through_the_encoder():
    recipe = FeatureRecipe("mini", "1", Sampling(stride=16, pick="mean"))
    found = workload(recipe, num_videos=1, video_seconds=64, frame_rate=25, source_bytes=0, dim=8)
    assert (found.rows, found.images) == (100, 1600)


def test_every_video_has_a_row_however_short():
    found = workload(RECIPE, num_videos=50, video_seconds=5, frame_rate=25, source_bytes=0, dim=8)
    assert found.rows == 50


# -- time ------------------------------------------------------------------------------------------------------------


def test_a_device_of_its_own_works_while_the_cores_decode():
    # 360,000 s of video by 4 cores of 100 each: 900 s; 360,000 images at 100: 3,600 s
    table = estimate(RECIPE, work(), rates(), Site(cores=4), [1, 8]).rows
    assert [(row.seconds, row.bound) for row in table] == [(3600, "encode"), (450, "encode")]
    assert table[0].cost is None


def test_decoding_bounds_fast_devices():
    row = estimate(RECIPE, work(), rates(encode=4000), Site(cores=4), [1]).rows[0]
    assert (row.seconds, row.bound) == (900, "decode")


def test_on_a_cpu_both_share_the_cores():
    # 360,000 / 100 + 360,000 / 50 = 10,800 core seconds, by 2 cores
    row = estimate(RECIPE, work(), rates(encode=50, on_cores=True), Site(cores=2), [1]).rows[0]
    assert (row.seconds, row.bound) == (5400, "encode")


@pytest.mark.parametrize("on_cores", [False, True])
def test_what_all_workers_share_does_not_shrink(on_cores):
    site = Site(cores=1, network=10.0, files_per_second=1000)  # 36,000 bytes: 3,600 s
    table = estimate(RECIPE, work(), rates(1000, 1000, on_cores), site, [1, 64]).rows
    assert [(row.seconds, row.bound) for row in table] == [(3600, "network")] * 2
    site = Site(cores=1, files_per_second=0.001)  # 10 entries: 10,000 s
    assert estimate(RECIPE, work(), rates(1000, 1000, on_cores), site, [64]).rows[0].bound == "files"


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 1000])
@pytest.mark.parametrize("on_cores", [False, True])
def test_more_workers_never_take_longer_nor_less_than_any_stage(workers, on_cores):
    site, fast = Site(cores=2, network=100.0), rates(300, 70, on_cores)
    one, two = estimate(RECIPE, work(), fast, site, [workers, 2 * workers]).rows
    assert two.seconds <= one.seconds
    assert one.seconds >= max(stages(work(), fast, site, workers).values())


def test_cost_is_price_by_worker_hours():
    row = estimate(RECIPE, work(), rates(), Site(cores=4, price_per_hour=2.5), [8]).rows[0]
    assert row.cost == pytest.approx(2.5 * 8 * 450 / 3600)


def test_the_ends_of_the_rates_bracket_the_time():
    measured = Rates(Spread(100, 50, 200), Spread(100, 80, 120), False, "by head")
    row = estimate(RECIPE, work(), measured, Site(cores=4), [1]).rows[0]
    assert (row.least_seconds, row.seconds, row.most_seconds) == (3000, 3600, 4500)


def test_many_entries_are_advised_to_lie_in_packs():
    many = estimate(RECIPE, work(num_videos=2_000_000), rates(), Site(cores=4), [1])
    assert many.work.packs == 200 and any("200 packs" in note for note in many.notes)
    assert not estimate(RECIPE, work(), rates(), Site(cores=4), [1]).notes


# -- rates and words -------------------------------------------------------------------------------------------------


def test_a_rate_is_all_work_by_all_time():
    assert Spread.of([(10.0, 1.0), (10.0, 4.0)]) == Spread(4.0, 2.5, 10.0)
    with pytest.raises(ValueError, match="parts"):
        Spread.of([])
    with pytest.raises(ValueError, match="low <= middle"):
        Spread(1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("words", "hours", "rest"),
    [
        (["1000 hours"], 1000, []),
        (["1000", "hours"], 1000, []),
        (["videos", "1e6h", "more"], 1e6, ["videos", "more"]),
        (["1,000,000 Hours"], 1e6, []),
        (["2.5 h"], 2.5, []),
        (["hours.mp4", "12"], None, ["hours.mp4", "12"]),
    ],
)
def test_hours_among_words(words, hours, rest):
    assert hours_in(words) == (hours, rest)


@pytest.mark.parametrize("words", [["0 hours"], ["1 hour", "2 hours"]])
def test_hours_that_cannot_be(words):
    with pytest.raises(BadInput, match="One number of hours"):
        hours_in(words)


@pytest.mark.parametrize("text", ["", "0", "1,x", "-1", "1.5"])
def test_numbers_of_workers_that_cannot_be(text):
    with pytest.raises(BadInput, match="--gpus"):
        counts_in(text)
    assert counts_in("1, 8,64,") == (1, 8, 64)


def test_a_site_that_cannot_be():
    with pytest.raises(BadInput, match="network must be above 0"):
        Site(cores=1, network=0.0)


def test_long_times_and_large_sizes():
    assert [long_time(s) for s in (60, 5400, 86_400, 864_000)] == ["60 s", "90 min", "24 h", "10 days"]
    assert long_time(31_557_600 * 3) == "3.0 years"
    assert [large_size(n) for n in (12, 1500, 2.5e12, 1.5e15)] == ["12 B", "1.5 kB", "2.5 TB", "1.5 PB"]
