"""Exact TracIn influence over all trainable parameters, with head masks.

    score(z, z') = sum over checkpoints k of  eta_k * s(grad L(z; theta_k), grad L(z'; theta_k))

with z a training and z' an evaluation example, and s the dot product or the cosine (Pruthi et al. 2020; the
dot product is theirs). Gradients run over every trainable parameter, embeddings included.

One batched forward and backward pass gives every example's gradient in factors (``gradients``, ``factors``),
which belong to parts of the encoder (``groups``) and are contracted with the evaluation examples' in the
cheaper of two exact forms (``products``, ``paths``, ``fused``). Nothing of the size of all training
examples' gradients is ever stored: memory holds one batch's factors and a block of evaluation examples'
gradients (``scoring``).
"""

from modspec.influence.encoder_parts import Group
from modspec.influence.tracin import Arrays, Checkpoint, Remember, Report, Scores, influence, merge

__all__ = ["Arrays", "Checkpoint", "Group", "Remember", "Report", "Scores", "influence", "merge"]
