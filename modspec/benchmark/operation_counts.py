"""Count the least that exact TracIn scores need: arithmetic operations and bytes, from shapes and lengths.

    seconds >= max(operations / rate of matrix products, bytes / memory bandwidth)

This counts what the task needs, not what a program spends: no padding, nothing computed twice, each layer in
the cheaper exact form. Embedding rows, norms, biases, softmax and activation functions come on top and are
left out, so the bound is a little too low and a share of it a little too small.
"""

import numpy as np
from transformers import PretrainedConfig

Layers = list[tuple[int, int]]  # inputs and outputs of linear layers that read one input


def layers(config: PretrainedConfig) -> tuple[Layers, Layers]:
    """Return the linear layers of a BERT or XLM-R classifier that read all tokens, and ``<s>`` alone.

    The classifier reads ``<s>`` alone, so in the last encoder layer only its query, output projection and
    feed-forward lead to the loss, but the keys and values of all tokens. BERT's pooler and XLM-R's dense
    layer are the same size.
    """
    hidden, wide = config.hidden_size, config.intermediate_size
    feed_forward = [(hidden, hidden), (hidden, wide), (wide, hidden)]
    inner = [(hidden, 3 * hidden), *feed_forward]
    classifier = [(hidden, hidden), (hidden, config.num_labels)]
    return (
        [*inner * (config.num_hidden_layers - 1), (hidden, 2 * hidden)],
        [(hidden, hidden), *feed_forward, *classifier],
    )


def need(
    config: PretrainedConfig, train: np.ndarray, evaluation: np.ndarray, size: int = 4
) -> tuple[float, float]:
    """Return what scores of all pairs of a training and an evaluation example need.

    Forward and backward pass of an example of T tokens: 4 in out operations per token for each linear layer,
    12 hidden T^2 for attention (12 hidden T in the last layer). Contraction of a layer, the cheaper of dense,
    2 in out (T + E) for each training example and 2 in out T' for each of E evaluation examples of T'
    tokens, and ghost, 2 T T' (in + out) for each pair. Bytes: weights read in both passes, what enters and
    leaves each linear layer written and read, dense evaluation gradients written and read once.

    Args:
        config: of the classifier.
        train: int64 (n,), lengths of the training examples in tokens.
        evaluation: int64 (m,), lengths of the evaluation examples.
        size: bytes of a number.

    Returns:
        Operations (multiplications and additions), and bytes moved.
    """
    lengths = np.concatenate([train, evaluation])
    attended = (config.num_hidden_layers - 1) * np.square(lengths).sum() + lengths.sum()
    operations, moved = 12.0 * config.hidden_size * attended, 0.0
    # Tokens with a gradient: all of them, or one for each example.
    tokens = (train.sum(), evaluation.sum()), (len(train), len(evaluation))
    for (t, u), linear in zip(tokens, layers(config), strict=True):
        for inputs, outputs in linear:
            weights, features = inputs * outputs, inputs + outputs
            dense = 2.0 * weights * (t + len(train) * len(evaluation) + u)
            ghost = 2.0 * features * t * u
            operations += 4.0 * weights * (t + u) + min(dense, ghost)
            moved += 2 * size * (weights + features * (t + u))
            if dense < ghost:
                moved += 2 * size * weights * len(evaluation)
    return operations, moved
