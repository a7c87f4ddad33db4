"""What happens around epochs: stages, seeds, checkpoints and early stop, curves, pictures."""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from amfam_tf.errors import RunError
from amfam_tf.files.writing import write_bytes, writing
from amfam_tf.layers import GradientReversal
from amfam_tf.models.lesion_model import LesionModel
from amfam_tf.runs.folder import RunFolder, RunState
from amfam_tf.training import optimizers
from amfam_tf.training.case_answers import CaseAnswers
from amfam_tf.training.distribution import SINGLE, Distribution
from amfam_tf.training.finite_loss import check_epoch
from amfam_tf.training.monitor import LOSS, MONITORED, measure
from amfam_tf.training.panel import draw_panel
from amfam_tf.training.stages import StagePlan
from amfam_tf.training.weights_file import write_weights


class EpochSeeds(keras.callbacks.Callback):
    """Sets the random state of every layer from (seed, epoch): a resumed run draws what an unbroken one does.

    Each replica draws for itself: what one drops says nothing of what another does.
    """

    def __init__(self, network: LesionModel, seed: int, distribution: Distribution = SINGLE):
        super().__init__()
        self._seed = seed
        self._distribution = distribution
        self._generators = [
            layer.seed_generator
            for layer in network._flatten_layers()
            if getattr(layer, "seed_generator", None) is not None
        ]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        for index, generator in enumerate(self._generators):
            self._distribution.assign(
                generator.state, functools.partial(self._draw, generator.state.dtype, epoch, index)
            )

    def _draw(self, dtype: str, epoch: int, index: int, replica: int) -> np.ndarray:
        key = [self._seed, epoch, index, *([replica] if replica else [])]
        return np.random.SeedSequence(key).generate_state(2).astype(dtype)


class MovingAverages(keras.callbacks.Callback):
    """Before each validation, makes the moving averages of batch norm the mean of what the replicas have gathered.

    Averages are linear: that is what averaging after each step would give.
    """

    def __init__(self, network: LesionModel, distribution: Distribution):
        super().__init__()
        self._distribution = distribution
        self._layers = [
            layer for layer in network._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)
        ]

    def on_test_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        # Frozen ones are the same everywhere, and stay so bit for bit.
        gathering = [one for one in self._layers if one.trainable and not getattr(one, "keeps_statistics", False)]
        self._distribution.average(
            [variable for layer in gathering for variable in (layer.moving_mean, layer.moving_variance)]
        )


class Stages(keras.callbacks.Callback):
    """Enters the stage of each epoch; its optimiser starts anew, its learning rate goes on.

    Args:
        plan: of the training.
        steps: in an epoch.
    """

    def __init__(self, plan: StagePlan, steps: int):
        super().__init__()
        self._plan = plan
        self._steps = steps
        self._entered: int | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        index = self._plan.index(epoch)
        if index == self._entered:
            return
        start = self._plan.starts[index]
        self.model.enter_stage(self._plan.stages[index])
        optimizers.continue_schedule(self.model.optimizer, start * self._steps)
        # A run resumed within a stage has loaded what the optimiser was.
        if epoch == start > 0:
            optimizers.restart(self.model.optimizer)
        self.model.make_train_function()
        self._entered = index


class AveragedWeights(keras.callbacks.Callback):
    """Validates the moving average of the weights, see `optimizers.averaged`."""

    def __init__(self) -> None:
        super().__init__()
        self._held = contextlib.ExitStack()

    def on_test_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        self._held.enter_context(optimizers.averaged(self.model.optimizer))

    def on_test_end(self, logs: Any = None) -> None:  # noqa: ARG002
        self._held.close()


class Measured(keras.callbacks.Callback):
    """Adds what an epoch is judged by to its logs, which all later callbacks get too.

    Args:
        answers: that the trainer gathers in each validation.
        monitor: see `monitor.measure`.
    """

    def __init__(self, answers: CaseAnswers, monitor: str):
        super().__init__()
        self._answers = answers
        self._monitor = monitor

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        logs[f"val_{self._monitor}"] = measure(self._monitor, self._answers.labels, self._answers.means())


class ReversalRamp(keras.callbacks.Callback):
    """Raises the reversal coefficient: scale * (2 / (1 + exp(-10 p)) - 1), p the share of training done.

    Source: Ganin and Lempitsky 2015, Sec. 4.
    """

    def __init__(self, network: LesionModel, total_steps: int):
        super().__init__()
        self._layers = [layer for layer in network._flatten_layers() if isinstance(layer, GradientReversal)]
        self._total_steps = total_steps

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        progress = int(self.model.optimizer.iterations.numpy()) / self._total_steps
        for layer in self._layers:
            layer.coefficient.assign(layer.scale * (2.0 / (1.0 + math.exp(-10.0 * progress)) - 1.0))


