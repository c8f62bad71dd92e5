"""The benchmark on sizes of seconds: systems agree, time is extrapolated soberly, the bound counts once."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from modspec.benchmark import tables, workloads
from modspec.benchmark.__main__ import PROBES, Benchmark, machine, main, manageable
from modspec.benchmark.systems import SYSTEMS
from modspec.benchmark.timed_run import Run, timed
from tests.helpers.models import random_encoder, random_examples, reference_gradients

MODULES = {"captum": "captum", "kronfluence": "kronfluence", "dattri": "dattri", "traker": "trak"}
OTHER = {"all": "linear", "linear": "all"}
# dattri and TRAK multiply whole gradients: one float32 sum over millions of parameters.
TOLERANCE = {"modspec bfloat16": 0.02, "dattri": 0.01, "trak": 0.01}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Workload a, with the exact products of its first examples."""
    directory = tmp_path_factory.mktemp("benchmark")
    workloads.prepare("a", directory / "a")
    return directory


def test_exact_products_are_those_of_whole_gradients() -> None:
    model = random_encoder("bert").eval()
    examples = random_examples(7)
    gradients = reference_gradients(model, examples)
    linear = np.concatenate(
        [
            np.full(
                parameter.numel(), isinstance(model.get_submodule(name.rpartition(".")[0]), torch.nn.Linear)
            )
            for name, parameter in model.named_parameters()
        ]
    )
    exact = workloads.exact_products(model, examples.take(range(4)), examples.take(range(4, 7)))
    for covers, of in (("all", gradients), ("linear", gradients * linear)):
        np.testing.assert_allclose(exact[covers], of[:4] @ of[4:].T, rtol=1e-9)


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_gives_the_products_of_what_it_covers(directory: Path, name: str) -> None:
    system = SYSTEMS[name]
    if system.package and find_spec(MODULES[system.package]) is None:
        pytest.skip(f"{system.package} is not installed; make benchmark installs it")
    train, evaluation = workloads.load_examples(directory / "a", 5, 2)
    scores = system.score(workloads.load_classifier(directory / "a"), train, evaluation)
    assert scores["dot"].shape == (5, 2) and scores["dot"].dtype == np.float32
    error = workloads.relative_error(scores["dot"], directory / "a", system.covers)
    assert error < TOLERANCE.get(name, 1e-5)
    other = workloads.relative_error(scores["dot"], directory / "a", OTHER[system.covers])
    assert other > 10 * error  # linear layers alone are another ranking


@pytest.mark.parametrize("name", [name for name, system in SYSTEMS.items() if system.package])
def test_padding_and_order_change_no_scores(name: str) -> None:
    """Texts of 3 to 40 pieces in random order, which systems sort and pad; more than a batch of each."""
    system = SYSTEMS[name]
    if find_spec(MODULES[system.package]) is None:
        pytest.skip(f"{system.package} is not installed; make benchmark installs it")
    model = random_encoder("xlm-roberta", dtype=torch.float32).eval()
    train, evaluation = random_examples(41, lengths=(3, 40)), random_examples(19, seed=1, lengths=(3, 40))
    exact = workloads.exact_products(model, train, evaluation)[system.covers]
    dot = system.score(model, train, evaluation)["dot"]
    assert np.abs(dot - exact).max() < 1e-4 * np.abs(exact).max()


@pytest.mark.slow
def test_a_run_of_the_whole_benchmark(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--workloads", "a", "--systems", "modspec float32,modspec bfloat16", "--sizes", "6x3"]
    arguments += ["--rounds", "1", "--directory", str(directory), "--figures", str(tmp_path)]
    main(arguments)
    assert "modspec float32       6 x 3   run 1: " in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "influence_benchmark.csv")
    assert table["system"].tolist() == ["modspec float32", "modspec bfloat16"]
    assert (table["runs"] == 1).all() and (table["seconds"] > 0).all() and table["error"].isna().all()
    assert table["over_float32"][0] == 1 and 0 < table["bound_share"].max() < 1
    assert table["relative_error"][0] < 1e-5 < table["relative_error"][1] < 0.02
    assert -1 <= table["spearman"][1] <= 1
    results = {file: file.stat().st_mtime_ns for file in (directory / "results").iterdir()}
    main(arguments)  # nothing is measured again
    assert results == {file: file.stat().st_mtime_ns for file in (directory / "results").iterdir()}


def test_an_error_of_a_system_is_its_result(directory: Path, tmp_path: Path) -> None:
    """A workload without a classifier stands in for a package that fails."""
    run = Run("a", "modspec float32", 4, 2, 1, 1)
    result = timed(run, tmp_path / "nothing", tmp_path / "results", 100)
    assert result == asdict(run) | {"error": result["error"]}
    assert "\n" not in result["error"] and "nothing" in result["error"]


def test_a_run_beyond_its_time_is_ended_and_says_so(directory: Path, tmp_path: Path) -> None:
    run = Run("a", "modspec float32", 4, 2, 1, 1)
    assert timed(run, directory / "a", tmp_path, 0.1)["error"] == "not done after 0 s"
    assert json.loads((tmp_path / f"{run.name}.json").read_text())["train"] == 4


