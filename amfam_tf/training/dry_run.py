"""The dry run of a fit: one batch through all of it, and what that shows; trains and writes nothing."""

import dataclasses
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import tensorflow as tf
from rich.console import Console

from amfam_tf import models
from amfam_tf.card.schema import DataCard
from amfam_tf.config import Config
from amfam_tf.data import pipeline
from amfam_tf.models.lesion_model import LesionModel
from amfam_tf.report.table import Table, TableRow, text_table
from amfam_tf.report.terminal import to_rich
from amfam_tf.training.run import (
    check_sources,
    count_parameters,
    read_data,
    split_cases,
    tell_of_labels,
    trainer_for,
    warn_of_metadata,
)
from amfam_tf.training.stages import plan_stages
from amfam_tf.training.teacher import ask_teacher
from amfam_tf.training.trainer import Trainer


def dry_run(data: Path, config: Config, console: Console, card: Path | None = None) -> None:
    """Builds everything, runs one batch forward and backward, and prints what it saw; trains and writes nothing.

    Args:
        data: a data set, or a folder of records, see `cases.read`.
        config: the run's configuration.
        console: where to print.
        card: file of the data's card, if it does not lie beside them.
    """
    config = models.resolve(config)
    check_sources(config)
    found = read_data(data, config, card)
    splits, tasks = split_cases(found.cases, ("train", "validate")), found.card.tasks
    pipeline.check_training_cases(splits["train"], config, tasks)
    steps = pipeline.steps_per_epoch(len(splits["train"]), config, tasks)
    trainer = trainer_for(config, steps, splits["train"], found.card)
    if config.loss.taught:
        splits = ask_teacher(splits, config, found, console)
    plan = plan_stages(trainer.network.stages, config.training, trainer.network.backbones)
    warn_of_metadata(config, found.card, console)
    tell_of_labels(splits, found.card, console)
    batch = _first_batch(splits["train"], config, found.card)
    _print_shapes(batch, trainer.network, console)
    _print_parameters(trainer.network, console)
    for stage, start in zip(plan.stages, plan.starts, strict=True):
        trainer.enter_stage(stage)
        if plan.staged:
            console.print(f"stage {stage.name}, from epoch {start + 1}:")
        _try_step(trainer, batch, console)
    console.print(
        f"{len(splits['train'])} training cases, {len(splits['validate'])} validation cases, {steps} steps an epoch"
    )
    console.print(f"peak memory {peak_memory_gib():.1f} GiB")
    console.print("dry run: nothing was trained and nothing was written")


def _first_batch(training: pd.DataFrame, config: Config, card: DataCard) -> Mapping[str, tf.Tensor]:
    """Returns the batch that training begins with, without filling a cache."""
    uncached = dataclasses.replace(config, data=dataclasses.replace(config.data, cache="none"))
    with pipeline.naming_bad_files(training, config):
        return next(iter(pipeline.training_dataset(training, uncached, card=card)))


def _try_step(trainer: Trainer, batch: Mapping[str, tf.Tensor], console: Console) -> None:
    """Runs the batch forward and backward, changes nothing, and prints the losses and which variables they reach."""
    began = time.perf_counter()
    with tf.GradientTape() as tape:
        losses = trainer.compute_losses(batch, training=True)
    gradients = tape.gradient(losses["loss"], trainer.trainable_variables)
    seconds = time.perf_counter() - began
    for name, value in losses.items():
        console.print(f"{name}: {float(value):.4f}")
    console.print(f"gradients: {sum(gradient is not None for gradient in gradients)} of {len(gradients)} variables")
    console.print(f"one batch forward and backward, not compiled: {seconds:.1f} s")


def _print_shapes(batch: Mapping[str, tf.Tensor], network: LesionModel, console: Console) -> None:
    rows = [(f"input {name}", str(tuple(value.shape)), value.dtype.name) for name, value in batch.items()]
    rows += [(f"output {name}", str(tuple(value.shape)), str(value.dtype)) for name, value in network.output.items()]
    console.print(to_rich(text_table("", ["tensor", "shape", "type"], rows)))


def _print_parameters(network: LesionModel, console: Console) -> None:
    groups = network.parameter_groups()
    groups |= {"all": network.trainable_variables, "inference model": network.inference_model().trainable_variables}
    rows = [TableRow([name, f"{count_parameters(variables):,}"]) for name, variables in groups.items()]
    console.print(to_rich(Table("", ["part", "trainable parameters"], rows)))


def peak_memory_gib() -> float:
    """Returns the largest resident memory of this process so far, GiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