class Checkpoint(keras.callbacks.Callback):
    """After each epoch: writes all that resuming needs, keeps the best weights, and stops when patience is over.

    Files are written beside and renamed, the state last: a process killed at any moment leaves the last complete epoch.

    Args:
        folder: where to; None writes nothing, for a worker that is not the chief.
        state: of the epochs already done.
        patience: epochs without a better one; None never stops.
        plan: of the training; only epochs that train the final prediction can be the best or wait for a better one.
        monitored: the logged value that says how good an epoch is.
        averaged: within it the weights are those to keep as the best, see `optimizers.averaged`.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        state: RunState,
        patience: int | None,
        plan: StagePlan,
        monitored: str = MONITORED,
        averaged: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
    ):
        super().__init__()
        self._averaged = averaged
        self._monitored = monitored
        self.folder = folder
        self.state = state
        self._plan = plan
        self._patience = math.inf if patience is None else patience
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        values = {name: float(value) for name, value in logs.items()}
        check_epoch(epoch, values)
        weights = f"epoch-{epoch:04d}.weights.h5"
        self._write(weights, self.model)
        stage = {"stage": self._plan.stage(epoch).name} if self._plan.staged else {}
        row = {"epoch": epoch, **stage, **values}
        changed = {**vars(self.state), **self._judge(epoch, values[self._monitored])}
        self.state = RunState(
            **changed
            | {
                "epochs": epoch + 1,
                "weights": weights,
                "stopped": changed["waited"] >= self._patience,
                "history": [*self.state.history, row],
                "seconds": [*self.state.seconds, time.perf_counter() - self._began],
            }
        )
        if self.folder is not None:
            self.folder.write_state(self.state)
        self.model.stop_training = self.state.stopped

    def _write(self, name: str, model: keras.Model) -> None:
        if self.folder is not None:
            with writing(self.folder.checkpoints / name, RunError) as partial:
                write_weights(model, partial)

    def _judge(self, epoch: int, value: float) -> dict[str, object]:
        """Returns what the epoch changes in the state; writes its weights if they are the best."""
        if not self._plan.is_judged(epoch):
            return {}
        best = self.state.best_accuracy
        if self.state.best_epoch >= 0 and (value >= best if self._monitored == LOSS else value <= best):
            return {"waited": self.state.waited + 1}
        weights = f"best-{epoch:04d}.weights.h5"
        with self._averaged():
            self._write(weights, self.model.network)
        return {"best_epoch": epoch, "best_accuracy": value, "best_weights": weights, "waited": 0}


class Curves(keras.callbacks.Callback):
    """Writes every logged scalar to TensorBoard, training and validation as two runs of one chart."""

    def __init__(self, folder: RunFolder):
        super().__init__()
        self._writers = {
            split: tf.summary.create_file_writer(str(folder.tensorboard / split)) for split in ("train", "validation")
        }

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for name, value in logs.items():
            validation = name.startswith("val_")
            with self._writers["validation" if validation else "train"].as_default(step=epoch):
                tf.summary.scalar(name.removeprefix("val_"), value)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002
        for writer in self._writers.values():
            writer.close()


class Pictures(keras.callbacks.Callback):
    """Every few epochs draws inputs, attention maps and reconstructions of a few validation cases.

    Args:
        folder: PNG files go to its `pictures/`, the same pictures to TensorBoard.
        batch: the cases, a batch of the input pipeline.
        every: epochs between two pictures.
    """

    def __init__(self, folder: RunFolder, batch: Mapping[str, tf.Tensor], every: int):
        super().__init__()
        self._folder = folder
        self._batch = batch
        self._every = every
        self._writer = tf.summary.create_file_writer(str(folder.tensorboard / "pictures"))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        if (epoch + 1) % self._every:
            return
        outputs = self.model(self._batch, training=False)
        panel = draw_panel(self._batch, {name: value.numpy() for name, value in outputs.items()})
        png = tf.io.encode_png(panel).numpy()
        write_bytes(self._folder.pictures / f"epoch-{epoch:04d}.png", png, RunError)
        with self._writer.as_default(step=epoch):
            tf.summary.image("inputs, attention, reconstruction", panel[None])
        self._writer.flush()
