"""The parts of an encoder, and which part each parameter belongs to.

embeddings     word, position and token-type tables and their layer norm
head           the head's rows of Q, K and V with their biases, and its columns of the output projection
feed-forward   both layers of a transformer layer's feed-forward network, with their biases
norms          a transformer layer's two layer norms, and the bias of its output projection: that bias belongs
               to no head and is added to the residual stream, as the norms' biases are
classifier     pooler and classification layers
"""

from dataclasses import dataclass, replace
from typing import Literal

from torch import nn

from modspec.errors import InputError
from modspec.models.head_masking import GATED_MODEL_TYPES, attention_layers


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

    weight: tuple[int, ...] = (0,)  # one per head, or one in all
    bias: tuple[int, ...] = (0,)  # one per head, or one in all
    axis: Literal["rows", "columns"] | None = None  # the axis of the weight that heads divide, if they do
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
    if not by_part and getattr(model, "config", None) and model.config.model_type not in GATED_MODEL_TYPES:
        return (WHOLE_ENCODER,), {}
    attentions = attention_layers(model)
    heads = model.config.num_attention_heads
    names = {module: name for name, module in model.named_modules()}
    parts = [EncoderPart("embeddings", 0)]
    places = {name: Placement() for name in _with_parameters(model.base_model.embeddings, names)}
    for layer, (block, attention) in enumerate(zip(model.base_model.encoder.layer, attentions, strict=True)):
        of_heads = tuple(range(len(parts), len(parts) + heads))
        parts += [EncoderPart("head", layer + 1, head + 1) for head in range(heads)]
        feed_forward, norms = (len(parts),), (len(parts) + 1,)
        parts += [EncoderPart("feed-forward", layer + 1), EncoderPart("norms", layer + 1)]
        rows = Placement(of_heads, of_heads, "rows", layer)
        places |= {names[m]: rows for m in (attention.self.query, attention.self.key, attention.self.value)}
        places[names[attention.output.dense]] = Placement(of_heads, norms, "columns", layer)
        for module in (block.intermediate.dense, block.output.dense):
            places[names[module]] = Placement(feed_forward, feed_forward)
        for module in (attention.output.LayerNorm, block.output.LayerNorm):
            places[names[module]] = Placement(norms, norms)
        if by_part and (unknown := [n for n in _with_parameters(block, names) if n not in places]):
            raise InputError(
                f"by_part: module {unknown[0]!r} has parameters that belong to no known part; "
                "allowed: attention, feed-forward and layer norms, laid out as in BERT"
            )
    classifier = (len(parts),)
    parts.append(EncoderPart("classifier", len(attentions) + 1))
    for name in _with_parameters(model, names):
        places.setdefault(name, Placement(classifier, classifier))
    if by_part:
        return tuple(parts), places
    merged = {name: replace(p, weight=(0,) * len(p.weight), bias=(0,)) for name, p in places.items()}
    return (WHOLE_ENCODER,), merged


def _with_parameters(parent: nn.Module, names: dict[nn.Module, str]) -> list[str]:
    """Return the names of the modules inside ``parent`` that hold parameters of their own."""
    return [names[m] for m in parent.modules() if any(True for _ in m.parameters(recurse=False))]
