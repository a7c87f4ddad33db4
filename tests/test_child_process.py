"""Child processes: they take nothing from the current folder, and the end of their parent is theirs.

A child holds a named pipe open for writing. Whoever reads it sees its end when no such process is left, however long
that takes: nothing here waits for a time.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from amfam_tf import child_process

HOLDER = """
import os, random, sys, time

def hold(path):
    line = os.open(path, os.O_WRONLY)
    os.write(line, b"x")
    time.sleep(100_000)

if __name__ == "__main__":
    hold(sys.argv[1])
"""

PARENTS = {
    "a module": "from amfam_tf import child_process\nchild_process.start('holder', [path]).wait()",
    "a job of a grid": (
        "from amfam_tf import child_process\n"
        "from amfam_tf.comparison.children import Job, run_jobs\n"
        "run_jobs([Job('held', child_process.command('holder', [path]))], pathlib.Path(path).parent)"
    ),
    "a process of a pool": (
        "import holder\n"
        "from amfam_tf.data.synthetic.data_set import each_done\n"
        "if __name__ == '__main__':\n"
        "    list(each_done(holder.hold, [path, path], 2))"
    ),
    # What the server prints goes into the pipe.
    "a server": (
        "from amfam_tf.client import child\n"
        "words = ['serve', '--model-base-path', os.path.dirname(path), '--port', '1']\n"
        "with child.serving(words, 1, pathlib.Path(path), 100_000):\n"
        "    pass"
    ),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder: with a module that hides one of Python's own, which no child may see."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "random.py").write_text("raise SystemExit('the wrong random.py')")
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "holder.py").write_text(HOLDER)
    monkeypatch.setenv("PYTHONPATH", str(modules))
    monkeypatch.delenv(child_process.SAFE_PATH, raising=False)
    monkeypatch.chdir(here)
    return tmp_path


@pytest.mark.parametrize("parent", PARENTS)
def test_no_child_outlives_a_parent_that_is_killed(parent, folder):
    line, program = folder / "line", folder / "modules" / "parent.py"
    os.mkfifo(line)
    program.write_text(f"import os, pathlib, sys\npath = sys.argv[1]\n{PARENTS[parent]}\n")
    words = [sys.executable, program, line]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with line.open("rb", buffering=0) as held:
        assert held.read(1)
        assert process.poll() is None
        process.kill()
        process.wait()
        while held.read(4096):
            pass


def test_a_child_and_its_own_children_take_nothing_from_the_current_folder(folder):
    (folder / "modules" / "asks.py").write_text(
        "import random, subprocess, sys\n"
        "own = subprocess.run([sys.executable, '-c', 'import random; print(random.__file__)'], "
        "stdout=subprocess.PIPE, text=True).stdout\n"
        "print(random.__file__, own.strip(), sys.argv[1:], __name__)\n"
    )
    import random

    with child_process.start("asks", ["a b", "--c"], stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.read()  # not communicate, which closes the child's lifeline
    assert process.returncode == 0
    assert said == f"{random.__file__} {random.__file__} ['a b', '--c'] __main__\n"


def test_the_environment_is_as_before_after_a_pool(monkeypatch):
    for before in (None, "1", ""):
        monkeypatch.delenv(child_process.SAFE_PATH, raising=False)
        if before is not None:
            monkeypatch.setenv(child_process.SAFE_PATH, before)
        with child_process.safe_pool_path():
            assert os.environ[child_process.SAFE_PATH] == "1"
        assert os.environ.get(child_process.SAFE_PATH) == before


def test_a_package_that_is_not_installed_is_found_and_hides_nothing(folder):
    """As from a fresh checkout: the package's folder comes last on the path."""
    code = "import sys; print(sys.path[-1]); import random"
    (folder / "modules" / "shows.py").write_text(code)
    with child_process.start("shows", stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.read()
    assert process.returncode == 0
    assert said.strip() == str(Path(child_process.__file__).resolve().parents[1])
