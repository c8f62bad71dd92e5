"""One run of a study at a time: the lock that a run holds in the study's directory."""

import getpass
import json
import os
import socket
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from modspec.errors import InputError, quoted

_held: list[FileLock] = []  # a lock that nothing refers to is let go


def lock_study(run_dir: Path) -> None:
    """Take the study's lock, which this process holds until it ends, however it ends.

    Args:
        run_dir: the study's directory; made if there is none.

    Raises:
        InputError: another process holds the lock (the message says which, and since when), or the directory
            cannot be written.
    """
    holder = run_dir / ".run.json"
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run_dir / ".run.lock", timeout=0)
        lock.acquire()
        _held.append(lock)
        started = f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}"
        record = {"pid": os.getpid(), "host": socket.gethostname(), "user": _user(), "since": started}
        holder.write_text(json.dumps(record), encoding="utf-8")
    except Timeout:
        raise InputError(
            f"study: {quoted(run_dir.name)} is already running, started by {_described(holder)}; "
            "wait for it, stop it, or give this one another name with study=NAME"
        ) from None
    except OSError as error:
        raise InputError(f"study: {quoted(str(run_dir))} cannot be written ({error.strerror})") from None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return f"user {os.getuid()}"


def _described(holder: Path) -> str:
    try:
        record = json.loads(holder.read_text(encoding="utf-8"))
        return f"{record['user']} on {record['host']} (process {record['pid']}) at {record['since']}"
    except (OSError, ValueError, KeyError):  # it started this very moment
        return "another process"
