"""The parts of an encoder, and which part each parameter belongs to.

embeddings     word, position and token-type tables and their layer norm
head           the head's rows of Q, K and V with their biases, and its columns of the output projection
key-value      rows of K and V that several query heads share (grouped queries), with their biases
feed-forward   both layers of a transformer layer's feed-forward network, with their biases
norms          a transformer layer's norms, and the bias of its output projection: that bias belongs to no
               head and is added to the residual stream, as the norms' biases are. Norms after the last layer
               are a part of their own, one layer further
classifier     pooler and classification layers
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from torch import nn

from modspec.errors import InputError
from modspec.models.architectures.registry import architecture_of, layers_of, submodules


@dataclass(frozen=True)
class EncoderPart:
    """One part of an encoder, for example head 3 of layer 2."""

    #: Embeddings, head, feed-forward, norms or classifier; "all" for the whole encoder.
    part: str
    #: From 1; 0 for parts before the first layer, layers + 1 for those after the last.
    layer: int
    #: From 1; 0 for parts that are no head.
    head: int = 0


WHOLE_ENCODER = EncoderPart("all", 0)


@dataclass(frozen=True)
class Placement:
    """The parts that a module's parameters belong to, as positions in the list of parts."""

    weight: tuple[int, ...] = (0,)  # one per block, or one in all
    bias: tuple[int, ...] = (0,)  # one per block, or one in all
    axis: Literal["rows", "columns"] | None = None  # the axis of the weight that heads divide, if they do
    heads: tuple[tuple[int, ...], ...] = ()  # of each block: the heads, from 0, that it belongs to
    layer: int | None = None  # the layer of the head mask, from 0, if heads divide the weight


Places = dict[str, Placement]  # by name of the module


def placements(model: nn.Module, *, by_part: bool) -> tuple[tuple[EncoderPart, ...], Places]:
    """Return all parts of an encoder, in order, and the placement of each module that holds parameters.

    Args:
        model: the encoder with its classifier.
        by_part: False merges everything into the one part "all". Heads are still told apart, since those
            that a mask removes need no work.

    Returns:
        The parts, and the placements by module name. Without ``by_part``, an encoder whose heads are not
        known has no placements: its modules belong to the one part.

    Raises:
        InputError: with ``by_part``, if the encoder's heads are not known, or if one of its layers has
            parameters that belong to none of the parts.
    """
    try:
        architecture, layers = architecture_of(model), layers_of(model)
    except InputError:
        if by_part:
            raise
        return (WHOLE_ENCODER,), {}
    names = {module: name for name, module in model.named_modules()}
    parts = [EncoderPart("embeddings", 0)]
    places: Places = {}

    def place(modules: Iterable[nn.Module], placement: Placement) -> None:
        places.update({name: placement for m in modules for name in _with_parameters(m, names)})

    place(submodules(model.base_model, architecture.embeddings), Placement())
    for number, layer in enumerate(layers):
        shared = sorted({heads for rows in layer.rows for heads in rows.heads if len(heads) > 1})
        owners = [*layer.output.heads, *shared]
        parts_of = {heads: len(parts) + index for index, heads in enumerate(owners)}
        parts += [EncoderPart("head", number + 1, head + 1) for (head,) in layer.output.heads]
        parts += [EncoderPart("key-value", number + 1, group + 1) for group in range(len(shared))]
        feed_forward, norms = (len(parts),), (len(parts) + 1,)
        parts += [EncoderPart("feed-forward", number + 1), EncoderPart("norms", number + 1)]
        for rows in layer.rows:
            blocks = tuple(parts_of[heads] for heads in rows.heads)
            place([rows.module], Placement(blocks, blocks, "rows", rows.heads, number))
        columns = tuple(parts_of[heads] for heads in layer.output.heads)
        place([layer.output.module], Placement(columns, norms, "columns", layer.output.heads, number))
        place(layer.feed_forward, Placement(feed_forward, feed_forward))
        place(layer.norms, Placement(norms, norms))
    if final_norms := submodules(model.base_model, architecture.final_norms):
        place(final_norms, Placement((len(parts),), (len(parts),)))
        parts.append(EncoderPart("norms", len(layers) + 1))
    poolers = submodules(model.base_model, [architecture.pooler])
    known = {*places, *(name for pooler in poolers for name in _with_parameters(pooler, names))}
    unknown = [name for name in _with_parameters(model.base_model, names) if name not in known]
    if by_part and unknown:
        raise InputError(
            f"by_part: module {unknown[0]!r} has parameters that belong to no known part; "
            f"allowed: what modspec/models/architectures describes for {model.config.model_type}"
        )
    classifier = (len(parts),)
    parts.append(EncoderPart("classifier", len(layers) + 1))
    for name in _with_parameters(model, names):
        places.setdefault(name, Placement(classifier, classifier))
    if by_part:
        return tuple(parts), places
    merged = {name: replace(p, weight=(0,) * len(p.weight), bias=(0,)) for name, p in places.items()}
    return (WHOLE_ENCODER,), merged


def _with_parameters(parent: nn.Module, names: dict[nn.Module, str]) -> list[str]:
    """Return the names of the modules inside ``parent`` that hold parameters of their own."""
    return [names[m] for m in parent.modules() if any(True for _ in m.parameters(recurse=False))]
