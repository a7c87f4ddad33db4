"""One trainer for all fits of a configuration in a module: what runs a step is traced once, not once a fit."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import tensorflow as tf

from amfam_tf.card.schema import DataCard
from amfam_tf.config import Config
from amfam_tf.training import optimizers, run
from amfam_tf.training.class_losses.table import Counts
from amfam_tf.training.trainer import Trainer


class RecycledTrainers:
    """Stands for `create_trainer`: of an equal configuration it gives the same trainer again, as it was when new.

    Every variable that was made with it, the optimiser's, the metrics' and the random states included, gets back the
    value that it had then; what a fit had read from a checkpoint or trained is gone, as with the process.
    """

    def __init__(self, create: Callable[..., Trainer]):
        self._create = create
        self._kept: dict[str, tuple[Trainer, list[tuple[tf.Variable, Any]]]] = {}

    def __call__(self, config: Config, steps_per_epoch: int, card: DataCard, counts: Counts | None = None) -> Trainer:
        key = repr((config, steps_per_epoch, card, counts))
        if key not in self._kept:
            made: list[tf.Variable] = []
            with tf.variable_creator_scope(lambda create, **how: made.append(create(**how)) or made[-1]):
                trainer = self._create(config, steps_per_epoch, card, counts)
            _keep_functions(trainer)
            self._kept[key] = trainer, [(variable, variable.numpy()) for variable in made]
            return trainer
        trainer, values = self._kept[key]
        for variable, value in values:
            variable.assign(value)
        optimizers.continue_schedule(trainer.optimizer, 0)
        trainer.enter_stage(trainer.network.stages[0])
        trainer.average_answers(None)
        return trainer

    def forget(self) -> None:
        """Makes the next trainer of each configuration a new one."""
        self._kept.clear()


@contextlib.contextmanager
def recycled_trainers() -> Iterator[RecycledTrainers]:
    """Lets `fit` take its trainers from one RecycledTrainers."""
    trainers = RecycledTrainers(run.create_trainer)
    with mock.patch.object(run, "create_trainer", trainers):
        yield trainers


def _keep_functions(trainer: Trainer) -> None:
    """Makes the trainer's compiled functions once for each stage and kind of step."""
    make, kept = trainer._make_function, {}

    def make_once(step: Callable[..., Any]) -> Callable[..., Any]:
        key = trainer._stage.name, step.__name__, trainer.answers
        if key not in kept:
            kept[key] = make(step)
        return kept[key]

    trainer._make_function = make_once
