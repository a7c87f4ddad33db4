"""Keeps TensorFlow's start-up log off the terminal.

TF_CPP_MIN_LOG_LEVEL reaches TensorFlow's C++ logger too late for what it logs while it is imported and while it looks
for devices, so standard error is held back during both. It is shown again if the import fails, and never held
back if the user has set TF_CPP_MIN_LOG_LEVEL.
"""

import contextlib
import importlib.abc
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
FATAL_ONLY = "3"
STANDARD_ERROR = 2


def quiet_tensorflow() -> None:
    """Arranges a silent import of TensorFlow, unless the user chose a log level or it is imported already."""
    if LOG_LEVEL in os.environ or "tensorflow" in sys.modules:
        return
    os.environ[LOG_LEVEL] = FATAL_ONLY
    sys.meta_path.insert(0, _QuietFinder())


def loud_environment() -> dict[str, str]:
    """Returns the environment for another program: as this one's, but without a log level that the user did not set.

    To be asked before TensorFlow is imported.
    """
    quieted = any(isinstance(finder, _QuietFinder) for finder in sys.meta_path)
    return {name: value for name, value in os.environ.items() if not (quieted and name == LOG_LEVEL)}


@contextlib.contextmanager
def standard_error_held_back() -> Iterator[None]:
    """Sends file descriptor 2 to a temporary file; writes that file to standard error if the body raises."""
    sys.stderr.flush()
    terminal = os.dup(STANDARD_ERROR)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), STANDARD_ERROR)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            os.dup2(terminal, STANDARD_ERROR)
            os.close(terminal)


class _QuietFinder(importlib.abc.MetaPathFinder):
    """Finds TensorFlow once, as the other finders do, and makes its loading silent."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_silently(module: ModuleType) -> None:
                with standard_error_held_back():
                    load(module)
                    module.config.list_physical_devices()

            spec.loader.exec_module = load_silently  # type: ignore[method-assign]
        return spec
