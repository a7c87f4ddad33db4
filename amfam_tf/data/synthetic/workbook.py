"""Writes a table as a workbook of the same bytes at any time."""

import importlib.util
import io
import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from amfam_tf.errors import DataError

NO_TIME = (1980, 1, 1, 0, 0, 0)


def write_workbook(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Writes the first sheet of a workbook (.xlsx), every field as text.

    Raises:
        DataError: what writes workbooks is not installed.
    """
    if importlib.util.find_spec("openpyxl") is None:
        raise DataError(
            f"{path.name}: writing a workbook needs openpyxl: pip install 'amfam_tf[excel]', or name a .csv"
        )
    content = io.BytesIO()
    pd.DataFrame(list(rows), columns=list(header)).to_excel(content, index=False, engine="openpyxl")
    # A workbook says when it was made, and so does each file of the archive that it is.
    with zipfile.ZipFile(content) as timed, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as timeless:
        for name in timed.namelist():
            text = timed.read(name)
            if name == "docProps/core.xml":
                text = re.sub(rb">[0-9-]{10}T[0-9:]{8}Z<", b">1980-01-01T00:00:00Z<", text)
            timeless.writestr(zipfile.ZipInfo(name, NO_TIME), text, zipfile.ZIP_DEFLATED)
