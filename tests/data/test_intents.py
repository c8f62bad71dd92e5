"""Sentences from templates: only what the package can say, split by template, balanced."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from itertools import combinations

import hassil
import home_assistant_intents
import pytest
from hassil.intents import Intents, TextSlotList
from hassil.recognize import recognize_all
from hassil.sample import sample_sentence

from modspec.data import intents
from modspec.errors import InputError

LANGUAGES = ("en", "de", "fr", "es", "ru")
SIZES = {"train": 300, "dev": 100, "test": 103}


@pytest.fixture(scope="module")
def sampled() -> tuple[tuple[str, ...], dict[str, list[dict[str, str]]]]:
    return intents.sample(LANGUAGES, SIZES, seed=1)


def resolve(template: str, **lists: dict) -> intents.Expression | None:
    language = Intents.from_dict(
        {
            "language": "en",
            "intents": {},
            "lists": lists,
            "expansion_rules": {"turn": "(turn|switch) on", "there": "in {area}"},
        }
    )
    return intents.resolve(hassil.parse_sentence(template).expression, language)


def every(template: str, **lists: dict) -> set[str]:
    node, rng = resolve(template, **lists), random.Random(0)
    return {intents.clean(intents.draw(node, rng)) for _ in range(300)}


def test_expansion_equals_the_written_out_language() -> None:
    assert every("<turn> [the] light[s|y]") == {
        f"{verb} on {article}light{end}"
        for verb in ("turn", "switch")
        for article in ("", "the ")
        for end in ("", "s", "y")
    }
    assert every("(now;lights [off])") == {
        "now lights",
        "now lights off",
        "lights now",
        "lights off now",
    }
    level = {"range": {"from": 10, "to": 20, "step": 5}}
    assert every("to {level}[%]", level=level) == {f"to {n}{end}" for n in (10, 15, 20) for end in ("", "%")}
    color = {"values": [{"in": "(bright|dark) red", "out": 1}, "blue"]}
    assert every("{color}", color=color) == {"bright red", "dark red", "blue"}


def test_what_needs_an_open_slot_is_left_out() -> None:
    assert resolve("light {area}") is None
    assert resolve("light <there>") is None
    assert resolve("[{area}|(on {name})] light", name={"wildcard": True}) is not None
    assert every("light [here|<there>|{area}]") == {"light", "light here"}
    assert every("(light|lamp {area}) (on|<there>)") == {"light on"}


def test_expansion_agrees_with_hassil_on_the_package() -> None:
    """Small templates of the package, all of whose expansions hassil can list."""
    compared = 0
    for language in LANGUAGES:
        parsed = Intents.from_dict(home_assistant_intents.get_intents(language))
        for template in [t for ts in intents.templates(language).values() for t in ts]:
            if "{" in template.source or template.is_large:
                continue
            try:
                listed = sample_sentence(
                    hassil.parse_sentence(template.source),
                    parsed.slot_lists,
                    parsed.expansion_rules,
                    language,
                )
                expected = {intents.clean(text).casefold() for text in listed}
            except hassil.errors.MissingListError:  # in an alternative that we leave out
                continue
            got = {text.casefold() for text in template.sentences(seed=0)}
            assert got <= expected
            assert len(got) >= 0.8 * len(expected), template
            compared += 1
    assert compared > 50


def test_most_sentences_are_recognized_as_their_label(sampled) -> None:
    """hassil's own recognizer, where no context is required, finds the label again."""
    for language in LANGUAGES:
        raw = home_assistant_intents.get_intents(language)
        for intent in raw["intents"].values():
            for block in intent["data"]:
                block.pop("requires_context", None)
        parsed = Intents.from_dict(raw)
        lists = {name: TextSlotList.from_strings(["zzz"]) for name in ("area", "name", "floor")}
        rows = [row for row in sampled[1]["train"] if row["language"] == language][:40]
        found = [
            {match.intent.name for match in recognize_all(row["text"], parsed, slot_lists=lists)}
            for row in rows
        ]
        correct = sum(row["label"] in names for row, names in zip(rows, found, strict=True))
        assert correct >= 36, language


