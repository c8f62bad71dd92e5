"""README and docs: commands work, links resolve, and numbers are the published ones."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from snakemake.cli import parse_config

from modspec import __main__ as command_line
from modspec.terms import CLAIMS, CONDITIONS, MASK_KINDS
from modspec.workflow.parameters import STAGES, DataParameters
from modspec.workflow.presets import resolve

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
README = PAGES["README.md"]
ALL = "\n".join(PAGES.values())
STUDIES = ("xnli", "pawsx", "reviews")
EXAMPLES = {name: re.findall(r"```python\n(.*?)```", page, re.DOTALL) for name, page in PAGES.items()}
CHECKS = sorted(set(re.findall(r"\.venv/bin/python -m modspec ([^`\n]*)", ALL)))
SNAKEMAKE = sorted(set(re.findall(r"\.venv/bin/snakemake --cores 2 --config ([^`\n]*)", ALL)))
SIB = "sib-200/data/annotated"  # where the pages have SIB-200


def csv(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / "figures" / name, dtype={"seed": str})


# Length and links


def test_readme_can_be_read_at_once() -> None:
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    assert len(re.sub(r"\]\([^)]*\)", "]", text).split()) <= 1000


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", PAGES)
def test_links_resolve(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[name]):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        path = ((ROOT / name).parent / file).resolve() if file else ROOT / name
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(PAGES[str(path.relative_to(ROOT))]), target


def test_every_page_is_linked_from_readme() -> None:
    for name in PAGES:
        assert name == "README.md" or f"]({name})" in README, name


@pytest.mark.parametrize("name", PAGES)
def test_every_make_target_and_file_that_is_named_exists(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:^|`)make ([\w-]+)", PAGES[name], re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for file in set(re.findall(r"`((?:modspec|notebooks|figures|tests|docs)/[\w./-]*)`", PAGES[name])):
        assert (ROOT / file).exists(), file


# Commands and examples


@pytest.fixture
def own_data(tmp_path: Path) -> Path:
    """Data directories as the pages describe them: of one's own, and SIB-200 as it is downloaded."""
    for language in ("en", "sw"):
        rows = [f"{i}\ttext {i}\t{'ab'[i % 2]}" for i in range(300)]
        (tmp_path / f"{language}.tsv").write_text("\n".join(["id\ttext\tlabel", *rows]), encoding="utf-8")
    for language in ("eng_Latn", "swh_Latn"):
        folder = tmp_path / SIB / language
        folder.mkdir(parents=True)
        (folder / "labels.txt").write_text("geography\nscience/technology\n", encoding="utf-8")
        for split, number in {"train": 70, "dev": 20, "test": 30}.items():
            topics = [("geography", "science/technology")[i % 2] for i in range(number)]
            rows = [f"{i}\t{topic}\t{split} {i}" for i, topic in enumerate(topics)]
            (folder / f"{split}.tsv").write_text("\n".join(["index_id\tcategory\ttext", *rows]))
    return tmp_path


def in_own_data(command: str, own_data: Path) -> list[str]:
    """The words of a command, with the directories of this machine."""
    command = command.replace("DIR", str(own_data)).replace(SIB, str(own_data / SIB))
    return shlex.split(command.removesuffix(" --dry-run"))


def test_settings_are_accepted(own_data: Path) -> None:
    assert SNAKEMAKE
    for settings in SNAKEMAKE:
        resolve(parse_config(in_own_data(settings, own_data)))
    for preset in set(re.findall(r"make study PRESET=(\w+)", ALL)):
        resolve({"preset": preset})
    for parameters in re.findall(
        r"\.venv/bin/papermill notebooks/02_finetuning\.ipynb out\.ipynb ([^`\n]*)", ALL
    ):
        names = re.findall(r"-p (\w+)", parameters)
        assert names and set(names) <= set(STAGES["finetuning"].model_fields)


@pytest.mark.parametrize("command", CHECKS)
def test_checks_pass(
    command: str, own_data: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture
) -> None:
    if "encoder=" not in command:  # then it is e5-small
        request.getfixturevalue("e5_small_available")
    command_line.main(in_own_data(command, own_data))
    if command.startswith("data"):
        table = capsys.readouterr().out
        assert ("labels.txt" in table) == (SIB in command) and "2 labels; local files; train" in table


def test_there_is_a_check_for_each_subject() -> None:
    assert {command.split()[0] for command in CHECKS} == {"data", "encoder", "study"}


