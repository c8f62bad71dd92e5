"""DistilBERT: BERT without token types and pooler, under other names."""

from modspec.models.architectures.architecture import Architecture

DISTILBERT = Architecture(
    model_types=("distilbert",),
    layers="transformer.layer",
    output="attention.out_lin",
    rows=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    feed_forward=("ffn.lin1", "ffn.lin2"),
    norms=("sa_layer_norm", "output_layer_norm"),
    embeddings=("embeddings",),
    first_token="sa_layer_norm",
    activation="activation",
    other_heads=("vocab_",),
)