def test_systems_alternate_and_ours_runs_at_every_size_of_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """captum takes 1 s an example here, so 100 s are enough for 64 of 1,000; kronfluence fails."""
    calls = []

    def run(
        self: Benchmark, workload: str, system: str, train: int, evaluation: int, repeat: int = 1
    ) -> dict:
        calls.append((system, train, repeat))
        result = {"system": system, "train": train, "repeat": repeat}
        seconds = train * (1 if system == "captum" else 0.001)
        return result | ({"error": "no memory"} if system == "kronfluence" else {"seconds": seconds})

    monkeypatch.setattr(Benchmark, "run", run)
    systems = ["modspec float32", "captum", "kronfluence"]
    results = Benchmark(tmp_path, systems, 1, 100).compare("b", 1000, 50, rounds=2)
    assert calls[:3] == [("captum", PROBES[0], 1), ("captum", PROBES[1], 1), ("kronfluence", PROBES[0], 1)]
    every = [("modspec float32", 1000), ("captum", 64), ("kronfluence", 8)]
    every += [("modspec float32", 64), ("modspec float32", 8)]
    assert calls[3:8] == [(*one, 1) for one in every]
    assert calls[8:] == [(*one, 2) for one in every if one[0] != "kronfluence"]
    assert [r for r in results if "error" in r] == [
        {"system": "kronfluence", "train": 8, "repeat": 1, "error": "no memory"}
    ]


@given(st.floats(0, 100), st.floats(1e-3, 20), st.integers(1, 1000), st.floats(1, 600))
def test_manageable_sizes_fit_the_budget(start: float, each: float, train: int, budget: float) -> None:
    sizes = []

    def run(size: int) -> dict:
        sizes.append(size)
        return {"seconds": start + each * size}

    size = manageable(run, train, budget)
    assert size <= train and set(sizes) <= set(PROBES)
    if size not in PROBES and size < train:
        assert start + each * size <= budget * (1 + 1e-9)
        assert 2 * size > train or start + each * 2 * size > budget * (1 - 1e-9)


def test_a_system_that_fails_is_run_at_the_size_where_it_failed() -> None:
    assert manageable(lambda size: {"error": "no memory"}, 1000, 600) == PROBES[0]


def test_ratios_compare_equal_sizes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tables, "least_seconds", lambda *_: 1.0)

    def result(system: str, train: int, seconds: float, repeat: int) -> dict:
        measured = {"seconds": seconds, "peak_gib": 1.0, "relative_error": 1e-6}
        return asdict(Run("a", system, train, 2, 1, repeat)) | measured

    rows = [result("modspec float32", 100, s, i) for i, s in enumerate((2.0, 4.0, 9.0))]
    rows += [result("modspec float32", 10, 1.0, 0), result("captum", 10, 8.0, 0)]
    rows += [asdict(Run("a", "dattri", 10, 2, 1, 0)) | {"error": "no memory"}]
    table = tables.comparison(rows, tmp_path).set_index(["system", "train"])
    whole = table.loc[("modspec float32", 100)]
    assert (whole["seconds"], whole["seconds_min"], whole["seconds_max"]) == (4, 2, 9)
    assert whole["bound_share"] == 0.25 and whole["runs"] == 3
    assert table.loc[("captum", 10), "over_float32"] == 8
    assert table.loc[("dattri", 10), "error"] == "no memory"


def test_agreement_compares_the_rankings_of_training_examples(tmp_path: Path) -> None:
    """Of two evaluation examples one is ranked alike; of the other, the last comes first."""
    exact = np.random.default_rng(0).standard_normal((200, 2)).astype(np.float32)
    rounded = 2 * exact + 1
    rounded[exact[:, 1].argmin(), 1] = rounded.max() + 1
    run = Run("a", "modspec bfloat16", 200, 2, 1, 1)
    for system, cosine in ((run.system, rounded), ("modspec float32", exact)):
        save_file({"cosine": cosine}, tmp_path / f"{replace(run, system=system).name}.safetensors")
    agree = tables.agreement(run, tmp_path)
    ranks = np.arange(200.0)
    moved = np.append(ranks[1:], ranks[0])  # of the ranks in rising order of the exact scores
    assert agree["top_100"] == pytest.approx((1 + 0.99) / 2)
    assert agree["spearman"] == pytest.approx((1 + np.corrcoef(ranks, np.argsort(moved))[0, 1]) / 2)
    assert tables.agreement(replace(run, train=100), tmp_path) == {}


def test_the_machine_is_described_without_naming_it() -> None:
    described = machine(2)
    assert described["threads"] == 2 and described["memory_gib"] > 0 and described["processor"]
    text = json.dumps(described)
    assert str(Path.home()) not in text and "not installed" not in str(described["packages"]["torch"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workloads", "a,d"], "'d'; allowed: a, b, c"),
        (["--systems", "captum,trac"], "'trac'; allowed: modspec float32, "),
        (["--sizes", "12"], "'12'; allowed: TRAINxEVALUATION"),
        (["--sizes", "0x4"], "'0x4'; allowed: TRAINxEVALUATION, at least 1x1"),
    ],
)
def test_bad_arguments_are_named(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err
