"""Stop a process, or fill its disk, at a chosen file operation.

Disturbed runs import a copy of this file as ``sitecustomize``: Python does so in every process before
anything else. It lies in a folder beside the project that it watches, and keeps its own files there:

    plan.json       what to do, and where: {"place": ..., "act": "stop" or "full", "delay": seconds}
    operations.log  every file operation in results and published files so far
    fired.json      exists as soon as the plan was carried out

A place is a file operation and the path in the project, as in ``os.rename runs/x/search/seed0``. Names that
differ between runs are made equal: ``.seed0.HOST.PID.RANDOM`` is ``.seed0.*``. Python announces an operation
before it happens. Files that are written by compiled code (safetensors, parquet) are not announced.
"""

import errno
import json
import os
import re
import signal
import socket
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.join(os.path.dirname(HERE), "project")
WATCHED = ("runs/", "figures/", "notebooks/executed/")
# Position of the path, and of the descriptor of the directory that it starts from, in an event's arguments.
OPERATIONS = {
    "open": (0, None),
    "os.mkdir": (0, 2),
    "os.rename": (1, 3),
    "os.remove": (0, 1),
    "os.rmdir": (0, 1),
    "shutil.rmtree": (0, 1),
}
UNLIKE = re.compile(rf"(?<=\.){re.escape(socket.gethostname())}\.\d+(\.\w{{8}})?")
busy = threading.local()


def place_of(event, arguments):
    """Return the place of an operation, or None if it is none that is watched."""
    if event not in OPERATIONS or (event == "open" and not writes(arguments)):
        return None
    path, start = OPERATIONS[event]
    name = arguments[path]
    if isinstance(name, int) or name is None:
        return None
    name = os.fsdecode(name)
    if start is not None and len(arguments) > start and isinstance(arguments[start], int):
        if arguments[start] >= 0 and not os.path.isabs(name):
            name = os.path.join(os.readlink(f"/proc/self/fd/{arguments[start]}"), name)
    name = os.path.relpath(os.path.abspath(name), PROJECT)
    return f"{event} {UNLIKE.sub('*', name)}" if name.startswith(WATCHED) else None


def writes(arguments):
    """Return whether a file is opened for writing."""
    mode, flags = arguments[1], arguments[2]
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) if isinstance(flags, int) else "r" != mode[:1]


def once(place):
    """Return True in the first process that gets here, and leave word of it."""
    try:
        file = os.open(os.path.join(HERE, "fired.json.part"), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return False
    os.write(file, json.dumps({"place": place, "pid": os.getpid(), "time": time.time()}).encode())
    os.close(file)
    return True


def stop():
    """Stop this process where it is, and say so; whoever waits for it decides what is killed."""
    os.rename(os.path.join(HERE, "fired.json.part"), os.path.join(HERE, "fired.json"))
    os.kill(os.getpid(), signal.SIGSTOP)


def hook(event, arguments):
    """Write down an operation, and carry out the plan when its place is reached."""
    if getattr(busy, "now", False):
        return
    busy.now = True
    try:
        place = place_of(event, arguments)
        if place is None:
            return
        log = os.open(os.path.join(HERE, "operations.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(log, f"{place}\n".encode())
        os.close(log)
        if place == plan.get("place") and once(place):
            if plan["act"] == "full":
                os.rename(os.path.join(HERE, "fired.json.part"), os.path.join(HERE, "fired.json"))
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))
            if plan["delay"]:
                threading.Timer(plan["delay"], stop).start()
            else:
                stop()
    finally:
        busy.now = False


try:
    with open(os.path.join(HERE, "plan.json")) as handle:
        plan = json.load(handle)
except FileNotFoundError:
    plan = {}
sys.addaudithook(hook)
