"""Recorded costs are shown per job, and nothing is extrapolated from them."""

import json
from pathlib import Path

from modspec.workflow.recorded_costs import recorded_costs


def test_hours_are_those_of_a_job_and_nothing_recorded_gives_nothing(tmp_path: Path) -> None:
    record = tmp_path / "provenance.json"
    assert recorded_costs(tmp_path, {"search": 2}) == ""
    record.write_text(json.dumps({"files": {}}))
    assert recorded_costs(tmp_path, {"search": 2}) == ""
    took = {"runs": 3, "wall_seconds": 5400.0, "peak_memory_gib": 3.86, "threads": 1}
    record.write_text(json.dumps({"stages": {"search": took}}))
    assert recorded_costs(tmp_path, {"search": 10, "influence": 30}) == (
        "search: 10 jobs; when published, a job took 0.50 hours and at most 3.9 GiB\n"
    )
