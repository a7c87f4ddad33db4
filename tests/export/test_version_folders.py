"""Folders of versions as people make them: names with wildcards, and copies by hand under another number."""

import shutil

import pytest
import tensorflow as tf

from amfam_tf.batch_predict.model import LoadedVersion, describe_version
from amfam_tf.cli import main as command_line
from amfam_tf.errors import ExportError
from amfam_tf.export import samples
from amfam_tf.export.verify import largest_difference
from amfam_tf.release import lineage
from amfam_tf.server.servable import Servable


def test_a_model_in_a_folder_with_wildcards_is_exported_and_loaded(version, tmp_path, capsys):
    folder = tmp_path / "mo[1]*del {x} \u00e4 e\u0301?"
    shutil.copytree(version.run, folder / "run[2]")
    base = folder / "les[i]ons*"
    assert command_line.main(["export", str(folder / "run[2]"), "--to", str(base)]) == 0
    assert command_line.main(["export", "--verify", str(base)]) == 0
    assert f"{base}/1 is whole: les[i]ons* version 1" in capsys.readouterr().out
    loaded = LoadedVersion(str(base / "1"))
    assert loaded is not None
    servable = Servable(base / "1")
    for request, response in samples.read_samples(base / "1"):
        signature = request.model_spec.signature_name
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        answers = servable.run(signature, inputs, list(response.outputs))
        output = "card" if signature == "describe" else "DIAG"
        assert largest_difference(answers[output], tf.make_ndarray(response.outputs[output])) < 1e-4
    servable.close()


@pytest.mark.parametrize("number", ["7", "07"])
def test_a_copy_by_hand_does_not_pass_for_another_version(version, tmp_path, number, capsys):
    copy = tmp_path / "lesions" / number
    shutil.copytree(version.path, copy)
    words = f"{copy} holds version 1 of lesions, as its metadata.json says, under the number 7: "
    assert command_line.main(["export", "--verify", str(copy)]) == 1
    assert words in capsys.readouterr().err
    for read in (describe_version, lineage.find):
        with pytest.raises(ExportError) as caught:
            read(copy)
        assert str(caught.value).startswith(words)


def test_a_copy_that_is_named_by_no_number_is_the_version_that_it_was(version, tmp_path):
    shutil.copytree(version.path, tmp_path / "candidate")
    assert describe_version(tmp_path / "candidate").number == 1
