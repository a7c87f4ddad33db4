"""Keras as this package needs it, whatever ~/.keras/keras.json and the environment ask for.

`import amfam_tf` decides: backend, float type, order of the axes and epsilon are set for the process and its children
before any layer is made, also where a program imports the package and not the command line. One line on standard error,
when Keras is imported, says what was asked for and is not so.
"""

import importlib.abc
import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from amfam_tf.errors import ConfigError, one_line

BACKEND = "tensorflow"
SETTINGS: Mapping[str, Any] = MappingProxyType(
    {"backend": BACKEND, "floatx": "float32", "image_data_format": "channels_last", "epsilon": 1e-7}
)
"""What this package's numbers are made with, by its name in keras.json."""
REMOVED = ("TF_USE_LEGACY_KERAS", "KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED")
"""Variables that would give another Keras, or shorten a training."""
HARMLESS = ("", "0", "false", "False")
SAID = "AMFAM_TF_KERAS_SAID"
"""Set for child processes: what the parent has said is not said again."""


def settle() -> None:
    """Settles the environment now, and Keras' own settings as soon as Keras is there.

    Raises:
        ImportError: Keras is imported already, with another backend.
    """
    overridden = _settle_environment()
    loaded = sys.modules.get("keras")
    if loaded is None:
        sys.meta_path.insert(0, _KerasFinder(overridden))
        return
    backend = loaded.config.backend()
    if backend != BACKEND:
        raise ImportError(
            f"amfam_tf needs Keras with the backend {BACKEND}, and this process has imported it with {backend}: "
            f"import amfam_tf before keras, or set KERAS_BACKEND={BACKEND}"
        )
    _say([*overridden, *_settle_keras(loaded)])


def _settle_environment() -> list[str]:
    """Returns what the environment asked for and is not so."""
    asked = os.environ.get("KERAS_BACKEND", "")
    overridden = [f"KERAS_BACKEND={asked}"] if asked not in ("", BACKEND) else []
    os.environ["KERAS_BACKEND"] = BACKEND
    for name in REMOVED:
        value = os.environ.pop(name, "")
        if value not in HARMLESS:
            overridden.append(f"{name}={value}")
    return overridden


def _settle_keras(keras: ModuleType) -> list[str]:
    """Sets what a file or a program has set otherwise; returns it."""
    asked = {
        "floatx": keras.config.floatx(),
        "image_data_format": keras.config.image_data_format(),
        "epsilon": keras.config.epsilon(),
        "max_epochs": keras.config.max_epochs(),
        "max_steps_per_epoch": keras.config.max_steps_per_epoch(),
    }
    wanted = {name: SETTINGS.get(name) for name in asked}
    for name, value in wanted.items():
        if asked[name] != value:
            getattr(keras.config, f"set_{name}")(value)
    return [f"{name}={value} of Keras' settings" for name, value in asked.items() if value != wanted[name]]


def _backend_of_file() -> list[str]:
    """Returns the backend that keras.json names, if it is another: the environment's has won over it."""
    try:
        content = json.loads(settings_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    backend = content.get("backend", BACKEND) if isinstance(content, dict) else BACKEND
    return [] if backend == BACKEND else [f"backend={backend} of Keras' settings"]


def settings_file() -> Path:
    """Returns where Keras looks for its settings."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home is not None else Path.home() / ".keras").expanduser() / "keras.json"


def _say(overridden: Sequence[str]) -> None:
    if not overridden or SAID in os.environ:
        return
    os.environ[SAID] = "1"
    asked = "; ".join(" ".join(text.split())[:100] for text in overridden)
    settings = ", ".join(f"{name} {value}" for name, value in SETTINGS.items())
    print(f"note: amfam-tf uses Keras with {settings}. Overridden: {asked}", file=sys.stderr)


class _KerasFinder(importlib.abc.MetaPathFinder):
    """Finds Keras as the other finders do, and settles it when it has been loaded."""

    def __init__(self, overridden: Sequence[str]):
        self._overridden = overridden
        self._asking = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname != "keras" or self._asking:
            return None
        self._asking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._asking = False
        if spec is not None and spec.loader is not None:
            self._settle_after(spec.loader)
        return spec

    def _settle_after(self, loader: importlib.abc.Loader) -> None:
        load = loader.exec_module

        def load_and_settle(module: ModuleType) -> None:
            # Again: the program may have changed the environment since.
            overridden = list(dict.fromkeys([*self._overridden, *_settle_environment()]))
            try:
                load(module)
            except (ValueError, AttributeError, TypeError) as error:
                if not settings_file().is_file():
                    raise
                reason = one_line(error)[:300]
                raise ConfigError(f"{settings_file()}: Keras cannot use it: {reason}; mend or remove it") from error
            _say([*overridden, *_backend_of_file(), *_settle_keras(module)])

        loader.exec_module = load_and_settle  # type: ignore[method-assign]
