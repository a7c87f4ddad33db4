"""Every panel shows the pictures, maps, bars and words of its own case, each at its place."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from untrained_runs import write_run

from amfam_tf.cli import explain as verb
from amfam_tf.cli import main
from amfam_tf.data import pipeline
from amfam_tf.evaluation import figure_style
from amfam_tf.explain import panel
from amfam_tf.explain.run import CaseExplanation, choose_cases, explain_run
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.tasks import DERM7PT, DIAGNOSIS, MODALITIES, TASK_BY_NAME

pytestmark = pytest.mark.usefixtures("tiny_backbone")

SIDE = 6


@pytest.fixture(scope="module")
def finished(tmp_path_factory, drawn):
    """Returns a finished run with a batch of two cases."""
    return write_run(tmp_path_factory.mktemp("runs") / "first", drawn)


@pytest.fixture(scope="module")
def cases(drawn):
    """Returns five cases, so that there are three batches, the last one of one case."""
    return choose_cases(drawn, "test", (), 5)


def test_each_explanation_has_its_own_pictures_maps_and_label(finished, cases):
    found = explain_run(finished, cases, DIAGNOSIS)
    assert [one.case_num for one in found] == cases["case_num"].tolist()
    config = FinishedRun.open(finished).config
    assert config.training.batch_size == 2
    pictures = {
        int(batch["case_num"][row]): {name: batch[name][row].numpy() for name in MODALITIES}
        for batch in pipeline.evaluation_dataset(cases, config, DERM7PT)
        for row in range(len(batch["case_num"]))
    }
    for place, one in enumerate(found):
        for name in MODALITIES:
            np.testing.assert_array_equal(one.pictures[name], pictures[one.case_num][name])
        assert one.truth == cases["DIAG"].iloc[place]
    # The second case of its batch, by itself.
    (alone,) = explain_run(finished, cases.iloc[[1]], DIAGNOSIS)
    for name in MODALITIES:
        np.testing.assert_allclose(found[1].maps[name], alone.maps[name], atol=1e-4)
    np.testing.assert_allclose(found[1].probabilities, alone.probabilities, atol=1e-5)
    for name in MODALITIES:
        assert len({one.pictures[name].tobytes() for one in found}) == len(found)
        assert len({one.maps[name].tobytes() for one in found}) == len(found)


def test_each_file_is_the_panel_of_the_case_in_its_name(finished, drawn, cases, tmp_path, monkeypatch):
    monkeypatch.setattr(panel, "draw_panel", lambda explanations: explanations)
    written = {}
    monkeypatch.setattr(
        figure_style, "write_png", lambda explanations, path, *_: written.update({path.name: explanations})
    )
    assert main.main(["explain", str(finished), "--data", str(drawn), "--out", str(tmp_path)]) == 0
    assert len(written) == verb.FIRST_CASES
    expected = {one.case_num: one for one in explain_run(finished, cases, DIAGNOSIS)}
    for name, (one,) in written.items():
        number = int(name.split("-")[1])
        assert one.case_num == number
        np.testing.assert_array_equal(one.pictures["dermoscopic"], expected[number].pictures["dermoscopic"])


def explanation(run: str, number: int, shown: int, truth: int, seed: int, task=DIAGNOSIS, maps=MODALITIES):
    """Returns an explanation of which every number is another."""
    random = np.random.default_rng(seed)
    weights = random.permutation(len(task.classes)) + 1.0
    return CaseExplanation(
        run=run,
        case_num=number,
        task=task,
        shown=shown,
        truth=truth,
        probabilities=weights / weights.sum(),
        pictures={name: random.random((SIDE, SIDE, 3)) for name in MODALITIES},
        maps={name: random.random((SIDE, SIDE)) for name in maps},
    )


def images_of(figure) -> list[tuple[np.ndarray, str]]:
    """Returns every picture of a figure, but for its colour bar, with the title above it."""
    return [(np.asarray(axes.images[0].get_array()), axes.get_title()) for axes in figure.axes if axes.images]


def test_a_panel_shows_each_picture_and_each_map_at_its_place():
    one, other = explanation("one", 17, 2, 1, 0), explanation("other", 17, 4, 1, 1)
    other = CaseExplanation(**{**vars(other), "pictures": one.pictures})
    found = images_of(panel.draw_panel([one, other]))
    titles = ["\nclinical", "one\nfor MEL", "other\nfor SK", "dermoscopic", "for MEL", "for SK"]
    assert [title for _, title in found] == titles
    expected = []
    for name in MODALITIES:
        expected += [
            one.pictures[name],
            *(panel.overlay(each.pictures[name], each.maps[name]) for each in (one, other)),
        ]
    for (picture, title), wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(picture, wanted, err_msg=title)


def test_bars_ticks_and_verdict_are_those_of_the_run():
    one = explanation("one", 17, 2, 3, 2)
    (axes,) = [axes for axes in panel.draw_panel([one]).axes if axes.get_xlabel() == "probability"]
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], one.probabilities)
    assert [text.get_text() for text in axes.texts] == [f"{value:.2f}" for value in one.probabilities]
    predicted = int(np.argmax(one.probabilities))
    assert predicted != one.truth
    ticks = [label.get_text() for label in axes.get_yticklabels()]
    for number, tick in enumerate(ticks):
        lines = tick.split("\n")
        assert lines[0] == DIAGNOSIS.class_titles[number]
        marks = {predicted: ["(predicted)"], one.truth: ["(label)"]}.get(number, [])
        assert lines[1:] == marks
    assert axes.get_title("right") == f"{DIAGNOSIS.classes[predicted]}, wrong"
    colours = [to_hex(bar.get_facecolor()).upper() for bar in axes.patches]
    assert colours == [figure_style.BLUE if number == predicted else figure_style.PALE for number in range(5)]
    right = CaseExplanation(**{**vars(one), "truth": predicted})
    (axes,) = [axes for axes in panel.draw_panel([right]).axes if axes.get_xlabel() == "probability"]
    assert axes.get_title("right") == f"{DIAGNOSIS.classes[predicted]}, right"
    assert axes.get_yticklabels()[predicted].get_text().endswith("(predicted, label)")


def test_the_title_names_case_task_and_label():
    one = explanation("one", 29, 0, 2, 3, task=TASK_BY_NAME["PN"])
    assert panel.draw_panel([one]).get_suptitle() == "case 29, pigment network; label: atypical"


def test_a_picture_that_is_not_used_is_said_at_its_own_place():
    one = explanation("one", 17, 2, 1, 4, maps=("dermoscopic",))
    figure = panel.draw_panel([one])
    shown = [axes for axes in figure.axes if axes.images]
    words = [" ".join(text.get_text() for text in axes.texts) for axes in shown]
    assert words == ["", "does not use\nthe clinical picture", "", ""]
    laid = panel.overlay(one.pictures["dermoscopic"], one.maps["dermoscopic"])
    np.testing.assert_allclose(shown[3].images[0].get_array(), laid)


def test_a_map_without_anything_says_so():
    one = explanation("one", 17, 2, 1, 5)
    one.maps["clinical"][:] = 0
    shown = [axes for axes in panel.draw_panel([one]).axes if axes.images]
    words = [" ".join(text.get_text() for text in axes.texts) for axes in shown]
    assert words == ["", "nothing speaks for it", "", ""]
    figure = shown[1].figure
    figure.draw_without_rendering()
    (text,) = shown[1].texts
    found, place = text.get_window_extent(), shown[1].get_window_extent()
    assert place.x0 < found.x0 < found.x1 < place.x1
    assert (found.x0 + found.x1) / 2 == pytest.approx((place.x0 + place.x1) / 2, abs=1)
    # Along the lower edge, so that it hides no more of the picture than it must.
    assert place.y0 < found.y0 < found.y1 < place.y0 + place.height / 5


@pytest.mark.parametrize(("runs", "width"), [(1, 7.4), (2, 9.5), (3, 11.6)])
def test_a_panel_is_wider_by_a_picture_for_each_further_run(runs, width):
    figure = panel.draw_panel([explanation(f"run {place}", 17, 2, 1, place) for place in range(runs)])
    assert figure.get_size_inches() == pytest.approx((width, 5.1))
    figure.draw_without_rendering()
    shown = [axes.get_window_extent() for axes in figure.axes if axes.images]
    assert len(shown) == 2 * (1 + runs)
    sizes = [length for place in shown for length in (place.width, place.height)]
    assert min(sizes) > 0.8 * panel.CELL * figure.dpi
    # Row after row from the top, and from left to right.
    for one, (after, below) in enumerate(zip(shown[1 : 1 + runs], shown[1 + runs : -1], strict=True)):
        assert shown[one].x1 < after.x0
        assert shown[one].y0 > below.y1


def test_the_colour_bar_is_that_of_the_maps_from_nothing_to_all():
    figure = panel.draw_panel([explanation("one", 17, 2, 1, 0)])
    (axes,) = [axes for axes in figure.axes if axes.get_xlabel().startswith("speaks for the class")]
    assert axes.get_xlabel() == "speaks for the class, of each map's own largest value"
    assert axes.get_xlim() == (0, 1)
    figure.draw_without_rendering()
    (mesh,) = [one for one in axes.collections if one.get_array() is not None]
    assert (mesh.get_cmap().name, mesh.get_clim()) == (figure_style.MAPS, (0, 1))
    place = axes.get_window_extent()
    assert place.width > 20 * place.height
    assert place.y1 < min(one.get_window_extent().y0 for one in figure.axes if one.images)


@pytest.mark.parametrize("task", ["DIAG", "BWV"])
def test_bars_and_their_numbers_stay_within_the_panel(task):
    one = explanation("one", 17, 0, 1, 2, task=TASK_BY_NAME[task])
    one.probabilities[:] = 0
    one.probabilities[0] = 1
    figure = panel.draw_panel([one])
    figure.draw_without_rendering()
    (axes,) = [axes for axes in figure.axes if axes.get_xlabel() == "probability"]
    assert axes.get_xlim() == (0, 1.25)
    assert axes.get_xticks().tolist() == [0, 0.5, 1]
    assert axes.yaxis.get_inverted()
    assert not axes.spines["left"].get_visible()
    assert [tick.tick1line.get_markersize() for tick in axes.yaxis.majorTicks] == [0] * len(one.probabilities)
    for number, (bar, text) in enumerate(zip(axes.patches, axes.texts, strict=True)):
        assert bar.get_y() + bar.get_height() / 2 == number
        assert 0.5 <= bar.get_height() < 1  # bars do not touch
        assert text.get_position() == pytest.approx((one.probabilities[number] + 0.03, number))
        assert 0 < text.get_window_extent().x0 < text.get_window_extent().x1 < figure.bbox.width


def test_where_a_map_is_one_the_picture_is_hidden_by_two_thirds():
    picture = np.full((1, 2, 3), 1.0)
    laid = panel.overlay(picture, np.array([[0.0, 1.0]]))
    np.testing.assert_allclose(laid[0, 0], 1.0)
    yellow = np.array([0.993248, 0.906157, 0.143936])  # viridis at 1
    np.testing.assert_allclose(laid[0, 1], 0.35 + 0.65 * yellow, atol=1e-4)
