"""Names of files as people's machines have them: letters in two Unicode forms, links to content elsewhere.

macOS writes an umlaut as letter and dots (decomposed), most tables as one letter (composed); both are the same name to
a person. git-annex, DataLad and DVC keep pictures as links, or as small files that say which content belongs there.
"""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from amfam_tf.errors import DataError

LINKS_TO = "AMFAM_LINKS_TO"
"""Environment variable: folders, separated as in PATH, that links of a data set may lead to."""
STORES = (".git/annex/objects", ".dvc/cache")
"""Where git-annex (and DataLad) and DVC keep the content of links, below the top of a data set."""
_POINTERS = (
    (b"/annex/objects/", "git annex get"),
    (b"version https://git-lfs.github.com/", "git lfs pull"),
)
_LONGEST_POINTER = 1024


def one_form(name: str) -> str:
    """Returns the name in the form that equal names have in common; bytes that are UTF-8 count as letters."""
    # In the C locale Python holds the bytes of a name as half surrogates.
    letters = name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFC", letters)


def without_case(name: str) -> str:
    """Returns `one_form` of the name whatever its letter case."""
    return unicodedata.normalize("NFC", one_form(name).casefold())


def spelled_out(paths: Sequence[str]) -> str:
    """Returns the paths in one line; those that look alike with their letters beyond ASCII written out."""
    alike = len({one_form(path) for path in paths}) < len(paths)
    return ", ".join(sorted(ascii(path) if alike else path for path in paths))


def on_disk(path: str) -> str:
    """Returns the path of the file whose name this is, in whatever Unicode form the disk has it.

    The name as it stands comes first; a path that names nothing is given back as it is.

    Raises:
        DataError: several files have the name in other forms; names all.
    """
    if path.isascii() or Path(path).exists():
        return path
    found = [Path(path).parts[0]] if Path(path).is_absolute() else [""]
    for part in Path(path).parts[1 if Path(path).is_absolute() else 0 :]:
        found = [entry for folder in found for entry in _matches(folder, part)]
    if len(found) > 1:
        raise DataError(f"{path} is ambiguous, it differs in Unicode form only from: {spelled_out(found)}")
    return found[0] if found else path


def _matches(folder: str, part: str) -> list[str]:
    """Returns the entries of a folder that have a name: the one that is spelled so, or else all in another form."""
    exact = Path(folder, part)
    if part in ("..", ".") or exact.exists():
        return [str(exact)]
    try:
        return [str(entry) for entry in Path(folder).iterdir() if one_form(entry.name) == one_form(part)]
    except OSError:  # a file, or a folder that may not be read, holds nothing
        return []


def missing_content(path: str | Path) -> str | None:
    """Returns why a link or a pointer is not the file that it stands for, and what to do; None if it is no such thing.

    Args:
        path: of a file, a link that leads nowhere, or nothing.
    """
    path = Path(path)
    try:
        if path.is_symlink() and not path.exists():
            return _missing_target(str(path.readlink()))
        if path.is_file() and path.stat().st_size <= _LONGEST_POINTER:
            return pointer(path.read_bytes())
    except OSError:  # whoever reads the file says so
        return None
    return None


def pointer(content: bytes) -> str | None:
    """Returns why the content of a file is none and what to do, if it is a pointer of git-annex or Git LFS."""
    for start, command in _POINTERS:
        if content.startswith(start):
            return f"is a pointer, its content is not here: {command}"
    return None


def _missing_target(target: str) -> str:
    commands = {"annex/objects": "git annex get, or datalad get", ".dvc": "dvc pull", "/files/md5/": "dvc pull"}
    command = next((command for mark, command in commands.items() if mark in target), None)
    if command is None:
        return f"is a link to {target}, where nothing is"
    return f"is a link whose content is not here: {command}"


def allowed_targets(data_set: Path) -> list[Path]:
    """Returns the folders that links in a data set may lead to, without links themselves.

    These are the data set; the stores of git-annex and DVC of a repository that it is part of; what the user allows.
    """
    data_set = data_set.resolve()
    stores = [above / store for above in (data_set, *data_set.parents) for store in STORES]
    told = [Path(folder).expanduser() for folder in os.environ.get(LINKS_TO, "").split(os.pathsep) if folder]
    return [data_set, *(folder.resolve() for folder in (*stores, *told) if folder.is_dir())]
