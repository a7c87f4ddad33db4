"""Which stage of training an epoch belongs to: a function of the epoch's number only, so that resuming is exact."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from amfam_tf.config import TrainingConfig
from amfam_tf.errors import ConfigError
from amfam_tf.models.lesion_model import Stage


@dataclass(frozen=True)
class StagePlan:
    """The stages of a training and when they begin.

    Attributes:
        stages: in order.
        starts: 0-based first epoch of each.
    """

    stages: tuple[Stage, ...]
    starts: tuple[int, ...]

    @property
    def staged(self) -> bool:
        """Whether there is more than one stage."""
        return len(self.stages) > 1

    def index(self, epoch: int) -> int:
        """Returns the number of the epoch's stage."""
        return bisect.bisect_right(self.starts, epoch) - 1

    def stage(self, epoch: int) -> Stage:
        """Returns the epoch's stage."""
        return self.stages[self.index(epoch)]

    def is_last(self, epoch: int) -> bool:
        """Returns whether the epoch is in the last stage: before it, the final prediction is not trained yet."""
        return epoch >= self.starts[-1]


def plan_stages(stages: Sequence[Stage], training: TrainingConfig) -> StagePlan:
    """Returns when a method's stages begin: of two, the second after `training.pretraining_epochs` epochs.

    Args:
        stages: `LesionModel.stages`, one or two.
        training: of the run; without pretraining_epochs the first stage has half of the epochs, rounded down.

    Raises:
        ConfigError: fewer epochs than stages.
    """
    if len(stages) > training.epochs:
        raise ConfigError(
            f"this method trains in {len(stages)} stages ({', '.join(stage.name for stage in stages)}): "
            f"training.epochs must be at least {len(stages)}. Received: {training.epochs}"
        )
    if len(stages) == 1:
        return StagePlan(tuple(stages), (0,))
    if len(stages) != 2:
        raise ValueError(f"`stages` must be one or two. Received: {len(stages)}")
    first = training.epochs // 2 if training.pretraining_epochs is None else training.pretraining_epochs
    return StagePlan(tuple(stages), (0, first))
