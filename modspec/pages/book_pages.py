"""The book's pages that are about no single question or study: start, contents, interface, citation."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import yaml

from modspec.analysis import question_texts
from modspec.analysis.verdicts import NOT_RUN
from modspec.pages.book_questions import FIGURE, POOLED_STUDIES
from modspec.pages.book_studies import Study, toctree
from modspec.pages.markdown import markdown
from modspec.terms import POOLED, QUESTIONS
from modspec.workflow.parameters import ResultsParameters

RESULTS = "studies/results"  # the page of all studies side by side


def start(
    answers: pd.DataFrame,
    studies: Sequence[Study],
    subjects: Mapping[str, str],
    facts: Mapping[str, str],
    limits: str,
    rerun: str,
) -> str:
    """Return the start page: what was asked, the answers, one figure, limits, how to rerun, where to go.

    Args:
        answers: the rows of ``questions.csv``.
        studies: that the book shows.
        subjects: what each of them is about, by name.
        facts: of the first published study, see :func:`modspec.analysis.side_by_side.scale`.
        limits: Markdown, what the results cannot say.
        rerun: a command that runs one notebook with one parameter changed.
    """
    seeds = int(answers["seeds"].max())
    whole = POOLED if (answers["study"] == POOLED).any() else answers["study"].iloc[0]
    named = POOLED_STUDIES if whole == POOLED else whole
    rows = answers[answers["study"] == whole].sort_values("primary", ascending=False, kind="stable")
    lines = {}
    for question, row in rows.drop_duplicates("question").set_index("question").sort_index().iterrows():
        text = question_texts.answer({"question": question, **row})
        related = rows.loc[rows["question"] == question, "verdict"] != NOT_RUN
        if row["verdict"] == NOT_RUN and related.any():
            text += f" ([related](questions/{question.lower()}.md#all-contrasts))"
        elif not row["primary"]:
            text += " (secondary)"
        lines[f"[{question}](questions/{question.lower()}.md)"] = {
            "question": QUESTIONS[question].text,
            f"answer ({named})": text,
        }
    about = {study.name: f": {subjects[study.name]}" if subjects[study.name] else "" for study in studies}
    # By page: a run of the reader may have the name of a published study.
    links = {study.page: f"[{study.heading}]({study.page}.md){about[study.name]}" for study in studies}
    together = f"- **All studies**: {links.pop(RESULTS)}." if RESULTS in links else ""
    alone = sorted({*answers["study"]} - {POOLED, *ResultsParameters().pooled})
    left_out = f", without {' and '.join(alone)} (see the limits below)" if alone else ""
    pooled = f"Pooled: {named}{left_out}. " if whole == POOLED else ""
    not_run = (
        '"Not run": version 1 of the study (`-v1`) lacks the masks or models that the question needs. '
        "Related contrasts were run, but each of them changes more than one thing at once."
    )
    not_run = not_run if (rows["verdict"] == NOT_RUN).any() else ""
    newline = "\n"
    return f"""# How modular is a multilingual encoder?

How far do predictions rest on training examples in the same language, and does sparse fine-tuning
change this? *Subnetwork*: the attention heads that a language needs. In *sparse fine-tuning* (SFT), a
language's examples change no other heads. *Proponents*: the {facts["k"]} training examples with the most
influence on a prediction (TracIn). *In-language share*: the percentage of proponents in the test example's
language. Encoder `{facts["encoder"]}`, {seeds} seeds. After [Choenni et al.](cite.md); our numbers.

{markdown(pd.DataFrame.from_dict(lines, orient="index"))}

Points [95 % interval]; Q2: correlation; Q5: points of AUC.
<!-- end of the answer -->

