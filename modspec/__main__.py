"""Look before a study: ``python -m modspec data check DIR``, ``encoder check NAME``, ``study check``.

Each says in seconds what a study would make of it, or the first thing that it would refuse.
"""

import argparse
import sys
from collections.abc import Sequence

from modspec.errors import InputError, quoted


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
    sys.stdout.reconfigure(errors="backslashreplace")  # where the terminal knows ASCII alone
    try:
        given.check(given)
    except InputError as error:
        sys.exit(f"error: {error}")


def check_data(given: argparse.Namespace) -> None:
    """Print what became of every file, and the examples of each label by language and split."""
    import pandas as pd

    from modspec.data.file_names import SPLITS, find
    from modspec.data.local_files import load
    from modspec.data.sampling import shared_by_all
    from modspec.data.tasks import TASKS, available_languages, check_columns, check_languages, expected

    columns = dict(_role_and_column(text) for text in given.columns)
    languages = given.languages or available_languages(given.task, given.data_dir)
    if not languages:
        example = [f" ({file.name}: {why})" for file, why in find(given.data_dir).not_read.items()][:1]
        raise InputError(f"data_dir: no file to read{''.join(example)}; needed: {expected(given.task)}")
    check_languages(given.task, languages, given.data_dir)
    check_columns(columns, given.data_dir)
    spec = TASKS[given.task]
    loaded = load(given.data_dir, languages, spec.column_names, spec.labels, spec.aligned, columns)
    print(f"{loaded.files.to_string(index=False)}\n")
    rows = pd.concat([p[["label"]].assign(language=t, split=s) for (t, s), p in loaded.pools.items()])
    counts = rows.value_counts(["language", "split", "label"], sort=False).unstack("label", fill_value=0)
    counts = counts[sorted(counts)]
    print(f"{counts.to_string()}\n\n{counts.shape[1]} labels; {loaded.source}")
    if loaded.aligned and len(languages) > 1:
        shared = {
            split: shared_by_all({language: loaded.pools[language, split] for language in languages})
            for split in SPLITS
        }
        numbers = ", ".join(f"{len(pools[languages[0]])} for {split}" for split, pools in shared.items())
        print(f"translations that all languages have (same id): {numbers}")


def _role_and_column(text: str) -> tuple[str, str | None]:
    role, equals, column = text.partition("=")
    if not equals:
        raise InputError(f"columns: {quoted(text)}; allowed: ROLE=NAME, or ROLE= to do without the column")
    return role, column or None


def check_encoder(given: argparse.Namespace) -> None:
    """Print what an encoder is."""
    from modspec.models.encoders import described
    from modspec.stages.material import encoder_name

    for name, value in described(encoder_name(given.name), given.max_length).items():
        print(f"{name}: {value}")


def check_study(given: argparse.Namespace) -> None:
    """Print what a study is and takes."""
    from snakemake.utils import available_cpu_count

    from modspec.workflow.presets import from_command_line

    plan = from_command_line(given.settings)  # before torch is loaded
    from modspec.stages import preflight

    print("\n".join(preflight.check_study(plan, given.cores or available_cpu_count())))


if __name__ == "__main__":
    main()
