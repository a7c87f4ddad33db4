"""Toy models and one server for the whole session: writing a SavedModel takes a second."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from server_tools import Client, Staged, Toy, publish, save_toy, serving


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> dict[int | str, Path]:
    """Saved toy models: versions 1 and 2, and "staged"."""
    root = tmp_path_factory.mktemp("toys")
    return {
        1: save_toy(root / "one", 1, Toy),
        2: save_toy(root / "two", 2, Toy),
        "staged": save_toy(root / "staged", 1, Staged),
    }


@pytest.fixture
def base_path(tmp_path: Path, toys: dict[int | str, Path]) -> Path:
    """A base path of its own with version 1."""
    folder = tmp_path / "models"
    folder.mkdir()
    publish(toys[1], folder, 1)
    return folder


@pytest.fixture(scope="session")
def toy_server(tmp_path_factory: pytest.TempPathFactory, toys: dict[int | str, Path]) -> Iterator[Client]:
    """A server of versions 1 and 2, label "stable" on 1, with metrics; tests must not change it."""
    root = tmp_path_factory.mktemp("server")
    (root / "models").mkdir()
    publish(toys[1], root / "models", 1)
    publish(toys[2], root / "models", 2)
    config = root / "models.config"
    config.write_text(
        f"""model_config_list {{ config {{
            name: "toy" base_path: "{root / "models"}" model_platform: "tensorflow"
            model_version_policy {{ all {{}} }}
            version_labels {{ key: "stable" value: 1 }}
        }} }}"""
    )
    monitoring = root / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    flags = {"model_config_file": str(config), "monitoring_config_file": str(monitoring), "allow_reload_config": True}
    with serving(**flags) as client:
        yield client
