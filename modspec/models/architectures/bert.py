"""BERT."""

from modspec.models.architectures.architecture import Architecture

BERT = Architecture(
    model_types=("bert",),
    layers="encoder.layer",
    output="attention.output.dense",
    rows=("attention.self.query", "attention.self.key", "attention.self.value"),
    feed_forward=("intermediate.dense", "output.dense"),
    norms=("attention.output.LayerNorm", "output.LayerNorm"),
    embeddings=("embeddings",),
    first_token="attention.output",
)