def test_labels_are_shared_and_balanced(sampled) -> None:
    labels, splits = sampled
    assert len(labels) == 10
    assert set(labels) == set.intersection(*(set(intents.shared_intents([x])) for x in LANGUAGES))
    for split, rows in splits.items():
        assert [row["language"] for row in rows] == [x for x in LANGUAGES for _ in range(SIZES[split])]
        counts = Counter((row["language"], row["label"]) for row in rows)
        assert set(counts.values()) <= {SIZES[split] // 10, SIZES[split] // 10 + 1}
        assert len({row["id"] for row in rows}) == len(rows)


@pytest.mark.parametrize("train_seed", [None, 0, 2])
def test_no_template_and_no_sentence_crosses_splits_or_labels(sampled, train_seed: int | None) -> None:
    _, splits = sampled if train_seed is None else intents.sample(LANGUAGES, SIZES, 1, train_seed)
    homes: dict[str, set[str]] = defaultdict(set)
    texts: Counter[tuple[str, str]] = Counter()
    for split, rows in splits.items():
        for row in rows:
            homes[row["group"]].add(split)
            texts[row["language"], row["text"].casefold()] += 1
            language, label, _ = row["group"].split("/")
            assert (language, label) == (row["language"], row["label"])
    assert all(len(home) == 1 for home in homes.values())
    assert max(texts.values()) == 1


def test_templates_are_used_evenly(sampled) -> None:
    rows = [r for r in sampled[1]["train"] if r["group"].startswith("en/HassStartTimer/")]
    counts = Counter(row["group"] for row in rows)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_sentences_are_clean(sampled) -> None:
    for rows in sampled[1].values():
        for row in rows:
            assert not re.search(r"[{}\[\]<>()|;]|\s{2}|^\s|\s$|None", row["text"]), row
            assert not re.search(r"\d\.\d", row["text"]), row


def test_groups_are_templates_of_the_package(sampled) -> None:
    sources = {t.id: t.source for ts in intents.templates("de").values() for t in ts}
    raw = home_assistant_intents.get_intents("de")["intents"]
    for row in sampled[1]["test"]:
        if row["language"] == "de":
            blocks = raw[row["label"]]["data"]
            assert any(sources[row["group"]] in block["sentences"] for block in blocks)


def test_seed_decides(sampled) -> None:
    assert intents.sample(LANGUAGES, SIZES, seed=1) == sampled
    other = intents.sample(LANGUAGES, SIZES, seed=2)[1]["test"]
    assert {row["group"] for row in other} != {row["group"] for row in sampled[1]["test"]}


def test_a_seed_of_the_training_sentences_changes_nothing_else(sampled) -> None:
    labels, splits = sampled
    samples = {seed: intents.sample(LANGUAGES, SIZES, 1, seed) for seed in (0, 1, 2)}
    assert samples[1] == sampled
    for found, rows in samples.values():
        assert found == labels and rows["dev"] == splits["dev"] and rows["test"] == splits["test"]
        assert {row["group"] for row in rows["train"]} == {row["group"] for row in splits["train"]}
        for column in ("language", "label"):
            assert Counter(r[column] for r in rows["train"]) == Counter(r[column] for r in splits["train"])
    # Most sentences are others, and an id never names two of them.
    texts = [{row["id"]: row["text"] for row in rows["train"]} for _, rows in samples.values()]
    for one, other in combinations(texts, 2):
        assert len(set(one.values()) & set(other.values())) < 0.2 * len(one)
        assert not set(one) & set(other)


def test_too_few_sentences_of_another_seed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fill = intents.fill
    monkeypatch.setattr(intents, "fill", lambda ts, quota, taken, seed: fill(ts, quota - seed, taken, seed))
    with pytest.raises(InputError, match=r"train_per_language: needs 2 different .* train make 1; ask"):
        intents.sample(["en"], {"train": 26, "dev": 13, "test": 13}, 0, 1)


def test_test_sentences_do_not_depend_on_the_size_of_train(sampled) -> None:
    larger = intents.sample(LANGUAGES, {**SIZES, "train": 600}, seed=1)[1]["test"]
    assert larger == sampled[1]["test"]


def test_other_languages_and_one_alone() -> None:
    labels, splits = intents.sample(["zh-CN", "nl"], {"train": 200, "dev": 40, "test": 40}, seed=0)
    assert len(labels) >= 10 and len(splits["train"]) == 400
    assert len(intents.shared_intents(["de"])) > len(labels)


def test_large_samples_have_as_many_different_sentences_as_asked_for() -> None:
    sizes = {"train": 2000, "dev": 300, "test": 300}
    splits = intents.sample(LANGUAGES, sizes, seed=0)[1]
    for split, size in sizes.items():
        sentences = {(row["language"], row["text"]) for row in splits[split]}
        assert len(splits[split]) == len(sentences) == size * len(LANGUAGES)


def test_errors() -> None:
    with pytest.raises(InputError, match=r"languages: 'xx' is not in .*allowed: af, ar, "):
        intents.sample(["en", "xx"], SIZES, seed=0)
    with pytest.raises(InputError, match=r"en, te share 0 intents .*needed: 2 .*en 13, te 0\)"):
        intents.sample(["en", "te"], SIZES, seed=0)
    message = r"test_per_language: needs 92308 different sentences of \w+ in en, .* make \d+; ask"
    with pytest.raises(InputError, match=message):
        intents.sample(["en", "de"], {"train": 10, "dev": 10, "test": 1_200_000}, seed=0)
