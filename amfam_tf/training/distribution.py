"""Data-parallel training: on which devices and machines the replicas of the network are, and what the workers share.

| strategy | replicas | |
| --- | --- | --- |
| single | one | no tf.distribute at all |
| mirrored | one per device of this machine | tf.distribute.MirroredStrategy |
| multi-worker | one per device of each machine in TF_CONFIG | tf.distribute.MultiWorkerMirroredStrategy |
| auto | | multi-worker if TF_CONFIG names several, mirrored if there are several GPUs, else single |

A worker is a process. The first one is the chief: it alone reads and writes the run folder. docs/distributed.md says
what is equal to a training on one device.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from amfam_tf.card.questions import Task
from amfam_tf.config import Config
from amfam_tf.data import pipeline
from amfam_tf.data.share import Share
from amfam_tf.errors import ConfigError, RunError, UserError
from amfam_tf.training.cluster import VARIABLE, Cluster, read_cluster

STRATEGIES = ("single", "mirrored", "multi-worker", "auto")

PREFETCHED_BATCHES = 2
"""One that the device takes next, one that is on its way."""

LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)
"""What a worker gets when another one is gone."""


class Distribution:
    """Where a training runs.

    Args:
        name: one of STRATEGIES.
        strategy: None for a single replica.
        worker: number of this process; 0 is the chief.
        workers: processes in all, each with the same number of replicas.
    """

    def __init__(self, name: str, strategy: tf.distribute.Strategy | None = None, worker: int = 0, workers: int = 1):
        self.name = name
        self.strategy = strategy
        self.worker = worker
        self.workers = workers

    @property
    def replicas(self) -> int:
        """Of the network, on all workers."""
        return 1 if self.strategy is None else self.strategy.num_replicas_in_sync

    @property
    def chief(self) -> bool:
        """Whether this process reads and writes the run folder."""
        return self.worker == 0

    @property
    def share(self) -> Share:
        """The part of each batch that this worker's replicas take."""
        count = self.replicas // self.workers
        return Share(self.replicas, first=self.worker * count, count=count)

    def describe(self) -> dict[str, Any]:
        """Returns what environment.json has of it."""
        return {"strategy": self.name, "replicas": self.replicas, "workers": self.workers}

    def scope(self) -> contextlib.AbstractContextManager[None]:
        """Returns the context in which the network and its optimiser are made."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    def distribute(self, make: Callable[[Share], tf.data.Dataset], steps_told: bool = False) -> Any:
        """Returns the dataset that `make` gives for this worker's share, for Keras; endless with several replicas.

        The next batches wait in the memory of the replicas' devices, those of a single replica only with `steps_told`.

        Args:
            make: gives the batches of a share.
            steps_told: Keras is told how many batches to take, and need not ask the dataset.
        """
        if self.strategy is None or self.replicas == 1:
            dataset, gpus = make(self.share), tf.config.list_logical_devices("GPU")
            return prefetch(dataset, gpus[0].name) if gpus and steps_told else dataset
        # Endless: else the workers would ask each other before each step whether anyone still has a batch.
        return self.strategy.distribute_datasets_from_function(lambda _: make(self.share).repeat())

    def assign(self, variable: keras.Variable, value: Callable[[int], np.ndarray]) -> None:
        """Gives a variable another value on each replica: `value(number of the replica)`."""
        if self.strategy is None:
            variable.assign(value(0))
            return
        for number, copy in enumerate(self.strategy.experimental_local_results(variable.value)):
            copy.assign(value(self.share.first + number))

    def average(self, variables: Sequence[keras.Variable]) -> None:
        """Gives each variable, on every replica, the mean of its values over the replicas."""
        if self.strategy is None:
            return
        for variable in variables:
            values = self.strategy.run(tf.identity, args=(variable.value,))
            variable.assign(self.strategy.reduce(tf.distribute.ReduceOp.MEAN, values, axis=None))

    def copy_from_chief(self, variables: Sequence[keras.Variable]) -> None:
        """Gives each variable the value that it has on the chief."""
        if self.workers == 1:
            return
        for variable in variables:
            value = np.asarray(variable.numpy(), np.float64)
            variable.assign(self._sum(value if self.chief else np.zeros_like(value)).astype(variable.dtype))

    def exchange(self, message: Any) -> list[Any]:
        """Returns the messages of all workers, in their order; a message is whatever JSON can hold."""
        if self.workers == 1:
            return [message]
        data = np.frombuffer(json.dumps(message).encode(), np.uint8)
        lengths = np.zeros(self.workers)
        lengths[self.worker] = len(data)
        lengths = self._sum(lengths).astype(int)
        table = np.zeros((self.workers, lengths.max()))
        table[self.worker, : len(data)] = data
        rows = self._sum(table).astype(np.uint8)
        return [json.loads(row[:length].tobytes()) for row, length in zip(rows, lengths, strict=True)]

    def _sum(self, value: np.ndarray) -> np.ndarray:
        """Returns the sum of what each worker gives, float64 of any shape."""
        if self.strategy is None:
            return value
        nothing = np.zeros_like(value)
        given = self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(value if context.replica_id_in_sync_group == self.share.first else nothing)
        )
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, given, axis=None).numpy()

    @contextlib.contextmanager
    def agreement(self) -> Iterator[None]:
        """The body is done by every worker before any goes on; what one cannot do ends all, each with one line.

        Raises:
            UserError: of this worker, as it was.
            RunError: another one had an error; says which and what.
        """
        error = None
        try:
            yield
        except UserError as own:
            error = own
        told = self.exchange(None if error is None else str(error))
        if error is not None:
            raise error
        for worker, message in enumerate(told):
            if message is not None:
                raise RunError(f"worker {worker} stopped: {message}")

    @contextlib.contextmanager
    def naming_lost_workers(self) -> Iterator[None]:
        """Turns the error that a worker gets when another one is gone into one line.

        Raises:
            RunError: another worker is gone.
        """
        try:
            yield
        except LOST as error:
            if self.workers == 1:
                raise
            raise RunError(
                f"the workers no longer reach each other ({_reason(error)}): start the same command on all of them "
                "again; it goes on after the last complete epoch"
            ) from error


def prefetch(dataset: tf.data.Dataset, device: str) -> tf.data.Dataset:
    """Returns the same batches, the next two of which are copied to a device while it works on others.

    The dataset no longer knows how many there are.
    """
    return dataset.apply(tf.data.experimental.prefetch_to_device(device, buffer_size=PREFETCHED_BATCHES))


SINGLE = Distribution("single")


def create(name: str, tell: Callable[[str], None] = print) -> Distribution:
    """Returns where a training runs; to be called before anything else uses TensorFlow's devices.

    Args:
        name: one of STRATEGIES.
        tell: shows a line.

    Raises:
        ConfigError: TF_CONFIG is missing or wrong, or there are too few devices.
        RunError: the other workers cannot be reached.
    """
    if name not in STRATEGIES:
        raise ConfigError(f"the strategy must be one of {', '.join(STRATEGIES)}. Received: {name!r}")
    cluster = read_cluster() if name in ("multi-worker", "auto") else None
    if name == "auto":
        name = _best(cluster)
    if name == "mirrored":
        return Distribution(name, tf.distribute.MirroredStrategy(_local_devices()))
    if name == "multi-worker":
        return _join(cluster, tell)
    return SINGLE


def _best(cluster: Cluster | None) -> str:
    if cluster is not None and len(cluster.addresses) > 1:
        return "multi-worker"
    # Physical devices: to ask for logical ones would start TensorFlow before the cluster is known.
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "single"


def _local_devices() -> list[str]:
    """Returns the GPUs of this machine, or its CPU devices where there is none.

    Raises:
        ConfigError: there is only one.
    """
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(devices) < 2:
        raise ConfigError(f"strategy mirrored needs at least two devices, here is {len(devices)} {kind}: leave it out")
    return devices


def _join(cluster: Cluster | None, tell: Callable[[str], None]) -> Distribution:
    """Returns the distribution over a cluster, when all its workers are there."""
    if cluster is None:
        raise ConfigError(
            f"strategy multi-worker needs the environment variable {VARIABLE} with the keys cluster and task: "
            "see docs/distributed.md"
        )
    workers, address = len(cluster.addresses), cluster.addresses[cluster.worker]
    tell(f"worker {cluster.worker} of {workers} ({address}): waiting for all to be there")
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise RunError(f"worker {cluster.worker} ({address}) cannot join the others: {_reason(error)}") from error
    return Distribution("multi-worker", strategy, cluster.worker, workers)


def _reason(error: tf.errors.OpError) -> str:
    """Returns the first line of what TensorFlow says, without the names of its operations."""
    return re.sub(r"\{\{.*?\}\}\s*", "", str(error.message)).strip().partition("\n")[0].rstrip(":")


def check_replicas(
    distribution: Distribution,
    config: Config,
    training_cases: int,
    validation_cases: int,
    tasks: Sequence[Task],
) -> None:
    """Checks that a configuration and data can be trained on with these replicas.

    Raises:
        ConfigError: names the key and what to set.
    """
    replicas = distribution.replicas
    if replicas == 1:
        return
    where = f"with {replicas} replicas (strategy {distribution.name})"
    training = config.training
    if training.steps_per_execution > 1:
        raise ConfigError(f"training.steps_per_execution must be 1 {where}. Received: {training.steps_per_execution}")
    if training.jit_compile == "on":
        raise ConfigError(f"training.jit_compile must be auto or off {where}. Received: on")
    batch_size = pipeline.training_batch_size(config, tasks)
    smallest = min(batch_size, training.batch_size, validation_cases)
    if smallest < replicas:
        raise ConfigError(
            f"a batch and the validation split must have a case for each replica {where}. Received: batches of "
            f"{batch_size} and {training.batch_size} (validation) cases, {validation_cases} validation cases"
        )
    last = 0 if config.data.sampling == "balanced" else training_cases % batch_size
    if config.model.batch_norm == "per_replica" and 0 < last < replicas:
        raise ConfigError(
            f"model.batch_norm=per_replica {where} needs a case for each in every batch, but the last of "
            f"{training_cases} training cases in batches of {batch_size} has {last}: set another training.batch_size, "
            "or model.batch_norm=synchronised"
        )
