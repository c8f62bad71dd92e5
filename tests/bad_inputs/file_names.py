"""Directories, names of files and names of columns, for ``python -m modspec data check``."""

from __future__ import annotations

from tests.bad_inputs.data_checks import GOOD, GOOD_CSV, SPLITS, data, en, rows, table, tsv

# --- directories and names of files -----------------------------------------------------------------------

data("a directory that is not there", {}, "data_dir: ", "nowhere", "is not a directory", path="DIR/nowhere")
data("a file instead of a directory", {"en.tsv": GOOD}, "is not a directory", path="DIR/en.tsv")
data("a path that is too long", {}, "data_dir: ", "is not a directory", path="DIR/" + "x" * 5000)
data("an empty directory", {}, "data_dir: no file to read; needed: a directory of files")
data("nothing but a README", {"README.md": "x"}, "no file to read (README.md: its name does not end in .tsv")
data("nothing but hidden files", {".en.tsv": GOOD}, "no file to read (.en.tsv: hidden)")
data("splits of no language", {"train.tsv": GOOD, "test.tsv": GOOD}, "(test.tsv: its name is not that of")
data("folders within folders", {"a/b/en.tsv": GOOD}, "no file to read (b: a folder within a folder)")
data("several folders of languages", {"x/data/en/train.tsv": GOOD}, "no file to read", "a folder within")
data("a split's name of one's own", {"en/dev_2k.tsv": GOOD}, "(dev_2k.tsv: its name is not that of")
for extension in ("xlsx", "json", "txt", "tsv.gz", "csv.zip", "arrow"):
    data(
        f"a .{extension} file of the language asked for",
        {f"en.{extension}": "x", "de.tsv": GOOD},
        f"'en.{extension}' seems to be of the language en",
        "convert it or move it away",
        options=["--languages", "en", "de"],
    )
data(
    "a training file that is compressed",
    {"train.en.tsv.gz": "x", "dev.en.tsv": GOOD, "test.en.tsv": GOOD},
    "'train.en.tsv.gz' seems to be of the language en",
)
data(
    "a file in parts",
    {f"en/train-0000{i}-of-00002.parquet": table() for i in range(2)} | {"en/test.tsv": GOOD},
    "'en/train-00000-of-00002.parquet' seems to be",
    "join the parts",
)
data(
    "the same split in two formats",
    {"en.tsv": GOOD, "en.csv": GOOD_CSV},
    "'en.csv' and 'en.tsv' hold the same",
)
data(
    "the same split in two folders",
    {"train.en.tsv": GOOD, "en/train.tsv": GOOD},
    "hold the same split; keep one",
)
data(
    "dev and validation",
    SPLITS | {"validation.en.tsv": GOOD},
    "'dev.en.tsv' and 'validation.en.tsv'",
    "keep one",
)
data(
    "split first and split last",
    SPLITS | {"en.test.tsv": GOOD},
    "'en.test.tsv' and 'test.en.tsv'",
    "keep one",
)
data("dev of one language is missing", SPLITS | {"train.de.tsv": GOOD, "test.de.tsv": GOOD}, "lacks dev.de.<")
data(
    "train of one language is missing", SPLITS | {"dev.de.tsv": GOOD, "test.de.tsv": GOOD}, "lacks train.de.<"
)
data("a whole file beside splits", SPLITS | {"en.tsv": GOOD}, "whole files and splits (en.tsv, train.en.tsv")
data("whole files and splits by language", SPLITS | {"de.tsv": GOOD}, "data_dir: lacks", "is there")
for languages, answer in {
    "xx": "local lacks xx",
    "EN": "local lacks EN",
    "eng": "local lacks eng",
    "en en": "['en', 'en'], needed: a list of different",
    "en,de": "local lacks en,de",
}.items():
    words = ["--languages", *languages.split()]
    data(f"--languages {languages}", {"en.tsv": GOOD}, "languages: ", answer, options=words)
data("a task that is not known", {"en.tsv": GOOD}, "task: 'snli' is not known", options=["--task", "snli"])
data("a task that is embedded", {"en.tsv": GOOD}, "task 'intents' is embedded", options=["--task", "intents"])
data("a task in capitals", {"en.tsv": GOOD}, "task: 'XNLI' is not known", options=["--task", "XNLI"])

# --- names of columns -------------------------------------------------------------------------------------

