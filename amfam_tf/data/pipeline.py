"""Cases to batches: tf.data streams for training and evaluation.

Cases are the rows of a frame from `cases.read`; a data set and records made of it give identical batches.
A batch is a flat dict:

| key | type and shape | range |
| --- | --- | --- |
| clinical, dermoscopic | float32 [B, S, S, 3] | RGB in [0, 1]; S = config.data.image_size |
| case_num | int64 [B] | as in the frame |
| DIAG, PN, ... (each task) | int32 [B] | class numbers; -1 for a label that nobody knows |
| metadata | float32 [B, n] | one-hots of the columns config.model.metadata; absent if it names none |
| teacher.DIAG, ... | float32 [B, classes] | logarithms of a teacher's probabilities, see `amfam_tf.data.answers` |
| mixing.share, mixing.DIAG, ... | float32, int32 [B] | of mixed training cases, see `amfam_tf.data.mixing` |

Training order and augmentation are a function of (config.seed, epoch) only; starting at epoch k gives the batches that
a run from epoch 0 gives in its epoch k, bit for bit. With data.sampling "shuffled" an epoch has each case once; with
"balanced" see `amfam_tf.data.balanced`. Pictures are kept between epochs as uint8, before augmentation, see
`amfam_tf.data.pictures`.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import tensorflow as tf

from amfam_tf.card import inputs
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import MODALITIES, DataCard
from amfam_tf.config import Config
from amfam_tf.data import augment, balanced, images, mixing, several
from amfam_tf.data.answers import answers_of
from amfam_tf.data.pictures import (
    Tensors,
    cached_pictures,
    naming_bad_files,
    pictures_by_number,
    references,
    to_pictures,
    without_autograph,
)
from amfam_tf.data.share import WHOLE, Share
from amfam_tf.errors import DataError

__all__ = [
    "check_training_cases",
    "encode_metadata",
    "evaluation_dataset",
    "evaluation_steps",
    "naming_bad_files",
    "steps_per_epoch",
    "training_batch_size",
    "training_dataset",
]


def training_dataset(
    cases: pd.DataFrame, config: Config, card: DataCard, first_epoch: int = 0, share: Share = WHOLE
) -> tf.data.Dataset:
    """Returns the augmented batches of the epochs `first_epoch` to `config.training.epochs` - 1, in turn.

    Args:
        cases: one row per case; all of them are used.
        config: data, augmentation, seed, batch size and number of epochs.
        card: of the data set.
        first_epoch: epoch to start with, to resume a run.
        share: of each batch, for training with several replicas; the batches are then those of its replicas in turn.

    Returns:
        Batches as in the module's table, `steps_per_epoch(len(cases), config)` in each epoch; the last one of a
        shuffled epoch has the remaining cases, balanced ones are all of one size.

    Raises:
        DataError: the frame cannot be used; a label has no case to balance with; a file cannot be used, if the pictures
            are read here and not later (with the file cache, and with any cache of balanced batches).
    """
    balanced_batches = config.data.sampling == "balanced"
    batch_size = training_batch_size(config, card.tasks)
    drawn = steps_per_epoch(len(cases), config, card.tasks) * batch_size if balanced_batches else len(cases)
    epoch_dataset = (_balanced if balanced_batches else _shuffled)(cases, config, share, card)

    @without_autograph
    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        # Batches do not cross epochs: each case is seen exactly once in a shuffled epoch.
        return share.batch(epoch_dataset(epoch), drawn, batch_size)

    # `flat_map` and not `repeat`: the epoch's number goes into the order and the augmentation.
    dataset = tf.data.Dataset.range(first_epoch, config.training.epochs).flat_map(epoch_batches)
    return _finish(dataset)


def _shuffled(
    cases: pd.DataFrame, config: Config, share: Share, card: DataCard
) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """Returns the function from an epoch's number to its cases of the share, each once."""
    cached = config.data.cache != "none"
    rows = several.rows_of_pairs(cases, config)
    elements = _elements(rows, config, card, use_cache=cached)
    prepare = to_pictures(rows, config)

    def draw(dataset: tf.data.Dataset, epoch: tf.Tensor) -> tf.data.Dataset:
        """Leaves the pair of each case that the epoch draws."""
        if rows is cases:
            return dataset
        pairs = tf.data.Dataset.from_tensor_slices(rows[[several.PAIR, several.PAIRS]].to_numpy(np.int64))

        def is_drawn(element: tuple[Tensors, Tensors], pair: tf.Tensor) -> tf.Tensor:
            return pair[0] == several.drawn_pair(config.seed, epoch, element[0]["case_num"], pair[1])

        return tf.data.Dataset.zip(dataset, pairs).filter(is_drawn).map(lambda element, _: element)

    def finish(labels: Tensors, pair: Tensors, epoch: tf.Tensor) -> Tensors:
        return labels | _augment_pair(pair if cached else prepare(pair), labels["case_num"], epoch, config)

    def epoch_dataset(epoch: tf.Tensor) -> tf.data.Dataset:
        # Sets the seed of this function's graph only: without it the order would depend on the process's global seed.
        # Not 0: TensorFlow takes the pair (0, 0) for "no seed".
        tf.random.set_seed(1 + config.seed % augment.KEY_RANGE)
        dataset = draw(elements, epoch).shuffle(
            # Bounds memory; a buffer smaller than the number of cases mixes neighbours only.
            min(config.data.shuffle_buffer, len(cases)),
            seed=epoch,
            # The order of an epoch must not depend on how many epochs this process has seen.
            reshuffle_each_iteration=False,
        )
        # Decoding (uncached) and augmenting are pure functions of one case, so they may run in parallel; results are
        # put back in order.
        batch_size = training_batch_size(config, card.tasks)
        if mixing.mixes(config.augmentation):
            held = share.select(mixing.with_previous(dataset), batch_size)
            return held.map(
                lambda own, other: mixing.mix(
                    finish(own[0], own[1], epoch), finish(other[0], other[1], epoch), epoch, config
                ),
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )
        return share.select(dataset, batch_size).map(
            lambda labels, pair: finish(labels, pair, epoch), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )

    return epoch_dataset


