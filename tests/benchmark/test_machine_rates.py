"""What a machine can do at best is the shortest of several runs, or a long run's time."""

from __future__ import annotations

from modspec.benchmark import machine_rates


def test_short_runs_are_repeated_and_long_ones_are_not(monkeypatch):
    lengths = []

    def repeat(run, timer, number: int, repeat: int) -> list[float]:
        assert number == 1 and timer is machine_rates.timer
        return [run() for _ in range(repeat)]

    def run() -> float:
        return lengths.pop(0)

    monkeypatch.setattr(machine_rates.timeit, "repeat", repeat)
    lengths += [0.3, 0.25, 0.2, 0.4, 0.05]
    assert machine_rates.best_seconds(run, repeats=3) == 0.2
    assert lengths == [0.05]
    lengths[:] = [0.4, 0.3, 0.35, 0.05]
    assert machine_rates.best_seconds(run) == 0.3  # as many as take about LONG
    assert lengths == [0.05]
    lengths[:] = [machine_rates.LONG + 0.5, 0.2]
    assert machine_rates.best_seconds(run) == machine_rates.LONG + 0.5
    assert lengths == [0.2]
