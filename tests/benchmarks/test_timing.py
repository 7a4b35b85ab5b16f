"""Tests of benchmarks.timing: what it computes, not how long anything takes."""

from collections.abc import Callable

import pytest

from benchmarks.timing import Parts, interleave, medians


class Jobs:
    """Two jobs that write down their order; each run's only part is its place in it."""

    def __init__(self) -> None:
        self.order: list[str] = []

    def job(self, name: str) -> Callable[[], Parts]:
        """A job of that name."""

        def run() -> Parts:
            self.order.append(name)
            return {"part": float(len(self.order))}

        return run


def test_medians_of_each_part_and_of_the_total() -> None:
    runs = [{"a": 1.0, "b": 9.0}, {"a": 2.0, "b": 1.0}, {"a": 6.0, "b": 2.0}]
    # totals 10, 3 and 8
    assert medians(runs) == {"a": 2.0, "b": 2.0, "total": 8.0}


def test_jobs_run_in_turn_and_the_warm_up_does_not_count() -> None:
    jobs = Jobs()
    runs = interleave(
        {"x": jobs.job("x"), "y": jobs.job("y")}, repeats=2, warmup=1, busy=lambda: 0.0
    )
    assert jobs.order == ["x", "y"] * 3
    assert runs["x"].samples == [{"part": 3.0}, {"part": 5.0}]
    assert runs["y"].samples == [{"part": 4.0}, {"part": 6.0}]
    assert runs["x"].disturbed == runs["y"].disturbed == 0


def test_a_disturbed_sample_is_taken_again() -> None:
    jobs, busy = Jobs(), iter([0.0, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    runs = interleave({"x": jobs.job("x")}, repeats=2, warmup=0, busy=lambda: next(busy))
    # the first is disturbed after it was taken; the second begins a round of its own
    assert runs["x"].samples == [{"part": 2.0}, {"part": 3.0}]
    assert runs["x"].disturbed == 0


def test_a_machine_that_never_rests_is_reported() -> None:
    jobs = Jobs()
    runs = interleave({"x": jobs.job("x")}, repeats=3, warmup=0, busy=lambda: 0.5)
    assert len(jobs.order) == 6
    assert len(runs["x"].samples) == runs["x"].disturbed == 3


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_a_little_use_by_others_is_no_disturbance(share: float) -> None:
    runs = interleave({"x": Jobs().job("x")}, repeats=2, warmup=0, busy=lambda: share)
    assert runs["x"].disturbed == 0
