"""ELECTRA: BERT with embeddings of another width, which a linear layer projects."""

from dataclasses import replace

from modspec.models.architectures.bert import BERT

ELECTRA = replace(
    BERT,
    model_types=("electra",),
    embeddings=("embeddings", "embeddings_project"),
    other_heads=("discriminator_predictions.", "generator_predictions.", "generator_lm_head."),
)
