"""Write the pages of a finished study: ``python -m modspec.pages preset=NAME [study=NAME ...]``.

Settings are those of the run, as after ``snakemake --config``. Pages go to ``runs/<study>/pages/``.
"""

import sys
from collections.abc import Sequence
from functools import partial

from modspec.analysis.strongest_examples import was_not_published
from modspec.errors import InputError
from modspec.pages.explorer import explorer
from modspec.pages.head_atlas import head_atlas
from modspec.pages.rendering import write_page
from modspec.stages.material import load_sample
from modspec.stages.texts import keep_texts
from modspec.workflow.paths import influence_dir, path
from modspec.workflow.presets import StudyPlan, from_command_line


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    try:
        write_pages(from_command_line(sys.argv[1:] if arguments is None else arguments))
    except InputError as error:
        sys.exit(f"error: {error}")


def write_pages(plan: StudyPlan) -> None:
    """Keep the texts that the explorer shows, then write explorer and head atlas, and print their files.

    Raises:
        InputError: the study is blind or not finished, or its data cannot be had.
    """
    if plan.blind:
        raise InputError("blind: true; allowed: false, because pages show influence")
    for seed in plan.seeds:
        for condition in plan.conditions:
            parameters = plan.parameters("influence", seed=seed, condition=condition)
            run = influence_dir(parameters, condition, seed)
            if not was_not_published(run):
                keep_texts(run, partial(load_sample, parameters))
    study = path(parameters.study_dir)
    print(f"Explorer:   {write_page(study / 'pages' / 'explorer.html', explorer(study))}")
    print(f"Head atlas: {write_page(study / 'pages' / 'head_atlas.html', head_atlas(study))}")


if __name__ == "__main__":
    main()
