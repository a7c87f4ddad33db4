"""docs/your_own_pairs.md is typed as it stands: every command of the page, in its order, on the page's own card."""

import json
import re
import shlex
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
import yaml
from asked_servers import embedded_server
from tiny_backbone import TINY_BACKBONE

from amfam_tf.card import cards
from amfam_tf.cli import main
from amfam_tf.models import backbones
from amfam_tf.runs.finished import FinishedRun

PAGE = (Path(__file__).parents[2] / "docs" / "your_own_pairs.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line)[1:] for line in re.findall(r"^    (amfam-tf .*)$", PAGE, re.MULTILINE)]
(CARD,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SERVER = "localhost:8500"


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """What each command of the page says, by its verb, in a folder where all of them were typed."""
    folder = tmp_path_factory.mktemp("own_pairs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backbones.BACKBONES, "resnet14_narrow", TINY_BACKBONE)
        patch.chdir(folder)
        yield folder, _type_all(folder)


def _type_all(folder):
    (folder / "clinic.yaml").write_text(CARD, encoding="utf-8")
    told = {}
    before = [words for words in COMMANDS if words[0] not in ("serve", "query")]
    asked = [words for words in COMMANDS if words[0] == "query"]
    for words in before:
        told[words[0]] = _type(words)
        if words[0] == "card":
            drafted = cards.read(folder / "draft.yaml")
            assert (drafted.cases.group, drafted.tasks[0].column) == ("patient", "diagnosis")
            (folder / "clinic" / "dataset.yaml").write_text(CARD, encoding="utf-8")
    row = pd.read_csv(folder / "clinic" / "lesions.csv", sep=None, engine="python").iloc[0]
    for name, column in (("first_a.jpg", "overview"), ("first_d.jpg", "dermoscopy")):
        (folder / name).write_bytes((folder / "clinic" / "pictures" / row[column]).read_bytes())
    with embedded_server(folder / "saved_models" / "clinic", "clinic") as server:
        told["query"] = [_type([server.grpc if word == SERVER else word for word in words]) for words in asked]
    return told


def _type(words):
    """Returns what a command prints; it must end well."""
    with redirect_stdout(StringIO()) as out:
        status = main.main(words)
    assert status == 0, (words, out.getvalue())
    return out.getvalue()


def test_the_page_has_every_step():
    verbs = [words[0] for words in COMMANDS]
    assert verbs == [
        *("synth", "card", "check", "fit", "evaluate", "explain", "compare", "export", "serve", "query", "query"),
        *("ingest", "batch-predict"),
    ]
    assert yaml.safe_load(CARD)["name"] == "clinic"


def test_each_command_does_what_the_page_says(typed):
    folder, told = typed
    assert "0 problems" in told["check"] and "DX MEL, melanoma" in told["check"] and "label unknown" in told["check"]
    assert "best validation accuracy of DX" in told["fit"]
    assert FinishedRun.open(folder / "runs" / "clinic").card.name == "clinic"
    assert "Balanced accuracy" in (folder / "runs/clinic/evaluation/test/report.html").read_text(encoding="utf-8")
    assert "research" in told["evaluate"].lower()
    assert list((folder / "explained").glob("*.png"))
    compared = json.loads((folder / "comparison" / "comparison.json").read_text(encoding="utf-8"))
    assert (compared["card"], compared["headline"]) == ("clinic", "tasks.DX.balanced_accuracy")
    assert "published" not in compared
    assert "Balanced accuracy of DX" in told["compare"] and "mean of the 8" not in told["compare"]
    shown, answer = told["query"][0], json.loads(told["query"][1])
    assert "basal cell carcinoma" in shown and "malignant" in shown and "point" not in shown
    assert set(answer["tasks"]) == {"DX", "ULC"}
    assert "80 pairs, 0 errors" in told["batch-predict"]
    frames = [pd.read_parquet(path) for path in sorted((folder / "answers").glob("*.parquet"))]
    assert {"DX_BCC", "ULC_PRS", "malignant_probability"} <= set(pd.concat(frames))
