"""TensorFlow's start-up log: absent by default, there when asked for or when the import fails."""

import os
import subprocess
import sys

import pytest

from amfam_tf.cli.quiet import standard_error_held_back


def standard_error(code: str, folder: object, **variables: str) -> str:
    """Returns what a fresh interpreter writes to standard error with `folder` before all others on its path."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    environment |= variables | {"PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment).stderr


@pytest.fixture
def noisy_tensorflow(tmp_path):
    """Returns a folder with a package `tensorflow` that writes to file descriptor 2 as the real one does."""
    (tmp_path / "tensorflow.py").write_text(
        "import os\n"
        "os.write(2, b'import noise\\n')\n"
        "if 'FAIL' in os.environ: raise ImportError('no such library')\n"
        "class config:\n"
        "    looked = False\n"
        "    @classmethod\n"
        "    def list_physical_devices(cls):\n"
        "        if not cls.looked: os.write(2, b'device noise\\n')\n"
        "        cls.looked = True\n"
    )
    return tmp_path


CODE = (
    "from amfam_tf.cli.quiet import quiet_tensorflow; quiet_tensorflow(); import tensorflow, os;"
    "tensorflow.config.list_physical_devices(); os.write(2, b'after\\n')"
)


def test_log_of_import_and_devices_is_held_back(noisy_tensorflow):
    assert standard_error(CODE, noisy_tensorflow) == "after\n"


def test_log_is_shown_to_who_sets_the_level(noisy_tensorflow):
    assert standard_error(CODE, noisy_tensorflow, TF_CPP_MIN_LOG_LEVEL="0") == "import noise\ndevice noise\nafter\n"


def test_log_is_shown_if_the_import_fails(noisy_tensorflow):
    text = standard_error(CODE, noisy_tensorflow, FAIL="1")
    assert text.startswith("import noise\n")
    assert text.endswith("ImportError: no such library\n")


def test_standard_error_is_back_afterwards(capfd):
    with standard_error_held_back():
        os.write(2, b"hidden\n")
    os.write(2, b"seen\n")
    assert capfd.readouterr().err == "seen\n"
