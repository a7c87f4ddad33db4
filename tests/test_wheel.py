"""What an installed wheel has and does: the same as the checkout, also where a checkout has no symbolic links."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from releases import TinyRelease

ROOT = Path(__file__).parent.parent
BESIDE_THE_BUILD = {"build", "demo", "dist", "docs", "releases", "runs", "saved_models", "soak", "tests"}
"""Of the top-level folder."""
BUILD = (
    ".*",
    "__pycache__",
    "build",
    "dist",
    "*.egg-info",
    "demo",
    "docs",
    "releases",
    "runs",
    "saved_models",
    "soak",
    "tests",
)
BUILD = "from setuptools.build_meta import build_wheel; build_wheel('wheels')"
RUN = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import amfam_tf
from amfam_tf.cli.main import main
print(amfam_tf.__file__)
sys.exit(main(sys.argv[1:]))
"""


def flatten_links(folder: Path) -> None:
    """Puts a file with the target's path in place of each link, as git and zip do where there are no links."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            target = path.readlink()
            path.unlink()
            path.write_text(str(target))


def beside_the_build(folder: str, names: list[str]) -> set[str]:
    """Returns the names that are not copied."""
    left_out = BESIDE_THE_BUILD if Path(folder) == ROOT else set()
    return {name for name in names if name in left_out or name.startswith(".") or name.endswith((".pyc", ".egg-info"))}


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the content of a wheel that was built from a checkout without links."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "checkout"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=beside_the_build)
    flatten_links(copy)
    built = subprocess.run([sys.executable, "-c", BUILD], cwd=copy, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = (copy / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def run(installed: Path, folder: Path, *words: str) -> str:
    """Runs `amfam-tf` of the wheel in a folder and returns what it prints."""
    command = [sys.executable, "-P", "-c", RUN, str(installed), *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, _, rest = done.stdout.partition("\n")
    assert first == str(installed / "amfam_tf" / "__init__.py")
    return rest


def files_of(package: Path) -> set[str]:
    """Returns the paths of all files, through links to folders too."""
    files = (Path(root, name) for root, _, names in os.walk(package, followlinks=True) for name in names)
    return {path.relative_to(package).as_posix() for path in files if path.suffix != ".pyc"}


def test_the_wheel_has_every_file_of_the_package_and_nothing_beside_it(installed):
    assert files_of(installed / "amfam_tf") == files_of(ROOT / "amfam_tf")
    assert {path.name for path in installed.iterdir() if path.suffix != ".dist-info"} == {"amfam_tf"}


def test_the_wheel_ingests(installed, tmp_path):
    source = TinyRelease().write(tmp_path / "source")
    assert "DIR" in run(installed, tmp_path, "batch-predict", "--help")
    told = run(installed, tmp_path, "ingest", str(source), "records", "--shards", "1", "--workers", "1")
    assert "written: 12 records to" in told
    assert {path.name for path in (tmp_path / "records").iterdir()} >= {
        "cases-00000-of-00001.tfrecord.gz",
        "schema.pbtxt",
        "statistics.json",
    }
