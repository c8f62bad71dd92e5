"""Presets, for ``snakemake --dry-run``."""

from __future__ import annotations

from tests.bad_inputs.answers import BadInput, Content

ROWS: list[BadInput] = []


def preset(name: str, content: Content, *answer: str, file: str = "mine.yaml") -> None:
    """Add a row for ``snakemake --dry-run`` with a preset of one's own."""
    ROWS.append(BadInput("study", f"preset: {name}", (f"preset=DIR/{file}",), answer, {file: content}))


texts: dict[str, tuple[Content, str]] = {
    "a misspelt section": (
        "finetunning: {epochs: 2}",
        "'finetunning' is not a key; allowed: finetuning (did you",
    ),
    "a section in capitals": (
        "Search: {epochs: 2}",
        "'Search' is not a key; allowed: search (did you mean it?)",
    ),
    "a parameter outside its section": (
        "epochs: 3",
        "'epochs' is not a key; allowed: seeds, conditions, threads",
    ),
    "seed for seeds": ("seed: 3", "'seed' is not a key; allowed: seeds (did you mean it?)"),
    "a key twice": ("seeds: [0]\nconditions: [full]\nseeds: [1]", "mine.yaml: line 3: 'seeds' stands twice"),
    "a section twice": ("data: {task: xnli}\nsearch: {}\ndata: {}", "line 3: 'data' stands twice"),
    "a parameter twice": ("search:\n  epochs: 2\n  step: 0.1\n  epochs: 3", "line 4: 'epochs' stands twice"),
    "a key twice, three deep": (
        "influence_by_condition:\n  full:\n    top_k: 1\n    top_k: 2",
        "line 4: 'top_k' stands twice",
    ),
    "a tag of YAML": ("search: {epochs: !!str 3}", "mine.yaml: line 1: a tag (!)"),
    "a tag of Python": ("data: !!python/object/apply:os.system [ls]", "mine.yaml: line 1: a tag (!)"),
    "a tag of one's own": ("data: !include data.yaml", "mine.yaml: line 1: a tag (!)"),
    "two documents": ("seeds: [0]\n---\nseeds: [1]", "mine.yaml:2: cannot be read as YAML"),
    "tabs": ("search:\n\tepochs: 3", "mine.yaml:2: cannot be read as YAML (found character '\\t'"),
    "an open bracket": ("seeds: [0, 1\n", "mine.yaml:2: cannot be read as YAML"),
    "an open quote": ('data: {task: "xnli}\n', "cannot be read as YAML (found unexpected end of stream)"),
    "uneven indentation": ("data:\n  task: xnli\n parallel: true", "mine.yaml:3: cannot be read as YAML"),
    "no space after a colon": ("seeds:[0]", "mine.yaml: 'seeds:[0]'; allowed: a mapping of seeds"),
    "an equals sign": ("seeds = [0]", "mine.yaml: 'seeds = [0]'; allowed: a mapping of seeds"),
    "an empty file": ("", "mine.yaml: None; allowed: a mapping of seeds"),
    "nothing but comments": ("# later\n", "mine.yaml: None; allowed: a mapping"),
    "a list": ("- seeds: [0]", "mine.yaml: [{'seeds': [0]}]; allowed: a mapping"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0", "mine.yaml: cannot be read as YAML"),
    "Latin-1": ("# \u00e9\nseeds: [0]".encode("latin-1"), "mine.yaml: cannot be read as YAML"),
    "a control character": ("seeds: [0]\a", "mine.yaml: cannot be read as YAML"),
    "an alias of nothing": (
        "seeds: *mine",
        "mine.yaml:1: cannot be read as YAML (found undefined alias 'mine'",
    ),
    "an alias of itself": ("seeds: &a [*a]", "cannot be read as YAML (found unconstructable recursive node)"),
    "brackets without end": ("[" * 3000, "mine.yaml: cannot be read as YAML (maximum recursion depth"),
    "a list as key": ("? [a]\n: b", "mine.yaml:1: cannot be read as YAML (found unhashable key)"),
    "a number as key": ("3: x", "mine.yaml: 3 is not a key; allowed: seeds"),
    "null as key": ("null: x", "mine.yaml: None is not a key"),
    "a merge key": ("<<: {seeds: [0]}", "mine.yaml: '<<' is not a key"),
    "a number as name of a parameter": ("search: {3: x}", "mine.yaml: search: 3 is not a parameter"),
    "true as name of a parameter": ("search: {true: x}", "mine.yaml: search: True is not a parameter"),
    "a section that is a list": (
        "search: [epochs, 3]",
        "mine.yaml: search: ['epochs', 3]; allowed: a mapping",
    ),
    "a section that is text": ("search: epochs=3", "mine.yaml: search: 'epochs=3'; allowed: a mapping"),
    "a section that is false": ("search: false", "mine.yaml: search: False; allowed: a mapping"),
    "a section that is zero": ("search: 0", "mine.yaml: search: 0; allowed: a mapping"),
    "an unknown condition": (
        "influence_by_condition: {fll: {top_k: 3}}",
        "'fll' is not a condition; allowed: full",
    ),
    "a condition of nothing": (
        "influence_by_condition: {full: }",
        "influence_by_condition: full: None; allowed",
    ),
    "conditions in a list": (
        "influence_by_condition: [full]",
        "influence_by_condition: ['full']; allowed: a map",
    ),
    "a parameter of no condition": (
        "influence_by_condition: {sft: {top_q: 3}}",
        "top_q: 3 is not a parameter",
    ),
    "a condition's wrong value": (
        "influence_by_condition: {sft: {top_k: x}}",
        "top_k: 'x' (str); allowed: integer",
    ),
    "a condition that is not run": (
        "conditions: [full]\ninfluence_by_condition: {sft: {top_k: x}}",
        "top_k: 'x' (str); allowed: integer",
    ),
    "a condition's own seed": ("influence_by_condition: {full: {seed: 3}}", "'seed' is set for each job"),
    "a seed in a section": (
        "data: {seed: 3}",
        "data: 'seed' is set for each job; allowed: seeds, conditions",
    ),
    "a directory in a section": ("search: {study_dir: x}", "search: 'study_dir' is set for each job"),
    "a condition in a section": (
        "finetuning: {condition: sft}",
        "finetuning: 'condition' is set for each job",
    ),
    "seeds in a section": ("figures: {seeds: [0]}", "figures: 'seeds' is set for each job"),
    "a parameter of another section": ("figures: {top_k: 3}", "top_k: 3 is not a parameter of this stage"),
    "a parameter of notebook 05": (
        "figures: {studies: [a]}",
        "studies: ['a'] is not a parameter of this stage",
    ),
    "the calibration's misspelt parameter": (
        "calibration: {langage: en}",
        "langage: 'en' is not a parameter",
    ),
    "the calibration's wrong type": ("calibration: {language: 3}", "language: 3 (int); allowed: string"),
    "the calibration's wrong range": (
        "calibration: {retrainings: 1}",
        "retrainings: 1 (int); allowed: greater",
    ),
    "masks of a seed with another sample": (
        "train_samples: per_seed\ninfluence: {mask_kinds: [none, own, other_seed]}",
        "mask_kinds: 'other_seed'; allowed: others, because train_samples = 'per_seed'",
    ),
}
for name, (content, answer) in texts.items():
    preset(name, content, answer)
preset("a name that no folder may have", "seeds: [0]", "study: 'my study'; allowed", file="my study.yaml")
preset("a name with a quote", "seeds: [0]", 'study: "it\'s"; allowed', file="it's.yaml")
ROWS += [
    BadInput(
        "study", "preset: a folder", ("preset=DIR/a.yaml",), ("preset: ", "does not exist"), {"a.yaml/b": ""}
    ),
    BadInput(
        "study", "preset: not there", ("preset=DIR/no.yaml",), ("no.yaml' does not exist; allowed: emb",)
    ),
    BadInput(
        "study", "preset: another extension", ("preset=DIR/a.txt",), ("does not exist",), {"a.txt": "x"}
    ),
    BadInput(
        "study", "preset: too long a name", (f"preset={'x' * 5000}",), ("preset: 'xxx", "does not exist")
    ),
]
values = {
    "data": {
        "languages: en": "languages: 'en' (str); allowed: list",
        "languages: []": "languages: [] (list); allowed: at least 1 item",
        "languages: [en, en]": "languages: ['en', 'en']; allowed: each value once",
        "languages: [en, 5]": "languages.1: 5 (int); allowed: string",
        "languages: [en, null]": "languages.1: None (NoneType); allowed: string",
        "languages: [en, true]": "languages.1: True (bool); allowed: string",
        "languages: [en, [de]]": "languages.1: ['de'] (list); allowed: string",
        "languages: {en: 1}": "languages: {'en': 1} (dict); allowed: list",
        'languages: [en, ""]': "languages.1: ''; allowed: text that can be seen",
        'languages: [en, "\\u200b"]': "languages.1: '\\u200b'; allowed: text that can be seen",
        "languages: [en, xx]": "languages: intents lacks xx; there: af, ar",
        "languages: [en, no-NO]": "languages: intents lacks no-NO; there: af, ar",
        "languages:": "languages: None (NoneType); allowed: list",
        "task: snli": "task: 'snli' is not known; allowed: intents, xnli",
        "task: [xnli]": "task: ['xnli'] (list); allowed: string",
        "task: 1e5": "task: 100000.0 (float); allowed: string",
        "task: local": "data_dir: None, but task 'local' needs a directory of files",
        "task: multiemo": "data_dir: None, but task 'multiemo' needs a directory of files",
        "data_dir: 5": "data_dir: 5 (int); allowed: string",
        "data_dir: here": "here', but task 'intents' is embedded",
        "columns: {label: topic}": "columns: {'label': 'topic'}; allowed: with files of a data_dir",
        "columns: {lable: topic}": "columns",
        "columns: {label: 3}": "columns: 3 (int); allowed: string",
        "columns: label": "columns: 'label' (str); allowed: dictionary",
        "columns: [label]": "columns: ['label'] (list); allowed: dictionary",
        "device: gpu": "device: 'gpu' (str); allowed: ",
        "device: CPU": "device: 'CPU' (str); allowed: ",
        "device: 0": "device: 0 (int); allowed: string",
        "precision: fp16": "precision: 'fp16' (str); allowed: 'auto', 'float32' or 'bfloat16'",
        "max_length: 4": "max_length: 4 (int); allowed: greater than or equal to 8",
        "max_length: 1000": "max_length: 1000 (int); allowed: less than or equal to 512",
        "parallel: yes": "parallel: 'yes' (str); allowed: boolean or 'dev_and_test'",
        "parallel: 1": "parallel: 1 (int); allowed: boolean",
        "train_per_language: all": "train_per_language: 'all' (str); allowed: integer",
        "train_per_language: null": "train_per_language: None (NoneType); allowed: integer",
        "train_per_language: 100 # %\n  dev_per_language: -1": "dev_per_language: -1 (int); allowed: greater",
        "train_sample_seed: 3": "data: 'train_sample_seed' is set for each job; allowed: seeds, conditions, "
        "train_samples",
        "data_seed: -1": "data_seed: -1 (int); allowed: greater than or equal to 0",
        "data_seed: 99999999999": "data_seed: 99999999999 (int); allowed: less than or equal to 4294967295",
    },
    "search": {
        "epochs: two": "epochs: 'two' (str); allowed: integer",
        "epochs: 2.5": "epochs: 2.5 (float); allowed: integer",
        "epochs: 1e3": "epochs: 1000.0 (float); allowed: integer",
        'epochs: "3"': "epochs: '3' (str); allowed: integer",
        "epochs: 007": "epochs: '007' (str); allowed: integer",
        "epochs: 0x10": "epochs: '0x10' (str); allowed: integer",
        "epochs: 1_000": "epochs: '1_000' (str); allowed: integer",
        "epochs: 1:30": "epochs: '1:30' (str); allowed: integer",
        "epochs: 2024-11-01": "epochs: '2024-11-01' (str); allowed: integer",
        "epochs: true": "epochs: True (bool); allowed: integer",
        "epochs: 0": "epochs: 0 (int); allowed: greater than or equal to 1",
        "epochs: [3]": "epochs: [3] (list); allowed: integer",
        "epoch: 3": "epoch: 3 is not a parameter of this stage; allowed: epochs (did you mean it?)",
        "learning_rate: 0": "learning_rate: 0 (int); allowed: greater than 0",
        "learning_rate: 1": "learning_rate: 1 (int); allowed: less than 1",
        "learning_rate: .nan": "learning_rate: '.nan' (str); allowed: number",
        "learning_rate: .inf": "learning_rate: '.inf' (str); allowed: number",
        'learning_rate: "1e-4"': "learning_rate: '1e-4' (str); allowed: number",
        "learning_rate: 1e-4x": "learning_rate: '1e-4x' (str); allowed: number",
        "learning_rate: 2,5e-5": "learning_rate: '2,5e-5' (str); allowed: number",
        "learning_rate: 1e999": "learning_rate: inf (float); allowed: ",
        "threshold: 95%": "threshold: '95%' (str); allowed: number",
        "threshold: 95": "threshold: 95 (int); allowed: less than or equal to 1",
        "step: 1": "step: 1 (int); allowed: less than 1",
        "importance_examples: 500": "importance_examples: 500; allowed: at most train_per_language",
        "start_languages: [zz]": "start_languages: 'zz'; allowed: some of en, de, fr",
        "inherited_importance: off": "inherited_importance: 'off' (str); allowed: boolean",
    },
    "influence": {
        "top_k: 5000": "top_k: 5000; allowed: at most the 240 training examples",
        "top_ks: 10": "top_ks: 10 (int); allowed: list",
        "mask_kinds: [own]": "mask_kinds: ['own']; allowed: any that include 'none'",
        "mask_kinds: none": "mask_kinds: 'none' (str); allowed: list",
        "mask_kinds: [none, others]": "mask_kinds.1: 'others' (str); allowed: 'none'",
        "checkpoints: first": "checkpoints: 'first' (str); allowed: 'last' or 'all'",
        "checkpoints: []": "checkpoints: ",
        "eta: 0.1": "eta: 0.1 (float); allowed: 'learning_rate' or 'one'",
        "memory_gib: 0": "memory_gib: 0 (int); allowed: greater than 0",
        "memory_gib: 6GB": "memory_gib: '6GB' (str); allowed: number",
        "evaluation_per_language: 61": "evaluation_per_language: 61; allowed: at most test_per_language",
        "scored_per_language: 500": "scored_per_language: 500; allowed: at most train_per_language",
    },
    "figures": {
        "confidence: 95": "confidence: 95 (int); allowed: less than 1",
        "resamples: 10": "resamples: 10 is not a parameter of this stage; allowed: ",
    },
}
for section, of_section in values.items():
    for line, answer in of_section.items():
        preset(f"{section}: {line}", f"{section}:\n  {line}\n", answer)
tops = {
    "seeds: []": "seeds: []; allowed: one or more different whole numbers",
    "seeds: [0, 0]": "seeds: [0, 0]; allowed: one or more different whole numbers",
    "seeds: [0.5]": "seeds: [0.5]; allowed: one or more different whole numbers",
    "seeds: [a]": "seeds: ['a']; allowed: one or more different whole numbers",
    "seeds: [true]": "seeds: [True]; allowed: one or more different whole numbers",
    "seeds:": "seeds: [None]; allowed: one or more different whole numbers",
    "seeds: 0-4": "seeds: ['0-4']; allowed: one or more different whole numbers",
    "seeds: {a: 1}": "seeds: [{'a': 1}]; allowed: one or more different whole numbers",
    "seeds: [-1]": "seed: -1 (int); allowed: greater than or equal to 0",
    "seeds: [4294967296]": "seed: 4294967296 (int); allowed: less than or equal to 4294967295",
    "conditions: []": "conditions: []; allowed: one or more different words",
    "conditions: [dense]": "condition: 'dense' (str); allowed: 'full', 'one_language_batches', 'sft'",
    "conditions: [full, full]": "conditions: ['full', 'full']; allowed: one or more different words",
    "conditions: [3]": "conditions: [3]; allowed: one or more different words",
    "threads: 0": "threads: 0; allowed: at least 1",
    "threads: -2": "threads: -2; allowed: at least 1",
    "threads: two": "threads: ['two']; allowed: one or more different whole numbers",
    "threads: 1.5": "threads: [1.5]; allowed: one or more different whole numbers",
    "train_samples: each": "train_samples: 'each'; allowed: shared or per_seed",
    "train_samples: [shared]": "train_samples: ['shared']; allowed: shared or per_seed",
    "train_samples: {seed: 3}": "train_samples: {'seed': 3}; allowed: shared or per_seed",
    "train_samples: true": "train_samples: True; allowed: shared or per_seed",
    "train_samples:": "train_samples: None; allowed: shared or per_seed",
    "threads: all": "threads: ['all']; allowed: one or more different whole numbers",
}
for line, answer in tops.items():
    preset(line, line, answer)
