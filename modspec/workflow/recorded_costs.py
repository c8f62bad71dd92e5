"""The time and memory that a published study took, shown before it is run again."""

from collections.abc import Mapping
from pathlib import Path

from modspec.workflow import provenance


def recorded_costs(figures: Path, jobs: Mapping[str, int]) -> str:
    """Return one line per stage: its number of jobs, and the hours and memory that a job took when published.

    This is a record and no estimate: other settings and other processors take other times.

    Args:
        figures: folder of the published study.
        jobs: number of jobs of each stage of the study that is about to run.

    Returns:
        The lines; an empty string where nothing is recorded.
    """
    stages = provenance.read(figures).get("stages", {})
    lines = []
    for stage, count in jobs.items():
        if stage in stages:
            published = stages[stage]
            hours = published["wall_seconds"] / 3600 / published["runs"]
            lines.append(
                f"{stage}: {count} jobs; when published, a job took {hours:.2f} hours "
                f"and at most {published['peak_memory_gib']:.1f} GiB\n"
            )
    return "".join(lines)
