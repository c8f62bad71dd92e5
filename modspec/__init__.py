"""modspec: how modular are multilingual encoders, language by language?

Each folder is a room: data, models, subnetworks, influence, stages, analysis, figures, and workflow, which
knows what runs when. Import the module that holds the idea, for example
``from modspec.models.head_masking import gated``. Importing the package itself costs nothing, so that a
study's parameters can be validated without loading torch.
"""

__version__ = "0.1.0"