@pytest.mark.slow
@pytest.mark.parametrize("settings", SNAKEMAKE)
def test_commands_run(settings: str, own_data: Path) -> None:
    words = in_own_data(settings, own_data)
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "2", "--config", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def run_example(name: str) -> str:
    (code,) = EXAMPLES[name]
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_no_example_is_left_untested() -> None:
    assert {name for name, found in EXAMPLES.items() if found} == {"README.md", "docs/influence.md"}


def test_readmes_example_runs(e5_small_available: None) -> None:
    assert run_example("README.md") == "(40, 8)\n"


@pytest.mark.slow
def test_the_scorers_example_runs(e5_small_available: None) -> None:
    printed = run_example("docs/influence.md")
    assert "heads kept" in printed or "full mask" in printed
    shares = re.findall(r"^(en|de) +(\d\.\d+)$", printed, re.MULTILINE)
    assert sum(float(share) for _, share in shares) == pytest.approx(1)


# Completeness


def test_every_parameter_is_described() -> None:
    for model in (DataParameters, *STAGES.values()):
        for name in model.model_fields:
            assert f"| `{name}` |" in PAGES["docs/parameters.md"], name


def test_the_glossary_has_every_term_once() -> None:
    rows = re.findall(
        r"^\| ([^|]+) \| [^|]+ \|$", PAGES["docs/methods.md"].split("## Glossary")[1], re.MULTILINE
    )[1:]
    terms = [term for row in rows if not row.startswith("---") for term in row.split(", ")]
    assert terms and len(set(terms)) == len(terms) and sorted(terms, key=str.casefold) == terms
    for kind in MASK_KINDS:
        assert f"`{kind}`" in PAGES["docs/methods.md"]
    for condition in CONDITIONS:
        assert f"`{condition.removeprefix('sft_')}`" in PAGES["docs/methods.md"]


def test_every_claim_is_stated_and_logged() -> None:
    for claim in CLAIMS:
        assert f"| {claim} | " in PAGES["docs/methods.md"]


def test_the_log_names_commits_of_their_day() -> None:
    git = ["git", "-C", str(ROOT)]
    shallow = subprocess.run([*git, "rev-parse", "--is-shallow-repository"], capture_output=True, text=True)
    if shallow.stdout.strip() != "false":
        pytest.skip("the log is checked against the whole history, which is not here")
    rows = re.findall(r"^\| (\d{4}-\d\d-\d\d) \| ([0-9a-f]{7}) \|", PAGES["docs/log.md"], re.MULTILINE)
    history = subprocess.run(
        [*git, "log", "--format=%h %as", "--abbrev=7"], capture_output=True, text=True, check=True
    )
    dates = dict(line.split() for line in history.stdout.splitlines())
    assert rows
    for day, commit in rows:
        assert dates[commit] == day, commit


# Numbers


def interval(row: pd.Series, sign: str = "+") -> str:
    return f"{100 * row['value']:{sign}.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]".replace(
        "-", "−"
    )


def test_readmes_findings_are_the_published_ones() -> None:
    claims = csv("results/claims_by_study.csv").query("language == 'all languages'")
    comparisons = {
        "C0: Are the most": "no mask - chance",
        "C1: Does a": "own mask - no mask",
        "C2: More than other": "own mask - other languages' masks",
        "C2: More than random": "own mask - random mask",
        "C3: Does SFT": "SFT - full",
        "C5: Does SFT": "SFT - full, accuracy",
        "C6: Does SFT": "SFT - full, specialization",
    }
    for question, comparison in comparisons.items():
        (cells,) = re.findall(rf"^\| {re.escape(question)}[^|]*\| (.*) \|$", README, re.MULTILINE)
        rows = claims[(claims["claim"] == question[:2]) & (claims["comparison"] == comparison)].set_index(
            "study"
        )
        assert cells.split(" | ")[:3] == [interval(rows.loc[study]) for study in STUDIES], question


def equivalence_statements() -> list[str]:
    """README's "less than one point" holds, in the generated table of contrasts."""
    rows = dict(re.findall(r"^\| (Q[34]: [^|]*) \| (.*) \|$", PAGES["docs/results.md"], re.MULTILINE))
    for contrast in ("Q3: full: own − other languages' masks", "Q4: SFT, own mask − full, no mask"):
        xnli, _, reviews = rows[contrast].replace("−", "-").split(" | ")[:3]
        assert xnli.endswith("], equivalent")
        assert all(abs(float(end)) < 1.1 for end in re.search(r"\[(.*), (.*)\]", reviews).groups())
    return ["in `xnli` this means less than one point of share, in `reviews` hardly more"]


