"""A shard of stage 3's scoring: its share of every pass's blocks, or before it the control masks.

The control masks are made once, before the shards that score under them.
"""

from pathlib import Path

from modspec.stages.checkpoint_scores import ShardBlocks, scored_checkpoints, scores_of_pass
from modspec.stages.control_masks import ACCURACY_MATCHED
from modspec.stages.material import Material
from modspec.stages.over_training import scores_over_training
from modspec.stages.scoring import planned, scores_origin
from modspec.stages.scoring_plan import scored_train
from modspec.workflow import artifacts
from modspec.workflow.parameters import InfluenceParameters
from modspec.workflow.paths import pieces_dir, scores_dir


def score_shard(
    material: Material, parameters: InfluenceParameters, shard: tuple[int, int] | None = None
) -> list[Path]:
    """Compute a share of the blocks of every pass that is not finished; return the directories of the blocks.

    Args:
        shard: (i, n), the i-th of n shards; None makes the control masks alone, and returns their directory.
    """
    p = parameters
    directory, origin = scores_dir(p, p.condition, p.seed), scores_origin(material, p)
    if artifacts.is_current(directory, origin):
        print(f"already scored: {directory.name}")
        return []
    model, _, passes = planned(material, p, origin)
    if shard is None:
        return [pieces_dir(directory) / ACCURACY_MATCHED]
    blocks, checkpoints = [], scored_checkpoints(p)
    for number, one in enumerate(passes):
        # In turn, so that no shard always has the larger share of the few blocks of a pass.
        part = ShardBlocks(((shard[0] + number) % shard[1], shard[1]), blocks)
        if not artifacts.is_current(pieces_dir(directory) / one.name, one.origin(origin)):
            progress = f"{one.name} ({number + 1} of {len(passes)})"
            for scores in scores_of_pass(
                material, p, one, model, checkpoints, one.origin(origin), progress, part
            ):
                print(f"{one.name}, {len(scores.rows)} training examples: {scores.report}")
    if p.over_training:
        train, evaluation = scored_train(material, p), passes[0].evaluation(material, p)
        part = ShardBlocks(shard, blocks)
        for _ in scores_over_training(material, p, model, train, evaluation, origin, part):
            pass
    return blocks
