"""Settings on the command line, for ``snakemake --dry-run --config``."""

from __future__ import annotations

from tests.bad_inputs.answers import BadInput, Content
from tests.bad_inputs.data_checks import GOOD, GOOD_CSV

ROWS: list[BadInput] = []


def override(
    words: str | list[str], *answer: str, files: dict[str, Content] | None = None, note: str = ""
) -> None:
    """Add a row for ``snakemake --dry-run --config``."""
    words = [words] if isinstance(words, str) else words
    ROWS.append(
        BadInput("study", f"--config {' '.join(words)}"[:80] + note, tuple(words), answer, files or {})
    )


names = [
    "a/b",
    "..",
    ".hidden",
    "-x",
    "a b",
    "a;b",
    "$HOME",
    "a{b}",
    "a*",
    "it's",
    'a"b',
    "a\\b",
    "C:x",
    "~",
    "a&b",
]
names += [
    "a\u200bb",
    "\U0001f600",
    "x" * 101,
    "../runs",
    "a\nb",
    "a\tb",
    "7",
    "1e5",
    "True",
    "null",
    "",
]
for name in [*names, "[a]", "{a: b}"]:
    override(f"study={name}", "study: ", "; allowed: letters, digits, _, - and .")
for words, answer in {
    "preset=embeded": "preset: 'embeded' does not exist; allowed: embedded, intents",
    "preset=": "preset: None does not exist; allowed: embedded",
    "preset=nan": "preset: 'nan' does not exist",
    "preset=3": "preset: 3 does not exist",
    "preset=[xnli,pawsx]": "preset: ['xnli', 'pawsx'] does not exist",
    "preset=notebooks/presets": "preset: 'notebooks/presets' does not exist",
    "presets=xnli": "presets: 'xnli' is not a parameter; allowed: preset, study",
    "topk=3": "topk: 3 is not a parameter; allowed: preset, study, seeds",
    "epochs=3": "epochs: stages search, finetuning have one each; allowed: search='{epochs: 3}'",
    "batch_size=16": "batch_size: stages search, finetuning, influence have one each",
    "learning_rate=1e-4": "learning_rate: stages search, finetuning have one each",
    "seed=3": "data: 'seed' is set for each job; allowed: seeds, conditions",
    "condition=full": "condition: stages finetuning, influence have one each",
    "study_dir=x": "data: 'study_dir' is set for each job",
    "search=3": "search: 3; allowed: a mapping such as '{name: value}'",
    "search=[epochs]": "search: ['epochs']; allowed: a mapping",
    "finetuning=epochs:3": "finetuning: 'epochs:3'; allowed: a mapping",
    "finetuning={epochs:3}": "epochs:3: None is not a parameter of this stage; allowed: epochs (did",
    "finetuning={epoch: 3}": "epoch: 3 is not a parameter of this stage; allowed: epochs (did you mean it?)",
    "finetuning={epochs: three}": "epochs: 'three' (str); allowed: integer",
    "languages=en,de": "languages: 'en,de' (str); allowed: list",
    "languages=en": "languages: 'en' (str); allowed: list",
    "languages=[en": "languages: '[en' (str); allowed: list",
    "languages=nan": "languages: 'nan' (str); allowed: list",
    "languages=": "languages: None (NoneType); allowed: list",
    "languages=[en,null]": "languages.1: None (NoneType); allowed: string",
    "languages=[en,nan]": "languages: intents lacks nan; there: af",
    "languages=[en,2]": "languages.1: 2 (int); allowed: string",
    "threshold=95%": "threshold: '95%' (str); allowed: number",
    "threshold=0,9": "threshold: '0,9' (str); allowed: number",
    "threshold=nan": "threshold: 'nan' (str); allowed: number",
    "threshold=inf": "threshold: 'inf' (str); allowed: number",
    "threshold=0.0": "threshold: 0.0 (float); allowed: greater than 0",
    "threshold=": "threshold: None (NoneType); allowed: number",
    "threads=two": "threads: ['two']; allowed: one or more different whole numbers",
    "threads=0": "threads: 0; allowed: at least 1",
    "search_by_language=yes": "search_by_language: 'yes'; allowed: true or false",
    "scoring_shards=0": "scoring_shards: 0; allowed: at least 1",
    "scoring_shards=2": "scoring_shards: 2; allowed: 1, or memory_gib = a number",
    "blind=maybe": "blind: 'maybe'; allowed: true or false",
    "influence={blind: true}": "influence: 'blind' is set for each job; allowed: seeds",
    "seeds=0..2": "seeds: ['0..2']; allowed: one or more different whole numbers",
    "seeds=0,1": "seeds: ['0,1']; allowed: one or more different whole numbers",
    "seeds=[1,1]": "seeds: [1, 1]; allowed: one or more different whole numbers",
    "seeds=1.5": "seeds: [1.5]; allowed: one or more different whole numbers",
    "conditions=dense": "condition: 'dense' (str); allowed: 'full', 'one_language_batches', 'sft'",
    "task=XNLI": "task: 'XNLI' is not known; allowed: intents, xnli",
    "task=": "task: None (NoneType); allowed: string",
    "task=local": "data_dir: None, but task 'local' needs a directory of files",
    "columns={label: topic}": "columns: {'label': 'topic'}; allowed: with files of a data_dir",
    "max_length=4": "max_length: 4 (int); allowed: greater than or equal to 8",
    "precision=float16": "precision: 'float16' (str); allowed: 'auto', 'float32' or 'bfloat16'",
    "top_k=0": "top_k: 0 (int); allowed: greater than or equal to 1",
    "parallel=on": "parallel: 'on' (str); allowed: boolean",
    "over_training=true": "over_training: True; allowed: False, or training_checkpoints = 2",
    "checkpoints=all": "checkpoints: 'all'; allowed: 'last', or keep_checkpoints = 'all'",
    "finetuning={max_length: 64}": "max_length: 128 in search, but 64 later; allowed: one for all stages, in "
    "section data",
    "influence_by_condition={sft: {languages: [en, de]}}": "languages: ('en', 'de', 'fr') in search, but "
    "('en', 'de') later; allowed: one",
    "influence_by_condition={fll: {top_k: 5}}": "'fll' is not a condition; allowed: full",
    "influence_by_condition={full: 5}": "influence_by_condition: full: 5; allowed: a mapping",
    "calibration={langage: en}": "langage: 'en' is not a parameter of this stage; allowed: language (did you",
}.items():
    override(words, answer)
