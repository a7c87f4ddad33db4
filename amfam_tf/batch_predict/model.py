"""An exported version: what it is, and the version loaded, once in a process."""

import re
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from amfam_tf.card import metadata_values
from amfam_tf.card.metadata_values import Given
from amfam_tf.card.schema import MODALITIES, DataCard, MetadataColumn
from amfam_tf.data.images import reason
from amfam_tf.errors import DataError, ExportError, one_line
from amfam_tf.export import signature_names, version_files
from amfam_tf.export.metadata import ONE_PICTURE
from amfam_tf.export.stored_weights import check_weights
from amfam_tf.files import digests
from amfam_tf.files.plain_path import plain_path

REFUSED = re.compile(r"input (\w+), index 0: (the picture [^\]'\"]*)")


@dataclass(frozen=True)
class ExportedVersion:
    """What identifies an exported version.

    Attributes:
        path: its folder, absolute.
        name: of the model.
        number: of the version.
        fingerprint: SHA-256, 64 hex digits, of name, number and the digests of all its files.
        card: of the data that it is trained on.
        columns: of its metadata, those that the version takes.
        one_picture: a pair may have one picture only.
    """

    path: Path
    name: str
    number: int
    fingerprint: str
    card: DataCard
    columns: tuple[str, ...] = ()
    one_picture: bool = False

    @property
    def metadata(self) -> dict[str, MetadataColumn]:
        """The columns that the version takes beside the pictures, by name."""
        return {name: self.card.metadata[name] for name in self.columns}


def describe_version(folder: Path) -> ExportedVersion:
    """Returns what a version is, after a check that every file is as it was exported; loads nothing.

    Args:
        folder: of the version, or of the model: its latest version.

    Raises:
        ExportError: no exported version, or a damaged one.
    """
    path = version_files.find_version(folder).absolute()
    content = version_files.read_metadata(path)
    version_files.check_number(path, content)
    version_files.check_files(path, content["files"])
    identity = digests.of_value([content["name"], content["version"], content["files"]])
    card, columns = version_files.read_card(path), tuple(content.get("metadata", ()))
    one_picture = content.get(ONE_PICTURE, False)
    return ExportedVersion(path, content["name"], content["version"], identity, card, columns, one_picture)


class PictureError(DataError):
    """A picture that the version refuses; `modality` says which of the two."""

    def __init__(self, modality: str, message: str) -> None:
        super().__init__(message)
        self.modality = modality


class LoadedVersion:
    """A version in memory.

    Args:
        path: its folder.

    Attributes:
        columns: metadata that it takes beside the pictures, by name.
        averages: of a case with several pictures of a view, the answers to all pairs are averaged, as its run does
            (`data.several_pictures`); else the first pair is the one.

    Raises:
        ExportError: it cannot be loaded, or holds weights that are no finite numbers.
    """

    def __init__(self, path: str) -> None:
        configuration = version_files.read_metadata(Path(path)).get("configuration", {})
        self.averages = configuration.get("data", {}).get("several_pictures") != "first"
        try:
            # The functions hold the variables only weakly: the model must stay.
            with plain_path(Path(path)) as plain:
                self._model = tf.saved_model.load(str(plain))
            self._signatures = self._model.signatures
            self._prepare = self._model.batching[signature_names.SERVING_DEFAULT].before
            taken = self._signatures[signature_names.PREDICT_IMAGES].structured_input_signature[1]
            metadata = version_files.read_card(Path(path)).metadata
            self.columns = {
                name: column for name, column in metadata.items() if metadata_values.input_name(name) in taken
            }
            check_weights(Path(path))
        except (tf.errors.OpError, OSError, ValueError, AttributeError, KeyError) as error:
            text = reason(error) if isinstance(error, tf.errors.OpError) else one_line(error)
            raise ExportError(f"{path} cannot be loaded: {text[:300]}") from error

    def prepare(self, contents: Mapping[str, bytes]) -> dict[str, np.ndarray]:
        """Returns uint8 [S, S, 3] in [0, 255] of the bytes of picture files, by modality; b"" for one that is missing.

        Raises:
            PictureError: one of them cannot be used; why.
        """
        inputs = {name: tf.constant([content]) for name, content in contents.items()} | self._metadata([{}])
        try:
            squares = self._prepare(**inputs)
            return {name: squares[name][0].numpy() for name in MODALITIES}
        except tf.errors.InvalidArgumentError as error:
            refused = self._find_refused(inputs)
            if refused is None:
                raise
            raise refused from error

    def predict(
        self, squares: Mapping[str, np.ndarray], metadata: Sequence[Mapping[str, Given]] | None = None
    ) -> dict[str, np.ndarray]:
        """Returns the outputs by name, [B, ...].

        Args:
            squares: uint8 [B, S, S, 3] in [0, 255] by modality.
            metadata: of each pair, by column; what is left out is unknown.

        Raises:
            DataError: a value that cannot be.
        """
        rows = [{}] * len(squares[MODALITIES[0]]) if metadata is None else metadata
        inputs = {name: tf.constant(batch) for name, batch in squares.items()} | self._metadata(rows)
        outputs = self._signatures[signature_names.PREDICT_IMAGES](**inputs)
        return {name: output.numpy() for name, output in outputs.items()}

    def _metadata(self, rows: Sequence[Mapping[str, Given]]) -> dict[str, tf.Tensor]:
        values = metadata_values.as_inputs(self.columns, rows)
        return {name: tf.constant(value) for name, value in values.items()}

    def _find_refused(self, inputs: Mapping[str, tf.Tensor]) -> PictureError | None:
        """Returns why the signature refuses a pair: it says which picture it is, where the quick way does not."""
        try:
            self._signatures[signature_names.SERVING_DEFAULT](**inputs)
        except tf.errors.InvalidArgumentError as error:
            found = REFUSED.search(error.message)
            return PictureError(found.group(1), found.group(2).strip()) if found else None
        return None


_loaded: "weakref.WeakValueDictionary[str, LoadedVersion]" = weakref.WeakValueDictionary()
_lock = threading.Lock()


def load_shared(path: str) -> LoadedVersion:
    """Returns a version, loaded once in this process for as long as somebody holds it.

    Raises:
        ExportError: it cannot be loaded.
    """
    with _lock:
        version = _loaded.get(path)
        if version is None:
            version = _loaded[path] = LoadedVersion(path)
        return version
