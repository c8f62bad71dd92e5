"""Look before a study: ``python -m modspec data check DIR``, ``encoder check NAME``, ``study check``.

Each says in seconds what a study would make of it, or the first thing that it would refuse.
"""

import argparse
import sys
from collections.abc import Sequence

from modspec.errors import InputError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m modspec", description=__doc__.split("\n\n")[1])
    subjects = parser.add_subparsers(dest="subject", required=True)
    data = subjects.add_parser("data").add_subparsers(required=True).add_parser("check")
    data.add_argument("data_dir", help="directory of the files")
    data.add_argument("--task", default="local", help="whose files they are (%(default)s)")
    data.add_argument("--languages", nargs="+", help="default: all that there are files of")
    data.add_argument("--columns", nargs="+", default=[], metavar="ROLE=NAME", help="such as label=topic")
    data.set_defaults(check=check_data)
    encoder = subjects.add_parser("encoder").add_subparsers(required=True).add_parser("check")
    encoder.add_argument("name", help="as the parameter encoder")
    encoder.add_argument("--max-length", type=int, default=128, help="tokens per text (%(default)s)")
    encoder.set_defaults(check=check_encoder)
    study = subjects.add_parser("study").add_subparsers(required=True).add_parser("check")
    study.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="as after snakemake --config")
    study.add_argument("--cores", type=int, help="as of snakemake (default: all that there are)")
    study.set_defaults(check=check_study)
    given = parser.parse_args(arguments)
    try:
        given.check(given)
    except InputError as error:
        sys.exit(f"error: {error}")


def check_data(given: argparse.Namespace) -> None:
    """Print what became of every file, and the examples of each label by language and split."""
    import pandas as pd

    from modspec.data.file_names import find
    from modspec.data.local_files import load
    from modspec.data.tasks import TASKS, check_columns, check_languages

    columns = {role: name or None for role, _, name in (text.partition("=") for text in given.columns)}
    languages = given.languages or find(given.data_dir).languages
    check_languages(given.task, languages, given.data_dir)
    check_columns(columns, given.data_dir)
    spec = TASKS[given.task]
    loaded = load(given.data_dir, languages, spec.column_names, spec.labels, spec.aligned, columns)
    print(f"{loaded.files.to_string(index=False)}\n")
    rows = [(t, split, label) for (t, split), pool in loaded.pools.items() for label in pool["label"]]
    counts = pd.DataFrame(rows, columns=["language", "split", "label"]).value_counts(sort=False)
    print(f"{counts.unstack('label', fill_value=0).to_string()}\n\n{loaded.source}")


def check_encoder(given: argparse.Namespace) -> None:
    """Print what an encoder is."""
    from modspec.models.encoders import described
    from modspec.stages.material import encoder_name

    for name, value in described(encoder_name(given.name), given.max_length).items():
        print(f"{name}: {value}")


def check_study(given: argparse.Namespace) -> None:
    """Print what a study is and takes."""
    from snakemake.cli import parse_config
    from snakemake.utils import available_cpu_count

    from modspec.workflow.presets import resolve

    try:
        config = parse_config(given.settings)
    except ValueError as error:
        raise InputError(str(error)) from None
    plan = resolve(config)  # before torch is loaded
    from modspec.stages import preflight

    print("\n".join(preflight.check_study(plan, given.cores or available_cpu_count())))


if __name__ == "__main__":
    main()
