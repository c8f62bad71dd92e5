"""What a person sees of a run."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.logging import LogEvent

from modspec.workflow import live_log
from modspec.workflow.live_log import duration, last_lines, show_live


@pytest.fixture
def logger(request: pytest.FixtureRequest) -> logging.Logger:
    """A logger as Snakemake sets one up; the marker's argument: values of its settings."""
    settings = {"stdout": False, "nocolor": False, "dryrun": False, "quiet": None} | getattr(
        request, "param", {}
    )
    logger = logging.Logger("snakemake")
    default = logging.StreamHandler()
    default.name = "DefaultStreamHandler"
    logger.addHandler(default)
    show_live(SimpleNamespace(logger=logger, settings=SimpleNamespace(**settings), plugin_handlers=[]))
    return logger


def begins(logger: logging.Logger, log: Path) -> None:
    stats = {"search": 1, "figures": 1, "all": 1, "total": 3}
    logger.info("stats", extra={"event": LogEvent.RUN_INFO, "stats": stats})
    fields = {"jobid": 1, "rule_msg": "search, seed 0", "rule_name": "search", "log": [str(log)]}
    logger.info("Rule: search", extra={"event": LogEvent.JOB_INFO, **fields})


def close(logger: logging.Logger) -> None:
    for handler in logger.handlers:
        handler.close()


def test_a_run_is_a_plan_and_two_lines_a_job(
    logger: logging.Logger, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    begins(logger, tmp_path / "none.log")
    logger.info("Select jobs to execute...")
    logger.info("finished", extra={"event": LogEvent.JOB_FINISHED, "job_id": 1})
    close(logger)
    expected = (
        "To run: 1 search, 1 figures\nstarted: search, seed 0\ndone: search, seed 0  in 0:00  (1 of 2)\n"
    )
    assert capsys.readouterr().err == expected


def test_a_failed_job_shows_the_end_of_its_log(
    logger: logging.Logger, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    log = tmp_path / "job.log"
    log.write_text("starting\nnotebook: x.ipynb\nInputError: seed: -1\n")
    begins(logger, log)
    logger.error("RuleException:\nCalledProcessError", extra={"event": LogEvent.ERROR})
    logger.error("failed", extra={"event": LogEvent.JOB_ERROR, "jobid": 1})
    text = "WorkflowError:\nAt least one job did not complete successfully."
    logger.error(text, extra={"event": LogEvent.ERROR})
    close(logger)
    lines = capsys.readouterr().err.splitlines()[2:]
    assert lines[:3] == ["FAILED: search, seed 0", "notebook: x.ipynb", "InputError: seed: -1"]
    assert lines[3] == f"log: {log}"
    assert lines[4].startswith("A job failed. What is finished is kept") and len(lines) == 5


def test_an_interrupted_run_says_once_how_to_go_on(
    logger: logging.Logger, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    log = tmp_path / "job.log"
    log.write_text("notebook: x.ipynb\nstopped on request\n")
    begins(logger, log)
    logger.error("failed", extra={"event": LogEvent.JOB_ERROR, "jobid": 1})
    logger.info("Terminating processes on user request, this might take some time.")
    logger.error("WorkflowError:\nAt least one job did not complete successfully.")
    close(logger)
    (line,) = capsys.readouterr().err.splitlines()[2:]
    assert line.startswith("Stopped. ") and line.endswith("the same command goes on from there.")


@pytest.mark.parametrize("logger", [{"quiet": [live_log.Quietness.ALL]}], indirect=True)
def test_a_quiet_run_shows_errors_alone(
    logger: logging.Logger, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    begins(logger, tmp_path / "none.log")
    wrapped = (
        'WorkflowError in file "Snakefile", line 3:\ntop_k: 0; allowed: more\n  File "Snakefile", line 3'
    )
    logger.error(wrapped, extra={"event": LogEvent.ERROR})
    close(logger)
    assert capsys.readouterr().err == "top_k: 0; allowed: more\n"


def test_a_chosen_logger_is_left_alone() -> None:
    logger = logging.Logger("snakemake")
    show_live(SimpleNamespace(logger=logger, plugin_handlers=[logging.NullHandler()]))
    assert logger.handlers == []


def test_without_a_terminal_running_jobs_are_named_now_and_then(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    log = tmp_path / "job.log"
    log.write_text("de (2 of 5): fine-tuning:  10%|#\rde (2 of 5): fine-tuning:  50%|#####", newline="")
    shown = live_log.LiveLog.say

    def say(self, text: str, **options: bool) -> None:
        shown(self, text, **options)
        if text.startswith("running"):
            self.closed.set()

    monkeypatch.setattr(live_log, "REPEATED", 0.05)
    monkeypatch.setattr(live_log.LiveLog, "say", say)
    settings = SimpleNamespace(stdout=False, nocolor=False, dryrun=False, quiet=None)
    live = live_log.LiveLog(SimpleNamespace(settings=settings))
    live.jobs[1] = live_log.Job("search, seed 0", log)
    assert live.closed.wait(10)
    assert capsys.readouterr().err == "running: search, seed 0  0:00  de (2 of 5): fine-tuning:  50%|#####\n"


def test_durations_and_missing_logs() -> None:
    assert [duration(s) for s in (4.6, 65, 3671)] == ["0:05", "1:05", "1:01:11"]
    assert last_lines(Path("none.log"), 1) == ""
