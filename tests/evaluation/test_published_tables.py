"""The published tables: the exchange proven, the specificity rebuilt, the mistyped cells found, by arithmetic alone."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from amfam_tf.data.synthetic.data_set import DRAWN_PREFIX, SHARED_ROWS
from amfam_tf.evaluation import paper, paper_tables, published, reconstruct
from amfam_tf.tasks import DIAGNOSIS, SPLITS, TASK_BY_NAME, TASKS

OWN = ("Clin. only", "Derm. only", "Concat.", "Concat.+AD.", "AMFAM")


def test_printed_counts_sum_to_the_splits():
    counts = published.read("table1_class_counts").groupby("task")[["train", "validate", "test", "total"]].sum()
    assert (counts == [413, 203, 395, 1011]).all(axis=None)
    assert published.support(TASK_BY_NAME["VS"]) == (313, 52, 30)


def test_what_is_in_the_package_is_as_printed():
    """Errata point 4 and 2: nothing was corrected by hand."""
    assert published.row(3, "Derm. only", "STR").sen[1] == 1.0
    assert published.row(3, "Concat.+Recon.", "BWV").prec[1] == 0.6
    assert published.row(4, "AMFAM", "DIAG").prec == (37.5, 89.5, 76.2, 42.5, 10.0)
    assert published.row(4, "AMFAM", "DIAG").spec == (97.4, 85.8, 91.4, 93.8, 95.6)


def test_amfam_diag_has_the_counts_of_the_errata():
    found = reconstruct.reconstruct(published.row(4, "AMFAM", "DIAG"))
    assert found.reading == "exchanged"
    assert found.solutions == (((6, 15), (196, 233), (77, 117), (17, 25), (2, 5)),)
    assert round(found.accuracy, 1) == 75.4


def test_true_specificity_of_amfam_diag():
    table = paper.corrected_classes()
    rows = table[(table["table"] == 4) & (table["method"] == "AMFAM")]
    assert list(rows["class"]) == ["BCC", "NEV", "MEL", "MISC", "SK"]
    assert list(rows["specificity"].round(1)) == [97.6, 79.0, 86.4, 97.7, 99.2]
    assert list(rows["sensitivity"].round(1)) == [37.5, 89.5, 76.2, 42.5, 10.5]
    assert list(rows["precision"].round(1)) == [40.0, 84.1, 65.8, 68.0, 40.0]


def test_every_row_is_decided_and_which_are_exchanged():
    table = paper.readings()
    assert len(table) == 8 * 7 + 8 + 5
    as_printed = table[table["reading"] == "as printed"]["method"]
    assert sorted(set(as_printed)) == ["Inception-balanced", "Inception-combined", "Inception-unbalanced"]
    assert (table[~table["method"].isin(as_printed)]["reading"] == "exchanged").all()
    assert (table["predicted_total"] == 395).all()


def test_recall_gives_the_accuracy_only_in_the_right_column():
    """Errata point 1, for the methods and tasks that it names; VS of AMFAM 83.3 against 76.3."""
    table = paper.readings()
    own = table[table["method"].isin(OWN) & table["table"].isin([3, 4])]
    assert len(own) == 5 * 8
    assert ((own["accuracy_if_prec_is_recall"] - own["accuracy_printed"]).abs() < 0.1).all()
    vascular = own[(own["method"] == "AMFAM") & (own["task"] == "VS")].iloc[0]
    assert round(vascular["accuracy_if_sen_is_recall"], 1) == 76.3
    assert round(vascular["accuracy_if_prec_is_recall"], 1) == 83.3


def test_spec_is_the_npv_where_the_columns_are_exchanged_and_the_specificity_where_not():
    table = paper.readings()
    exchanged = table[table["reading"] == "exchanged"]
    assert exchanged["spec_is_npv"].sum() >= exchanged["classes"].sum() - 3  # three cells are mistyped
    others = table[table["reading"] == "as printed"]
    assert (others["spec_is_specificity"] == 5).all()
    assert (others["spec_is_npv"] == 0).all()


def test_hccnn_row_is_of_another_run_than_its_accuracy():
    found = reconstruct.reconstruct(published.row(7, "HcCNN", "DIAG"))
    assert found.reading == "exchanged"
    assert not found.accuracy_fits
    assert found.counts == ((6, 17), (200, 252), (55, 80), (25, 43), (2, 3))
    assert round(found.accuracy, 1) == 72.9


def test_two_single_cells_are_not_exchanged():
    """MISC and SK of the two reconstruction rows: only this reading gives the printed accuracy."""
    turned = {"Concat.+Recon.": "MISC", "Concat.+Recon.+Att.": "SK"}
    for method, name in turned.items():
        found = reconstruct.reconstruct(published.row(4, method, "DIAG"))
        assert (found.reading, DIAGNOSIS.classes[found.turned]) == ("exchanged", name)
        assert abs(found.accuracy - found.row.accuracy) <= 0.05


def _errors():
    return {
        (row["table"], row["method"], row["column"], row["task"], row["class"]): (row["printed"], row["corrected"])
        for row in paper.typing_errors().to_dict("records")
    }


def test_mistyped_cells_of_the_errata_are_found():
    errors = _errors()
    assert errors[3, "Derm. only", "Sen.", "STR", "REG"] == (1.0, 100.0)
    assert errors[3, "Concat.+Recon.", "Prec.", "BWV", "PRS"] == (0.6, 60.0)
    assert errors[4, "AMFAM", "Prec.", "DIAG", "SK"] == (10.0, 10.5)
    assert errors[3, "Concat.+Recon.+Att. (without E)", "AUC", "RS", "PRS"] == (83.9, 84.4)
    assert len(errors) == 19


def test_auc_row_with_a_misplaced_value_gets_its_printed_average():
    method = "Concat.+Recon.+Att. (without E)"
    areas = [area for task in TASKS[1:] for area in paper.corrected_auc(published.row(3, method, task.name))]
    assert len(areas) == 19
    assert np.mean(areas) == pytest.approx(83.6, abs=0.05)
    for task in ("BWV", "RS"):
        first, second = paper.corrected_auc(published.row(3, method, task))
        assert first == second


def test_corrected_averages():
    table = paper.averages().set_index(["table", "method"])
    amfam = table.loc[(7, "AMFAM")]
    assert amfam["sensitivity"] == pytest.approx((600 / 16 + 19600 / 219 + 7700 / 101 + 1700 / 40 + 200 / 19) / 5)
    assert amfam["sensitivity_as_printed"] == 59.6
    combined = table.loc[(7, "Inception-combined")]
    assert combined["sensitivity"] == pytest.approx(combined["sensitivity_as_printed"], abs=0.1)


@pytest.mark.parametrize(("table", "classes"), [(3, 19), (4, 5), (7, 5)])
def test_printed_averages_are_unweighted_over_all_classes(table, classes):
    printed = published.read(published.CLASS_TABLES[table][0])
    cells = printed.drop(columns=["method", "column_as_printed", "average_as_printed"])
    assert cells.shape[1] == classes
    # one AUC row holds its average in place of its last class
    assert ((cells.mean(axis=1) - printed["average_as_printed"]).abs() < 0.1).all()


@pytest.mark.parametrize("table", [2, 5])
def test_printed_average_accuracy_is_over_the_eight_tasks(table):
    frame = published.accuracies(table)
    assert ((frame[[task.name for task in TASKS]].mean(axis=1) - frame["average"]).abs() <= 0.0501).all()


def test_claims_name_their_verdicts():
    verdicts = {claim.claim: claim.verdict for claim in paper.claims()}
    assert verdicts["AMFAM has the highest average sensitivity over the five diagnoses"] == "does not hold"
    assert verdicts["AMFAM has the highest average specificity over the five diagnoses"] == "holds"
    assert verdicts["AMFAM finds more melanomas than the systems that it is compared with"] == "holds"
    assert set(verdicts.values()) == {"holds", "does not hold", "open"}


def test_counts_are_found_again_from_rounded_rates():
    """A made-up row: whichever way round it is printed, the solver says so and finds the counts."""
    task, support = TASK_BY_NAME["PN"], (156, 146, 93)
    counts = ((120, 160), (101, 141), (50, 94))
    recall = tuple(round(100 * right / n, 1) for (right, _), n in zip(counts, support, strict=True))
    precision = tuple(round(100 * right / total, 1) for right, total in counts)
    accuracy = round(100 * sum(right for right, _ in counts) / 395, 1)
    zeros = (0.0,) * 3
    for reading, sen, prec in (("exchanged", precision, recall), ("as printed", recall, precision)):
        found = reconstruct.reconstruct(
            published.PublishedRow(3, "made up", task, sen, zeros, prec, zeros, accuracy, support)
        )
        assert (found.reading, found.counts, found.repair) == (reading, counts, None)


def test_row_that_no_counts_allow_stays_undecided():
    task = TASK_BY_NAME["BWV"]
    row = published.PublishedRow(
        3, "made up", task, (50.0, 50.0), (0.0,) * 2, (12.34, 55.55), (0.0,) * 2, 40.0, (320, 75)
    )
    found = reconstruct.reconstruct(row)
    assert found.reading == "undecided"
    assert found.solutions == ()


def test_published_values_for_our_methods():
    amfam = paper.published_values("amfam")
    assert amfam["row"] == "AMFAM"
    assert amfam["accuracy"]["average"] == pytest.approx(0.76)
    assert amfam["paper_diagnosis"]["sensitivity"] == pytest.approx(0.5125, abs=1e-4)
    assert amfam["diagnosis_auc"]["BCC"] == pytest.approx(0.941)
    assert "paper_criteria" not in paper.published_values("hccnn")
    assert paper.published_values("concat-recon-att-linear")["accuracy"]["PN"] == pytest.approx(0.711)
    assert paper.published_values("my-own") is None


def test_every_method_of_the_registry_that_the_paper_has_is_known():
    from amfam_tf.models import METHODS

    missing = [name for name in METHODS if paper.published_values(name) is None]
    assert missing == ["probe", "metadata-only"]


def _release():
    """Returns the parts of a data set that tell it is Derm7pt: counts of Table 1, the nine shared files."""
    counts = published.read("table1_class_counts").set_index(["task", "class"])
    frames = []
    for split in SPLITS:
        labels = {
            task.name: np.repeat(np.arange(len(task.classes)), [counts.loc[task.name, c][split] for c in task.classes])
            for task in TASKS
        }
        frames.append(pd.DataFrame({**labels, "split": split}))
    release = pd.concat(frames, ignore_index=True)
    return release.assign(notes="", case_id="NEL001", shared_file=release.index.isin(SHARED_ROWS))


def test_data_that_are_not_derm7pt_are_told():
    assert published.difference_from(_release()) is None
    fewer = _release().iloc[:-1]
    assert published.difference_from(fewer) == "its class counts are not those of Table 1 (DIAG, test)"
    assert "nine cases" in published.difference_from(_release().assign(shared_file=False))
    drawn = _release().assign(case_id=f"{DRAWN_PREFIX}NEL001")
    assert published.difference_from(drawn) == "its cases are drawn by a program"


def test_document_in_docs_is_the_generated_one():
    path = Path(__file__).parents[2] / "docs" / "published_tables.md"
    assert path.read_text(encoding="utf-8") == paper_tables.document()


def test_csv_of_the_command_has_every_class(capsys):
    from amfam_tf.cli.paper import paper as command

    command.main(["--csv", "classes"], standalone_mode=False)
    frame = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert len(frame) == 8 * 19 + 8 * 5 + 5 * 5


def test_terminal_output_names_the_mistakes(capsys):
    from amfam_tf.cli.paper import paper as command

    command.main([], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "exchanged" in printed
    assert "does not hold" in printed
