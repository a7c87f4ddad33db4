"""The embedded server: the gRPC and REST behaviour of TensorFlow Serving in one Python process.

`Server` and `ServerError` import TensorFlow, `ServerOptions` does not: each is imported when it is asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amfam_tf.server.options import ServerOptions
    from amfam_tf.server.process import Server
    from amfam_tf.server.status import ServerError

__all__ = ["Server", "ServerError", "ServerOptions"]

_MODULES = {"Server": "process", "ServerError": "status", "ServerOptions": "options"}


def __getattr__(name: str) -> Any:
    """Returns one of the public names from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
