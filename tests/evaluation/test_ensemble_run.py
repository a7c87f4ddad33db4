"""The run folder of an ensemble: what it is made of, what it says of folds, and that all else takes it as a run."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from ensembles import write_member
from small_pairs import write_complete_hospital
from toy_method import TOY

from amfam_tf import models
from amfam_tf.cli import main as command_line
from amfam_tf.data.cases import read
from amfam_tf.errors import ConfigError, DataError, RunError
from amfam_tf.evaluation import predictions
from amfam_tf.evaluation.ensemble import make_ensemble
from amfam_tf.evaluation.out_of_fold import evaluate_out_of_fold, pooled
from amfam_tf.evaluation.run import evaluate_run
from amfam_tf.export.export import export_run
from amfam_tf.export.verify import verify
from amfam_tf.runs import thresholds as stored_thresholds
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.runs.thresholds import Thresholds
from amfam_tf.training.run import fit


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    return write_complete_hospital(tmp_path_factory.mktemp("hospital") / "data")


@pytest.fixture(scope="module", autouse=True)
def toy():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.METHODS, "toy", TOY)
        yield


@pytest.fixture(scope="module")
def seeds(hospital, tmp_path_factory):
    root = tmp_path_factory.mktemp("seeds")
    return [write_member(root / f"seed{seed}", hospital, seed=seed) for seed in range(2)]


@pytest.fixture(scope="module")
def folds(hospital, tmp_path_factory):
    root = tmp_path_factory.mktemp("folds")
    return [write_member(root / f"fold{fold}", hospital, fold=fold) for fold in range(2)]


def values(table, card):
    return table[[name for task in card.tasks for name in predictions.probability_columns(task)]].to_numpy()


def test_an_ensemble_of_seeds_is_evaluated_like_a_run_and_is_the_mean(hospital, seeds, tmp_path):
    made, parts, found = make_ensemble(tmp_path / "both", seeds)
    assert found is None
    assert [(one.run, one.method, one.seed, one.fold) for one in made.members] == [
        ("seed0", "toy", 0, None),
        ("seed1", "toy", 1, None),
    ]
    assert [one.model_sha256 for one in made.members] == [part.model_sha256 for part in parts]
    assert made.config.method == "ensemble"
    evaluation = evaluate_run(made.path, hospital)
    each = [evaluate_run(run, hospital) for run in seeds]
    card = made.card
    mean = np.mean([values(one.table, card) for one in each], axis=0)
    np.testing.assert_allclose(values(evaluation.table, card), mean, atol=1e-6)
    assert evaluation.report["trained_on_these_data"] is True
    assert not any("members" in note for note in evaluation.notes)
    again, _, _ = make_ensemble(tmp_path / "both", seeds)
    assert again.model_sha256 == made.model_sha256


def test_its_exported_version_answers_with_the_mean(seeds, tmp_path):
    made, parts, _ = make_ensemble(tmp_path / "both", seeds)
    exported = export_run(made.path, tmp_path / "models" / "lesions")
    verify(exported.path)
    told = exported.metadata
    assert told["method"]["name"] == "ensemble"
    assert [one["run"] for one in told["training"]["members"]] == ["seed0", "seed1"]
    served = tf.saved_model.load(str(exported.path)).signatures["predict_images"]
    pictures = {
        name: np.random.default_rng(seed).integers(0, 256, (3, 32, 32, 3), np.uint8)
        for seed, name in enumerate(("clinical", "dermoscopic"))
    }
    answer = served(**{name: tf.constant(value) for name, value in pictures.items()})
    given = {name: tf.constant(value / np.float32(255)) for name, value in pictures.items()}
    alone = [part.network(given) for part in parts]
    for task in made.card.tasks:
        mean = np.mean([tf.nn.softmax(one[task.name]).numpy() for one in alone], axis=0)
        np.testing.assert_allclose(answer[task.name], mean, atol=1e-5)


@pytest.fixture(scope="module")
def of_folds(hospital, folds, tmp_path_factory):
    """The ensemble of both folds, as the command line makes it."""
    out = tmp_path_factory.mktemp("of_folds") / "all"
    with pytest.MonkeyPatch.context() as patch:
        from amfam_tf.evaluation import figure_style

        patch.setattr(figure_style, "to_png", lambda *_: b"")
        assert command_line.main(["ensemble", str(out), *map(str, folds), "--data", str(hospital)]) == 0
    return FinishedRun.open(out)


def test_out_of_fold_has_each_case_by_the_member_that_left_it_out(hospital, folds, of_folds):
    found = read(hospital)
    table = predictions.read(
        of_folds.folder.evaluation("out-of-fold") / "predictions.csv", found.cases, card=found.card
    )
    assert sorted(table["case_num"]) == sorted(found.cases["case_num"])
    fold_of = found.cases.set_index("case_num")["fold"]
    for fold, run in enumerate(folds):
        alone = evaluate_run(run, hospital).table
        assert set(alone["case_num"]) == set(fold_of.index[fold_of == fold])
        own = table.set_index("case_num").loc[alone["case_num"]].reset_index()
        np.testing.assert_allclose(values(own, found.card), values(alone, found.card), atol=1e-6)
    metrics = json.loads((of_folds.folder.evaluation("out-of-fold") / "metrics.json").read_text())
    assert (metrics["split"], metrics["cases"]) == ("out-of-fold", 12)


def test_a_split_that_members_were_trained_on_is_said(hospital, of_folds):
    assert of_folds.config.data.fold is None
    assert of_folds.data_fingerprint == read(hospital).fingerprint
    notes = evaluate_run(of_folds.path, hospital, "test").notes
    assert (
        "its 2 members left out 2 different folds: each case of the split test was trained on by some of them, so "
        "these numbers are better than on new cases; evaluation/out-of-fold has each case by the members that left it "
        "out"
    ) in notes
    assert not any("members" in note for note in evaluate_run(of_folds.path, hospital, "validate").notes)


def test_of_seeds_of_a_fold_the_mean_is_taken(hospital):
    card = read(hospital).card
    labels = {task.name: np.zeros(2, int) for task in card.tasks}
    tables = []
    for share, numbers in ((0.2, [3, 1]), (0.6, [1, 3]), (0.9, [2, 4])):
        rows = np.tile([share, 1 - share], (2, 1))
        tables.append(predictions.to_frame(np.array(numbers), labels, {task.name: rows for task in card.tasks}, card))
    table = pooled(tables, card)
    assert table["case_num"].tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(table["DX_MEL"], [0.4, 0.9, 0.4, 0.9])


def refusal(*runs, out, kind=RunError, **options):
    with pytest.raises(kind) as caught:
        make_ensemble(out, runs, **options)
    return str(caught.value)


def test_what_does_not_go_together_is_refused(hospital, seeds, folds, tmp_path):
    out = tmp_path / "out"
    assert refusal(seeds[0], seeds[0], out=out) == f"{seeds[0]} is named twice: an ensemble takes each run once"
    assert "name their data, --data DATA" in refusal(*folds, out=out)
    assert "some of the runs left out a fold and some did not" in refusal(seeds[0], folds[0], out=out)
    other = write_member(tmp_path / "other", hospital, "data.border_crop=2")
    assert refusal(seeds[0], other, out=out) == f"{other} does not go with {seeds[0]}: data.border_crop is 2 and not 0"
    informed = write_member(tmp_path / "informed", hospital, "model.metadata=[age]")
    assert "it takes the metadata age and not none" in refusal(seeds[0], informed, out=out)
    elsewhere = write_complete_hospital(tmp_path / "elsewhere")
    stranger = write_member(tmp_path / "stranger", elsewhere)
    assert "it was trained on other data" in refusal(seeds[0], stranger, out=out)
    told = refusal(*folds, out=out, kind=DataError, data=elsewhere)
    assert told == f"{elsewhere}: these are not the data that {folds[0]} was trained on"
    assert not out.exists()


def test_a_folder_of_something_else_is_left_as_it_is(seeds, tmp_path):
    copy = shutil.copytree(seeds[0], tmp_path / "copy")
    assert refusal(*seeds, out=copy) == f"{copy} holds another run: name another folder"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note").touch()
    assert "is not empty (it holds note)" in refusal(*seeds, out=tmp_path / "full")
    made, _, _ = make_ensemble(tmp_path / "made", seeds)
    assert "is an ensemble itself" in refusal(made.path, seeds[0], out=tmp_path / "deep")


def test_an_ensemble_is_not_fitted(hospital, seeds, tmp_path):
    made, _, _ = make_ensemble(tmp_path / "made", seeds)
    with pytest.raises(ConfigError, match="an ensemble is not fitted: `amfam-tf ensemble OUT RUN RUN"):
        fit(hospital, tmp_path / "fitted", made.config, None)


def with_thresholds(made, **weights):
    """Writes thresholds that make NEV and `no` three times as likely, but for `weights`."""
    chosen = {"DX": {"MEL": 1.0, "NEV": 3.0}, "ULC": {"no": 3.0, "yes": 1.0}} | weights
    found = Thresholds("macro_f1", chosen, {}, 2, 12, made.model_sha256, made.data_fingerprint)
    stored_thresholds.write(made.folder.thresholds_file, found)


def test_thresholds_are_used_only_where_they_are_asked_for(hospital, seeds, tmp_path):
    made, _, _ = make_ensemble(tmp_path / "both", seeds)
    with pytest.raises(RunError, match=r"has no thresholds.json: `amfam-tf ensemble OUT RUN ... --data DATA"):
        evaluate_run(made.path, hospital, "train", thresholds=True)
    with_thresholds(made)
    plain = evaluate_run(made.path, hospital, "train")
    assert "decided" not in plain.report
    asked = evaluate_run(made.path, hospital, "train", thresholds=True)
    np.testing.assert_array_equal(asked.table, plain.table)
    assert "the thresholds were fitted on cases of this split: their gain is larger than on new cases" in asked.notes
    known = asked.table[asked.table["DX_true"] != ""]
    right = (3 * known["DX_NEV"] > known["DX_MEL"]) == (known["DX_true"] == "NEV")
    part = asked.report["decided"]
    assert (part["measure"], part["nested"]) == ("macro_f1", False)
    assert part["tasks"]["DX"]["decided"]["accuracy"] == pytest.approx(right.mean())
    assert part["tasks"]["DX"]["plain"]["accuracy"] == pytest.approx(plain.report["tasks"]["DX"]["accuracy"])


def test_thresholds_are_exported_as_one_more_output(seeds, tmp_path):
    made, _, _ = make_ensemble(tmp_path / "both", seeds)
    with_thresholds(made)
    plain = export_run(made.path, tmp_path / "models" / "lesions")
    asked = export_run(made.path, tmp_path / "models" / "lesions", thresholds=True)
    verify(asked.path)
    more = {"DX_decided", "ULC_decided"}
    for name, signature in asked.metadata["signatures"].items():
        before = plain.metadata["signatures"][name]["outputs"]
        assert signature["outputs"].keys() - before.keys() == (set() if name == "describe" else more)
        assert {key: value for key, value in signature["outputs"].items() if key not in more} == before
    assert asked.metadata["thresholds"]["decided"]["weights"]["DX"] == {"MEL": 1.0, "NEV": 3.0}
    assert "decided" not in plain.metadata["thresholds"]
    served = tf.saved_model.load(str(asked.path)).signatures["predict_images"]
    pictures = np.random.default_rng(0).integers(0, 256, (2, 16, 32, 32, 3), np.uint8)
    answer = served(clinical=tf.constant(pictures[0]), dermoscopic=tf.constant(pictures[1]))
    weighted = answer["DX"].numpy() * [1.0, 3.0], answer["ULC"].numpy() * [3.0, 1.0]
    for name, values in zip(("DX", "ULC"), weighted, strict=True):
        np.testing.assert_array_equal(answer[f"{name}_decided"], values.argmax(axis=1))
    made.folder.thresholds_file.write_text(made.folder.thresholds_file.read_text().replace(made.model_sha256, "0" * 64))
    with pytest.raises(RunError, match="belongs to other weights than those in"):
        export_run(made.path, tmp_path / "models" / "lesions", thresholds=True)


def test_thresholds_need_folds_and_their_data(hospital, seeds, folds, tmp_path, capsys):
    words = ["ensemble", str(tmp_path / "out"), *map(str, seeds), "--thresholds", "macro_f1"]
    assert command_line.main(words) == 2
    assert "--thresholds are fitted on the data: add --data DIR" in capsys.readouterr().err
    assert command_line.main([*words, "--data", str(hospital)]) == 1
    assert "did not leave out different folds" in capsys.readouterr().err
    made, parts, found = make_ensemble(tmp_path / "all", folds, hospital)
    evaluation = evaluate_out_of_fold(made, parts, found, measure="macro_f1")
    assert made.own_thresholds.judged == evaluation.report["decided"]["tasks"]
    assert evaluation.report["decided"]["nested"] is True
    assert made.own_thresholds.weights["DX"] == {"MEL": 1.0, "NEV": 1.0}
    assert any(
        note.startswith("DX: 9 cases of 2 folds have a label, 30 of two are needed") for note in evaluation.notes
    )
