"""Fingerprint of the code behind a step: the modules that it imports, over all levels, and the libraries below them.

A change elsewhere, say in a figure or in the command line, leaves it as it is, and the step's result is reused.
"""

import ast
import functools
import importlib.metadata
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import amfam_tf
from amfam_tf import environment
from amfam_tf.files import digests

PACKAGE = "amfam_tf"


def describe(modules: Iterable[str], shows: Iterable[str] = ()) -> dict[str, Any]:
    """Returns what the results of modules come from.

    Args:
        modules: dotted names, of this package.
        shows: dotted names of those that only show something to a person: neither they nor what they alone import is
            counted.

    Returns:
        `amfam_tf` (version), `commit` (of a checkout, else null), `modules` (fingerprint of the sources), `libraries`
        (name -> version of each that the modules import, null for one that is not installed).
    """
    names = imported_by(modules, shows)
    sources = {name: digests.of_file(source_of(name)) for name in sorted(names)}
    return {
        "amfam_tf": amfam_tf.__version__,
        "commit": _commit(),
        "modules": digests.of_value(sources),
        "libraries": {name: _version(name) for name in sorted(libraries_of(names))},
    }


def identity(description: dict[str, Any]) -> dict[str, Any]:
    """Returns the part of a description that decides: without the commit, which also counts what a step never sees."""
    return {key: value for key, value in description.items() if key != "commit"}


@functools.cache
def _commit() -> str | None:
    return environment.git_commit()


def imported_by(modules: Iterable[str], shows: Iterable[str] = ()) -> frozenset[str]:
    """Returns modules of this package and all that they import from this package, on all levels; see `describe`.

    Imports within functions count, and so do the packages that a module is in; those for type checkers do not.
    """
    found: set[str] = set()
    left_out = frozenset(shows)
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found | left_out:
            found.add(name)
            waiting += (other for other in _imports(name) if _exists(other))
    return frozenset(found)


def libraries_of(modules: Iterable[str]) -> frozenset[str]:
    """Returns the distributions that modules of this package import, by their names at the index, e.g. scikit-learn.

    One that is not installed goes by the name that is imported.
    """
    outside = {name for module in modules for name in _imports(module) if not _is_own_or_standard(name)}
    return frozenset(one for name in outside for one in _distributions(name))


def source_of(module: str) -> Path:
    """Returns the file of a module of this package."""
    base = Path(amfam_tf.__file__).parent.joinpath(*module.split(".")[1:])
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _exists(module: str) -> bool:
    return module.split(".")[0] == PACKAGE and source_of(module).is_file()


def _is_own_or_standard(module: str) -> bool:
    root = module.split(".")[0]
    return root == PACKAGE or root in sys.stdlib_module_names


@functools.cache
def _imports(module: str) -> frozenset[str]:
    """Returns the dotted names that a module of this package imports, with the packages that they and it are in."""
    tree = ast.parse(source_of(module).read_text(encoding="utf-8"))
    names = {name for node in _executed(tree) for name in _named(node)}
    parents = {module.rpartition(".")[0], *(name.rpartition(".")[0] for name in names)} - {""}
    return frozenset(names | parents)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Yields the nodes of a tree without what only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from _executed(child)


def _named(node: ast.AST) -> Iterator[str]:
    """Yields what a statement imports; of `from a import b`, b may be a module or not."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def _installed() -> Mapping[str, list[str]]:
    """Returns the distributions that each top-level name comes from; several for a name that they share."""
    return importlib.metadata.packages_distributions()


@functools.cache
def _distributions(module: str) -> tuple[str, ...]:
    root = module.split(".")[0]
    candidates = sorted(set(_installed().get(root, ())))
    if len(candidates) < 2:
        return tuple(candidates) or (root,)
    # google.protobuf is of one of the many that have a folder google.
    return tuple(one for one in candidates if _has(one, module))


def _has(distribution: str, module: str) -> bool:
    place = module.replace(".", "/")
    return not {f"{place}.py", f"{place}/__init__.py"}.isdisjoint(_files(distribution))


@functools.cache
def _files(distribution: str) -> frozenset[str]:
    return frozenset(map(str, importlib.metadata.files(distribution) or ()))


@functools.cache
def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
