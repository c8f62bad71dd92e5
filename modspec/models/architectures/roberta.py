"""RoBERTa, XLM-RoBERTa and CamemBERT: as BERT, with positions that count from the padding id."""

from dataclasses import replace

from modspec.models.architectures.bert import BERT

ROBERTA = replace(BERT, model_types=("roberta", "xlm-roberta", "camembert"), positions_after_padding=True)
