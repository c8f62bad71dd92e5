"""The description of an architecture: paths of modules, as ``torch.nn.Module.get_submodule`` takes them.

A weight that heads divide consists of equal blocks of rows (query, key, value) or columns (output
projection), as wide as a head. Its shape says to which heads a block belongs:

as many blocks as heads      block i is head i's
a multiple of them           the blocks of several weights one after the other (a fused query, key and value)
a fraction of them           several query heads share a block of keys or values (grouped queries)
"""

from dataclasses import dataclass
from typing import Literal

from torch import nn


@dataclass(frozen=True)
class Architecture:
    """The places of an architecture's heads and other parts; a path that a configuration lacks is skipped."""

    model_types: tuple[str, ...]  # as ``config.model_type`` names them
    layers: str  # the list of layers, in the base model
    output: str  # the attention's output projection, in a layer: it reads the heads' outputs side by side
    rows: tuple[str, ...]  # the layer's modules whose rows belong to heads
    feed_forward: tuple[str, ...]  # in a layer
    norms: tuple[str, ...]  # in a layer
    embeddings: tuple[str, ...]  # in the base model
    final_norms: tuple[str, ...] = ()  # after the last layer, in the base model
    pooler: str = "pooler"  # in the base model; counts as a part of the classifier
    classifier_reads: Literal["first token", "first token or mean", "last token"] = "first token"
    # A module of the last layer that needs only the tokens that the classifier reads, and nothing before it.
    # None where there is no such module.
    first_token: str | None = None
    positions_after_padding: bool = False  # positions count from the padding id
    activation: str = "hidden_act"  # the setting that names the feed-forward's activation
    other_heads: tuple[str, ...] = ()  # how names of weights for other tasks begin


@dataclass(frozen=True)
class Divided:
    """A module whose weight consists of equal blocks of rows or columns."""

    module: nn.Linear
    heads: tuple[tuple[int, ...], ...]  # the heads that each block belongs to, from 0


@dataclass(frozen=True)
class Layer:
    """The modules of one layer."""

    block: nn.Module
    output: Divided  # by columns
    rows: tuple[Divided, ...]
    feed_forward: tuple[nn.Module, ...]
    norms: tuple[nn.Module, ...]
