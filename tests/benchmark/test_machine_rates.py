"""What a machine can do at best is the shortest of several runs, or a long run's time."""

from __future__ import annotations

from modspec.benchmark import machine_rates


def test_short_runs_are_repeated_and_long_ones_are_not(monkeypatch):
    now, lengths = [0.0], []

    def run() -> None:
        now[0] += lengths.pop(0)

    monkeypatch.setattr(machine_rates.time, "perf_counter", lambda: now[0])
    lengths += [0.9, 0.3, 0.2, 0.4, 0.05]
    assert abs(machine_rates.best_seconds(run, repeats=3) - 0.2) < 1e-12
    assert lengths == [0.05]
    lengths[:] = [machine_rates.LONG + 0.5, 0.2]
    assert machine_rates.best_seconds(run) == machine_rates.LONG + 0.5
    assert lengths == [0.2]
