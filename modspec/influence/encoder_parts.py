"""Which part of an encoder a parameter belongs to: embeddings, heads, feed-forward, norms, classifier.

embeddings     word, position and token-type tables and their layer norm
head           its rows of Q, K and V with their biases, and its columns of the output projection
feed-forward   both layers of a block, with their biases
norms          a block's two layer norms, and the bias of its output projection, which belongs to no
               head and, like theirs, is added to the residual stream
classifier     pooler and classification layers
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from modspec.errors import InputError
from modspec.models.head_masking import GATED_MODEL_TYPES, attention_layers


@dataclass(frozen=True)
class Group:
    """A part of the parameters. layer: from 1; 0 is before, layers + 1 after them. head: from 1, or 0."""

    part: str
    layer: int
    head: int = 0


@dataclass(frozen=True)
class Placement:
    """Where a module's parameters belong.

    axis: "rows" or "columns" of the weight, if they fall into heads, else None. weight, bias: the places in
    the list of groups, one a head, or one in all. layer: of the head mask, from 0, if there are heads.
    """

    axis: str | None
    weight: tuple[int, ...]
    bias: tuple[int, ...]
    layer: int | None = None


WHOLE = Placement(None, (0,), (0,))


def placements(model: nn.Module, *, resolved: bool) -> tuple[tuple[Group, ...], dict[str, Placement]]:
    """All groups in order, and the placement of every module that holds parameters, by name.

    Without ``resolved`` there is one nameless group, 0, but heads are still told apart, since those that a
    mask removes need no work. Raises InputError where groups are asked of a model that has no known heads,
    or that has parameters in a layer which belong to none of the groups.
    """
    if not resolved and getattr(model, "config", None) and model.config.model_type not in GATED_MODEL_TYPES:
        return (Group("all", 0),), {}
    blocks = attention_layers(model)
    heads = model.config.num_attention_heads
    names = {module: name for name, module in model.named_modules()}
    groups = [Group("embeddings", 0)]
    found = {name: Placement(None, (0,), (0,)) for name in _inside(model.base_model.embeddings, names)}
    for layer, (block, attention) in enumerate(
        zip(model.base_model.encoder.layer, blocks, strict=True), start=0
    ):
        first = len(groups)
        own = tuple(range(first, first + heads))
        forward, norms = (first + heads,), (first + heads + 1,)
        groups += [Group("head", layer + 1, head + 1) for head in range(heads)]
        groups += [Group("feed-forward", layer + 1), Group("norms", layer + 1)]
        inner = attention.self
        known = {
            module: Placement("rows", own, own, layer) for module in (inner.query, inner.key, inner.value)
        }
        known[attention.output.dense] = Placement("columns", own, norms, layer)
        known |= {
            m: Placement(None, forward, forward) for m in (block.intermediate.dense, block.output.dense)
        }
        known |= {
            m: Placement(None, norms, norms) for m in (attention.output.LayerNorm, block.output.LayerNorm)
        }
        found |= {names[module]: place for module, place in known.items()}
        if resolved and (strange := [n for n in _inside(block, names) if n not in found]):
            raise InputError(f"groups: the parameters of module {strange[0]!r} belong to no known group")
    last = (len(groups),)
    groups.append(Group("classifier", len(blocks) + 1))
    found |= {name: Placement(None, last, last) for name in _inside(model, names) if name not in found}
    if not resolved:
        groups = [Group("all", 0)]
        found = {name: Placement(p.axis, (0,) * len(p.weight), (0,), p.layer) for name, p in found.items()}
    return tuple(groups), found


def _inside(parent: nn.Module, names: dict[nn.Module, str]) -> list[str]:
    """Names of the modules inside that hold parameters of their own."""
    return [names[m] for m in parent.modules() if any(True for _ in m.parameters(recurse=False))]
