"""What a run ran on: versions, processor, memory and devices; no host name, user name or path."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from amfam_tf import __version__

PACKAGES: tuple[str, ...] = (
    "tensorflow",
    "keras",
    "keras-cv",
    "tensorflow-serving-api",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "matplotlib",
    "Pillow",
    "protobuf",
    "grpcio",
    "click",
    "rich",
    "apache-beam",
    "kfp",
    "gradio",
    "tf2onnx",
    "onnxruntime",
)
"""Packages whose versions are reported; those of extras that are not installed are null."""

VARIABLES: tuple[str, ...] = (
    "KERAS_BACKEND",
    "TF_CPP_MIN_LOG_LEVEL",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_DETERMINISTIC_OPS",
    "TF_NUM_INTRAOP_THREADS",
    "OMP_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
)
"""Environment variables that can change numbers or speed and hold no private text."""

GIT_SECONDS = 10


def describe() -> dict[str, Any]:
    """Returns the environment as plain, JSON-serialisable values. Imports TensorFlow to list its devices."""
    return {
        "amfam_tf": __version__,
        "git_commit": git_commit(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": f"{platform.system()} {platform.machine()} {' '.join(platform.libc_ver())}".strip(),
        "processor": _processor(),
        "cpu_count": usable_cores(),
        "memory_gib": _memory_gib(),
        "devices": _devices(),
        "packages": {name: _version(name) for name in PACKAGES},
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def git_commit(checkout: Path | None = None) -> str | None:
    """Returns the commit of the checkout that the package is imported from, with "+changes" where files differ.

    Args:
        checkout: folder that holds `.git`; by default the one above the package. None is returned if it has none.
    """
    folder = Path(__file__).resolve().parent.parent if checkout is None else checkout
    if not (folder / ".git").exists():
        return None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return f"{commit}+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=GIT_SECONDS)
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str | None:
    """Returns the model name; /proc/cpuinfo knows it on Linux, where platform.processor() often does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, None) or platform.processor() or None


def usable_cores() -> int:
    """Returns the number of logical processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def _devices() -> list[str]:
    """Returns one line per device that TensorFlow sees, e.g. "GPU NVIDIA A100"."""
    import tensorflow as tf

    lines = []
    for device in tf.config.list_physical_devices():
        name = tf.config.experimental.get_device_details(device).get("device_name", "")
        lines.append(f"{device.device_type} {name}".strip())
    return lines
