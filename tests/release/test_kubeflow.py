"""The definition for Kubeflow: what is compiled, and kfp's own local runner over all of it, one process per step."""

import os
import sys
from pathlib import Path

import pytest
import stand_ins
import yaml
from other_cards import PARTLY

from amfam_tf.card import cards
from amfam_tf.cli.main import main
from amfam_tf.data import shards
from amfam_tf.data.synthetic import write_card_set
from amfam_tf.release import configuration, served
from amfam_tf.release.layout import RECORDS
from amfam_tf.release.pipeline import STEPS, run_step
from amfam_tf.release.step import ReleaseError

HERE = Path(__file__).parent
IMAGE = "registry.example/python-amfam:1"  # kfp warns of a local image whose name does not say that it has Python
COMPONENTS = {step.name: "".join(f"-{c.lower()}" if c.isupper() else c for c in step.name)[1:] for step in STEPS}


@pytest.fixture
def compiled(tmp_path, tiny_source):
    """The configuration's text and the two documents of the compiled file."""
    text = stand_ins.config_text(tmp_path, tiny_source)
    (tmp_path / "release.yaml").write_text(text)
    out = tmp_path / "pipeline.yaml"
    words = ["release", "--config", str(tmp_path / "release.yaml"), "--kubeflow", str(out), "--image", IMAGE]
    assert main([*words, "--volume", "archive:/data"]) == 0
    return text, list(yaml.safe_load_all(out.read_text()))


def test_the_definition_has_the_steps_their_order_and_the_configuration(compiled):
    text, (pipeline, platforms) = compiled
    assert pipeline["pipelineInfo"]["name"] == "amfam-release"
    tasks = pipeline["root"]["dag"]["tasks"]
    assert set(tasks) == set(COMPONENTS.values())
    for step in STEPS:
        task = tasks[COMPONENTS[step.name]]
        assert set(task.get("dependentTasks", [])) == {COMPONENTS[name] for name in step.inputs}
        assert not task["cachingOptions"].get("enableCache")
    default = pipeline["root"]["inputDefinitions"]["parameters"]["config"]["defaultValue"]
    assert configuration.parse(default, "default") == configuration.parse(text, "text")
    for name in COMPONENTS.values():
        container = pipeline["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
        assert container["image"] == IMAGE
        assert "pip install" not in " ".join(container["command"])
        mounts = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"][f"exec-{name}"]["pvcMount"]
        assert [(mount["constant"], mount["mountPath"]) for mount in mounts] == [("archive", "/data")]


def test_the_card_of_the_data_is_in_the_definition_and_read_by_the_first_step(tmp_path):
    write_card_set(PARTLY, tmp_path / "data", 12, size=(32, 32), workers=1)
    (tmp_path / "data" / cards.FILE).rename(tmp_path / "elsewhere.yaml")
    config = yaml.safe_load(stand_ins.config_text(tmp_path, tmp_path / "data"))
    config["data"]["card"] = str(tmp_path / "elsewhere.yaml")
    (tmp_path / "release.yaml").write_text(yaml.safe_dump(config))
    out = tmp_path / "pipeline.yaml"
    assert main(["release", "--config", str(tmp_path / "release.yaml"), "--kubeflow", str(out), "--image", IMAGE]) == 0
    default = yaml.safe_load(out.read_text())["root"]["inputDefinitions"]["parameters"]["config"]["defaultValue"]
    run_step("ExampleGen", default, {}, str(tmp_path / "examples"))
    assert shards.read_card(tmp_path / "examples" / RECORDS) == PARTLY


def test_a_value_that_the_method_does_not_read_is_refused_before_anything_is_written(tmp_path, capsys):
    text = stand_ins.config_text(tmp_path, tmp_path).replace("seed=0", "model.embedding_units=[8]")
    (tmp_path / "release.yaml").write_text(text)
    out = tmp_path / "pipeline.yaml"
    assert main(["release", "--config", str(tmp_path / "release.yaml"), "--kubeflow", str(out), "--image", IMAGE]) == 1
    assert capsys.readouterr().err == (
        "error: model.embedding_units would be of no use: method amfam as configured does not read it: leave it out\n"
    )
    assert not out.exists()


def test_each_component_runs_the_step_of_its_name_with_all_of_its_inputs():
    from amfam_tf.release import kubeflow

    source = Path(kubeflow.__file__).read_text()
    for step in STEPS:
        body = source.partition(f"\ndef {COMPONENTS[step.name].replace('-', '_')}(")[2].partition("\n\n\n")[0]
        assert f'run_step("{step.name}", config, ' in body
        assert [name for name in COMPONENTS if f'"{name}": ' in body] == list(step.inputs)


def test_a_definition_of_a_version_with_other_steps_is_one_line(tmp_path):
    with pytest.raises(ReleaseError) as caught:
        run_step("StatisticsGen", stand_ins.config_text(tmp_path, tmp_path), {}, str(tmp_path / "out"))
    assert str(caught.value) == (
        "there is no step StatisticsGen: write the definition again, by amfam-tf release --kubeflow of this version"
    )


def test_the_local_runner_of_kfp_releases(tmp_path, tiny_source, monkeypatch):
    from kfp import local

    from amfam_tf.release import kubeflow

    text = stand_ins.config_text(tmp_path, tiny_source, at_least=0.3)
    paths = [str(HERE / "in_components"), str(HERE), *filter(None, sys.path)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))
    pipeline = kubeflow.define(IMAGE, configuration.parse(text, "release.yaml"))
    pipeline()
    version = served.read(tmp_path / "models" / "lesions" / "1")
    assert list(version.lineage["steps"]) == [step.name for step in STEPS[:-1]]
    for record in version.lineage["steps"].values():
        for name, reference in record["inputs"].items():
            assert reference["fingerprint"] == version.lineage["steps"][name]["fingerprint"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--kubeflow", "p.yaml"], "--kubeflow OUT.yaml and --image IMAGE belong together"),
        (["--image", IMAGE], "--kubeflow OUT.yaml and --image IMAGE belong together"),
        (["--kubeflow", "p.yaml", "--image", IMAGE, "--dry-run"], "--kubeflow runs nothing"),
        (["--volume", "a:/b"], "--volume can only be used with --kubeflow"),
        (["--kubeflow", "p.yaml", "--image", IMAGE, "--volume", "a:b"], "--volume must be CLAIM:PATH"),
    ],
)
def test_wrong_usage(words, message, tmp_path, capsys):
    (tmp_path / "release.yaml").write_text("{}")
    assert main(["release", "--config", str(tmp_path / "release.yaml"), *words]) == 2
    assert message in capsys.readouterr().err


def test_without_kfp_one_line_names_the_extra(compiled, tmp_path, monkeypatch, capsys):  # noqa: ARG001
    monkeypatch.setitem(sys.modules, "kfp", None)
    monkeypatch.delitem(sys.modules, "amfam_tf.release.kubeflow", raising=False)
    monkeypatch.delattr("amfam_tf.release.kubeflow", raising=False)
    words = ["release", "--config", str(tmp_path / "release.yaml"), "--kubeflow", "x.yaml", "--image", IMAGE]
    assert main(words) == 1
    assert capsys.readouterr().err == ("error: the definition for Kubeflow needs kfp: pip install amfam-tf[kubeflow]\n")
