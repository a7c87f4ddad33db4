"""Fitting a method on a data set, into a run folder that any interruption leaves resumable."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import pandas as pd
import tensorflow as tf

from amfam_tf import config as configuration
from amfam_tf import environment, models
from amfam_tf.card import inputs
from amfam_tf.card.inputs import inputs_of
from amfam_tf.card.schema import DataCard
from amfam_tf.config import Config
from amfam_tf.data import cases as stored_cases
from amfam_tf.data import pipeline, several
from amfam_tf.data.cases import DataSet
from amfam_tf.errors import ConfigError, DataError, RunError
from amfam_tf.files.digests import file_digest
from amfam_tf.files.writing import writing
from amfam_tf.layers import Standardise, keep_batch_statistics
from amfam_tf.models.backbones import check_weights
from amfam_tf.models.lesion_model import LesionModel
from amfam_tf.models.recomputing import recompute_parts
from amfam_tf.phases import OFF, Recorder
from amfam_tf.runs import teacher
from amfam_tf.runs.folder import RunFolder, RunState
from amfam_tf.training import callbacks, linear_fit, monitor, profile, progress
from amfam_tf.training.case_answers import CaseAnswers
from amfam_tf.training.class_losses.deferred import DeferredWeights
from amfam_tf.training.class_losses.table import Counts, class_counts
from amfam_tf.training.distribution import SINGLE, Distribution, check_replicas
from amfam_tf.training.finite_loss import DivergedError, FiniteLoss
from amfam_tf.training.losses import build_losses
from amfam_tf.training.optimizers import averaged, create_optimizer, set_backbone_rates
from amfam_tf.training.stages import StagePlan, plan_stages
from amfam_tf.training.task_weights import LOG_VARIANCES, TaskUncertainty, fixed_weights
from amfam_tf.training.teacher import ask_teacher, open_teacher
from amfam_tf.training.teacher import describe as describe_teacher
from amfam_tf.training.trainer import Trainer

if TYPE_CHECKING:
    from rich.console import Console

PICTURE_CASES = 4


@dataclass(frozen=True)
class FitResult:
    """How a fit ended.

    Attributes:
        epochs: complete epochs.
        best_epoch: 0-based.
        best_accuracy: its value of `training.monitor`.
        judged_by: what that value is, in words.
        already_finished: there was nothing left to do.
        data: all splits; their pictures are those that the run was trained on.
    """

    epochs: int
    best_epoch: int
    best_accuracy: float
    judged_by: str = "mean validation accuracy"
    already_finished: bool = False
    data: DataSet | None = field(default=None, repr=False, compare=False)


def create_trainer(config: Config, steps_per_epoch: int, card: DataCard, counts: Counts | None = None) -> Trainer:
    """Returns the compiled trainer of a configuration, weights drawn from its seed, in its first stage.

    Within the scope of a tf.distribute strategy, it trains on all of the strategy's replicas.

    Args:
        config: of the run.
        steps_per_epoch: for the learning-rate schedule.
        card: of the data.
        counts: training cases of each class, for the losses that need them.

    Raises:
        ConfigError: the card does not have a column of model.metadata, or does not let it in, or has no task of
            loss.task_weights.
    """
    network = models.create(config.method, config, card.tasks, inputs_of(card, config.model.metadata))
    if config.model.batch_norm == "synchronised":
        synchronise_batch_norm(network)
    if config.training.frozen_batch_statistics:
        for backbone in network.backbones:
            for layer in network.parts[backbone]:
                keep_batch_statistics(layer)
    if config.training.recompute:
        recompute_parts(network)
    trainer = _trainer_of(network, config, counts)
    trainer.compile(
        optimizer=create_optimizer(config.optimizer, steps_per_epoch, config.training.epochs, (LOG_VARIANCES,)),
        jit_compile=use_xla(config),
        steps_per_execution=config.training.steps_per_execution,
    )
    set_backbone_rates(trainer.optimizer, network, config.optimizer)
    # Before a stage freezes anything: the state of all variables is in every checkpoint.
    trainer.optimizer.build(trainer.trainable_variables)
    trainer.enter_stage(network.stages[0])
    return trainer


def _trainer_of(network: LesionModel, config: Config, counts: Counts | None) -> Trainer:
    """Returns a network's trainer, not compiled, with the losses of the configuration."""
    values, tasks = config.loss, network.tasks
    uncertainty = TaskUncertainty(tasks) if values.task_weighting == "uncertainty" else None
    deferred = None if values.reweighted_after is None else DeferredWeights(values.reweighted_after)
    losses = build_losses(
        list(network.output),
        values,
        network.model_config.attention,
        tasks,
        network.branches,
        counts,
        fixed_weights(values, tasks) if uncertainty is None else uncertainty.weighing(),
        deferred,
    )
    return Trainer(network, losses, uncertainty, deferred, dtype=config.training.precision)


