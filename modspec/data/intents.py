"""Sentences in 60 languages from Home Assistant's templates, with the template behind each.

The package ``home-assistant-intents`` ships sentence templates such as ``<turn_on> [the] lights``,
written by speakers of each language and labelled by intent; ``hassil`` parses them. A template is
the unit that must not cross splits, and the ground truth for "these sentences belong together".

Which text is made of them, and why:

- Slots like ``{area}``, ``{name}`` and the wildcards have no values in the package: users bring
  their own rooms and devices. Whatever needs one is left out, and the alternatives that do without
  are used. Invented fillers would put the same foreign strings into every language, which is just
  the kind of similarity that the study measures, and they clash with the articles and case endings
  around them. (Fillers would not open up the languages with few templates either.) In English,
  German, French, Spanish and Russian together this leaves ten labels.
- Templates are made to recognize rather than to generate: agreement in gender and number is often
  wrong ("den 57 Sekunde Timer"). Nothing is done about it.
- Numbers are digits, in whole steps of the range that the package states.
- Each alternative of a template is drawn with equal probability, so that optional words and long
  number ranges do not crowd out the plain sentences, and nothing is ever enumerated.
"""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice

import hassil
import home_assistant_intents
from hassil.expression import Alternative, Expression, ListReference, Permutation, RuleReference, TextChunk
from hassil.intents import Intents, RangeSlotList, TextSlotList

from modspec.errors import InputError

# An intent becomes a label when every language has this many templates that can stand alone in a
# split (two for training, one each for dev and test) ...
MIN_TEMPLATES = 4
# ... which takes this many different sentences. Smaller templates are used for training only.
MIN_SENTENCES = 30
# The share of an intent's templates that dev and test get each, at least one.
HELD_OUT = 0.2
# A template counts as exhausted after this many draws in a row that brought nothing new.
PATIENCE = 60
# How many divisions of an intent's templates into splits are tried before giving up.
ATTEMPTS = 20


# --- expansion -----------------------------------------------------------------------------------


def draw(expression: Expression, rng: random.Random) -> str:
    """Return one random expansion of a resolved expression, with the template's whitespace."""
    if isinstance(expression, TextChunk):
        return expression.original_text
    items = expression.items
    if isinstance(expression, Alternative):
        return draw(rng.choice(items), rng)
    if isinstance(expression, Permutation):
        items = rng.sample(items, len(items))
    return "".join([draw(item, rng) for item in items])


def resolve(expression: Expression, intents: Intents) -> Expression | None:
    """Return ``expression`` without references and dead branches; None if it needs a slot without values."""
    if isinstance(expression, TextChunk):
        return expression
    if isinstance(expression, RuleReference):
        return resolve(intents.expansion_rules[expression.rule_name].expression, intents)
    if isinstance(expression, ListReference):
        values = intents.slot_lists.get(expression.list_name)
        if isinstance(values, RangeSlotList):
            numbers = range(values.start, values.stop + 1, values.step)
            return Alternative([TextChunk(str(number)) for number in numbers])
        texts = [value.text_in for value in values.values] if isinstance(values, TextSlotList) else []
        return resolve(Alternative(texts), intents)
    items = [resolve(item, intents) for item in expression.items]
    if isinstance(expression, Alternative):
        items = [item for item in items if item is not None] or [None]
    return None if None in items else type(expression)(items)


# --- templates -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Template:
    """A sentence template of one intent and language."""

    id: str  # "de/HassTurnOn/12": the 12th template of the intent in the package
    source: str  # as written in the package
    node: Expression  # resolved

    def sentences(self, seed: int) -> Iterator[str]:
        """Yield different sentences in random order, until draws stop bringing new ones."""
        rng = random.Random(f"{seed} {self.id}")
        seen: set[str] = set()
        misses = 0
        while misses < PATIENCE:
            text = clean(draw(self.node, rng))
            key = text.casefold()
            if text and key not in seen:
                misses = 0
                seen.add(key)
                yield text
            else:
                misses += 1

    @cached_property
    def is_large(self) -> bool:
        """Return whether dev or test could consist of this template alone."""
        return sum(1 for _ in islice(self.sentences(seed=0), MIN_SENTENCES)) == MIN_SENTENCES


