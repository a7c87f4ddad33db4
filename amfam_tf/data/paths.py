"""The files that the paths in a table name, and how many of them are read at a time."""

import contextlib
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from amfam_tf.data import names
from amfam_tf.errors import DataError


class PathError(DataError):
    """A path of a table that names no file of the data set; `kind` is that of the problem."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class PathResolver:
    """Finds files under a folder whatever letter case and Unicode form of the path, and never outside of it.

    Args:
        folder: the images folder; may itself be a link.
        targets: folders that links in it may lead to beside it, without links themselves.
        name: what messages call the folder.
    """

    def __init__(self, folder: Path, targets: Sequence[Path], name: str) -> None:
        self._folder = folder
        self._name = name
        self._inside = (folder.resolve(), *targets)
        self._listings: dict[Path, dict[str, list[Path]]] = {}

    def resolve(self, relative: str) -> Path:
        """Returns the absolute path of the one file that `relative` names, without links.

        The name as it stands comes first, then the same letters in another Unicode form, then in another letter case.

        Raises:
            PathError: the path leaves the folder, no file or several files match it, or its content is not here.
        """
        path = PurePosixPath(relative)
        if path.is_absolute() or PureWindowsPath(relative).anchor or ".." in PureWindowsPath(relative).parts:
            raise PathError("path_leaves_images", f"leaves the folder {self._name}/")
        candidates = [self._folder]
        for part in path.parts:
            wanted = names.without_case(part)
            candidates = [entry for folder in candidates for entry in self._listing(folder).get(wanted, [])]
        # A link that leads nowhere is a file whose content is not here.
        files = [one for one in candidates if one.is_file() or (one.is_symlink() and not one.exists())]
        best = self._best(files, path)
        if len(best) > 1:
            found = names.spelled_out([file.relative_to(self._folder).as_posix() for file in files])
            raise PathError("ambiguous_path", f"is ambiguous, it differs in letter case or form only from: {found}")
        if not best:
            raise PathError("missing_image", f"names no file in {self._name}/")
        return self._target(best[0])

    def _best(self, files: Sequence[Path], path: PurePosixPath) -> Sequence[Path]:
        """Returns those of the files whose names come nearest to a path."""
        exact = [file for file in files if file == self._folder / path]
        wanted = names.one_form(path.as_posix())
        same = [file for file in files if names.one_form(file.relative_to(self._folder).as_posix()) == wanted]
        return exact or same or files

    def _target(self, file: Path) -> Path:
        """Returns the file that a link leads to."""
        absent = names.missing_content(file)
        if absent is not None:
            raise PathError("missing_image", absent)
        found = file.resolve()
        if not any(found.is_relative_to(folder) for folder in self._inside):
            raise PathError(
                "path_leaves_images",
                f"leaves the folder {self._name}/ by a symbolic link to {found}: if that is as it should be, name a "
                f"folder above it in {names.LINKS_TO}",
            )
        return found

    def _listing(self, folder: Path) -> dict[str, list[Path]]:
        """Returns the entries of a folder by name without case; read from disk once."""
        if folder not in self._listings:
            listing: dict[str, list[Path]] = defaultdict(list)
            with contextlib.suppress(OSError):  # a file, or a folder that may not be read, holds nothing
                for entry in folder.iterdir():
                    listing[names.without_case(entry.name)].append(entry)
            self._listings[folder] = dict(listing)
        return self._listings[folder]


def worker_count() -> int:
    """Returns how many threads read pictures: one per core, at most 8."""
    return min(8, os.cpu_count() or 1)
