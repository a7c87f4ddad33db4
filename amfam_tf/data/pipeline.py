"""Cases to batches: tf.data streams for training and evaluation.

Cases are the rows of a frame from `derm7pt.read_release` or `records.read_records`; both give identical batches.
A batch is a flat dict:

| key | type and shape | range |
| --- | --- | --- |
| clinical, dermoscopic | float32 [B, S, S, 3] | RGB in [0, 1]; S = config.data.image_size |
| case_num | int64 [B] | as in the frame |
| DIAG, PN, BWV, VS, PIG, STR, DaG, RS | int32 [B] | class numbers of `tasks.TASKS` |
| metadata | float32 [B, 14] | one-hots: elevation 3, location 9, sex 2, values in the order of `tasks.METADATA` |

`management` and the difficulty are never part of a batch: both are decided from the diagnosis. A metadata value that is
missing is all zeros.

Training order and augmentation are a function of (config.seed, epoch) only; starting at epoch k gives the batches that
a run from epoch 0 gives in its epoch k, bit for bit. Pictures are kept between epochs as uint8, before augmentation:

| data.cache | pictures are decoded | kept in |
| --- | --- | --- |
| none | once per epoch | nothing |
| memory | once per dataset object, during its first epoch | memory, 2 * 3 * S * S bytes a case |
| file | once for this set of cases and settings, before the dataset is returned | data.cache_directory |
"""

import contextlib
import fcntl
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from amfam_tf.config import Config
from amfam_tf.data import augment, images, records
from amfam_tf.errors import DataError
from amfam_tf.tasks import METADATA, MODALITIES, task_names

Tensors = dict[str, tf.Tensor]

# No Python branch here depends on a tensor; rewriting the source would only double the time until the first batch.
without_autograph = tf.autograph.experimental.do_not_convert

METADATA_INPUTS: tuple[str, ...] = ("elevation", "location", "sex")
METADATA_SIZE: int = sum(len(METADATA[column]) for column in METADATA_INPUTS)

# Part of the file cache's name: raise it when `images.prepare_image` gives other pixels than before.
PREPARATION_VERSION = 1
CACHE_FILE = "pictures"

# What a missing, unreadable or damaged file can raise inside tf.data.
FILE_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.FailedPreconditionError,
    tf.errors.DataLossError,
    tf.errors.UnknownError,
)