for options, answer in {
    "lable=label": "columns: 'lable' is not what a column holds; allowed: id, text, text_pair, label",
    "label=topic": "en.tsv:1: the header lacks topic; it has text, label",
    "id=nr": "en.tsv:1: the header lacks nr",
    "text_pair=other": "en.tsv:1: the header lacks other",
    "label": "columns: 'label'; allowed: ROLE=NAME",
    "text=": "columns: text: None; allowed: the name of the column",
    "label=": "columns: label: None; allowed: the name of the column",
    "text=text text_pair=text": "columns: 'text' has two roles",
}.items():
    en(f"--columns {options}", GOOD, answer, options=["--columns", *options.split()])
nli = tsv(*rows(form="{text}\tx\tneutral\t{i}"), header="premise\thypothesis\tlabel\tpairID")
en(
    "ids where row numbers count",
    nli,
    "columns: id: 'pairID'",
    options="--task xnli --columns id=pairID".split(),
)
headers = {
    "header lacks the text": (
        "words\tlabel",
        "the header lacks text; it has words, label; needed: text, label",
    ),
    "header lacks the label": ("text\ttopic", "the header lacks label; it has text, topic"),
    "header in another language": ("texte\tétiquette", "lacks text, label; it has texte, étiquette"),
    "no header": ("good film\ta", "the header lacks text, label; it has good film, a"),
    "a zero-width space in the header": ("text\tla\u200bbel", "it has text, la\\u200bbel"),
    "a second byte order mark": ("\ufeff\ufefftext\tlabel", "lacks text; it has \\ufefftext"),
    "quotes in a TSV header": ('"text"\t"label"', 'it has "text", "label"'),
    "commas in a TSV file": ("text,label", "lacks text, label; it has text,label"),
    "spaces for tabs": ("text    label", "lacks text, label"),
    "a hash before the header": ("# text\tlabel", "lacks text; it has # text"),
    "the label twice": ("text\tlabel\tlabel", "'label', 'label' could each be the label"),
    "another column twice": ("text\tlabel\tnote\tnote", "the header has 'note' twice"),
    "columns that differ in case": ("text\tLabel\tLABEL", "'Label', 'LABEL' could each be the label"),
    "two usual names of the label": (
        "text\tcategory\tintent",
        "'category', 'intent' could each be the label",
    ),
    "two usual names of the text": (
        "premise\tsentence1\tlabel",
        "'premise', 'sentence1' could each be the text",
    ),
    "a blank first line": ("\ntext\tlabel", "the header lacks text, label; it has nothing"),
    "a title line": ("My data\ntext\tlabel", "the header lacks text, label; it has My data"),
    "a column that is named by a number": ("0\t1", "the header lacks text, label; it has 0, 1"),
}
for name, (header, answer) in headers.items():
    en(name, tsv(*rows(), header=header), "en.tsv:1: ", answer)
task_headers = {
    "xnli with one sentence": (
        "xnli",
        "premise\tlabel",
        "en.tsv:1: 2 columns, expected 3 (premise, hypothesis",
    ),
    "xnli with other columns": (
        "xnli",
        "a\tb\tc",
        "unknown label 'c'; allowed: entailment, neutral, contradiction",
    ),
    "pawsx without ids": ("pawsx", "sentence1\tsentence2\tlabel", "3 columns, expected 4 (id, sentence1"),
    "multiemo without domains": ("multiemo", "1\tpositive\tx", "3 columns, expected 4 (id, domain, polarity"),
    "marc with titles": ("marc", "1\ttitle\ttext\t3", "en.tsv:1: 4 columns, expected 3 (id, text, label)"),
}
for name, (task, header, answer) in task_headers.items():
    en(name, header + "\n", answer, options=["--task", task])
columns = {
    "MASSIVE's file of all splits": (
        "partition",
        ["train", "dev", "test"],
        "several splits (dev, test, train)",
    ),
    "a column of splits": ("split", ["train", "validation"], "'split' names several splits"),
    "a column of sets": ("Set", ["TRAIN", "TEST"], "'Set' names several splits"),
    "XNLI's file of all languages": ("language", ["ar", "de", "en"], "several languages (ar, de, en)"),
    "a column of locales": ("locale", ["en-US", "de-DE"], "'locale' names several languages (de-DE, en-US)"),
}
for name, (column, values, answer) in columns.items():
    lines = [f"{line}\t{values[i % len(values)]}" for i, line in enumerate(rows())]
    en(name, tsv(*lines, header=f"text\tlabel\t{column}"), "en.tsv: the column", answer, "a file for each")
