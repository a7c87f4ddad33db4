"""Imports point one way: the order of the rooms in CONTRIBUTING.md holds, and modules of a room make no circle."""

import ast
import graphlib
import re
from collections import Counter
from pathlib import Path

import pytest

import amfam_tf

PACKAGE = Path(amfam_tf.__file__).parent
ROOT = PACKAGE.parent
BELONGS_TO_NO_ROOM = {"amfam_tf", "__main__"}
"""The package's own files: version and way in."""


def listed_rooms() -> list[str]:
    """Returns the rooms in the order of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = text.split("tests/test_architecture.py", 1)[1].split("- Functions", 1)[0]
    return re.findall(r"\w+", block.split("):", 1)[1])


def modules() -> dict[str, Path]:
    """Returns the file of each module of the package."""
    paths = sorted(PACKAGE.rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return dict(zip(names, paths, strict=True))


FILES = modules()


def room(module: str) -> str:
    """Returns the folder or top-level file that a module belongs to."""
    return (module.split(".") + ["amfam_tf"])[1]


def imports(module: str, at_import: bool = False) -> set[str]:
    """Returns the modules of the package that a module imports; `at_import`: only those that importing it imports."""
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    nodes = _run_at_import(tree) if at_import else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in FILES else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & FILES.keys() - {module}


def _run_at_import(tree: ast.Module) -> list[ast.AST]:
    """Returns the statements outside of functions and of what only type checkers see."""
    found, waiting = [], list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        found.append(node)
        waiting += ast.iter_child_nodes(node)
    return found


def test_every_room_is_in_the_list_once():
    rooms = {room(module) for module in FILES} - BELONGS_TO_NO_ROOM
    assert sorted(listed_rooms()) == sorted(rooms)


@pytest.mark.parametrize("name", sorted({room(module) for module in FILES} - BELONGS_TO_NO_ROOM))
def test_a_room_imports_only_rooms_before_it(name):
    order = listed_rooms()
    allowed = {*order[: order.index(name) + 1], *BELONGS_TO_NO_ROOM}
    own = [module for module in FILES if room(module) == name]
    wrong = {f"{module} imports {other}" for module in own for other in imports(module) if room(other) not in allowed}
    assert wrong == set()


def test_modules_make_no_circle():
    # A package's own file may name its modules for those who ask; a module does not need it.
    graph = {module: imports(module, at_import=True) for module in FILES if FILES[module].name != "__init__.py"}
    graphlib.TopologicalSorter(graph).prepare()


def test_no_two_public_classes_have_one_name():
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in FILES.values()]
    names = [node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    assert sorted(name for name, count in Counter(names).items() if count > 1 and not name.startswith("_")) == []


def test_no_two_test_files_have_the_same_name():
    # pytest takes a file for the module of its name that it has already imported, and stops.
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
