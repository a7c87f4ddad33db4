"""The environment of the PyTorch side, benchmarks/.peer-env: made by whichever command needs it first."""

import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
FOLDER = Path(__file__).resolve().parent.parent / ".peer-env"


def find_peer() -> Path | None:
    """Returns the environment's interpreter, or None if it is not complete."""
    stamp = FOLDER / "installed.txt"
    complete = stamp.is_file() and stamp.read_text() == REQUIREMENTS.read_text()
    return FOLDER / "bin" / "python" if complete else None


def create_peer() -> Path:
    """Returns the environment's interpreter; installs it on first use and when the requirements have changed."""
    python = find_peer()
    if python is None:
        print(f"making {FOLDER} (once; PyTorch is large)", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", FOLDER], check=True)
        python = FOLDER / "bin" / "python"
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", REQUIREMENTS]
        subprocess.run(install, check=True)
        (FOLDER / "installed.txt").write_text(REQUIREMENTS.read_text())
    return python