def trainer_for(config: Config, steps_per_epoch: int, training: pd.DataFrame, card: DataCard) -> Trainer:
    """Returns the trainer of a configuration for data with this card.

    Numbers among the metadata get mean and deviation of the training cases; losses for rare classes their counts.

    Raises:
        ConfigError: the card does not have a column of model.metadata, or does not let it in.
    """
    trainer = create_trainer(config, steps_per_epoch, card, class_counts(training, card.tasks))
    for layer in trainer.network.layers:
        if isinstance(layer, Standardise):
            layer.adapt(pipeline.encode_metadata(training, config.model.metadata, card))
    return trainer


def use_xla(config: Config) -> bool:
    """Returns whether the train step is compiled with XLA; "auto" means on a GPU, if it is the only replica's."""
    if config.training.jit_compile == "auto":
        return bool(tf.config.list_logical_devices("GPU")) and not _several_replicas()
    return config.training.jit_compile == "on"


def synchronise_batch_norm(network: LesionModel) -> None:
    """Makes batch norm in training use the statistics of the whole batch, if several replicas share it.

    A single replica computes them as ever, so that its numbers do not depend on the value.
    """
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = _several_replicas()


def _several_replicas() -> bool:
    return tf.distribute.get_strategy().num_replicas_in_sync > 1


def fit(
    data: Path,
    run: Path,
    config: Config,
    console: "Console",
    recorder: Recorder = OFF,
    distribution: Distribution = SINGLE,
    card: Path | None = None,
) -> FitResult:
    """Fits a method, or goes on with a run that was interrupted.

    Args:
        data: a data set, or a folder of records, see `cases.read`.
        run: the run folder; new, or one that this function began with the same configuration and data.
        config: the run's configuration.
        console: for the progress display.
        recorder: of what takes the time.
        distribution: where to train; the run folder is the chief's, other workers neither read nor write it.
        card: file of the data's card, if it does not lie beside them.

    Raises:
        ConfigError: the configuration does not go with the replicas, or the card cannot be used.
        DataError: the data cannot be used.
        RunError: the folder is in use, or was begun with another configuration, other data or another teacher; the
            workers do not have the same, or have lost each other; the teacher cannot be asked.
        WeightsError: the backbone's weights cannot be had.
    """
    session = _Session(models.resolve(config), RunFolder(run), console, recorder, distribution)
    if not session.folder.model_file.exists():
        check_sources(session.config)
    with contextlib.ExitStack() as held, distribution.naming_lost_workers():
        found, description, state = _open(session, data, card, held)
        if state.finished:
            return _result(session, state, found)
        if state.diverged is not None:
            raise RunError(session.folder.describe_divergence(state))
        tasks, splits = found.card.tasks, split_cases(found.cases, ("train", "validate"))
        pipeline.check_training_cases(splits["train"], session.config, tasks)
        _check_measurable(splits["validate"], session.config, found.card)
        if not models.METHODS[session.config.method].network.TRAINED:
            linear_fit.check_replicas(session.config, distribution)
        check_replicas(distribution, session.config, len(splits["train"]), len(splits["validate"]), tasks)
        steps = pipeline.steps_per_epoch(len(splits["train"]), session.config, tasks)
        with recorder.phase("building the network"), distribution.scope():
            trainer = trainer_for(session.config, steps, splits["train"], found.card)
        plan = plan_stages(trainer.network.stages, session.config.training, trainer.network.backbones)
        if session.config.loss.taught:
            with recorder.phase("asking the teacher"), distribution.agreement():
                splits = ask_teacher(splits, session.config, found, console)
        training = _Training(found.card, splits, steps, trainer, plan)
        # Only now: what cannot be built must not claim the folder.
        _begin(session, training, description, state)
        if not state.stopped and state.epochs < session.config.training.epochs:
            state = (_train if trainer.network.linear is None else _fit_linear)(session, training, state)
        with recorder.phase("writing the model"):
            _finish(session, trainer.network, state)
        if state.diverged is not None:
            raise RunError(session.folder.describe_divergence(state))
        return _result(session, state, found)


