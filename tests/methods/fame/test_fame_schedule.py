"""Learning rates against recorded ones and at the points that are known."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vidlang.core.errors import BadInput
from vidlang.methods.fame.schedule import RateSchedule

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))
import golden_fame_networks as recorded


def test_rates_equal_the_recorded_ones(golden_dir):
    rows = list(recorded._schedules(recorded.Golden(golden_dir / "fame")))
    assert len(rows) == 3
    assert [row for row in rows if not row.holds] == []


def test_a_cosine_is_half_way_in_the_middle_and_never_0():
    schedule = RateSchedule(0.8, 40)
    rates = [schedule.rate(epoch) for epoch in range(40)]
    assert rates[0] == 0.8
    assert rates[20] == pytest.approx(0.4)
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.002


def test_steps_fall_at_their_milestones():
    schedule = RateSchedule(1.0, 10, "steps", milestones=(3, 5))
    assert [schedule.rate(epoch) for epoch in (0, 2, 3, 4, 5, 9)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("kind", ["cosine", "steps"])
def test_a_warm_up_rises_in_equal_steps_to_where_the_schedule_goes_on(kind):
    with_it = RateSchedule(1.0, 20, kind, warmup_epochs=4, warmup_start=0.2)
    assert [with_it.rate(epoch) for epoch in range(4)] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    without = RateSchedule(1.0, 20, kind)
    assert [with_it.rate(epoch) for epoch in range(4, 20)] == [without.rate(epoch) for epoch in range(4, 20)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 0.0, "epochs": 3}, "above 0"),
        ({"start": 0.1, "epochs": 0}, "above 0"),
        ({"start": 0.1, "epochs": 9, "kind": "steps", "milestones": (5, 3)}, "ascend"),
        ({"start": 0.1, "epochs": 9, "milestones": (5,)}, "a cosine has none"),
        ({"start": 0.1, "epochs": 9, "warmup_epochs": 9}, "leaves none of 9"),
    ],
)
def test_what_is_no_schedule_is_refused(options, message):
    with pytest.raises(BadInput, match=message):
        RateSchedule(**options)
