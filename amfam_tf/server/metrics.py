"""Request metrics in Prometheus' text format, under TensorFlow Serving's names."""

import bisect
import itertools
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

REQUEST_COUNT = ":tensorflow:serving:request_count"
REQUEST_LATENCY = ":tensorflow:serving:request_latency"
BUCKETS_MICROSECONDS = tuple(10 * 1.8**power for power in range(33))
DEFAULT_PATH = "/monitoring/prometheus/metrics"
OTHER_NAME = ""


class RequestMetrics(Collector):
    """Counts requests by model and status, and times the successful ones.

    Names of models come from requests: those that are in no configuration are counted together, under the empty name,
    so that nothing of an invented name stays in memory.

    Args:
        is_configured: says whether a model is in the present configuration. A model that was asked for while it was
            keeps its name.
    """

    def __init__(self, is_configured: Callable[[str], bool]) -> None:
        self._is_configured = is_configured
        self._lock = threading.Lock()
        self._names: set[str] = set()
        self._counts: dict[tuple[str, str], int] = defaultdict(int)
        self._buckets: dict[tuple[str, str, str], list[int]] = {}
        self._sums: dict[tuple[str, str, str], float] = defaultdict(float)
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def record(self, model_name: str, status: str, api: str, entrypoint: str, microseconds: float) -> None:
        """Notes the end of a request.

        Args:
            status: name of the status code, e.g. "OK".
            api: "Predict" (gRPC) or "predict" (REST).
            entrypoint: "GRPC" or "REST".
        """
        configured = self._is_configured(model_name)
        with self._lock:
            if configured:
                self._names.add(model_name)
            name = model_name if model_name in self._names else OTHER_NAME
            self._counts[name, status] += 1
            if status != "OK":
                return
            key = (name, api, entrypoint)
            buckets = self._buckets.setdefault(key, [0] * (len(BUCKETS_MICROSECONDS) + 1))
            buckets[bisect.bisect_left(BUCKETS_MICROSECONDS, microseconds)] += 1
            self._sums[key] += microseconds

    def page(self) -> bytes:
        """Returns the page that Prometheus reads."""
        text = generate_latest(self._registry)
        # The library names the family of a counter NAME_total, upstream names it as its samples.
        return text.replace(f"{REQUEST_COUNT}_total ".encode(), f"{REQUEST_COUNT} ".encode())

    def collect(self) -> Iterator[Metric]:
        """Yields the number of requests by status, and the histogram of their latency."""
        with self._lock:
            counts, sums = dict(self._counts), dict(self._sums)
            buckets = {key: list(values) for key, values in self._buckets.items()}
        family = Metric(REQUEST_COUNT, "The total number of requests.", "counter")
        for (model_name, status), count in sorted(counts.items()):
            family.add_sample(REQUEST_COUNT, {"model_name": model_name, "status": status}, count)
        yield family
        histogram = HistogramMetricFamily(
            REQUEST_LATENCY,
            "Distribution of wall time (in microseconds) for Tensorflow Serving request.",
            labels=("model_name", "API", "entrypoint"),
        )
        bounds = [f"{bound:g}" for bound in BUCKETS_MICROSECONDS] + ["+Inf"]
        for key, values in sorted(buckets.items()):
            histogram.add_metric(key, list(zip(bounds, itertools.accumulate(values), strict=True)), sums[key])
        yield histogram
