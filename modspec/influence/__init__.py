"""Exact TracIn influence of training examples on evaluation examples, under head masks.

    score(z, z') = sum over checkpoints k of  eta_k * s(grad L(z; theta_k), grad L(z'; theta_k))

The score of a training example z for an evaluation example z' sums, over the checkpoints of training, the
learning rate eta_k times the similarity s of the two examples' loss gradients. With the dot product as s
this is TracInCP (Pruthi et al. 2020, Estimating Training Data Influence by Tracing Gradient Descent); with
the cosine, long gradients count no more than short ones. Both are returned. A positive score marks a
proponent, a negative score an opponent. Gradients run over all trainable parameters, embeddings included,
and are neither projected nor approximated.

    scores = influence(model, train, evaluation, train_mask=mask, evaluation_mask=mask)
    scores.cosine                                     # float32 (train, evaluation)

    influence(..., checkpoints=[Checkpoint(load, learning_rate), ...])   # the sum over checkpoints
    influence(..., by_part=True).cosine_by_part       # contributions of embeddings, of each head, ...
    influence(..., shard=(0, 4))                      # a quarter of the training examples; merge(shards)
    influence(..., remember=remember)                 # keeps finished work, so that a killed run resumes

Time: one forward and backward pass per batch of examples, for training and evaluation alike, and then inner
products in the cheaper of two exact forms per layer; ``inner_products`` states their operations. Memory: one
batch's gradient factors and one block of evaluation examples' gradients. Nothing of the size of all training
examples' gradients is ever stored. If the evaluation gradients exceed the memory budget, they are cut into
blocks, and each block costs one more pass over the training examples.

Files, in the order in which data flows:

encoder_parts      the part of the encoder that each parameter belongs to
layer_types        the modules whose per-example gradients have a form of their own
direct_gradients   which other parameters' gradients autograd forms, one example at a time
gradients          one forward and backward pass, recorded layer by layer
gradient_factors   per-example gradients as factors: matrices, embedding tables, vectors
inner_products     inner products of these gradients, and what each form costs
contraction        one tile of the dense form, by PyTorch or, where it is faster, by
triton_kernel      a GPU kernel that never writes per-example gradients to memory
tracin             ``influence`` and ``merge``: checkpoints, blocks, shards, resuming

Shapes are annotations: ``Float[Tensor, "batch tokens out"]``. A name stands for the same size throughout one
function; ``_`` is any size, ``*size`` any number of dimensions, ``#tiles`` is ``tiles`` or 1. Some shapes
begin with a space, which means nothing, but keeps linters from reading them as expressions.
"""

from modspec.influence.encoder_parts import EncoderPart
from modspec.influence.tracin import Arrays, Checkpoint, Remember, Report, Scores, influence, merge

__all__ = ["Arrays", "Checkpoint", "EncoderPart", "Remember", "Report", "Scores", "influence", "merge"]
