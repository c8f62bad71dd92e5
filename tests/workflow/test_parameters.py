"""Parameters and presets: what reaches which stage. Bad ones are in tests/bad_inputs/."""

import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import yaml

from modspec.errors import Contradiction, InputError
from modspec.workflow.parameters import (
    STAGES,
    InfluenceParameters,
    ResultsParameters,
    SearchParameters,
)
from modspec.workflow.presets import resolve
from modspec.workflow.strict_parameters import literal_names, names_in_force


def test_defaults_are_valid_and_identity_leaves_out_paths_and_hardware() -> None:
    for model in STAGES.values():
        identity = model().identity()
        assert not {"study_dir", "data_dir", "figures_dir", "device"} & set(identity)
    assert SearchParameters(study_dir="a").identity() == SearchParameters(study_dir="b").identity()
    assert SearchParameters(step=0.2).identity() != SearchParameters().identity()


def test_every_parameter_is_described() -> None:
    for model in (*STAGES.values(), ResultsParameters):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


def test_parameters_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        SearchParameters().seed = 1


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ('# comment\nseed = 3\nlanguages = ["en", "de"]\nrate = -1e-4\ndata_dir = None', None),
        ("seed = 3\nimport os", []),
        ("seed = int('3')", []),
        ("seed += 1", []),
        ("a = b = 3", []),
        ("p.seed = 3", []),
        ("a, b = 1, 2", []),
        ("seed: int = 3", []),
        ("print()", []),
        ("seed = (", []),
        ("", []),
    ],
)
def test_only_cells_of_literal_assignments_hold_parameters(cell: str, names: list | None) -> None:
    expected = ["seed", "languages", "rate", "data_dir"] if names is None else names
    assert literal_names(cell) == expected


def test_a_corrected_parameters_cell_withdraws_a_misspelt_name() -> None:
    parameters = ("seed", "top_k")
    cells = ["", "seed = 0\ntop_k = 5", "top_kk = 6", "p = from_notebook()"]
    assert names_in_force(cells, parameters) == ["seed", "top_k", "top_kk"]  # beside the cell, as papermill's
    assert names_in_force([*cells, "epoch = 3"], parameters) == ["seed", "top_k", "top_kk", "epoch"]
    assert names_in_force([*cells, "top_k = 6\nseed = 0"], parameters) == ["top_k", "seed"]


def test_validation_needs_no_torch() -> None:
    code = "import sys, modspec.workflow.presets as p; p.resolve({}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_overrides_reach_their_stage() -> None:
    study = resolve(
        {
            "preset": "embedded",
            "study": "mine",
            "top_k": 20,
            "finetuning": {"epochs": "3"},
            "seeds": [3, 1, 2],
        }
    )
    assert study.parameters("influence", seed=1).top_k == 20
    assert study.parameters("finetuning", seed=1, condition="sft").epochs == 3
    assert study.parameters("search", seed=1).epochs == resolve({}).parameters("search").epochs
    assert study.parameters("search", seed=1).study_dir == "runs/mine"
    assert [study.parameters("influence", seed=s).other_seed for s in (3, 1, 2)] == [1, 2, 3]
    assert study.parameters("influence", condition="sft", seed=1).train_gradient_masks == (
        "test_example",
        "own_language",
    )


def test_a_blind_study_shows_no_influence_and_makes_the_same() -> None:
    open_study, blind = resolve({}), resolve({"blind": True})
    assert not open_study.blind and blind.blind
    for stage in ("influence", "leave_one_out"):
        shown, hidden = (study.parameters(stage, seed=0) for study in (open_study, blind))
        assert (shown.blind, hidden.blind) == (False, True) and shown.identity() == hidden.identity()


def test_a_condition_has_settings_of_its_own_in_stages_2_and_3_and_where_training_is_repeated() -> None:
    study = resolve(
        {
            "conditions": ["full", "sft"],
            "finetuning_by_condition": {"sft": {"epochs": 9}},
            "influence_by_condition": {"sft": {"top_k": 7}},
        }
    )
    epochs = {c: study.parameters("finetuning", condition=c).epochs for c in ("full", "sft")}
    assert epochs["sft"] == 9 != epochs["full"]
    assert study.parameters("leave_one_out", condition="sft").epochs == 9
    assert study.parameters("influence", condition="sft").top_k == 7


def test_epochs_that_were_kept_can_be_scored() -> None:
    kept = {"keep_checkpoints": "all", "finetuning": {"epochs": 3}}
    for chosen in ("all", "last", [1, 3]):
        resolve(kept | {"checkpoints": chosen})
    resolve({"finetuning": {"epochs": 3, "keep_checkpoints": "last"}, "checkpoints": [3]})


def test_a_study_of_one_seed_has_no_other_seed_control() -> None:
    p = resolve({"seeds": 4}).parameters("influence", seed=4)
    assert "other_seed" not in p.mask_kinds
    assert isinstance(p, InfluenceParameters)


