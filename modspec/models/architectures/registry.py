"""The registry of architectures, and the modules of a model as its architecture describes them.

A new architecture is a file beside this one and an entry in ``ARCHITECTURES``. Nothing else in modspec knows
a model type.
"""

from collections.abc import Iterable

from torch import nn
from transformers import PreTrainedConfig

from modspec.errors import InputError
from modspec.models.architectures.architecture import Architecture, Divided, Layer
from modspec.models.architectures.bert import BERT
from modspec.models.architectures.deberta_v2 import DEBERTA_V2
from modspec.models.architectures.decoders import GEMMA3, LLAMA, QWEN3
from modspec.models.architectures.distilbert import DISTILBERT
from modspec.models.architectures.electra import ELECTRA
from modspec.models.architectures.modernbert import MODERNBERT
from modspec.models.architectures.roberta import ROBERTA
from modspec.models.architectures.xlm_roberta_xl import XLM_ROBERTA_XL

ARCHITECTURES = (BERT, ROBERTA, XLM_ROBERTA_XL, DISTILBERT, ELECTRA, MODERNBERT, DEBERTA_V2)
ARCHITECTURES += (LLAMA, QWEN3, GEMMA3)
BY_MODEL_TYPE = {name: architecture for architecture in ARCHITECTURES for name in architecture.model_types}
# Those that the study can use: its tokenizers must put a token before each text for the classifier.
ENCODERS = tuple(name for name, a in BY_MODEL_TYPE.items() if a.classifier_reads != "last token")


def find_architecture(config: PreTrainedConfig | None) -> Architecture | None:
    """Return the architecture of a config; None for one that is not in the registry."""
    return BY_MODEL_TYPE.get(getattr(config, "model_type", None))


def architecture_of(model: nn.Module) -> Architecture:
    """Return a model's architecture.

    Raises:
        InputError: the architecture is not in the registry.
    """
    config = getattr(model, "config", None)
    if architecture := find_architecture(config):
        return architecture
    model_type = getattr(config, "model_type", type(model).__name__)
    raise InputError(
        f"encoder: heads of model type {model_type!r} cannot be gated; allowed: {', '.join(BY_MODEL_TYPE)}"
    )


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """Return the layers of a model, the first layer first.

    Raises:
        InputError: as for :func:`architecture_of`.
    """
    return list(model.base_model.get_submodule(architecture_of(model).layers))


def output_projections(model: nn.Module) -> list[nn.Linear]:
    """Return each layer's attention output projection, the first layer's first.

    Raises:
        InputError: the architecture is not in the registry, or an output projection is not divided by heads.
    """
    architecture, heads = architecture_of(model), getattr(model.config, "num_attention_heads", None)
    projections = [block.get_submodule(architecture.output) for block in blocks_of(model)]
    for index, projection in enumerate(projections):
        if not isinstance(projection, nn.Linear) or projection.in_features % heads:
            raise InputError(
                f"encoder: layer {index} of this {model.config.model_type} has an output projection over "
                f"{getattr(projection, 'in_features', 'unknown')} features for {heads} heads"
            )
    return projections


def layers_of(model: nn.Module) -> list[Layer]:
    """Return the modules of each layer, the first layer first.

    Raises:
        InputError: the model's heads are not known, or divide a module in another way than described.
    """
    architecture, heads = architecture_of(model), model.config.num_attention_heads
    layers = []
    for block, output in zip(blocks_of(model), output_projections(model), strict=True):
        size = output.in_features // heads
        rows = tuple(_divided(module, heads, size) for module in submodules(block, architecture.rows))
        columns = Divided(output, tuple((head,) for head in range(heads)))
        feed_forward = tuple(submodules(block, architecture.feed_forward))
        layers.append(Layer(block, columns, rows, feed_forward, tuple(submodules(block, architecture.norms))))
    return layers


def submodules(parent: nn.Module, paths: Iterable[str]) -> list[nn.Module]:
    """Return the modules at those of the paths that a configuration has."""
    by_path = dict(parent.named_modules())
    return [by_path[path] for path in paths if path in by_path]


def _divided(module: nn.Module, heads: int, size: int) -> Divided:
    """Return which heads each block of ``size`` rows of a module belongs to."""
    width = module.out_features if isinstance(module, nn.Linear) else 0
    blocks, rest = divmod(width, size)
    if rest or not blocks or (blocks % heads and heads % blocks):
        raise InputError(
            f"encoder: the {width} rows of a {type(module).__name__} do not belong to {heads} heads of size "
            f"{size}; allowed: a torch.nn.Linear that heads divide"
        )
    group = max(heads // blocks, 1)
    firsts = (block * group % heads for block in range(blocks))
    return Divided(module, tuple(tuple(range(first, first + group)) for first in firsts))