"We cannot tell" is not "no effect": see the [verdicts](questions/q1.md#verdicts). {not_run}

![Contrasts that decide a question, by study, with intervals and margins](questions/all/{FIGURE}.png)

Each row is a contrast that decides a question. Grey band: effects that are too small to matter.
{pooled}Q2 has a p-value and no interval. *Full*: fine-tuning of all parameters. *Chance*: the language's
share of the training examples, 20 % for five languages.

## What this cannot say

{limits}

## Run one notebook with one parameter changed

In a checkout of the repository, after `make study`, which runs the study `embedded`:

```sh
{rerun}
```

The parameter `condition` is `full` unless it is named. With `sft_random` the notebook adds SFT with random
masks to the study, in `runs/embedded/`, and changes no other result. All [parameters](docs/parameters.md)
have defaults; [more commands](docs/running.md#commands), also for other studies.

## Where to go

- **One question**: [Q1](questions/q1.md) to Q8, each with its contrasts and the figures of every study.
{together}
- **One study**, its data, model, notebooks and figures:
{newline.join(f"  - {link}" for link in links.values())}
- **Words**: the [glossary](docs/methods.md#glossary), and [how each quantity is measured](docs/methods.md).
- **Does the method measure correctly?** [Calibration](docs/calibration.md).
- **What is not known**: [limits](docs/methods.md#limits).
- **Run it**: [commands](docs/running.md#commands).
- **Score your own model**: [user guide](docs/influence.md) and [interface](api.md).

{contents(studies)}
"""


# Caption -> pages in docs/; those that are named nowhere come last.
DOCS = {
    "Method": ("methods", "calibration", "reliability", "cards", "parameters"),
    "Results in full": ("results", "intents"),
    "Use it": ("running", "influence", "gpu"),
    "Record": ("log", "preset_history"),
}


def contents(studies: Sequence[Study]) -> str:
    """Return the book's table of contents, which stands beside every page."""
    published = [study.page for study in studies if study.page.startswith("studies/")]
    runs = [study.page for study in studies if study.page.startswith("runs/")]
    docs = {caption: [f"docs/{name}" for name in names] for caption, names in DOCS.items()}
    docs["Use it"].insert(2, "api")
    docs["Record"] += [
        "cite",
        "Notebooks of the repository <notebooks/README>",
        "README of the repository <README>",
    ]
    parts = {"Questions": [f"questions/{question.lower()}" for question in QUESTIONS], "Studies": published}
    if runs:
        parts["Your runs"] = runs
    return "\n\n".join(toctree(pages, caption) for caption, pages in (parts | docs).items())


INTERFACE = """# Interface of `modspec.influence`

The [user guide](docs/influence.md) shows how these are used together. Shapes are annotations:
`Float[ndarray, 'train evaluation']` is an array of floats of training examples × evaluation examples.

```{eval-rst}
.. currentmodule:: modspec.influence

.. autofunction:: influence

.. autofunction:: merge

.. autoclass:: Scores
   :members:
   :undoc-members:
   :exclude-members: __init__, __new__

.. autoclass:: Checkpoint
   :members:
   :undoc-members:
   :exclude-members: __init__, __new__

.. autoclass:: Report
   :members:
   :undoc-members:
   :exclude-members: __init__, __new__

.. autoclass:: EncoderPart
   :members:
   :undoc-members:
   :exclude-members: __init__, __new__
```
"""


def citation(cff: str) -> str:
    """Return how to cite the software and the paper, from the text of ``CITATION.cff``."""
    record: dict[str, Any] = yaml.safe_load(cff)
    paper = record["preferred-citation"]
    names = " and ".join(f"{a['family-names']}, {a['given-names']}" for a in paper["authors"])
    software = " and ".join(author["name"] for author in record["authors"])
    paper_fields = {
        "title": paper["title"],
        "author": names,
        "booktitle": paper["collection-title"],
        "year": paper["year"],
        "pages": f"{paper['start']}--{paper['end']}",
        "doi": paper["doi"],
        "url": paper["url"],
    }
    software_fields = {"title": record["title"], "author": f"{{{software}}}", "version": record["version"]}
    entries = [
        _bibtex("software", "modspec", software_fields),
        _bibtex(
            "inproceedings", f"{paper['authors'][0]['family-names'].lower()}{paper['year']}", paper_fields
        ),
    ]
    return "# How to cite\n\n" + record["message"] + "\n\n```bibtex\n" + "\n\n".join(entries) + "\n```\n"


def _bibtex(kind: str, key: str, fields: Mapping[str, object]) -> str:
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])
