"""The example of docs/loading.md, run as it stands."""

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from untrained_runs import write_run

import amfam_tf
from amfam_tf.evaluation.run import evaluate_run
from amfam_tf.tasks import DIAGNOSIS

DOCUMENT = Path(amfam_tf.__file__).parent.parent / "docs" / "loading.md"


@pytest.mark.usefixtures("tiny_backbone")
def test_the_example_gives_the_probabilities_of_evaluate(drawn, tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "runs" / "amfam", drawn)
    (tmp_path / "release_v0").symlink_to(drawn)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"(?:^    .*\n|^\n)+", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    (example,) = [textwrap.dedent(block) for block in blocks if "load_model" in block]
    names: dict = {}
    exec(compile(example, str(DOCUMENT), "exec"), names)
    assert capsys.readouterr().out
    table = evaluate_run(Path("runs/amfam"), Path("release_v0"), "test", calibrate=False).table
    last = table.set_index("case_num").loc[names["batch"]["case_num"].numpy()]
    expected = last[[f"DIAG_{name}" for name in DIAGNOSIS.classes]].to_numpy()
    np.testing.assert_allclose(tf.nn.softmax(names["logits"]["DIAG"]).numpy(), expected, atol=1e-5)
