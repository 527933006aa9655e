"""The examples that work with scikit-learn and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator

import tinygrad_np as tg

# ------------------------------------------------------------------------------------------------------- scikit-learn


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_the_estimator_is_one_by_scikit_learns_own_checks(load):
    check_estimator(load("with_scikit_learn").MLPClassifier())


def test_the_estimator_learns_what_is_not_linear_and_leaves_the_librarys_draws_alone(load):
    classifier = load("with_scikit_learn").MLPClassifier()
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (400, 2))
    y = np.where(x[:, 0] * x[:, 1] > 0, "same", "other")
    before = tg.random.generator().bit_generator.state
    classifier.fit(x[:300], y[:300])
    assert tg.random.generator().bit_generator.state == before
    assert classifier.score(x[300:], y[300:]) > 0.9
    probabilities = classifier.predict_proba(x)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (classifier.classes_[probabilities.argmax(axis=1)] == classifier.predict(x)).all()


def test_the_scikit_learn_example_runs(load, capsys):
    load("with_scikit_learn").main()
    assert "in three-fold cross-validation" in capsys.readouterr().out


# -------------------------------------------------------------------------------------------------------------- SciPy


def test_the_minimum_of_rosenbrock_in_a_nested_structure(load):
    def rosenbrock(tree):
        a, (b,) = tree["a"], tree["rest"]
        return (1 - a) ** 2 + 100 * np.sum((b - a**2) ** 2)

    best, result = load("with_scipy").minimize(
        rosenbrock, {"a": np.array(-1.2), "rest": (np.array([1.0, 0.5]),)}, method="BFGS", tol=1e-10
    )
    assert result.fun < 1e-14
    assert best["a"].shape == ()
    assert isinstance(best["rest"], tuple)
    np.testing.assert_allclose([best["a"], *best["rest"][0]], 1, atol=1e-6)


def test_scipy_takes_our_gradients_for_right():
    from scipy.optimize import check_grad

    def loss(vector):
        return np.sum(np.tanh(vector["w"]) ** 2) + vector["w"][0] ** 3

    point = np.array([0.3, -0.7, 1.1])
    value_and_gradient = tg.value_and_grad(loss)
    error = check_grad(
        lambda v: float(value_and_gradient({"w": v})[0]), lambda v: value_and_gradient({"w": v})[1]["w"], point
    )
    assert error < 1e-6


def test_the_scipy_example_runs(load, capsys):
    load("with_scipy").main()
    assert "test accuracy" in capsys.readouterr().out
