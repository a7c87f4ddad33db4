"""The logistic regression of a task: scikit-learn's own answers, its strength, classes without a case, several rows."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

from amfam_tf.training import logistic
from amfam_tf.training.logistic import ABSENT, STRENGTHS, Rows, fit_task


def drawn(rows, classes, seed=0, size=6):
    """Returns features of very different scales, one of them constant, and labels that they say something of."""
    random = np.random.default_rng(seed)
    labels = random.integers(classes, size=rows)
    vectors = random.normal(size=(rows, size)) + labels[:, None] * np.linspace(0, 0.4, size)
    vectors = vectors * 10.0 ** np.arange(-2, size - 2) + 3
    vectors[:, 1] = 7.0
    return Rows(vectors, np.arange(rows)), labels


def probabilities(fitted, vectors):
    logits = fitted.logits(vectors)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def by_scikit_learn(strength, vectors, labels):
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=10_000))
    return model.fit(vectors, labels)


@pytest.mark.parametrize("classes", [2, 5])
def test_the_answers_are_scikit_learns_and_the_strength_is_the_best_of_the_grid(classes):
    (training, labels), (validation, truth) = drawn(90, classes), drawn(40, classes, seed=1)
    fitted = fit_task(training, labels, validation, truth, classes)
    theirs = {one: by_scikit_learn(one, training.vectors, labels) for one in STRENGTHS}
    losses = [log_loss(truth, one.predict_proba(validation.vectors)) for one in theirs.values()]
    assert fitted.strength == STRENGTHS[int(np.argmin(losses))]
    expected = theirs[fitted.strength].predict_proba(validation.vectors)
    np.testing.assert_allclose(probabilities(fitted, validation.vectors), expected, atol=1e-5)
    np.testing.assert_allclose(fitted.logits(validation.vectors).mean(axis=1), 0, atol=1e-8)


def test_of_equal_strengths_the_smallest_is_taken():
    training, labels = drawn(30, 3)
    same = Rows(np.full((30, 2), 5.0), training.cases)
    fitted = fit_task(same, labels, same, labels, 3)
    assert fitted.strength == STRENGTHS[0] == 1e-5
    np.testing.assert_allclose(probabilities(fitted, same.vectors)[0], np.bincount(labels) / 30, atol=1e-4)


def test_unknown_labels_are_left_out_but_for_mean_and_deviation():
    (training, labels), (validation, truth) = drawn(60, 3), drawn(30, 3, seed=1)
    unknown = np.arange(60) % 4 == 0
    fitted = fit_task(training, np.where(unknown, -1, labels), validation, np.where(truth == 2, -1, truth), 3)
    scaler = StandardScaler().fit(training.vectors)
    model = LogisticRegression(C=fitted.strength, max_iter=10_000)
    model.fit(scaler.transform(training.vectors[~unknown]), labels[~unknown])
    expected = model.predict_proba(scaler.transform(validation.vectors))
    np.testing.assert_allclose(probabilities(fitted, validation.vectors), expected, atol=1e-5)
    everything = fit_task(training, labels, validation, truth, 3)
    assert np.abs(probabilities(everything, validation.vectors) - expected).max() > 1e-3


@pytest.mark.parametrize("present", [(1, 3), (0, 2, 3)])
def test_a_class_without_a_training_case_is_all_but_impossible_and_finite(present):
    (training, numbers), (validation, truth) = drawn(60, len(present)), drawn(30, 4, seed=1)
    fitted = fit_task(training, np.array(present)[numbers], validation, truth, 4)
    absent = [number for number in range(4) if number not in present]
    far = np.concatenate([validation.vectors, 100 * validation.vectors])
    assert (probabilities(fitted, far)[:, absent] <= np.exp(ABSENT)).all()
    assert np.isfinite(fitted.bias).all()
    expected = by_scikit_learn(fitted.strength, training.vectors, numbers).predict_proba(validation.vectors)
    np.testing.assert_allclose(probabilities(fitted, validation.vectors)[:, present], expected, atol=1e-5)


@pytest.mark.parametrize(("label", "bias"), [(1, [ABSENT, 0.0, ABSENT]), (-1, [0.0, 0.0, 0.0])])
def test_of_one_class_or_none_there_is_nothing_to_fit(label, bias):
    training, _ = drawn(10, 3)
    fitted = fit_task(training, np.full(10, label), training, np.full(10, 2), 3)
    assert fitted.strength is None
    assert not fitted.kernel.any()
    assert fitted.bias.tolist() == bias


def test_without_a_validation_label_the_smallest_strength_is_taken():
    training, labels = drawn(60, 3)
    assert fit_task(training, labels, training, np.full(60, -1), 3).strength == STRENGTHS[0]


def test_a_case_of_several_pairs_counts_once():
    """Each case twice is each once; and of some twice, those weigh no more than the others."""
    (training, labels), (validation, truth) = drawn(60, 3), drawn(30, 3, seed=1)
    once = fit_task(training, labels, validation, truth, 3)
    for again in (np.arange(60), np.flatnonzero(labels == 0)):
        places = np.concatenate([np.arange(60), again])
        more = Rows(training.vectors[places], training.cases[places])
        repeated = fit_task(more, labels[places], validation, truth, 3)
        assert repeated.strength == once.strength
        np.testing.assert_allclose(
            probabilities(repeated, validation.vectors), probabilities(once, validation.vectors), atol=1e-3
        )


def test_the_mean_probability_of_a_cases_pairs_is_judged():
    logits = np.log([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.2, 0.8]])
    cases, truth = np.array([9, 9, 9, 4]), np.array([0, 0, 0, 1])
    np.testing.assert_allclose(logistic.mean_answers(logits, cases), [[0.2, 0.8], [1.7 / 3, 1.3 / 3]])
    expected = -(np.log(1.7 / 3) + np.log(0.8)) / 2
    assert logistic.log_loss(logits, cases, truth) == pytest.approx(expected)
    assert logistic.log_loss(logits, cases, np.array([0, 0, 0, -1])) == pytest.approx(-np.log(1.7 / 3))
    assert np.isfinite(logistic.log_loss(np.array([[0.0, -2000.0]]), np.array([1]), np.array([1])))


def test_the_solver_has_one_thread_and_the_others_are_there_afterwards(monkeypatch):
    """With two, a fit of 600 cases and 2,560 features took 43 s beside other jobs, and 1.5 s with one."""
    threads = []

    class Watched(LogisticRegression):
        def fit(self, *arguments, **named):
            threads.append({pool["num_threads"] for pool in threadpool_info()})
            return super().fit(*arguments, **named)

    monkeypatch.setattr(logistic, "LogisticRegression", Watched)
    training, labels = drawn(30, 3)
    with threadpool_limits(2):
        before = threadpool_info()
        assert {2} <= {pool["num_threads"] for pool in before}
        fit_task(training, labels, training, labels, 3)
        assert threadpool_info() == before
    assert threads == [{1}] * len(STRENGTHS)