def result_numbers() -> list[str]:
    share = csv("pawsx/in_language_share.csv").query(
        "language == 'ko' and condition == 'full' and score == 'cosine' and measure == 'proponents'"
    )
    by_seed = share[share["seed"] != "all"].pivot(index="seed", columns="mask_kind", values="value")
    assert (by_seed["own"] < by_seed["none"]).all()
    claims = csv("results/claims_by_study.csv").query("language == 'all languages'")
    relations = [csv(f"{study}/head_relation.csv") for study in STUDIES]
    values = [
        table.query(
            "seed == 'all' and language == 'all languages' and measure == 'share_importance'"
            " and mask_kind == 'own'"
        )["value"].iloc[0]
        for table in relations
    ]
    return [
        f"between {100 * by_seed['none'].min():.0f} and {100 * by_seed['none'].max():.0f} %",
        f"{len(claims)} of them are shown",
        f"rank correlations of {min(values):.2f} to {max(values):.2f}".replace("0.", "."),
    ]


def intent_numbers() -> list[str]:
    settings = csv("intents/sensitivity.csv")

    def changed(setting: str, comparison: str) -> pd.Series:
        return settings[(settings["choice"] == setting) & (settings["comparison"] == comparison)].iloc[0]

    parts = csv("intents/layer_share.csv").query(
        "seed == 'all' and condition == 'full' and language == 'all languages'"
    )
    value = {(row.part, row.layer): f"{100 * row.value:.0f}" for row in parts.itertuples()}
    own, random = "SFT - full", "SFT with random masks - full"
    rises = [interval(changed("SFT: own-mask gradients", name), "") for name in (own, random)]
    falls = interval(changed("dot product", own))
    overlap = csv("intents/mask_overlap.csv")
    language = overlap["language_a"] == overlap["language_b"]
    same, other = overlap.loc[language, "jaccard"].mean(), overlap.loc[~language, "jaccard"].mean()
    relation = csv("intents/head_relation.csv").query("seed == 'all' and language == 'all languages'")
    relation = relation.set_index(["measure", "mask_kind"])["value"]
    heads = [
        f"{relation[measure, kind]:.2f}".removeprefix("0")
        for kind in ("own", "other_language")
        for measure in ("contribution_importance", "share_importance")
    ]
    rows = settings[settings["comparison"] == "own mask - random mask"]
    numbers = ["value", "low", "high"]
    others = rows[(rows[numbers] != rows[numbers].iloc[0]).any(axis=1)]
    number, low_high = rises[0].split(" ", 1)
    return [
        f"by {number} points {low_high}, and with *random* masks by {rises[1]}",
        f"falls: {falls}",
        f"{value['attention', 1]} and {value['feed-forward', 1]} %",
        f"to {value['attention', 12]} and {value['feed-forward', 12]} % in layer 12, "
        f"and to {value['classifier', 13]} %",
        f"overlap by {same:.2f}, masks of two languages by {other:.2f}".replace("0.", "."),
        f"{heads[0]} for the contribution and {heads[1]} for the share",
        f"it is {heads[2]} and {heads[3]}",
        f"{(others['verdict'] == 'contradicted').sum()} of {len(others)} other settings contradict C2",
    ]


def calibration_numbers() -> list[str]:
    folder = "embedded/calibration"
    clones = (
        csv(f"{folder}/false_positive_rates.csv").query("language == 'one half'").groupby("measure").first()
    )
    share, delta = clones.loc["share"], clones.loc["specialization"]
    ceilings = csv(f"{folder}/datamodeling.csv").groupby("split")["ceiling"].first()
    dose = csv(f"{folder}/dose_response.csv").query(
        "dose == 0.25 and measure == 'share' and language == 'both halves'"
    )
    assert (dose["p"] < 0.05).tolist() == [True, False, True, False]  # together, and by seed
    planted = csv(f"{folder}/planted_heads.csv")
    recall = planted.query("condition == 'sft_random' and score == 'search' and measure == 'recall'")
    chance = recall.set_index("language")["chance"]
    nothing = planted.query("condition == 'full' and language == 'all languages'")
    (off,) = nothing[nothing["p"] < 0.05].itertuples()
    return [
        f"off chance by {100 * share['excess']:.1f} points".replace("-", "−"),
        f"(standard deviation {100 * share['sd']:.1f})",
        f"and Δ by {100 * delta['excess']:+.1f} ({100 * delta['sd']:.1f})",
        f"{ceilings['test']:.2f} for test sentences and {ceilings['held out']:.2f}".replace("0.", "."),
        f"{chance['all languages']:.2f} for the search's recall".removeprefix("0"),
        f"({chance['en']:.2f} in English, {chance['de']:.2f} in German)".replace("0.", "."),
        f"1 of {len(nothing)} readings",
        f"(importance's precision, {off.value:.2f}, p = {off.p:.3f})".replace(", 0.", ", .", 1),
    ]