def clean(text: str) -> str:
    """Return the text in NFC with single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def available_languages() -> tuple[str, ...]:
    """Return the languages that the package has templates for, sorted."""
    return tuple(sorted(home_assistant_intents.get_languages()))


@lru_cache(maxsize=16)
def templates(language: str) -> Mapping[str, list[Template]]:
    """Return the usable templates of each intent, in the package's order, no string twice.

    A string that stands under two intents is left out: its label would be a matter of chance.

    Raises:
        InputError: the package does not have the language.
    """
    raw = home_assistant_intents.get_intents(language)
    if raw is None:
        raise InputError(
            f"languages: {language!r} is not in home-assistant-intents; "
            f"allowed: {', '.join(available_languages())}"
        )
    intents = Intents.from_dict(raw)
    sources = {
        name: dict.fromkeys(text for block in intent.data for text in block.sentence_texts)
        for name, intent in intents.intents.items()
    }
    uses = Counter(text for texts in sources.values() for text in texts)
    usable: dict[str, list[Template]] = {name: [] for name in sources}
    for name, texts in sources.items():
        for index, text in enumerate(texts):
            if uses[text] == 1 and (node := resolve(hassil.parse_sentence(text).expression, intents)):
                usable[name].append(Template(f"{language}/{name}/{index}", text, node))
    return usable


def shared_intents(languages: Sequence[str]) -> tuple[str, ...]:
    """Return the intents that can be labels, sorted: every language has enough templates of each.

    Raises:
        InputError: there are fewer than two.
    """
    rich = {
        language: {
            name for name, ts in templates(language).items() if sum(t.is_large for t in ts) >= MIN_TEMPLATES
        }
        for language in languages
    }
    labels = sorted(set.intersection(*rich.values()))
    if len(labels) < 2:
        each = ", ".join(f"{language} {len(names)}" for language, names in rich.items())
        raise InputError(
            f"languages: {', '.join(languages)} share {len(labels)} intents with at least "
            f"{MIN_TEMPLATES} large templates, needed: 2 (intents by language: {each})"
        )
    return tuple(labels)


# --- splits --------------------------------------------------------------------------------------


def divide(ts: Sequence[Template], rng: random.Random) -> dict[str, list[Template]]:
    """Divide the templates of one intent and language into splits; only large ones are held out."""
    large = [t for t in ts if t.is_large]
    rng.shuffle(large)
    n = max(1, round(HELD_OUT * len(large)))
    held_out = {t.id for t in large[: 2 * n]}
    train = [t for t in ts if t.id not in held_out]
    return {"test": large[:n], "dev": large[n : 2 * n], "train": train}


def fill(ts: Sequence[Template], quota: int, taken: set[str], seed: int) -> list[dict[str, str]]:
    """Return up to ``quota`` rows (id, text, group: the template's id), spread evenly over the templates.

    Sentences whose case-folded text is in ``taken`` are passed over; the sentences used are added to it.
    """
    rows: list[dict[str, str]] = []
    streams = {t.id: enumerate(t.sentences(seed)) for t in ts}
    while streams and len(rows) < quota:
        for template_id, stream in list(streams.items())[: quota - len(rows)]:
            for number, text in stream:
                if text.casefold() not in taken:
                    taken.add(text.casefold())
                    rows.append({"id": f"{template_id}/{number}", "text": text, "group": template_id})
                    break
            else:
                del streams[template_id]
    return rows


def sample(
    languages: Sequence[str], sizes: Mapping[str, int], seed: int, train_seed: int | None = None
) -> tuple[tuple[str, ...], dict[str, list[dict[str, str]]]]:
    """Draw sentences for each split.

    A sentence occurs once in a language, in whatever split, label or letter case. Test is drawn before
    dev, and dev before train, so that test does not change with the sizes of the others. With a
    ``train_seed``, train is drawn anew from the templates that ``seed`` gave it, so that neither dev nor test
    changes: other sentences of the same templates, whose ids name that seed.

    Args:
        languages: languages of the sample.
        sizes: {"train", "dev", "test": rows per language}, shared out equally among the labels; the first
            labels get one more where the size does not divide.
        seed: of the sample.
        train_seed: of the training sentences; None: ``seed``.

    Returns:
        Label names, and the rows of each split, language by language, shuffled within each.

    Raises:
        InputError: a language's templates cannot make that many different sentences.
    """
    labels = shared_intents(languages)
    train_seed = seed if train_seed is None else train_seed
    splits = {split: [] for split in sizes}
    for language in languages:
        taken: set[str] = set()
        divided, drawn = {}, {}
        for i, intent in enumerate(labels):
            quotas = {
                split: sizes[split] // len(labels) + (i < sizes[split] % len(labels))
                for split in ("test", "dev", "train")
            }
            divided[intent], drawn[intent] = _sample_intent(language, intent, quotas, taken, seed)
        if train_seed != seed:
            _draw_training_anew(language, divided, drawn, train_seed)
        for split in splits:
            rows = [
                {**row, "language": language, "label": intent}
                for intent, rows_of_intent in drawn.items()
                for row in rows_of_intent[split]
            ]
            random.Random(f"{train_seed if split == 'train' else seed} {language} {split}").shuffle(rows)
            splits[split] += rows
    return labels, splits


def _sample_intent(
    language: str, intent: str, quotas: Mapping[str, int], taken: set[str], seed: int
) -> tuple[dict[str, list[Template]], dict[str, list[dict[str, str]]]]:
    """Return the templates and the rows of one intent by split, and update ``taken``.

    A division of the templates that cannot make enough sentences for a split is drawn again.
    """
    for attempt in range(ATTEMPTS):
        rng = random.Random(f"{seed} {language} {intent} {attempt}")
        divided = divide(templates(language)[intent], rng)
        used = set(taken)
        rows = {split: fill(divided[split], quotas[split], used, seed) for split in quotas}
        short = [split for split in quotas if len(rows[split]) < quotas[split]]
        if not short:
            taken |= used
            return divided, rows
    raise _too_few(short[0], quotas[short[0]], intent, language, len(rows[short[0]]))


def _draw_training_anew(
    language: str,
    divided: Mapping[str, Mapping[str, list[Template]]],
    drawn: Mapping[str, dict[str, list[dict[str, str]]]],
    seed: int,
) -> None:
    """Replace the training rows of every intent, in place; none of their sentences is in dev or test."""
    held_out = (row for rows in drawn.values() for split in ("test", "dev") for row in rows[split])
    taken = {row["text"].casefold() for row in held_out}
    for intent, rows in drawn.items():
        quota = len(rows["train"])
        rows["train"] = fill(divided[intent]["train"], quota, taken, seed)
        if len(rows["train"]) < quota:
            raise _too_few("train", quota, intent, language, len(rows["train"]))
        for row in rows["train"]:
            template, _, number = row["id"].rpartition("/")
            row["id"] = f"{template}/{seed}-{number}"


def _too_few(split: str, quota: int, intent: str, language: str, count: int) -> InputError:
    return InputError(
        f"{split}_per_language: needs {quota} different sentences of {intent} in "
        f"{language}, whose templates for {split} make {count}; ask for fewer examples"
    )
