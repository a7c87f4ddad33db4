"""Fingerprint of the code behind a step: the modules that it imports, over all levels, and the libraries below them.

A change elsewhere, say in a figure or in the command line, leaves it as it is, and the step's result is reused.
"""

import ast
import functools
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import amfam_tf
from amfam_tf import environment
from amfam_tf.export.version_files import sha256
from amfam_tf.release import fingerprints

PACKAGE = "amfam_tf"
LIBRARIES = ("tensorflow", "keras", "keras-cv", "numpy")
"""Whose versions can change a result."""


def describe(*modules: str) -> dict[str, Any]:
    """Returns what the results of modules come from.

    Args:
        modules: dotted names, of this package.

    Returns:
        `amfam_tf` (version), `commit` (of a checkout, else null), `modules` (fingerprint of the sources), `libraries`
        (versions).
    """
    names = frozenset().union(*map(imported_by, modules))
    sources = {name: sha256(source_of(name)) for name in sorted(names)}
    return {
        "amfam_tf": amfam_tf.__version__,
        "commit": _commit(),
        "modules": fingerprints.of_value(sources),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def identity(description: dict[str, Any]) -> dict[str, Any]:
    """Returns the part of a description that decides: without the commit, which also counts what a step never sees."""
    return {key: value for key, value in description.items() if key != "commit"}


@functools.cache
def _commit() -> str | None:
    return environment.git_commit()


@functools.cache
def imported_by(module: str) -> frozenset[str]:
    """Returns a module of this package and all that it imports from this package, on all levels.

    Imports within functions count, and so do the packages that a module is in.
    """
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imports(name)
    return frozenset(found)


def source_of(module: str) -> Path:
    """Returns the file of a module of this package."""
    base = Path(amfam_tf.__file__).parent.joinpath(*module.split(".")[1:])
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _exists(module: str) -> bool:
    return module.split(".")[0] == PACKAGE and source_of(module).is_file()


@functools.cache
def _imports(module: str) -> tuple[str, ...]:
    tree = ast.parse(source_of(module).read_text(encoding="utf-8"))
    names = {name for node in ast.walk(tree) for name in _named(node)}
    parents = {module.rpartition(".")[0], *(name.rpartition(".")[0] for name in names)}
    return tuple(sorted(name for name in names | parents if _exists(name)))


def _named(node: ast.AST) -> Iterator[str]:
    """Yields what a statement imports; of `from a import b`, b may be a module or not."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