def speed_numbers() -> list[str]:
    table = csv("benchmark/influence_benchmark.csv").query("train == 1000")
    texts = []
    for workload in ("b", "c"):
        rows = table[table["workload"] == workload].set_index("system")
        ours = rows["seconds"]
        ratios = {
            (covers, precision): rows.loc[systems, "seconds"] / ours[f"modspec {precision}"]
            for covers, systems in {
                "all": ["captum", "trak"],
                "linear": ["captum linear", "kronfluence"],
            }.items()
            for precision in ("float32", "bfloat16")
        }
        if workload == "b":
            both = {p: pd.concat([ratios["all", p], ratios["linear", p]]) for p in ("float32", "bfloat16")}
            texts += [
                f"{both['float32'].min():.0f} to {both['float32'].max():.0f} times as fast in float32, and "
                f"{both['bfloat16'].min():.0f} to {both['bfloat16'].max():.0f} times in bfloat16"
            ]
            whole = ratios["all", "float32"]
            assert f"on short ones {whole.min():.0f} to {whole.max():.0f} times" in " ".join(README.split())
        else:
            for (_, precision), ratio in ratios.items():
                low, high = (f"{value:.1f}".removesuffix(".0") for value in (ratio.min(), ratio.max()))
                texts.append(
                    f"{low} to {high} times" if precision == "float32" else f"({low} to {high} in bfloat16)"
                )
            assert texts[1] in " ".join(README.split())
    bound = table[table["system"] == "modspec float32"].set_index("workload")["bound_share"]
    every = csv("benchmark/influence_benchmark.csv").query("system == 'modspec bfloat16'")
    large, memory = (
        every[every["train"] == 1000],
        every[every["workload"] == "b"].set_index("train")["peak_gib"],
    )
    assert (large["spearman"] > 0.999).all() and (large["top_100"] >= 0.98).all()
    random = every[every["workload"] == "a"]
    short, long = (every[(every["workload"] == w) & (every["train"] == 8)]["spearman"].iloc[0] for w in "bc")
    quick = (
        csv("benchmark/influence_benchmark.csv").query("workload == 'a' and train == 200").set_index("system")
    )
    older = csv("benchmark_avx2/influence_benchmark.csv").set_index("system")
    return [
        *texts,
        f"{older['seconds']['modspec float32']:.1f} seconds, "
        f"kronfluence {older['seconds']['kronfluence']:.1f}",
        f"reaches {100 * older['bound_share']['modspec float32']:.0f} %",
        f"{100 * bound['b']:.0f} % (`intents`) and {100 * bound['c']:.0f} % (XNLI)",
        f"({random['spearman'].min():.2f} to {random['spearman'].max():.2f}; "
        f"{np.floor(100 * random['top_100'].min()):.0f} to {100 * random['top_100'].max():.0f} %)",
        f"({long:.3f} on XNLI, {short:.4f} on `intents`)",
        f"{quick['seconds']['kronfluence']:.1f} against {quick['seconds']['modspec float32']:.1f} seconds",
        f"{memory[1000]:.1f} GiB with 1,000 training examples and {memory[10000]:.1f} GiB with 10,000",
    ]


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("README.md", equivalence_statements),
        ("docs/results.md", result_numbers),
        ("docs/intents.md", intent_numbers),
        ("docs/calibration.md", calibration_numbers),
        ("docs/influence.md", speed_numbers),
    ],
)
def test_numbers_in_sentences_are_the_published_ones(name: str, numbers) -> None:
    page = " ".join(PAGES[name].split())
    for text in numbers():
        assert " ".join(text.split()) in page, text
