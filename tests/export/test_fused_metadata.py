"""FiLM and MetaBlock through fit, evaluate and export: served answers are evaluation's, unknown numbers included."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from clinic import write_clinic
from rich.console import Console
from small import small_config

from amfam_tf.evaluation import predictions
from amfam_tf.evaluation.run import evaluate_run
from amfam_tf.export.export import export_run
from amfam_tf.export.verify import verify
from amfam_tf.tasks import MODALITIES
from amfam_tf.training.run import fit

UNKNOWN = {"age": np.nan, "sex": ""}


def columns_of(frame) -> dict[str, tf.Tensor]:
    """Returns the columns of cases as the signatures take them."""
    return {"age": tf.constant([float(value or "nan") for value in frame["age"]]), "sex": tf.constant([*frame["sex"]])}


@pytest.mark.usefixtures("tiny_backbone")
@pytest.mark.parametrize("kind", ["film", "metablock"])
def test_served_answers_are_those_of_evaluation(kind, tmp_path):
    data, run = write_clinic(tmp_path / "clinic"), tmp_path / "run"
    values = ("model.metadata=[age,sex]", f"model.metadata_fusion={kind}", "optimizer.learning_rate=0.01")
    fit(data, run, small_config(*values, "training.epochs=2"), Console(quiet=True))
    evaluation = evaluate_run(run, data, "train")
    exported = export_run(run, tmp_path / "models" / "lesions")
    verify(exported.path)
    serve = tf.saved_model.load(str(exported.path)).signatures["serving_default"]
    frame, columns = evaluation.cases, columns_of(evaluation.cases)
    files = {name: tf.constant([Path(path).read_bytes() for path in frame[name]]) for name in MODALITIES}
    answer = serve(**files, **columns)
    for task in evaluation.card.tasks:
        expected = evaluation.table[predictions.probability_columns(task)].to_numpy()
        np.testing.assert_allclose(answer[task.name], expected, rtol=0, atol=1e-5)
    # Otherwise nothing has been shown: each column matters, and one of the ages is unknown.
    assert 0 < int((frame["age"] == "").sum()) < len(frame)
    for name, unknown in UNKNOWN.items():
        other = serve(**files, **{**columns, name: tf.fill([len(frame)], tf.constant(unknown, columns[name].dtype))})
        assert np.abs(other["DX"] - answer["DX"]).max() > 1e-3, name
