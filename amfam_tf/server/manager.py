"""Models and their versions over time: load first, swap, unload the old one once nobody uses it.

One thread asks at intervals for a look at every model. Each look has a thread of its own, and within it each load one
more, so that a file system that hangs or a graph that never gets ready holds up its own model only, and a load for a
limited time. Requests only lease: they never wait for a load.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from tensorflow_serving.apis import model_pb2
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from amfam_tf.server.model import Attempt, Lease, Look, Model, ServedVersion, State
from amfam_tf.server.model_config import validate
from amfam_tf.server.roots import Roots
from amfam_tf.server.servable import Servable
from amfam_tf.server.status import ServingError, failed_precondition, from_exception, invalid_argument, not_found
from amfam_tf.server.versions import Fingerprint, aspired_versions, find_versions, fingerprint

WAIT_SECONDS = 0.1
LATE_SECONDS = 10
"""After this time without an answer of its file system, a model's name stands in the log."""
SECONDS_TO_END = 5
"""How long `stop` waits for what may hang: a file system, a load, the end of a session."""

_log = logging.getLogger(__name__)


class ModelManager:
    """Serves the models of a configuration.

    Args:
        load: (name, version, folder) to a servable that is ready to answer, warm-up included.
        roots: folders below which models may be.
        poll_seconds: seconds between two looks at the file system; 0 looks only when the configuration changes.
        load_seconds: longest load; then the version has failed, and what comes late is closed.
        early_labels: a label that is new may point to a version that does not answer yet.
    """

    def __init__(
        self,
        load: Callable[[str, int, Path], Servable],
        roots: Roots,
        poll_seconds: float,
        load_seconds: float,
        early_labels: bool = False,
    ) -> None:
        self._load = load
        self._roots = roots
        self._poll_seconds = poll_seconds
        self._load_seconds = load_seconds
        self._early_labels = early_labels
        self._models: dict[str, Model] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._lock = threading.Condition()
        self._config_lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, config: ModelServerConfig, give_up: Callable[[], bool] = lambda: False) -> None:
        """Loads the first configuration and returns when every model has a version that answers.

        Args:
            give_up: asked while waiting; True ends the wait without an error.

        Raises:
            ServingError: illegal configuration, or a model of which no wanted version can be loaded.
        """
        self._check(config)
        with self._config_lock:
            self._take(config)
        self.reconcile()
        if self._poll_seconds > 0:
            self._thread = threading.Thread(target=self._poll, name="file-system-poll", daemon=True)
            self._thread.start()
        self._wait_available([model.name for model in config.model_config_list.config], give_up)
        if not give_up():
            with self._config_lock:
                self._assign_labels(config)

    def reload(self, config: ModelServerConfig, give_up: Callable[[], bool] = lambda: False, wait: bool = True) -> None:
        """Replaces the configuration and returns when the models that it adds answer and those that it drops are gone.

        Args:
            give_up: as of `start`.
            wait: False returns when the configuration is taken.

        Raises:
            ServingError: the configuration is illegal (then nothing changes), a new model cannot be loaded, or all that
                takes longer than a load may.
        """
        self._check(config)
        with self._config_lock:
            self._assign_labels(config)
            with self._lock:
                known = {name for name, model in self._models.items() if model.configured}
            self._take(config)
        self.reconcile()
        if wait:
            listed = {model.name for model in config.model_config_list.config}
            end = time.monotonic() + self._load_seconds
            self._wait_available(sorted(listed - known), lambda: give_up() or time.monotonic() > end)
            self._wait_gone(known - listed, lambda: give_up() or time.monotonic() > end)
            if time.monotonic() > end and not give_up():
                raise ServingError(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    f"the configuration is taken, but its models were not ready after {self._load_seconds:g} s",
                )

    def stop(self) -> bool:
        """Ends the polling and unloads everything; says whether all of it has ended, or something hangs."""
        self._stopping.set()
        self._take(ModelServerConfig(model_config_list={}))
        with self._lock:
            self._lock.notify_all()
            models = list(self._models.values())
            self._lock.wait_for(lambda: not any(model.look for model in models), SECONDS_TO_END)

        def close_all() -> None:
            for model in models:
                self._retire(model, {})

        # Closing a session can hang as a load can.
        closing = threading.Thread(target=close_all, daemon=True)
        closing.start()
        for thread in filter(None, (self._thread, closing)):
            thread.join(SECONDS_TO_END)
        with self._lock:
            attempts = [version.attempt for model in models for version in model.versions.values() if version.attempt]
            hangs = any(model.look for model in models) or not all(attempt.ended for attempt in attempts)
        return not (hangs or closing.is_alive())

    @contextmanager
    def lease(self, spec: model_pb2.ModelSpec) -> Iterator[Lease]:
        """Holds the version that a ModelSpec names, or the highest that answers, for the time of a request.

        Raises:
            ServingError: no such model, version or label.
        """
        version, servable = self._hold(spec)
        try:
            yield Lease(spec.name, version.number, servable)
        finally:
            self._let_go(version)

    def statuses(self, name: str) -> list[tuple[int, State, ServingError | None]]:
        """Returns (version, state, error) of all versions ever seen of a model, the newest first."""
        with self._lock:
            model = self._models.get(name)
            found = model.versions.values() if model else ()
            return sorted(((v.number, v.state, v.error) for v in found), key=lambda row: row[0], reverse=True)

    def is_configured(self, name: str) -> bool:
        """Says whether the present configuration lists the model."""
        with self._lock:
            return name in self._models and self._models[name].configured

    def reconcile(self) -> None:
        """Has every model looked at, each in a thread of its own; does not wait for them."""
        with self._lock:
            models = list(self._models.values())
        for model in models:
            self._look_at(model)

    def _look_at(self, model: Model) -> None:
        """Starts a look, or has the present one look again; one that hangs at another folder is left behind."""
        with self._lock:
            look, wanted = model.look, model.next_look()
            if look is not None and not (look.reading and look.base_path != wanted.base_path):
                look.again = True
                return
            model.look = wanted
            try:
                threading.Thread(target=self._look, args=(model, wanted), name="look", daemon=True).start()
            except RuntimeError:
                model.look = None
                raise

    def _look(self, model: Model, look: Look) -> None:
        while True:
            try:
                self._reconcile_model(model, look)
            except Exception:
                _log.exception("Looking for versions of servable %s failed; trying again", model.name)
            with self._lock:
                if model.look is not look:
                    return
                model.looked = look.base_path == model.next_look().base_path
                model.look = model.next_look() if look.again and not self._stopping.is_set() else None
                self._lock.notify_all()
                if model.look is None:
                    return
                look = model.look

    def _reconcile_model(self, model: Model, look: Look) -> None:
        """Loads what is wanted, then unloads what is not."""
        found = find_versions(model.name, look.base_path) if look.base_path else {}
        with self._lock:
            look.reading = False
            if found is None or model.look is not look or self._stopping.is_set():
                return
        aspired = aspired_versions(model.name, found, look.policy) if look.base_path else {}
        with self._lock:
            model.aspired = frozenset(aspired)
        for number, path in sorted(aspired.items()):
            if self._stopping.is_set():
                return
            self._load_version(model, number, path)
        self._retire(model, aspired)

    def _retire(self, model: Model, aspired: Collection[int]) -> None:
        """Unloads the versions that are not wanted, if one that is wanted answers or none is."""
        with self._lock:
            ready = any(version.number in aspired for version in model.available())
            leaving = [v for v in model.available() if v.number not in aspired] if ready or not aspired else []
            for version in leaving:
                version.state = State.UNLOADING
            idle = [version for version in leaving if version.users == 0]
        for version in idle:
            self._unload(version)

    def _load_version(self, model: Model, number: int, path: Path) -> None:
        """Loads a version that is new, was unloaded before, or failed before and has been changed since.

        Returns when it answers, has failed or the time is over.
        """
        with self._lock:
            version = model.versions.setdefault(number, ServedVersion(model.name, number))
            hangs = version.attempt is not None and not version.attempt.ended
            if hangs or version.state not in (State.START, State.END):
                return
            attempt = Attempt()
            threading.Thread(target=self._try_to_load, args=(version, path, attempt), name="load", daemon=True).start()
            version.attempt = attempt
        seconds = self._load_seconds
        with self._lock:
            self._lock.wait_for(lambda: attempt.filled or self._stopping.is_set(), seconds)
            attempt.given_up = not attempt.filled
        if attempt.given_up and self._stopping.is_set():
            return
        if attempt.given_up:
            limit = f"it did not end within {seconds:g} s (--load-timeout-seconds)"
            attempt.error = ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, limit)
        if attempt.error is not None:
            message = attempt.error.message
            _log.error("Loading servable {name: %s version: %d} failed: %s", model.name, number, message)
            self._set_state(version, State.END, error=attempt.error, tried=attempt.present)
        elif attempt.servable is not None:
            self._set_state(version, State.AVAILABLE, servable=attempt.servable)
            attempt.servable = None
            _log.info("Successfully loaded servable version {name: %s version: %d}", model.name, number)

    def _try_to_load(self, version: ServedVersion, path: Path, attempt: Attempt) -> None:
        """Fills the attempt: a servable, an error, or neither if nothing has changed since the version failed."""
        servable, error = None, None
        try:
            attempt.present = fingerprint(path)
            if self._begins_to_load(version, attempt):
                self._roots.check_version(path)
                servable = self._load(version.name, version.number, path)
        except Exception as failure:
            error = from_exception(failure)
        with self._lock:
            late = attempt.given_up
            if not late:
                attempt.servable, attempt.error, attempt.filled = servable, error, True
                self._lock.notify_all()
        if late and servable is not None:
            servable.close()
            _log.warning("Closed servable version {name: %s version: %d}: it came late", version.name, version.number)
        with self._lock:
            attempt.ended = True
            self._lock.notify_all()

    def _begins_to_load(self, version: ServedVersion, attempt: Attempt) -> bool:
        with self._lock:
            unchanged = version.error is not None and version.tried == attempt.present
            if unchanged or attempt.given_up:
                return False
            version.state, version.error = State.LOADING, None
            self._lock.notify_all()
        _log.info("Loading servable version {name: %s version: %d}", version.name, version.number)
        return True

    def _set_state(
        self,
        version: ServedVersion,
        state: State,
        error: ServingError | None = None,
        servable: Servable | None = None,
        tried: Fingerprint | None = None,
    ) -> None:
        with self._lock:
            version.state, version.error, version.servable, version.tried = state, error, servable, tried
            self._lock.notify_all()

    def _unload(self, version: ServedVersion) -> None:
        servable = version.servable
        if servable is not None:
            servable.close()
        self._set_state(version, State.END)
        _log.info("Done unloading servable version {name: %s version: %d}", version.name, version.number)

    def _hold(self, spec: model_pb2.ModelSpec) -> tuple[ServedVersion, Servable]:
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        with self._lock:
            wanted = self._wanted_version(spec)
            model = self._models.get(spec.name)
            versions = model.available() if model else []
            available = {one.number: (one, one.servable) for one in versions if one.servable is not None}
            if wanted is None:
                wanted = max(available, default=None)
                request = f"Latest({spec.name})"
            else:
                request = f"Specific({spec.name}, {wanted})"
            if wanted not in available:
                raise not_found(f"Servable not found for request: {request}")
            version, servable = available[wanted]
            version.users += 1
            return version, servable

    def _wanted_version(self, spec: model_pb2.ModelSpec) -> int | None:
        """Returns the version number that a spec asks for, None for the latest; call it with the lock held."""
        choice = spec.WhichOneof("version_choice")
        if choice == "version":
            return spec.version.value
        if choice == "version_label":
            version = self._labels.get(spec.name, {}).get(spec.version_label)
            if version is None:
                raise invalid_argument(f"Unrecognized servable version label: {spec.version_label}")
            return version
        return None

    def _let_go(self, version: ServedVersion) -> None:
        with self._lock:
            version.users -= 1
            last = version.users == 0 and version.state == State.UNLOADING
        if last:
            # Not in the request's thread: its answer need not wait for that.
            threading.Thread(target=self._unload, args=(version,), name="unload", daemon=True).start()

    def _check(self, config: ModelServerConfig) -> None:
        validate(config)
        self._roots.check_config(config, self._load_seconds)

    def _take(self, config: ModelServerConfig) -> None:
        """Makes a valid configuration the present one; the next `reconcile` acts on it."""
        with self._lock:
            listed = {model.name: model for model in config.model_config_list.config}
            for name, model in self._models.items():
                model.looked = model.looked and model.configured
                model.configured = name in listed
            for name, entry in listed.items():
                model = self._models.setdefault(name, Model(name))
                model.looked = model.looked and model.base_path == Path(entry.base_path)
                model.base_path, model.policy = Path(entry.base_path), entry.model_version_policy

    def _assign_labels(self, config: ModelServerConfig) -> None:
        """Replaces all labels; each must point to a version that answers now, or none changes.

        With early labels one that is new may point to any version.
        """
        with self._lock:
            labels: dict[str, dict[str, int]] = {}
            for entry in config.model_config_list.config:
                model = self._models.get(entry.name)
                available = {version.number for version in model.available()} if model else set()
                for label, number in entry.version_labels.items():
                    present = self._labels.get(entry.name, {}).get(label, number)
                    if number not in available and not (self._early_labels and present == number):
                        raise failed_precondition(
                            f"Request to assign label to version {number} of model {entry.name}, "
                            "which is not currently available for inference"
                        )
                    labels.setdefault(entry.name, {})[label] = number
            self._labels = labels

    def _wait_available(self, names: list[str], give_up: Callable[[], bool]) -> None:
        """Waits until every model has a version that answers.

        Raises:
            ServingError: UNKNOWN, for models of which no wanted version could be loaded.
        """
        while not give_up() and not self._stopping.is_set():
            with self._lock:
                models = [self._models[name] for name in names]
                waiting = [m for m in models if m.configured and not (m.looked and m.available())]
                failed = [model for model in waiting if model.has_failed() or self._is_hopeless(model)]
                if len(failed) == len(waiting):
                    break
                self._lock.wait(WAIT_SECONDS)
        else:
            return
        if failed:
            raise ServingError(grpc.StatusCode.UNKNOWN, _failure_text(failed))

    def _is_hopeless(self, model: Model) -> bool:
        """Says whether a model has no version and nobody will look for one again."""
        return self._poll_seconds == 0 and model.looked and not model.aspired

    def _wait_gone(self, names: set[str], give_up: Callable[[], bool]) -> None:
        """Waits until what could be unloaded of models that are not configured any more is."""
        while not give_up() and not self._stopping.is_set():
            with self._lock:
                if not any(self._models[name].look for name in names if not self._models[name].configured):
                    return
                self._lock.wait(WAIT_SECONDS)

    def _poll(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            try:
                self.reconcile()
                self._name_late_looks()
            except Exception:
                _log.exception("Looking for versions failed; trying again")

    def _name_late_looks(self) -> None:
        """Logs, once each, the looks that wait for their file system."""
        with self._lock:
            looks = [(model.name, model.look) for model in self._models.values() if model.look]
        for name, look in looks:
            if look.reading and not look.late and time.monotonic() - look.started > LATE_SECONDS:
                look.late = True
                _log.warning("Base path %s of servable %s does not answer; waiting for it", look.base_path, name)


def _failure_text(models: list[Model]) -> str:
    """Returns upstream's sentence on models that did not become available."""
    parts = []
    for model in models:
        if not model.aspired:
            parts.append(f"{{{{name: {model.name}}} due to error: NOT_FOUND: no version under {model.base_path}}}, ")
        for number, error in model.failures().items():
            status = f"{error.code.name}: {error.message}"
            parts.append(f"{{{{name: {model.name} version: {number}}} due to error: {status}}}, ")
    return f"{len(models)} model(s) did not become available: {{{''.join(parts)}}}"