override(
    ["keep_checkpoints=all", "checkpoints=[1, 9]"],
    "checkpoints: (1, 9); allowed: 'last', 'all', or some of 1 to 8",
)
override(
    [
        "search={inherited_importance: false}",
        "influence_by_condition={full: {mask_kinds: [none, inherited]}}",
    ],
    "mask_kinds: 'inherited'; allowed: others, or inherited_importance = True",
)
local = ["task=local", "data_dir=DIR", "languages=[en,sw]"]
override(local, "languages: local lacks sw in data_dir", "there: en", files={"en.tsv": GOOD})
override(
    local,
    "languages: local lacks en, sw in data_dir",
    "there: none; expected a directory",
    note=", an empty directory",
)
override(
    local,
    "'sw.xlsx' seems to be of the language sw",
    files={"en.tsv": GOOD, "sw.xlsx": "x"},
    note=", a spreadsheet",
)
override(local, "hold the same split", files={"en.tsv": GOOD, "en.csv": GOOD_CSV}, note=", a file twice")
override(["task=local", "data_dir=DIR/nowhere", "languages=[en,sw]"], "nowhere' is not a directory")
override(["task=xnli", "languages=[en,ko]"], "languages: xnli lacks ko; there: ar, bg, de")
override(["task=intents", "data_dir=DIR"], "but task 'intents' is embedded and reads no files")