def _balanced(
    cases: pd.DataFrame, config: Config, share: Share, card: DataCard
) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """Returns the function from an epoch's number to its cases of the share, drawn by label."""
    labels = {name: tf.constant(values) for name, values in _labels(cases, config, card).items()}
    candidates = balanced.cases_by_label(cases, card.tasks)
    picture = _drawn_pictures(cases, config)
    steps, batch_size = steps_per_epoch(len(cases), config, card.tasks), training_batch_size(config, card.tasks)

    def draw_epoch(epoch: np.int64) -> tuple[np.ndarray, np.ndarray]:
        """Returns rows and occurrences, [cases, 2]: of each case and of the one before it in the epoch's order."""
        order = balanced.epoch_order(candidates, config.seed, int(epoch), steps, config.data.cases_per_label)
        places = share.places(len(order), batch_size)
        both = np.stack([places, np.maximum(places - 1, 0)], axis=1)
        return order[both], balanced.occurrences(order)[both]

    def finish(number: tf.Tensor, occurrence: tf.Tensor, epoch: tf.Tensor) -> Tensors:
        row = {name: values[number] for name, values in labels.items()}
        drawn = picture(number, row["case_num"], epoch, occurrence)
        return row | _augment_pair(drawn, row["case_num"], epoch, config, occurrence)

    def finish_draw(numbers: tf.Tensor, occurrences: tf.Tensor, epoch: tf.Tensor) -> Tensors:
        own = finish(numbers[0], occurrences[0], epoch)
        if not mixing.mixes(config.augmentation):
            return own
        return mixing.mix(own, finish(numbers[1], occurrences[1], epoch), epoch, config, occurrences[0])

    def epoch_dataset(epoch: tf.Tensor) -> tf.data.Dataset:
        drawn = tf.numpy_function(draw_epoch, [epoch], [tf.int64, tf.int64], stateful=False)
        dataset = tf.data.Dataset.from_tensor_slices(tuple(tf.ensure_shape(values, (None, 2)) for values in drawn))
        # A pure function of one draw: may run in parallel, results are put back in order.
        return dataset.map(
            lambda numbers, occurrences: finish_draw(numbers, occurrences, epoch),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    return epoch_dataset


def _drawn_pictures(cases: pd.DataFrame, config: Config) -> Callable[..., Tensors]:
    """Returns the function from row, case number, epoch and occurrence to the pictures of the pair that is drawn."""
    rows = several.rows_of_pairs(cases, config)
    picture = pictures_by_number(rows, config)
    if rows is cases:
        return lambda number, case_num, epoch, occurrence: picture(number)  # noqa: ARG005
    counts = rows.groupby("case_num", sort=False).size().to_numpy(np.int64)
    pairs, first = tf.constant(counts), tf.constant(np.cumsum(counts) - counts)

    def drawn(number: tf.Tensor, case_num: tf.Tensor, epoch: tf.Tensor, occurrence: tf.Tensor) -> Tensors:
        return picture(first[number] + several.drawn_pair(config.seed, epoch, case_num, pairs[number], occurrence))

    return drawn


def evaluation_dataset(
    cases: pd.DataFrame, config: Config, card: DataCard, use_cache: bool = False, share: Share = WHOLE
) -> tf.data.Dataset:
    """Returns the batches of all cases in the given order, each exactly once, not augmented.

    Args:
        cases: one row per case, with its first pictures, or per pair, see `several.rows_of_pairs`; all are used.
        config: data and batch size.
        card: of the data set.
        use_cache: keep the pictures as config.data.cache says; for a dataset that is read more than once.
        share: of each batch, as for `training_dataset`; there must be at least one case for each worker.

    Raises:
        DataError: the frame cannot be used; with the file cache also if a file cannot be.
    """
    cached = use_cache and config.data.cache != "none"
    batch_size = config.training.batch_size
    own = cases.iloc[share.places(len(cases), batch_size)]
    elements = _elements(own, config, card, use_cache=cached)
    prepare = to_pictures(own, config)

    @without_autograph
    def finish(labels: Tensors, pair: Tensors) -> Tensors:
        pictures = pair if cached else prepare(pair)
        return labels | {name: images.to_unit_range(pictures[name]) for name in MODALITIES}

    # A pure function of one case: may run in parallel, results are put back in order.
    dataset = elements.map(finish, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    # The last batch has the remaining cases: every case counts once in a metric.
    return _finish(share.batch(dataset, len(cases), batch_size))


def check_training_cases(cases: pd.DataFrame, config: Config, tasks: Sequence[Task]) -> None:
    """Checks, without reading a picture, that these cases can be sampled as the configuration says.

    Raises:
        DataError: a label has no case to balance with.
    """
    if config.data.sampling == "balanced":
        balanced.cases_by_label(cases, tasks)


def training_batch_size(config: Config, tasks: Sequence[Task]) -> int:
    """Returns the number of cases in a training batch (in the last one of a shuffled epoch there may be fewer)."""
    if config.data.sampling == "balanced":
        return balanced.label_count(tasks) * config.data.cases_per_label
    return config.training.batch_size


def steps_per_epoch(cases: int, config: Config, tasks: Sequence[Task]) -> int:
    """Returns the number of training batches in one epoch over `cases` cases, a smaller last one included."""
    return math.ceil(cases / training_batch_size(config, tasks))


def evaluation_steps(cases: int, config: Config) -> int:
    """Returns the number of batches of `evaluation_dataset` over `cases` cases."""
    return math.ceil(cases / config.training.batch_size)


def encode_metadata(cases: pd.DataFrame, columns: Sequence[str], card: DataCard) -> np.ndarray:
    """Returns the metadata of each case, float32 [cases, n]: one-hots, and two numbers for a number, see `inputs`.

    Args:
        cases: one row per case.
        columns: of the card's metadata, at least one, in the order of the vector.
        card: of the data set.

    Raises:
        ConfigError: the card does not have a column, or does not let it in.
        DataError: a value that cannot be; names case and column.
    """
    return inputs.encode(inputs.inputs_of(card, columns), cases[["case_num", *columns]].to_dict("records"))


def _elements(cases: pd.DataFrame, config: Config, card: DataCard, use_cache: bool) -> tf.data.Dataset:
    """Returns (labels, pair) per case in order; pair is uint8 pictures with `use_cache`, else for `to_pictures`."""
    labels = tf.data.Dataset.from_tensor_slices(_labels(cases, config, card))
    pairs = cached_pictures(cases, config) if use_cache else references(cases)
    # Labels are not cached: a corrected label must not meet an old cache file.
    return tf.data.Dataset.zip(labels, pairs)


def _labels(cases: pd.DataFrame, config: Config, card: DataCard) -> Mapping[str, np.ndarray]:
    """Returns everything of a batch but the pictures, for all cases."""
    tasks = [task.name for task in card.tasks]
    needed = ("case_num", *MODALITIES, *tasks, *config.model.metadata)
    missing = [column for column in needed if column not in cases]
    if missing:
        raise DataError(f"the table of cases has no column {', '.join(missing)}")
    if cases.empty:
        raise DataError("there are no cases to read: the table is empty")
    labels = {"case_num": cases["case_num"].to_numpy(np.int64)}
    labels |= {name: cases[name].to_numpy(np.int32) for name in tasks} | answers_of(cases, tasks)
    if config.model.metadata:
        labels["metadata"] = encode_metadata(cases, config.model.metadata, card)
    return labels


def _augment_pair(
    pictures: Tensors, case_num: tf.Tensor, epoch: tf.Tensor, config: Config, occurrence: tf.Tensor | int = 0
) -> Tensors:
    """Returns both pictures as float32 [S, S, 3] in [0, 1], each with draws of its own."""
    return {
        name: augment.augment(
            pictures[name],
            augment.augmentation_seed(config.seed, epoch, case_num, name, occurrence),
            config.augmentation,
        )
        for name in MODALITIES
    }


def _finish(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    # Order is part of a run's identity.
    options.deterministic = True
    # The first batches are read while the train step is traced, not after it.
    options.experimental_warm_start = True
    # Prepare the next batches while the model works on this one.
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)
