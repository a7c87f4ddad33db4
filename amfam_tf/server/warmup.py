"""Warm-up: the requests that come with a version, run before it is AVAILABLE."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from amfam_tf.server.status import failed_precondition, invalid_argument

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MOST_RECORDS = 1000
_OUT_OF_SCOPE = "session_run_log"

_log = logging.getLogger(__name__)


def warm_up(folder: Path, methods: Mapping[str, Callable[[Any], object]]) -> int:
    """Runs the requests of a version's warm-up file and returns how many there were.

    Args:
        methods: kind of record (predict_log, ...) to what runs its request.

    Records of methods that this server does not have are left out, with a line in the log. A version whose own samples
    get NaN or infinity fails; upstream does not look at the answers.

    Raises:
        ServingError: more than 1000 records, a record that is no PredictionLog, a request that fails, or an answer that
            is no finite number.
        tf.errors.OpError: the file is no TFRecord.
    """
    path = folder / WARMUP_FILE
    if not path.is_file():
        return 0
    count = 0
    for number, record in enumerate(_read_records(path), start=1):
        if number > MOST_RECORDS:
            raise invalid_argument(f"Number of warmup records exceeds the maximum ({MOST_RECORDS}) at {path}")
        try:
            log = prediction_log_pb2.PredictionLog.FromString(record)
        except Exception as error:
            raise invalid_argument(f"Failed to parse warmup record: {path} record {number}") from error
        kind = log.WhichOneof("log_type")
        if kind == _OUT_OF_SCOPE:
            _log.warning("Left out warmup record %d of %s: this server has no %s", number, path, kind)
            continue
        if kind not in methods:
            raise invalid_argument(f"Unsupported log_type for warmup: {kind} at {path} record {number}")
        _check_answer(methods[kind](getattr(log, kind).request), path, number)
        count += 1
    return count


def _check_answer(response: object, path: Path, number: int) -> None:
    """Refuses outputs, the tasks of a lesion model among them, that hold other than finite numbers."""
    broken = []
    for name, tensor in sorted(getattr(response, "outputs", {}).items()):
        values = tf.make_ndarray(tensor)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            broken.append(f"{name} ({int(values.size - np.isfinite(values).sum())} of {values.size} values)")
    if broken:
        raise failed_precondition(
            f"The answers to warmup record {number} of {path} are not finite: {', '.join(broken)}; "
            "the model has diverged: export another run"
        )


def _read_records(path: Path) -> list[bytes]:
    """Returns at most one record more than allowed."""
    with tf.device("/CPU:0"):
        return list(tf.data.TFRecordDataset(str(path)).take(MOST_RECORDS + 1).as_numpy_iterator())