def check_sources(config: Config) -> None:
    """Checks what a configuration names beside the data, before any of them is read.

    Raises:
        ConfigError: data.cache_directory cannot be a folder.
        RunError: loss.teacher cannot teach.
        WeightsError: there are no such weights.
    """
    if config.loss.taught:
        open_teacher(config.loss)
    if models.METHODS[config.method].network.LOOKS:
        check_weights(config.model.backbone, config.model.weights)
    if config.data.cache == "file":
        folder = Path(config.data.cache_directory or "")
        blocked = next((path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()), None)
        if blocked is not None:
            raise ConfigError(f"data.cache_directory={folder} cannot be used: {blocked} is no folder")


@dataclass(frozen=True)
class _Session:
    """What stays the same while a process fits."""

    config: Config
    folder: RunFolder
    console: "Console"
    recorder: Recorder
    distribution: Distribution


@dataclass(frozen=True)
class _Training:
    """What is trained on what.

    Attributes:
        card: of the data.
        splits: the cases to train on and to validate with.
        steps: in an epoch.
        trainer: with the network.
        plan: when its stages begin.
    """

    card: DataCard
    splits: Mapping[str, pd.DataFrame]
    steps: int
    trainer: Trainer
    plan: StagePlan


def _open(
    session: _Session, data: Path, card: Path | None, held: contextlib.ExitStack
) -> tuple[DataSet, dict[str, Any], RunState]:
    """Returns the data set, the environment described, and what to resume from; `held` gets the folder's lock."""
    distribution = session.distribution
    with distribution.agreement():
        if distribution.chief:
            held.enter_context(session.folder.lock())
        with session.recorder.phase("reading the tables"):
            found = read_data(data, session.config, card)
        with session.recorder.phase("hashing the pictures"):
            description = _describe_environment(session.config, found)
        taught_by = None
        # A run that is finished does not ask it any more.
        if session.config.loss.taught and not session.folder.model_file.exists():
            description[teacher.KEY] = dataclasses.asdict(describe_teacher(open_teacher(session.config.loss)))
            taught_by = description[teacher.KEY]["model_sha256"]
        fingerprint = description["data_fingerprint"]
        state = session.folder.open(session.config, fingerprint, taught_by) if distribution.chief else RunState()
    message = {"config": configuration.to_dict(session.config), "data": fingerprint, "state": dataclasses.asdict(state)}
    message["teacher"] = taught_by
    return found, description, _state_of_chief(distribution.exchange(message))


def _state_of_chief(messages: list[dict[str, Any]]) -> RunState:
    """Returns what all workers resume from.

    Raises:
        RunError: a worker has another configuration, other data or another teacher than the chief; shows the
            difference.
    """
    chief, *others = messages
    for worker, message in enumerate(others, start=1):
        configs = (configuration.from_dict(one["config"]) for one in (chief, message))
        differences = configuration.differences(*configs)
        if differences:
            raise RunError(f"worker {worker} has another configuration than the chief ({'; '.join(differences)})")
        if message["data"] != chief["data"]:
            raise RunError(
                f"worker {worker} has other data than the chief (fingerprint {chief['data'][:12]} -> "
                f"{message['data'][:12]})"
            )
        if chief["teacher"] is not None and message["teacher"] != chief["teacher"]:
            raise RunError(
                f"worker {worker} has another teacher than the chief (weights {chief['teacher'][:12]} -> "
                f"{message['teacher'][:12]})"
            )
    return RunState(**chief["state"])


def _begin(session: _Session, training: _Training, description: dict[str, Any], state: RunState) -> None:
    """Claims the folder and gives the trainer of every worker the chief's weights, those of the state if there are."""
    config, folder, distribution = session.config, session.folder, session.distribution
    if distribution.chief:
        folder.begin(config, description, training.card)
        folder.note_distribution(state.epochs, distribution.describe())
        folder.tidy(state)
        warn_of_metadata(config, training.card, session.console)
        tell_of_labels(training.splits, training.card, session.console)
        if state.weights is not None:
            session.console.print(f"resuming after epoch {state.epochs} of {config.training.epochs}")
            training.trainer.load_weights(folder.checkpoints / state.weights)
    trainer = training.trainer
    own = () if trainer.uncertainty is None else trainer.uncertainty.variables
    distribution.copy_from_chief([*trainer.network.variables, *own, *trainer.optimizer.variables])


