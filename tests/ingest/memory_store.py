"""An object store in the memory of this process, which Beam's filesystems find."""

import io
from pathlib import Path

from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem


class MemoryStore(FileSystem):
    """An object store memory://: files by URL, no folders."""

    files: dict[str, bytes] = {}  # noqa: RUF012  (Beam makes the instances)

    @classmethod
    def scheme(cls):
        return "memory"

    @classmethod
    def fill(cls, url: str, folder: Path) -> None:
        """Copies the files below a folder."""
        for path in folder.rglob("*"):
            if path.is_file():
                cls.files[f"{url}/{path.relative_to(folder).as_posix()}"] = path.read_bytes()

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        head, _, tail = path.rpartition("/")
        return head, tail

    def has_dirs(self):
        return False

    def exists(self, path):
        return path in self.files

    def open(self, path, *_, **__):
        if path not in self.files:
            raise BeamIOError("no such object", {path: KeyError(path)})
        return io.BytesIO(self.files[path])

    def _list(self, dir_or_prefix):
        return [FileMetadata(path, len(data)) for path, data in self.files.items() if path.startswith(dir_or_prefix)]

    def _read_only(self, *arguments):
        raise NotImplementedError(arguments)

    mkdirs = create = copy = rename = size = last_updated = checksum = metadata = delete = _read_only
