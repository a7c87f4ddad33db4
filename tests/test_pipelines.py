"""The command lines by which the pipelines are started from a checkout."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
VERBS = {"ingest": "ingest", "batch_predict": "batch-predict", "release": "release"}


@pytest.mark.parametrize("name", VERBS)
def test_a_module_of_the_checkout_is_the_verb_of_its_name(name, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module(f"pipelines.{name}", run_name="__main__")
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"Usage: amfam-tf {VERBS[name]} ")


def test_every_module_of_the_checkout_is_tried():
    assert {path.stem for path in (ROOT / "pipelines").glob("*.py")} - {"__init__"} == VERBS.keys()
