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
        judged_from: 0-based first epoch that trains the final prediction, those before cannot be the best; None for
            the first of the last stage.
    """

    stages: tuple[Stage, ...]
    starts: tuple[int, ...]
    judged_from: int | None = None

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

    def is_judged(self, epoch: int) -> bool:
        """Returns whether the epoch trains the final prediction."""
        return epoch >= (self.starts[-1] if self.judged_from is None else self.judged_from)


def plan_stages(stages: Sequence[Stage], training: TrainingConfig, backbones: Sequence[str]) -> StagePlan:
    """Returns when a method's stages begin: of two, the second after `training.pretraining_epochs` epochs.

    The first `training.frozen_epochs` of the first stage are one of their own, which freezes the backbones or their
    first stages.

    Args:
        stages: `LesionModel.stages`, one or two.
        training: of the run; without pretraining_epochs the first stage has half of the epochs, rounded down.
        backbones: `LesionModel.backbones`.

    Raises:
        ConfigError: fewer epochs than stages, or frozen epochs than the first stage has.
    """
    if len(stages) > training.epochs:
        raise ConfigError(
            f"this method trains in {len(stages)} stages ({', '.join(stage.name for stage in stages)}): "
            f"training.epochs must be at least {len(stages)}. Received: {training.epochs}"
        )
    if len(stages) > 2:
        raise ValueError(f"`stages` must be one or two. Received: {len(stages)}")
    first = training.epochs // 2 if training.pretraining_epochs is None else training.pretraining_epochs
    plan = StagePlan(tuple(stages), (0, first)[: len(stages)])
    return _with_frozen_epochs(plan, training, backbones) if training.frozen_epochs else plan


def _with_frozen_epochs(plan: StagePlan, training: TrainingConfig, backbones: Sequence[str]) -> StagePlan:
    first, *later = plan.stages
    end, frozen = plan.starts[1] if later else training.epochs, training.frozen_epochs
    if frozen > end:
        raise ConfigError(
            f"training.frozen_epochs must be at most the {end} epochs of stage {first.name}. Received: {frozen}"
        )
    if training.frozen_stages is None:
        parts = tuple(dict.fromkeys((*first.frozen, *backbones)))
        before = Stage(f"{first.name}, backbone frozen", first.losses, parts)
    else:
        name = f"{first.name}, stages 1 to {training.frozen_stages} frozen"
        before = Stage(name, first.losses, first.frozen, training.frozen_stages)
    rest = (first,) if frozen < end else ()
    starts = (0, *((frozen,) if rest else ()), *plan.starts[1:])
    return StagePlan((before, *rest, *later), starts, plan.starts[-1])
