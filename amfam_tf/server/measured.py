"""A prediction over either port: it takes a place, and its time and status are measured, whatever becomes of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from amfam_tf.server.admission import Admission
from amfam_tf.server.metrics import RequestMetrics
from amfam_tf.server.status import from_exception


@dataclass
class Prediction:
    """What is known of a prediction so far.

    Attributes:
        model_name: that the request names; "" until it is parsed.
    """

    model_name: str = ""


@contextmanager
def measured(
    admission: Admission, metrics: RequestMetrics, api: str, entrypoint: str, model_name: str = ""
) -> Iterator[Prediction]:
    """Holds a place for one prediction and records it at the end.

    Args:
        api: method or verb, e.g. "Predict".
        entrypoint: "GRPC" or "REST".

    Raises:
        ServingError: RESOURCE_EXHAUSTED, at once, if all places are taken.
    """
    started = time.perf_counter()
    prediction, status = Prediction(model_name), grpc.StatusCode.OK
    try:
        with admission.prediction():
            yield prediction
    except Exception as error:
        status = from_exception(error).code
        raise
    finally:
        microseconds = (time.perf_counter() - started) * 1e6
        metrics.record(prediction.model_name, status.name, api, entrypoint, microseconds)
