"""The trainer that several fits of a test share is, for each of them, the one that a new process would make."""

import tensorflow as tf
from recycled_trainers import RecycledTrainers
from small import random_batch, small_config
from staged_method import STAGED

from amfam_tf import models
from amfam_tf.tasks import DERM7PT
from amfam_tf.training import optimizers
from amfam_tf.training.run import create_trainer


def state_of(trainer):
    """Returns every value that a fit could change, in the order in which a trainer has them."""
    variables = [*trainer.variables, *trainer.optimizer.variables, *trainer.metrics_variables]
    values = [(variable.name, variable.trainable, variable.numpy().tobytes()) for variable in variables]
    return [*values, trainer._stage.name, trainer.optimizer._learning_rate.steps_before]


def test_a_recycled_trainer_is_as_a_new_one(monkeypatch):
    monkeypatch.setitem(models.METHODS, "staged", STAGED)
    config = small_config("training.epochs=2", "optimizer.schedule=cosine", method="staged")
    trainers = RecycledTrainers(create_trainer)
    used, batches = trainers(config, 2, DERM7PT), tf.data.Dataset.from_tensors(random_batch(4)).repeat()
    first = state_of(used)
    for stage in used.network.stages:
        used.enter_stage(stage)
        used.fit(batches, steps_per_epoch=2, epochs=1, verbose=0, shuffle=False)
    optimizers.continue_schedule(used.optimizer, 2)
    # But for a constant, the learning rate of no schedule, there is nothing that was not changed.
    assert sum(now == before for now, before in zip(state_of(used), first, strict=True)) <= 1
    assert trainers(config, 2, DERM7PT) is used
    assert state_of(used) == first == state_of(create_trainer(config, 2, DERM7PT))
    trainers.forget()
    assert trainers(config, 2, DERM7PT) is not used
