"""Records of jobs that make pieces of a stage: small files that name the pieces that a job left.

Snakemake takes a record for a job's output. The Snakefile removes a record when one of its pieces is lost,
so that Snakemake runs that job again, and no other.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from modspec.workflow.artifacts import MANIFEST, write_json


def write_record(record: Path, pieces: Iterable[Path]) -> None:
    """Write a job's record.

    Args:
        record: a file in a folder of the directory that the stage's pieces lie in.
        pieces: directories of the job's pieces.
    """
    record.parent.mkdir(parents=True, exist_ok=True)
    # The weights of a warm start lie elsewhere in the study, because stage 2 starts from them too.
    write_json(record, [Path(os.path.relpath(piece, record.parents[1])).as_posix() for piece in pieces])


def lost_pieces(record: Path) -> list[str]:
    """Return the names of a record's pieces that are no longer there.

    The blocks of a scoring pass are removed once the pass is finished; they are not lost then.
    """
    names = json.loads(record.read_text(encoding="utf-8"))
    places = {name: (name, name.partition(".blocks/")[0]) for name in names}
    exists = {n: any((record.parents[1] / at / MANIFEST).exists() for at in places[n]) for n in names}
    return [name for name in names if not exists[name]]
