"""Pictures of cases, prepared and uint8: one after the other or by their number, decoded each time or kept.

| data.cache | pictures are decoded | kept in |
| --- | --- | --- |
| none | each time | nothing; by number from records: their encoded bytes, in memory |
| memory | once per dataset object | memory, 2 * 3 * S * S bytes a case |
| file | once for this set of cases and settings, before the dataset is returned | data.cache_directory |
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import tensorflow as tf

from amfam_tf.card.schema import MODALITIES
from amfam_tf.config import Config
from amfam_tf.data import images, records
from amfam_tf.data.several import rows_of_pairs
from amfam_tf.errors import DataError
from amfam_tf.files import digests, regular_files
from amfam_tf.files.locks import waiting_for_file
from amfam_tf.files.writing import appearing_folder

Tensors = dict[str, tf.Tensor]

# No Python branch here depends on a tensor; rewriting the source would only double the time until the first batch.
without_autograph = tf.autograph.experimental.do_not_convert

# Part of the file cache's name: raise it when `images.prepare_image` gives other pixels than before.
PREPARATION_VERSION = 2
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
    cases = rows_of_pairs(cases, config)
    prepare = to_pictures(cases, config)
    reader = iter(references(cases))
    for case_num, *files in cases[["case_num", *MODALITIES]].itertuples(index=False):
        try:
            reference = next(reader)
        except FILE_ERRORS as error:
            return DataError(f"case {case_num}: cannot read {files[0]}: {images.reason(error)}")
        for name, file in zip(MODALITIES, files, strict=True):
            try:
                prepare({name: reference[name]})
            except FILE_ERRORS as error:
                return DataError(f"case {case_num}: cannot use {name} picture {file}: {images.reason(error)}")
    return None


def references(cases: pd.DataFrame) -> tf.data.Dataset:
    """Returns, for each case in order, the pair's paths (files) or encoded bytes (records): string [] by modality.

    Raises:
        DataError: a file is no regular one, or too large; names case and file.
    """
    if records.is_from_records(cases):
        return records.encoded_pairs(cases)
    _refuse_other_files(cases)
    return tf.data.Dataset.from_tensor_slices({name: cases[name].astype(str).to_numpy() for name in MODALITIES})


def _refuse_other_files(cases: pd.DataFrame) -> None:
    """Checks the files of a data set: TensorFlow opens by itself whatever a path leads to, and waits there for ever."""
    for case_num, *files in cases[["case_num", *MODALITIES]].itertuples(index=False):
        for name, file in zip(MODALITIES, files, strict=True):
            try:
                regular_files.check(file, regular_files.MAX_PICTURE_BYTES)
            except regular_files.IrregularFileError as error:
                raise DataError(f"case {case_num}: cannot read {name} picture {file}: {error.strerror}") from error
            except OSError:
                # Found when it is read.
                continue


def to_pictures(cases: pd.DataFrame, config: Config) -> Callable[[Tensors], Tensors]:
    """Returns the function from an element of `references` to uint8 [S, S, 3] by modality."""
    read = tf.identity if records.is_from_records(cases) else tf.io.read_file
    data = config.data

    def prepare(reference: tf.Tensor) -> tf.Tensor:
        return images.prepare_image(read(reference), data.image_size, data.border_crop, data.max_pixels)

    def prepare_pair(pair: Tensors) -> Tensors:
        return {name: prepare(reference) for name, reference in pair.items()}

    return without_autograph(prepare_pair)


def cached_pictures(cases: pd.DataFrame, config: Config) -> tf.data.Dataset:
    """Returns the uint8 pictures of each case in order, decoded once."""
    pictures = _prepared(cases, config)
    if config.data.cache == "memory":
        # Before augmentation and as uint8: a quarter of float32, and each epoch still draws anew.
        return pictures.cache()

    def fill(folder: Path) -> None:
        for _ in pictures.cache(str(folder / CACHE_FILE)):
            pass

    return pictures.cache(str(_file_cache(CACHE_FILE, fill, cases, config) / CACHE_FILE))


def pictures_by_number(cases: pd.DataFrame, config: Config) -> Callable[[tf.Tensor], Tensors]:
    """Returns the function from the number of a row, int64 [] in [0, cases), to uint8 [S, S, 3] by modality.

    For orders in which a case may come twice; each picture is kept once, see the module's table.

    Raises:
        DataError: a file cannot be used (with config.data.cache "memory" or "file").
    """
    if config.data.cache == "file":
        return _pictures_in_files(cases, config)
    keep = config.data.cache == "memory"
    dataset = _prepared(cases, config) if keep else references(cases)
    with naming_bad_files(cases, config), tf.device("CPU"):
        kept = dataset.batch(len(cases)).get_single_element()
    prepare = dict if keep else to_pictures(cases, config)

    def picture(number: tf.Tensor) -> Tensors:
        return prepare({name: values[number] for name, values in kept.items()})

    return without_autograph(picture)


def _pictures_in_files(cases: pd.DataFrame, config: Config) -> Callable[[tf.Tensor], Tensors]:
    """Returns the function of `pictures_by_number` that reads a file of plain bytes per case.

    tf.data's own file cache can only be read from the start to the end.
    """
    shape = (len(MODALITIES), config.data.image_size, config.data.image_size, 3)

    def fill(folder: Path) -> None:
        for number, pair in enumerate(_prepared(cases, config).as_numpy_iterator()):
            (folder / str(number)).write_bytes(b"".join(pair[name].tobytes() for name in MODALITIES))

    folder = _file_cache(f"{CACHE_FILE}-by-number", fill, cases, config)

    def picture(number: tf.Tensor) -> Tensors:
        data = tf.io.read_file(tf.strings.join([f"{folder}/", tf.strings.as_string(number)]))
        pair = tf.reshape(tf.io.decode_raw(data, tf.uint8), shape)
        return dict(zip(MODALITIES, tf.unstack(pair), strict=True))

    return without_autograph(picture)


def _prepared(cases: pd.DataFrame, config: Config) -> tf.data.Dataset:
    """Returns the uint8 pictures of each case in order."""
    # Decoding one case does not depend on another: parallel, results put back in order.
    return references(cases).map(to_pictures(cases, config), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _file_cache(kind: str, fill: Callable[[Path], None], cases: pd.DataFrame, config: Config) -> Path:
    """Returns the folder of a file cache; `fill` writes its files into a folder unless they are there.

    tf.data would fill it during the first epoch, and a process killed then leaves a lock file and a part. Here it is
    filled in a folder that appears when it is complete, under a lock that the system releases with the process.
    """
    directory = Path(config.data.cache_directory or "")
    folder = directory / f"{kind}-{cache_fingerprint(cases, config)}"
    directory.mkdir(parents=True, exist_ok=True)
    with waiting_for_file(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            in_use = DataError(f"{folder} is in use: another process fills it")
            with appearing_folder(folder, in_use) as partial, naming_bad_files(cases, config):
                fill(partial)
    return folder


def cache_fingerprint(cases: pd.DataFrame, config: Config) -> str:
    """Returns a name for these pictures, prepared with these settings, in this order."""
    data = config.data
    settings = [PREPARATION_VERSION, tf.__version__, data.image_size, data.border_crop, data.max_pixels]
    files = [cases[name].astype(str).tolist() for name in MODALITIES]
    states = {path: _file_state(path) for path in sorted(records.source_files(cases))}
    return digests.of_value([settings, cases["case_num"].tolist(), files, states])[:20]


def _file_state(path: str) -> tuple[int, int]:
    """Returns size and time of change: another file in the same place is another picture."""
    try:
        state = Path(path).stat()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return state.st_size, state.st_mtime_ns
