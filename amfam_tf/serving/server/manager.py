"""Models and their versions over time: load first, swap, unload the old one once nobody uses it.

One thread looks at the file system; `reconcile` is the only place where versions are loaded or dropped, and it
runs once at a time. Requests only lease: they never wait for a load.
"""

import enum
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from tensorflow_serving.apis import model_pb2

from amfam_tf.serving.server.model_config import ModelServerConfig, validate
from amfam_tf.serving.server.servable import Servable
from amfam_tf.serving.server.status import (
    ServingError,
    failed_precondition,
    from_exception,
    invalid_argument,
    not_found,
)
from amfam_tf.serving.server.versions import Fingerprint, Policy, aspired_versions, find_versions, fingerprint

WAIT_SECONDS = 0.1

_log = logging.getLogger(__name__)


class State(enum.IntEnum):
    """States of a version, with the numbers of ModelVersionStatus.State."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass
class Version:
    """One version of a model, from its first sight on; kept after its end, for GetModelStatus.

    Attributes:
        name: of the model.
        error: why it could not be loaded.
        users: requests that hold it.
        tried: what its folder looked like when it could not be loaded.
    """

    name: str
    number: int
    state: State = State.START
    error: ServingError | None = None
    servable: Servable | None = None
    users: int = 0
    tried: Fingerprint | None = None


@dataclass
class Model:
    """A model of the configuration, or one that was in it."""

    name: str
    base_path: Path = Path()
    policy: Policy = field(default_factory=Policy)
    configured: bool = True
    aspired: frozenset[int] = frozenset()
    versions: dict[int, Version] = field(default_factory=dict)

    def available(self) -> list[Version]:
        """Returns the versions that answer, oldest first."""
        return [version for _, version in sorted(self.versions.items()) if version.state == State.AVAILABLE]

    def failures(self) -> list[Version]:
        """Returns the wanted versions that could not be loaded."""
        return [version for number, version in self.versions.items() if number in self.aspired and version.error]

    def has_failed(self) -> bool:
        """Says whether nothing answers and nothing that is wanted can still come."""
        return not self.available() and bool(self.aspired) and len(self.failures()) == len(self.aspired)


@dataclass(frozen=True)
class Lease:
    """A version that stays loaded while it is held."""

    name: str
    version: int
    servable: Servable


class ModelManager:
    """Serves the models of a configuration.

    Args:
        load: (name, folder) to a servable that is ready to answer, warm-up included.
        poll_seconds: seconds between two looks at the file system; 0 looks only when the configuration changes.
    """

    def __init__(self, load: Callable[[str, Path], Servable], poll_seconds: float) -> None:
        self._load = load
        self._poll_seconds = poll_seconds
        self._models: dict[str, Model] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._lock = threading.Condition()
        self._reconcile_lock = threading.Lock()
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
        validate(config)
        with self._config_lock:
            self._take(config)
            names = [model.name for model in config.model_config_list.config]
            self.reconcile()
            if self._poll_seconds > 0:
                self._thread = threading.Thread(target=self._poll, name="file-system-poll", daemon=True)
                self._thread.start()
            self._wait_available(names, give_up)
            if not give_up():
                self._assign_labels(config)

    def reload(self, config: ModelServerConfig, give_up: Callable[[], bool] = lambda: False) -> None:
        """Replaces the configuration and returns when the models that it adds answer.

        Raises:
            ServingError: the configuration is illegal (then nothing changes) or a new model cannot be loaded.
        """
        validate(config)
        with self._config_lock:
            self._assign_labels(config)
            with self._lock:
                known = {name for name, model in self._models.items() if model.configured}
            self._take(config)
            self.reconcile()
            self._wait_available([m.name for m in config.model_config_list.config if m.name not in known], give_up)

    def stop(self) -> None:
        """Ends the polling and unloads everything."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._take(ModelServerConfig(model_config_list={}))
        self.reconcile()

    @contextmanager
    def lease(self, spec: model_pb2.ModelSpec) -> Iterator[Lease]:
        """Holds the version that a ModelSpec names, or the highest that answers, for the time of a request.

        Raises:
            ServingError: no such model, version or label.
        """
        version = self._hold(spec)
        try:
            yield Lease(spec.name, version.number, version.servable)
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
        """Looks at the file system once; loads what is wanted, then unloads what is not."""
        with self._reconcile_lock:
            with self._lock:
                models = list(self._models.values())
            for model in models:
                self._reconcile_model(model)

    def _reconcile_model(self, model: Model) -> None:
        if model.configured:
            found = find_versions(model.name, model.base_path)
            if found is None:
                return
            aspired = aspired_versions(model.name, found, model.policy)
        else:
            aspired = {}
        with self._lock:
            model.aspired = frozenset(aspired)
        for number, path in sorted(aspired.items()):
            if self._stopping.is_set():
                break
            self._load_version(model, number, path)
        with self._lock:
            ready = any(version.number in aspired for version in model.available())
            leaving = [v for v in model.available() if v.number not in aspired] if ready or not aspired else []
            for version in leaving:
                version.state = State.UNLOADING
            idle = [version for version in leaving if version.users == 0]
        for version in idle:
            self._unload(version)

    def _load_version(self, model: Model, number: int, path: Path) -> None:
        """Loads a version that is new, was unloaded before, or failed before and has been changed since."""
        with self._lock:
            version = model.versions.setdefault(number, Version(model.name, number))
            if version.state not in (State.START, State.END):
                return
        present = fingerprint(path)
        if version.error is not None and version.tried == present:
            return
        self._set_state(version, State.LOADING)
        _log.info("Loading servable version {name: %s version: %d}", model.name, number)
        try:
            servable = self._load(model.name, path)
        except Exception as error:
            cause = from_exception(error)
            _log.error("Loading servable {name: %s version: %d} failed: %s", model.name, number, cause.message)
            self._set_state(version, State.END, error=cause, tried=present)
            return
        self._set_state(version, State.AVAILABLE, servable=servable)
        _log.info("Successfully loaded servable version {name: %s version: %d}", model.name, number)

    def _set_state(
        self,
        version: Version,
        state: State,
        error: ServingError | None = None,
        servable: Servable | None = None,
        tried: Fingerprint | None = None,
    ) -> None:
        with self._lock:
            version.state, version.error, version.servable, version.tried = state, error, servable, tried
            self._lock.notify_all()

    def _unload(self, version: Version) -> None:
        servable = version.servable
        if servable is not None:
            servable.close()
        self._set_state(version, State.END)
        _log.info("Done unloading servable version {name: %s version: %d}", version.name, version.number)

    def _hold(self, spec: model_pb2.ModelSpec) -> Version:
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        with self._lock:
            wanted = self._wanted_version(spec)
            model = self._models.get(spec.name)
            available = {version.number: version for version in model.available()} if model else {}
            if wanted is None:
                wanted = max(available, default=None)
                request = f"Latest({spec.name})"
            else:
                request = f"Specific({spec.name}, {wanted})"
            if wanted not in available:
                raise not_found(f"Servable not found for request: {request}")
            version = available[wanted]
            version.users += 1
            return version

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

    def _let_go(self, version: Version) -> None:
        with self._lock:
            version.users -= 1
            last = version.users == 0 and version.state == State.UNLOADING
        if last:
            # Not in the request's thread: its answer need not wait for that.
            threading.Thread(target=self._unload, args=(version,), name="unload").start()

    def _take(self, config: ModelServerConfig) -> None:
        """Makes a valid configuration the present one; the next `reconcile` acts on it."""
        with self._lock:
            listed = {model.name: model for model in config.model_config_list.config}
            for name, model in self._models.items():
                model.configured = name in listed
            for name, entry in listed.items():
                model = self._models.setdefault(name, Model(name))
                model.base_path, model.policy = Path(entry.base_path), entry.model_version_policy

    def _assign_labels(self, config: ModelServerConfig) -> None:
        """Replaces all labels; each must point to a version that answers now, or none changes."""
        with self._lock:
            labels: dict[str, dict[str, int]] = {}
            for entry in config.model_config_list.config:
                model = self._models.get(entry.name)
                available = {version.number for version in model.available()} if model else set()
                for label, number in entry.version_labels.items():
                    if number not in available:
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
                waiting = [self._models[name] for name in names if not self._models[name].available()]
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
        return self._poll_seconds == 0 and not model.aspired

    def _poll(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            started = time.monotonic()
            try:
                self.reconcile()
            except Exception:
                _log.exception("Looking for versions failed; trying again")
            _log.debug("Looked for versions in %.3f s", time.monotonic() - started)


def _failure_text(models: list[Model]) -> str:
    """Returns upstream's sentence on models that did not become available."""
    parts = []
    for model in models:
        if not model.aspired:
            parts.append(f"{{{{name: {model.name}}} due to error: NOT_FOUND: no version under {model.base_path}}}, ")
        for version in model.failures():
            error = version.error
            status = f"{error.code.name}: {error.message}"
            parts.append(f"{{{{name: {model.name} version: {version.number}}} due to error: {status}}}, ")
    return f"{len(models)} model(s) did not become available: {{{''.join(parts)}}}"
