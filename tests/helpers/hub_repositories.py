"""Repositories of the shapes that the hub has: XNLI and PAWS-X in parquet, MARC in jsonl, an XLM-R."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

import datasets
import sentencepiece
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaForMaskedLM

from tests.helpers.hub_server import Repository

SIZES = {"train": 60, "validation": 30, "test": 30}
SPECIALS = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
WORDS = "the cat sat on a mat and saw one bird fly over red green blue house while dog ran home".split()


def xnli(languages: tuple[str, ...] = ("en", "de"), first: int = 0) -> Repository:
    """Return a data set laid out as facebook/xnli: a config per language; its texts count from ``first``."""
    features = datasets.Features(
        {
            "premise": datasets.Value("string"),
            "hypothesis": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["entailment", "neutral", "contradiction"]),
        }
    )
    files = {}
    for language in languages:
        for split, size in SIZES.items():
            name = f"{language}{split}"
            rows = [
                {"premise": text(name, i), "hypothesis": text(name, i + 7), "label": i % 3}
                for i in range(first, first + size)
            ]
            files[parquet_name(language, split)] = parquet(rows, features)
    return Repository(files | {"README.md": card(languages)})


def pawsx(languages: tuple[str, ...] = ("en", "de")) -> Repository:
    """Return a data set laid out as google-research-datasets/paws-x."""
    features = datasets.Features(
        {
            "id": datasets.Value("int32"),
            "sentence1": datasets.Value("string"),
            "sentence2": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["0", "1"]),
        }
    )
    files = {}
    for language in languages:
        for split, size in SIZES.items():
            name = f"{language}{split}"
            rows = [
                {"id": i + 1, "sentence1": text(name, i), "sentence2": text(name, i + 3), "label": i % 2}
                for i in range(size)
            ]
            files[parquet_name(language, split)] = parquet(rows, features)
    return Repository(files | {"README.md": card(languages)})


def marc(languages: tuple[str, ...] = ("en", "de")) -> Repository:
    """Return a data set laid out as mteb/amazon_reviews_multi: jsonl files in a folder per language."""
    files = {}
    for language in languages:
        for split, size in SIZES.items():
            name = f"{language}{split}"
            rows = [
                {"id": f"{language}_{i:07}", "text": text(name, i), "label": i % 5, "label_text": "x"}
                for i in range(size)
            ]
            files[f"{language}/{split}.jsonl"] = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return Repository(files)


def xlm_roberta() -> Repository:
    """Return a model with the files and the architecture of FacebookAI/xlm-roberta-base, scaled down.

    It is a masked language model with tied embeddings, so its weights have a head that a classifier leaves
    out, and lack a pooler. Weights are random.
    """
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        directory = Path(folder)
        pieces = _sentencepiece(directory)
        tokenizer = _tokenizer(pieces)
        tokenizer.save_pretrained(directory)
        torch.manual_seed(0)
        config = XLMRobertaConfig(
            vocab_size=len(tokenizer),
            hidden_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=32,
            max_position_embeddings=514,
            type_vocab_size=1,
            layer_norm_eps=1e-5,
            initializer_range=0.2,
        )
        XLMRobertaForMaskedLM(config).save_pretrained(directory)
        (directory / "corpus.txt").unlink()
        (directory / "sentencepiece.bpe.vocab").unlink()
        return Repository({file.name: file.read_bytes() for file in sorted(directory.iterdir())})


def _sentencepiece(directory: Path) -> list[tuple[str, float]]:
    """Write sentencepiece.bpe.model, a unigram model as XLM-R's is; return its pieces, with scores."""
    corpus = directory / "corpus.txt"
    lines = [text(language, i) for language in ("en", "de", "fr", "es", "ru") for i in range(40)]
    corpus.write_text("\n".join(lines), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(directory / "sentencepiece.bpe"),
        vocab_size=120,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    model = sentencepiece.SentencePieceProcessor(model_file=str(directory / "sentencepiece.bpe.model"))
    return [(model.id_to_piece(i), model.get_score(i)) for i in range(3, model.get_piece_size())]


def _tokenizer(pieces: list[tuple[str, float]]) -> PreTrainedTokenizerFast:
    """Return XLM-R's tokenizer with other pieces: <s> <pad> </s> <unk> come first, <mask> last."""
    special = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    tokenizer = Tokenizer(models.Unigram([*special, *pieces, ("<mask>", 0.0)], unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=512,
        cls_token="<s>",
        sep_token="</s>",
        mask_token="<mask>",
        **SPECIALS,
    )


def text(of: str, number: int) -> str:
    """Return a sentence that differs by what it is of, and number."""
    words = [WORDS[(number * 5 + k * 3) % len(WORDS)] for k in range(6)]
    return " ".join([*words, f"{of}{number}"])


def parquet_name(language: str, split: str) -> str:
    """Return the path of a split of one file, as the hub names it."""
    return f"{language}/{split}-00000-of-00001.parquet"


def parquet(rows: list[dict], features: datasets.Features) -> bytes:
    """Return rows as a parquet file."""
    buffer = io.BytesIO()
    datasets.Dataset.from_list(rows, features=features).to_parquet(buffer)
    return buffer.getvalue()


def card(languages: tuple[str, ...]) -> bytes:
    """Return a README whose head names the files of every config, as cards on the hub do."""
    lines = ["---", "configs:"]
    for language in languages:
        lines += [f"- config_name: {language}", "  data_files:"]
        for split in SIZES:
            lines += [f"  - split: {split}", f"    path: {language}/{split}-*"]
    return "\n".join([*lines, "---", "# A data set", ""]).encode()
