"""modspec: how modular are multilingual encoders, language by language?

Flat on purpose: import the module that holds the idea (``from modspec.models.head_masking import gated``). Importing
the package itself costs nothing, so that the workflow can validate parameters without loading torch.
"""

__version__ = "0.1.0"
