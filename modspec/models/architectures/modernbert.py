"""ModernBERT, and so mmBERT: query, key and value are one weight, and the feed-forward network is gated.

Rows of ``Wqkv`` are the queries of all heads, then the keys, then the values. Positions are rotations and
have no parameters. ``config.classifier_pooling`` says whether the classifier reads the first token or the
mean of all tokens.
"""

from modspec.models.architectures.architecture import Architecture

MODERNBERT = Architecture(
    model_types=("modernbert",),
    layers="layers",
    output="attn.Wo",
    rows=("attn.Wqkv",),
    feed_forward=("mlp.Wi", "mlp.Wo"),
    norms=("attn_norm", "mlp_norm"),
    embeddings=("embeddings",),
    final_norms=("final_norm",),
    classifier_reads="first token or mean",
    activation="hidden_activation",
    other_heads=("decoder.", "head."),
)
