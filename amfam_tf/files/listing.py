"""The files below a folder, without what desktops and killed processes leave there."""

from pathlib import Path

from amfam_tf.files.writing import PARTIAL

_LITTER = (".DS_Store", ".AppleDouble", "__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir")


def is_litter(name: str) -> bool:
    """Returns whether a file or folder of this name is what a desktop leaves behind, e.g. ._picture.jpg on macOS."""
    return name.startswith("._") or name in _LITTER


def files_below(folder: Path) -> dict[str, Path]:
    """Returns the files, sorted, by path from the folder, with slashes."""
    found = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name.as_posix(): path
        for name, path in found.items()
        if not any(is_litter(part) or part.startswith(PARTIAL) for part in name.parts)
    }
