"""What a person sees of a run: one line for each running job, one for each that ended, and errors.

The Snakefile puts it in the place of Snakemake's own messages. On a terminal the lines of running jobs are
drawn again every second; elsewhere they are repeated every ten minutes. A job's line ends with the last line
of its log, which is a progress bar while the job computes.
"""

import re
import threading
import time
from dataclasses import dataclass, field
from logging import WARNING, Handler, LogRecord
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text
from snakemake.logging import LogEvent, LoggerManager
from snakemake.settings.enums import Quietness

from modspec.workflow.run_notebook import STOPPED

NOT_JOBS = ("all", "leave_one_out", "total")  # in Snakemake's counts
REPEATED = 600  # seconds between lines of a running job where there is no terminal
KEPT = "What is finished is kept, pieces of unfinished stages too: the same command goes on from there."
# Beginnings of what Snakemake says of a failed job beside what the job's log says.
TOLD_BY_JOB = ("RuleException", "Exiting because a job execution failed")


@dataclass
class Job:
    """A job that runs."""

    title: str
    log: Path
    started: float = field(default_factory=time.monotonic)

    def line(self) -> str:
        """Return its title, its time so far, and where it is."""
        return f"{self.title}  {duration(time.monotonic() - self.started)}  {last_lines(self.log, 1)}"


def duration(seconds: float) -> str:
    """Return a time as h:mm:ss, or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def last_lines(log: Path, count: int) -> str:
    """Return the last lines of a log that say something; of a line drawn several times, its last state."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 8192))
            text = file.read().decode(errors="replace")
    except OSError:  # not yet there
        return ""
    lines = [line.rstrip("\r").rpartition("\r")[2].strip() for line in text.split("\n")]
    return "\n".join([line for line in lines if line][-count:])


def show_live(manager: LoggerManager) -> None:
    """Replace Snakemake's own messages, unless the user chose a logger."""
    if not manager.plugin_handlers:
        for handler in [h for h in manager.logger.handlers if h.name == "DefaultStreamHandler"]:
            manager.logger.removeHandler(handler)
        manager.logger.addHandler(LiveLog(manager))


class LiveLog(Handler):
    """Writes what happens to standard error."""

    def __init__(self, manager: LoggerManager) -> None:
        super().__init__()
        settings = manager.settings
        self.console = Console(stderr=not settings.stdout, no_color=settings.nocolor or None, highlight=False)
        self.is_dry_run = settings.dryrun
        self.is_quiet = Quietness.ALL in (settings.quiet or ())
        self.jobs: dict[int, Job] = {}
        self.planned, self.finished = 0, 0
        self.is_stopped = False
        self.live: Live | None = None
        self.closed = threading.Event()
        if not self.console.is_terminal:
            threading.Thread(target=self.repeat, daemon=True).start()

    def emit(self, record: LogRecord) -> None:
        """Show a record, if it is of use to a person."""
        fields: dict[str, Any] = record.__dict__
        match fields.get("event"):
            case LogEvent.RUN_INFO if not self.planned:
                counts = {rule: count for rule, count in fields["stats"].items() if rule not in NOT_JOBS}
                self.planned = sum(counts.values())
                self.say(f"To run: {', '.join(f'{count} {rule}' for rule, count in counts.items())}")
            case LogEvent.JOB_INFO:
                self.job_begins(fields)
            case LogEvent.JOB_FINISHED:
                self.job_done(fields["job_id"])
            case LogEvent.JOB_ERROR:
                self.job_failed(fields)
            case None | LogEvent.ERROR:
                self.message(record)

    def say(self, text: str, *, is_error: bool = False) -> None:
        """Write a line above those of running jobs."""
        if is_error or not self.is_quiet:
            self.console.print(Text(text), soft_wrap=True)

    def job_begins(self, fields: dict[str, Any]) -> None:
        if fields["rule_name"] in NOT_JOBS:
            return
        title = fields["rule_msg"] or fields["rule_name"]
        if self.is_dry_run:
            self.say(f"would run: {title}")
            return
        self.jobs[fields["jobid"]] = Job(title, Path(fields["log"][0]))
        if not self.console.is_terminal:
            self.say(f"started: {title}")
        elif self.live is None and not self.is_quiet:
            self.live = Live(get_renderable=self.running, console=self.console, refresh_per_second=1)
            self.live.start()

    def job_done(self, number: int) -> None:
        if job := self.jobs.pop(number, None):
            self.finished += 1
            took = duration(time.monotonic() - job.started)
            self.say(f"done: {job.title}  in {took}  ({self.finished} of {self.planned})")

    def job_failed(self, fields: dict[str, Any]) -> None:
        if job := self.jobs.pop(fields["jobid"], None):
            if last_lines(job.log, 1) == STOPPED:
                self.is_stopped = True
                return
            self.say(f"FAILED: {job.title}\n{last_lines(job.log, 2)}\nlog: {job.log}", is_error=True)

    def message(self, record: LogRecord) -> None:
        """Show errors and warnings, and of other messages those that a person waits for."""
        text = record.getMessage().strip()
        if "on user request" in text:
            self.is_stopped = True
        elif text.startswith("Nothing to be done"):
            self.say(text)
        elif text.endswith("At least one job did not complete successfully."):
            if not self.is_stopped:
                self.say(f"A job failed. {KEPT}", is_error=True)
        elif record.levelno >= WARNING and text and not text.startswith(TOLD_BY_JOB):
            # Around a message of ours Snakemake says where in the Snakefile it was raised.
            self.say(re.sub(r'^WorkflowError.*\n|\n  File ".*', "", text), is_error=True)

    def running(self) -> Group:
        """Return the lines of running jobs, each as wide as the terminal at most."""
        return Group(*(Text(job.line(), no_wrap=True, overflow="ellipsis") for job in [*self.jobs.values()]))

    def repeat(self) -> None:
        """Write the lines of running jobs now and then, until the run ends."""
        while not self.closed.wait(REPEATED):
            for job in [*self.jobs.values()]:
                self.say(f"running: {job.line()}")

    def close(self) -> None:
        """Stop drawing; say how to go on after an interruption."""
        self.closed.set()
        if self.live is not None:
            self.live.stop()
            self.live = None
        if self.is_stopped:
            self.say(f"Stopped. {KEPT}", is_error=True)
            self.is_stopped = False
        super().close()
