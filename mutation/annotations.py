"""Where a module has annotations: what is wrong there ends at the import, which says nothing of tests."""

import ast
from collections.abc import Iterator


def annotation_ranges(source: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yields start and end (line from 1, column) of each annotation and each decorator `@dataclass(...)`."""
    for node in ast.walk(ast.parse(source)):
        found = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.ClassDef):
            found += [one for one in node.decorator_list if "dataclass" in ast.unparse(one)]
        for one in found:
            if one is not None:
                # From the at sign of a decorator on.
                yield (one.lineno, one.col_offset - 1), (one.end_lineno, one.end_col_offset + 1)