def test_seeds_share_a_training_sample_or_draw_their_own(tmp_path) -> None:
    (tmp_path / "empty.yaml").write_text("{}")
    preset = {"preset": str(tmp_path / "empty.yaml"), "seeds": [3, 7]}
    shared, own = resolve(preset), resolve(preset | {"train_samples": "per_seed"})
    for stage, seed in product(("search", "finetuning", "influence"), (3, 7)):
        assert shared.parameters(stage, seed=seed).train_sample_seed is None
        assert own.parameters(stage, seed=seed).train_sample_seed == seed
    assert own.parameters("calibration").train_sample_seed is None
    # One seed has no other, whose sample could differ.
    resolve(preset | {"train_samples": "per_seed", "seeds": 3, "mask_kinds": ["none", "other_seed"]})


def test_the_language_code_no_is_not_false() -> None:
    assert resolve({"languages": ["no", "en"]}).parameters("search").languages == ("no", "en")


def test_the_calibrations_language_refuses_the_calibration_alone() -> None:
    study = resolve({"task": "local", "data_dir": "some", "languages": ["eng_Latn", "swh_Latn"]})
    assert study.parameters("search").languages == ("eng_Latn", "swh_Latn")
    with pytest.raises(Contradiction, match="language: 'en'; allowed: one of eng_Latn, swh_Latn"):
        study.parameters("calibration")


def test_data_that_somebody_asks_for_are_the_calibrations_too() -> None:
    def languages(config: dict) -> tuple[str, ...]:
        return resolve(config).parameters("calibration").languages

    assert len(languages({})) == 5 and len(resolve({}).parameters("search").languages) == 3
    asked = {"languages": ["en", "sw"]}
    for config in (asked, {"data": asked}, {"languages": ["de"], "calibration": asked}):
        assert languages(config) == ("en", "sw")


def test_leaving_a_language_out_repeats_the_training_of_stage_two() -> None:
    job = {"seed": 1, "condition": "sft"}
    study = resolve({"preset": "xnli", "seeds": [0, 1], "finetuning": {"epochs": "3"}})
    p = study.parameters("leave_one_out", **job)
    assert p.epochs == 3 and p.identity() == study.parameters("finetuning", **job).identity()
    alone = resolve({"languages": ["en"], "top_k": 5})  # the study itself may have one language
    with pytest.raises(Contradiction, match=r"languages: \['en'\]; allowed: two or more"):
        alone.parameters("leave_one_out")


def test_leaving_languages_out_is_part_of_a_study_for_the_seeds_that_it_names() -> None:
    assert resolve({}).left_out_seeds == ()
    assert resolve({"preset": "xnli"}).left_out_seeds == (10, 11, 12)
    assert resolve({"preset": "xnli", "seeds": [12, 13]}).left_out_seeds == (12,)
    assert resolve({"left_out_seeds": 0}).left_out_seeds == (0,)
    for wrong in ("all", [1, 1], [True]):
        with pytest.raises(InputError, match="left_out_seeds: .*; allowed: one or more different whole"):
            resolve({"left_out_seeds": wrong})
    with pytest.raises(InputError, match=r"languages: \['en'\]; allowed: two or more"):
        resolve({"left_out_seeds": [0], "languages": ["en"], "top_k": 5})


def test_a_seeds_jobs_do_not_depend_on_the_other_seeds_where_each_draws_its_own_sample() -> None:
    """Else to run one seed today and all later would score the first one twice."""
    some, all_seeds = resolve({"preset": "reviews", "seeds": [12]}), resolve({"preset": "reviews"})
    for stage in ("search", "finetuning", "influence", "leave_one_out"):
        jobs = (study.parameters(stage, seed=12).model_dump() for study in (some, all_seeds))
        assert next(jobs) == next(jobs), stage


def test_an_override_of_one_condition_keeps_its_other_parameters() -> None:
    study = resolve({"influence_by_condition": {"sft": {"top_k": "7"}}})
    p = study.parameters("influence", condition="sft")
    assert p.top_k == 7 and p.mask_kinds == ("none", "own")
    assert study.parameters("influence", condition="full").top_k == 10


def test_anchors_of_a_preset_are_what_they_stand_for(tmp_path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("influence_by_condition: {sft: &sparse {top_k: 7}, sft_random: *sparse}")
    assert resolve({"preset": str(file)}).parameters("influence", condition="sft_random").top_k == 7


@pytest.mark.parametrize("name", ["mine", "2024-11-01", "nan", "xnli_2.1", "\u7814\u7a76", "caf\u00e9"])
def test_a_studys_name_is_that_of_its_folders(name: str) -> None:
    assert resolve({"study": name}).parameters("search").study_dir == f"runs/{name}"


def test_small_numbers_in_a_preset_file_are_numbers(tmp_path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("search: {learning_rate: 5e-5}")  # which YAML takes for text
    assert resolve({"preset": str(file)}).parameters("search").learning_rate == 0.00005


def test_an_unknown_key_in_a_preset_file_is_named(tmp_path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"finetunning": {"epochs": 2}}))
    with pytest.raises(InputError, match=r"mine\.yaml: 'finetunning' is not a key; allowed: finetuning "):
        resolve({"preset": str(file)})


@pytest.mark.parametrize(
    "preset", sorted(path.stem for path in (Path(__file__).parents[2] / "notebooks/presets").glob("*.yaml"))
)
def test_every_preset_resolves(preset: str) -> None:
    study = resolve({"preset": preset})
    assert study.name == preset and study.parameters("calibration").study_dir == f"runs/{preset}"
