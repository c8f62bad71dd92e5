"""A job that makes pieces of a stage before its notebook: ``python -m modspec.stages.piece_job KIND …``.

It leaves them where the notebook looks for them, on a file system that all machines share. The notebook then
finds every piece. A piece that was lost it makes itself.
"""

import argparse
import os
import sys
import threading
from pathlib import Path

import yaml

from modspec.errors import InputError
from modspec.stages.material import Material, load_material, made_by
from modspec.stages.scoring_shard import score_shard
from modspec.stages.search import search_language, search_pooled_others
from modspec.stages.warm_start import make_start
from modspec.workflow import artifacts
from modspec.workflow.parameters import STAGES, SearchParameters
from modspec.workflow.paths import search_dir
from modspec.workflow.piece_records import write_record
from modspec.workflow.run_notebook import end_with

# Kind of job -> the stage that its pieces belong to.
KINDS = dict.fromkeys(("warm_start", "language_search", "pooled_others"), "search")
KINDS |= dict.fromkeys(("control_masks", "scoring_shard"), "influence")


def search_piece(material: Material, parameters: SearchParameters, kind: str, language: str) -> list[Path]:
    """Make one piece of a search that is not finished; return its directory in a list, else an empty list.

    Args:
        kind: of the search's jobs in :data:`KINDS`. A ``warm_start`` is made once, before languages are
            searched from it; a ``pooled_others`` mask when all languages have been searched.
        language: that is searched, or whose mask is controlled.
    """
    p = parameters
    if artifacts.is_current(search_dir(p, p.seed), made_by("search", material, p.identity(), {})):
        print(f"already searched: seed {p.seed}")
        return []
    if kind == "warm_start":
        return [make_start(material, p)]
    if kind == "language_search":
        return [search_language(material, p, language)]
    searched = {t: search_language(material, p, t) for t in p.languages}
    return [search_pooled_others(material, p, language, searched)]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m modspec.stages.piece_job", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("record", type=Path, help="file to write: the names of the job's pieces")
    parser.add_argument("--parameters", type=yaml.safe_load, required=True, help="the notebook's: YAML")
    parser.add_argument("--language", default="", help="of a language_search or pooled_others")
    parser.add_argument("--shard", type=int, nargs=2, metavar=("I", "N"), help="of a scoring: I of 0 to N-1")
    given = parser.parse_args()
    threading.Thread(target=end_with, args=[os.getppid()], daemon=True).start()
    stage = KINDS[given.kind]
    try:
        parameters = STAGES[stage](**given.parameters)
        material = load_material(parameters)
        if stage == "search":
            pieces = search_piece(material, parameters, given.kind, given.language)
        else:
            pieces = score_shard(material, parameters, given.shard)
    except InputError as error:
        sys.exit(f"error: {error}")
    write_record(given.record.absolute(), pieces)


if __name__ == "__main__":
    main()