def _train(session: _Session, training: _Training, state: RunState) -> RunState:
    """Trains from the state to the end and returns the last state."""
    config, distribution, splits = session.config, session.distribution, training.splits
    folder = session.folder if distribution.chief else None
    checkpoint = callbacks.Checkpoint(
        folder,
        state,
        config.training.patience,
        training.plan,
        monitor.monitored(training.card, config.training.monitor),
        functools.partial(averaged, training.trainer.optimizer),
    )
    with pipeline.naming_bad_files(pd.concat(splits.values()), config):
        with session.recorder.phase("making the input"):
            batches, validation, validation_steps = _make_input(session, training, state)
            watchers = _callbacks(session, training, checkpoint)
        with session.recorder.phase(profile.STEPS), _noting_divergence(checkpoint, watchers):
            training.trainer.fit(
                batches,
                initial_epoch=state.epochs,
                epochs=config.training.epochs,
                steps_per_epoch=training.steps,
                validation_data=validation,
                # Batches for several replicas are endless.
                validation_steps=validation_steps if distribution.replicas > 1 else None,
                callbacks=profile.watch(session.recorder, training.trainer, watchers),
                shuffle=False,
                verbose=0,
            )
    return checkpoint.state


def _fit_linear(session: _Session, training: _Training, _: RunState) -> RunState:
    """Fits the classifiers of a network that is not trained by steps; there is nothing to go on from."""
    network, splits, card = training.trainer.network, training.splits, training.card
    with session.recorder.phase(profile.STEPS):
        return linear_fit.fit_linear(network, splits, session.config, card, session.folder, session.console)


@contextlib.contextmanager
def _noting_divergence(
    checkpoint: callbacks.Checkpoint, watchers: Sequence[keras.callbacks.Callback]
) -> Iterator[None]:
    """Makes a loss that is no finite number the end of the training, in its state."""
    try:
        yield
    except DivergedError as error:
        checkpoint.state = dataclasses.replace(checkpoint.state, diverged=str(error))
        # As Keras does at every other end: the progress bar goes, TensorBoard's files are closed.
        for watcher in watchers:
            watcher.on_train_end()


def _make_input(session: _Session, training: _Training, state: RunState) -> tuple[Any, Any, int]:
    """Returns the batches for training and for validation, of this worker's replicas, and how many the latter are.

    Where an epoch is judged by more than each answer by itself, the trainer is told to gather all of them.
    """
    train, validate = training.splits["train"], training.splits["validate"]
    config, card, distribution = session.config, training.card, session.distribution
    rows = several.rows_of_pairs(validate, config)
    gathered = config.training.monitor in monitor.RATES
    if gathered or rows is not validate:
        with distribution.scope():
            training.trainer.average_answers(CaseAnswers(rows, card.tasks, "float64" if gathered else "float32"))
    batches = distribution.distribute(
        lambda share: pipeline.training_dataset(train, config, card, state.epochs, share), steps_told=True
    )
    validation = distribution.distribute(
        lambda share: pipeline.evaluation_dataset(rows, config, use_cache=True, share=share, card=card)
    )
    return batches, validation, pipeline.evaluation_steps(len(rows), config)