def training_dataset(cases: pd.DataFrame, config: Config, first_epoch: int = 0) -> tf.data.Dataset:
    """Returns the shuffled, augmented batches of the epochs `first_epoch` to `config.training.epochs` - 1, in turn.

    Args:
        cases: one row per case; all of them are used.
        config: data, augmentation, seed, batch size and number of epochs.
        first_epoch: epoch to start with, to resume a run.

    Returns:
        Batches as in the module's table, `steps_per_epoch(len(cases), config)` in each epoch; the last one of an epoch
        has the remaining cases.

    Raises:
        DataError: the frame cannot be used; with the file cache also if a file cannot be.
    """
    cached = config.data.cache != "none"
    elements = _elements(cases, config, use_cache=cached)
    to_pictures = _to_pictures(cases, config)

    def finish(labels: Tensors, pair: Tensors, epoch: tf.Tensor) -> Tensors:
        return labels | _augment_pair(pair if cached else to_pictures(pair), labels["case_num"], epoch, config)

    @without_autograph
    def epoch_dataset(epoch: tf.Tensor) -> tf.data.Dataset:
        # Sets the seed of this function's graph only: without it the order would depend on the process's global seed.
        # Not 0: TensorFlow takes the pair (0, 0) for "no seed".
        tf.random.set_seed(1 + config.seed % augment.KEY_RANGE)
        dataset = elements.shuffle(
            # Bounds memory; a buffer smaller than the number of cases mixes neighbours only.
            min(config.data.shuffle_buffer, len(cases)),
            seed=epoch,
            # The order of an epoch must not depend on how many epochs this process has seen.
            reshuffle_each_iteration=False,
        )
        # Decoding (uncached) and augmenting are pure functions of one case, so they may run in parallel; results are
        # put back in order.
        dataset = dataset.map(
            lambda labels, pair: finish(labels, pair, epoch), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        # Batches do not cross epochs: each case is seen exactly once per epoch.
        return dataset.batch(config.training.batch_size, drop_remainder=False)

    # `flat_map` and not `repeat`: the epoch's number goes into the order and the augmentation.
    dataset = tf.data.Dataset.range(first_epoch, config.training.epochs).flat_map(epoch_dataset)
    return _finish(dataset)


def evaluation_dataset(cases: pd.DataFrame, config: Config, use_cache: bool = False) -> tf.data.Dataset:
    """Returns the batches of all cases in the given order, each exactly once, not augmented.

    Args:
        cases: one row per case; all of them are used.
        config: data and batch size.
        use_cache: keep the pictures as config.data.cache says; for a dataset that is read more than once.

    Raises:
        DataError: the frame cannot be used; with the file cache also if a file cannot be.
    """
    cached = use_cache and config.data.cache != "none"
    elements = _elements(cases, config, use_cache=cached)
    to_pictures = _to_pictures(cases, config)

    @without_autograph
    def finish(labels: Tensors, pair: Tensors) -> Tensors:
        pictures = pair if cached else to_pictures(pair)
        return labels | {name: images.to_unit_range(pictures[name]) for name in MODALITIES}

    # A pure function of one case: may run in parallel, results are put back in order.
    dataset = elements.map(finish, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    # The last batch has the remaining cases: every case counts once in a metric.
    return _finish(dataset.batch(config.training.batch_size, drop_remainder=False))


def steps_per_epoch(cases: int, config: Config) -> int:
    """Returns the number of batches in one epoch over `cases` cases, the smaller last one included."""
    return math.ceil(cases / config.training.batch_size)


def encode_metadata(cases: pd.DataFrame) -> np.ndarray:
    """Returns the one-hot metadata of each case, float32 [cases, 14]; a missing value is all zeros.

    Raises:
        DataError: a value that is not in `tasks.METADATA`; names case and column.
    """
    blocks = []
    for column in METADATA_INPUTS:
        values = cases[column].map(lambda value: "" if pd.isna(value) else str(value))
        unknown = ~values.isin(["", *METADATA[column]])
        if unknown.any():
            case_num = cases.loc[unknown, "case_num"].iloc[0]
            raise DataError(
                f"case {case_num}: {column} {values[unknown].iloc[0]!r} is none of {list(METADATA[column])}"
            )
        blocks.append(values.to_numpy()[:, np.newaxis] == np.array(METADATA[column]))
    return np.concatenate(blocks, axis=1).astype(np.float32)


@contextlib.contextmanager
def naming_bad_files(cases: pd.DataFrame, config: Config) -> Iterator[None]:
    """Turns an error inside tf.data into a DataError that names the case and the file.

    Wrap whatever reads a dataset of `cases`, e.g. `fit`. tf.data does not say which element failed, so the files are
    read again, one by one, up to the first that fails. An error that no file explains is raised as it is.
    """
    try:
        yield
    except FILE_ERRORS as error:
        culprit = _find_bad_file(cases, config)
        if culprit is None:
            raise
        raise culprit from error


def _find_bad_file(cases: pd.DataFrame, config: Config) -> DataError | None:
    to_pictures = _to_pictures(cases, config)
    reader = iter(_references(cases))
    for case_num, *files in cases[["case_num", *MODALITIES]].itertuples(index=False):
        try:
            reference = next(reader)
        except FILE_ERRORS as error:
            return DataError(f"case {case_num}: cannot read {files[0]}: {images.reason(error)}")
        for name, file in zip(MODALITIES, files, strict=True):
            try:
                to_pictures({name: reference[name]})
            except FILE_ERRORS as error:
                return DataError(f"case {case_num}: cannot use {name} picture {file}: {images.reason(error)}")
    return None


def _elements(cases: pd.DataFrame, config: Config, use_cache: bool) -> tf.data.Dataset:
    """Returns (labels, pair) per case in order; pair is uint8 pictures with `use_cache`, else for `_to_pictures`."""
    labels = tf.data.Dataset.from_tensor_slices(_labels(cases))
    pairs = _cached_pictures(cases, config) if use_cache else _references(cases)
    # Labels are not cached: a corrected label must not meet an old cache file.
    return tf.data.Dataset.zip(labels, pairs)


def _labels(cases: pd.DataFrame) -> Mapping[str, np.ndarray]:
    """Returns everything of a batch but the pictures, for all cases."""
    needed = ("case_num", *MODALITIES, *task_names(), *METADATA_INPUTS)
    missing = [column for column in needed if column not in cases]
    if missing:
        raise DataError(f"the table of cases has no column {', '.join(missing)}")
    if cases.empty:
        raise DataError("there are no cases to read: the table is empty")
    labels = {"case_num": cases["case_num"].to_numpy(np.int64)}
    labels |= {name: cases[name].to_numpy(np.int32) for name in task_names()}
    return labels | {"metadata": encode_metadata(cases)}


def _references(cases: pd.DataFrame) -> tf.data.Dataset:
    """Returns, for each case in order, the pair's paths (files) or encoded bytes (records): string [] by modality."""
    if records.is_from_records(cases):
        return records.encoded_pairs(cases)
    return tf.data.Dataset.from_tensor_slices({name: cases[name].astype(str).to_numpy() for name in MODALITIES})


def _to_pictures(cases: pd.DataFrame, config: Config) -> Callable[[Tensors], Tensors]:
    """Returns the function from an element of `_references` to uint8 [S, S, 3] by modality."""
    read = tf.identity if records.is_from_records(cases) else tf.io.read_file
    data = config.data

    # A function of its own: both modalities share one graph of the decoder.
    @tf.function(autograph=False, input_signature=[tf.TensorSpec((), tf.string)])
    def prepare(reference: tf.Tensor) -> tf.Tensor:
        return images.prepare_image(read(reference), data.image_size, data.border_crop, data.max_pixels)

    def to_pictures(pair: Tensors) -> Tensors:
        return {name: prepare(reference) for name, reference in pair.items()}

    return without_autograph(to_pictures)


def _augment_pair(pictures: Tensors, case_num: tf.Tensor, epoch: tf.Tensor, config: Config) -> Tensors:
    """Returns both pictures as float32 [S, S, 3] in [0, 1], each with draws of its own."""
    return {
        name: augment.augment(
            images.to_unit_range(pictures[name]),
            augment.augmentation_seed(config.seed, epoch, case_num, name),
            config.augmentation,
        )
        for name in MODALITIES
    }


def _finish(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    # Order is part of a run's identity.
    options.deterministic = True
    # Prepare the next batches while the model works on this one.
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)


def _cached_pictures(cases: pd.DataFrame, config: Config) -> tf.data.Dataset:
    """Returns the uint8 pictures of each case in order, decoded once."""
    # Decoding one case does not depend on another: parallel, results put back in order.
    pictures = _references(cases).map(
        _to_pictures(cases, config), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    if config.data.cache == "memory":
        # Before augmentation and as uint8: a quarter of float32, and each epoch still draws anew.
        return pictures.cache()
    return pictures.cache(str(_fill_file_cache(pictures, cases, config)))


def _fill_file_cache(pictures: tf.data.Dataset, cases: pd.DataFrame, config: Config) -> Path:
    """Writes the file cache unless it is there; returns the prefix of its files.

    tf.data would fill it during the first epoch, and a process killed then leaves a lock file and a part. Here it is
    filled in a folder beside and renamed when complete, under a lock that the system releases with the process.
    """
    directory = Path(config.data.cache_directory or "")
    folder = directory / f"{CACHE_FILE}-{_cache_fingerprint(cases, config)}"
    partial = folder.with_name(f"{folder.name}.partial")
    directory.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            with naming_bad_files(cases, config):
                for _ in pictures.cache(str(partial / CACHE_FILE)):
                    pass
            partial.rename(folder)
    return folder / CACHE_FILE


def _cache_fingerprint(cases: pd.DataFrame, config: Config) -> str:
    """Returns a name for these pictures, prepared with these settings, in this order."""
    data = config.data
    settings = [PREPARATION_VERSION, tf.__version__, data.image_size, data.border_crop, data.max_pixels]
    files = [cases[name].astype(str).tolist() for name in MODALITIES]
    states = {path: _file_state(path) for path in sorted(records.source_files(cases))}
    text = json.dumps([settings, cases["case_num"].tolist(), files, states])
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _file_state(path: str) -> tuple[int, int]:
    """Returns size and time of change: another file in the same place is another picture."""
    try:
        state = Path(path).stat()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return state.st_size, state.st_mtime_ns
