"""Rows of plain values as CSV."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd


def to_csv(rows: pd.DataFrame | Sequence[Mapping[str, Any]]) -> str:
    """Returns the text, columns in the order of their first appearance; nothing where a value is undefined."""
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")