def _callbacks(session: _Session, training: _Training, checkpoint: callbacks.Checkpoint) -> list[Any]:
    """Returns the callbacks in their order; whatever writes or shows is the chief's."""
    config, distribution, epochs = session.config, session.distribution, session.config.training.epochs
    network, plan, steps = training.trainer.network, training.plan, training.steps
    chosen = [callbacks.Stages(plan, steps), callbacks.EpochSeeds(network, config.seed, distribution)]
    chosen.append(FiniteLoss())
    deferred = training.trainer.deferred
    if deferred is not None:
        chosen.append(keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: deferred.enter(epoch)))  # noqa: ARG005
    if config.optimizer.weight_average:
        chosen.append(callbacks.AveragedWeights())
    if config.model.batch_norm == "per_replica":
        chosen.append(callbacks.MovingAverages(network, distribution))
    if config.model.adversarial and config.model.reversal_schedule == "ramp":
        chosen.append(callbacks.ReversalRamp(network, steps * epochs))
    if training.trainer.answers is not None and config.training.monitor in monitor.RATES:
        chosen.append(callbacks.Measured(training.trainer.answers, config.training.monitor))
    chosen.append(checkpoint)
    if not distribution.chief:
        return chosen
    chosen.append(callbacks.Curves(session.folder))
    if config.training.picture_every:
        few = training.splits["validate"].head(PICTURE_CASES)
        batch = next(iter(pipeline.evaluation_dataset(few, config, card=training.card)))
        chosen.append(callbacks.Pictures(session.folder, batch, config.training.picture_every))
    names = tuple(training.trainer.losses_by_name)
    judged_by = monitor.monitored(training.card, config.training.monitor)
    return [*chosen, progress.ProgressDisplay(session.console, epochs, steps, names, plan, judged_by)]


def _finish(session: _Session, network: LesionModel, state: RunState) -> None:
    """Writes model.keras with the best weights, if an epoch is complete."""
    if session.distribution.chief:
        digest = None
        if state.best_weights is not None:
            network.load_weights(session.folder.checkpoints / state.best_weights)
            with writing(session.folder.model_file, RunError) as partial:
                network.save(partial)
            digest = file_digest(session.folder.model_file)
        session.folder.write_state(dataclasses.replace(state, finished=state.diverged is None, model_sha256=digest))


def _result(session: _Session, state: RunState, found: DataSet) -> FitResult:
    return FitResult(
        state.epochs,
        state.best_epoch,
        state.best_accuracy,
        monitor.measure_of(found.card, session.config.training.monitor),
        already_finished=state.finished,
        data=found,
    )


def read_data(data: Path, config: Config, card: Path | None = None) -> DataSet:
    """Returns a data set with the cases that a configuration uses, all splits.

    Raises:
        ConfigError: there is no such fold.
        DataError: the data cannot be used, or a case lacks a picture, which no method can do without.
    """
    found = stored_cases.read(data, card=card).used(config.data)
    stored_cases.refuse_missing_pictures(found.cases, data)
    return found


def split_cases(cases: pd.DataFrame, names: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    """Returns the cases of each named split, in order.

    Raises:
        DataError: a split has no case.
    """
    splits = {name: cases[cases["split"] == name].reset_index(drop=True) for name in names}
    for name, frame in splits.items():
        if frame.empty:
            raise DataError(f"the data has no case in split {name}")
    return splits


def _check_measurable(validation: pd.DataFrame, config: Config, card: DataCard) -> None:
    """Checks that `training.monitor` is defined for the labels of the validation cases, see `monitor`."""
    labels = {task.name: validation[task.name].to_numpy() for task in card.tasks}
    monitor.check_measurable(config.training.monitor, labels, {task.name: len(task.classes) for task in card.tasks})


def warn_of_metadata(config: Config, card: DataCard, console: "Console") -> None:
    """Prints a warning if the network is given what follows from the answer to a question."""
    warning = inputs.warning(card, config.model.metadata)
    if warning is not None:
        console.print(f"[bold yellow]warning:[/] {warning}", soft_wrap=True, markup=True)


def tell_of_labels(splits: Mapping[str, pd.DataFrame], card: DataCard, console: "Console") -> None:
    """Prints how many cases of each split have a label, for each task that not all of them have one of."""
    for task in card.tasks:
        known = {name: int((frame[task.name] >= 0).sum()) for name, frame in splits.items()}
        if any(known[name] < len(frame) for name, frame in splits.items()):
            counts = ", ".join(f"{known[name]} of {len(frame)} in {name}" for name, frame in splits.items())
            console.print(f"cases with a label of {task.name}: {counts}", soft_wrap=True, markup=False, highlight=False)


def _describe_environment(config: Config, found: DataSet) -> dict[str, Any]:
    cases = found.cases
    shared = int(cases["shared_file"].sum())
    return {
        **environment.describe(),
        "seed": config.seed,
        "data_fingerprint": found.fingerprint,
        "data_counts": cases["split"].value_counts().to_dict(),
        "cases_with_shared_file": shared,
    }


def count_parameters(variables: list[Any]) -> int:
    """Returns the number of scalars in the variables."""
    return sum(tf.TensorShape(variable.shape).num_elements() for variable in variables)
