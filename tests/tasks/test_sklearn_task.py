"""Estimators of scikit-learn: the suite of all tasks, and agreement with what they do alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ciranda
from ciranda.core.errors import CirandaError, SignatureError, TaskError
from ciranda.core.rng import Draw
from ciranda.core.task import ClientSettings, Examples, FederatedData, Task
from ciranda.tasks.sklearn_task import SklearnTask
from ciranda.tasks.user import as_task
from ciranda.testing.tasks import TaskConformance

pytest.importorskip("sklearn")
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, Perceptron, Ridge, SGDClassifier, SGDRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC


def classes(count: int) -> FederatedData:
    generator = np.random.default_rng(1)
    y = generator.integers(0, count, 120)
    x = (0.4 * generator.normal(size=(120, 2, 2)) + 0.8 * np.eye(4)[y].reshape(-1, 2, 2)).astype(np.float32)
    return FederatedData(Examples(x[:90], y[:90]), Examples(x[90:], y[90:]), tuple("abcd"[:count]))


def values(targets: int) -> FederatedData:
    generator = np.random.default_rng(2)
    x = 0.5 * generator.normal(size=(120, 3)).astype(np.float32)
    y = (x @ generator.normal(size=(3, targets)) + 2.0).astype(np.float32)
    y = y[:, 0] if targets == 1 else y
    return FederatedData(Examples(x[:90], y[:90]), Examples(x[90:], y[90:]))


class Incremental(TaskConformance):
    settings = ClientSettings(local_epochs=2, batch_size=8, learning_rate=0.05)


class Fitted(TaskConformance):
    counts_steps = False
    draws = False


class TestSgdClassifier(Incremental):
    def make(self) -> Task:
        return SklearnTask(SGDClassifier(loss="log_loss"), classes(4))


class TestSgdOfTwoClasses(Incremental):
    def make(self) -> Task:
        return SklearnTask(SGDClassifier(loss="log_loss", average=True), classes(2))


class TestPerceptron(Incremental):
    settings = ClientSettings(local_epochs=2, batch_size=8, learning_rate=0.5)

    def make(self) -> Task:
        return SklearnTask(Perceptron(), classes(3))


class TestSgdRegressor(Incremental):
    def make(self) -> Task:
        return SklearnTask(SGDRegressor(), values(1))


class TestLogisticRegression(Fitted):
    def make(self) -> Task:
        return SklearnTask(LogisticRegression(), classes(4))


class TestLinearSvc(Fitted):
    def make(self) -> Task:
        return SklearnTask(LinearSVC(), classes(2))


class TestRidge(Fitted):
    def make(self) -> Task:
        return SklearnTask(Ridge(alpha=0.1), values(1))


class TestLinearRegressionOfTwoTargets(Fitted):
    def make(self) -> Task:
        return SklearnTask(LinearRegression(fit_intercept=False), values(2))


@pytest.mark.parametrize("count", [2, 4])
def test_one_batch_of_sgd_is_the_estimators_own_pass(count: int) -> None:
    data = classes(count)
    task = SklearnTask(SGDClassifier(loss="log_loss", shuffle=False), data)
    model = task.initial(Draw(1))
    settings = ClientSettings(batch_size=1000, learning_rate=0.1)
    order = Draw(3).at("shuffle", epoch=1).generator().permutation(len(data.train))
    alone = SGDClassifier(loss="log_loss", shuffle=False, learning_rate="constant", eta0=0.1)
    x = data.train.x.reshape(len(data.train), -1)[order].astype(np.float64)
    alone.partial_fit(x[:1], data.train.y[order][:1], classes=np.arange(count))
    alone.coef_, alone.intercept_ = model["coef"].astype(np.float64), model["intercept"].astype(np.float64)
    alone.partial_fit(x, data.train.y[order])
    trained = task.train(model, data.train, settings, Draw(3)).arrays
    np.testing.assert_allclose(trained["coef"], alone.coef_, atol=1e-5)
    np.testing.assert_allclose(trained["intercept"], alone.intercept_, atol=1e-5)


@pytest.mark.parametrize(
    ("estimator", "count"), [(LogisticRegression(), 2), (LogisticRegression(), 4), (SGDClassifier(loss="log_loss"), 4)]
)
def test_probabilities_are_scikit_learns(estimator: Any, count: int) -> None:
    data = classes(count)
    x = data.train.x.reshape(len(data.train), -1).astype(np.float64)
    alone = estimator.fit(x, data.train.y)
    model = {"coef": alone.coef_.astype(np.float32), "intercept": alone.intercept_.astype(np.float32)}
    np.testing.assert_allclose(SklearnTask(estimator, data).predict(model, data.train.x), alone.predict_proba(x), atol=1e-5)


def test_one_client_with_everything_fits_as_alone() -> None:
    for estimator, data in (
        (Ridge(), values(1)),
        (LinearRegression(), values(2)),
        (Lasso(0.01), values(1)),
        (LogisticRegression(), classes(3)),
    ):
        task = SklearnTask(estimator, data)
        trained = task.train(task.initial(Draw(1)), data.train, ClientSettings(learning_rate=0.1), Draw(2)).arrays
        alone = estimator.fit(data.train.x.reshape(len(data.train), -1).astype(np.float64), data.train.y)
        np.testing.assert_allclose(trained["coef"], np.atleast_2d(alone.coef_), atol=1e-3)
        np.testing.assert_allclose(trained["intercept"], np.atleast_1d(alone.intercept_), atol=1e-3)


def test_classes_that_a_client_lacks_keep_the_rounds_coefficients() -> None:
    data = classes(4)
    task = SklearnTask(LogisticRegression(), data)
    model = task.initial(Draw(1))
    two = data.train[np.flatnonzero(np.isin(data.train.y, [1, 3]))]
    trained = task.train(model, two, ClientSettings(), Draw(2)).arrays
    np.testing.assert_allclose(trained["coef"][[0, 2]], model["coef"][[0, 2]], atol=1e-6)
    np.testing.assert_allclose(trained["coef"][1], -trained["coef"][3], atol=1e-6)
    predicted = task.predict(trained, two.x)
    assert (np.where(predicted[:, 1] > predicted[:, 3], 1, 3) == two.y).mean() > 0.8
    three = data.train[np.flatnonzero(data.train.y != 2)]
    assert np.allclose(task.train(model, three, ClientSettings(), Draw(2)).arrays["coef"][2], model["coef"][2], atol=1e-6)
    one = data.train[np.flatnonzero(data.train.y == 1)]
    np.testing.assert_allclose(task.train(model, one, ClientSettings(), Draw(2)).arrays["coef"], model["coef"])
    SklearnTask(SGDClassifier(), data).train(model, one, ClientSettings(), Draw(2))


@pytest.mark.parametrize(
    ("estimator", "data", "words"),
    [
        (RandomForestClassifier(), classes(2), "RandomForestClassifier has no linear coefficients"),
        (GaussianNB(), classes(2), "GaussianNB has no linear coefficients"),
        (KMeans(), classes(2), "neither a classifier nor a regressor"),
        (Ridge(), classes(2), "is for regression, and the data has 2 classes"),
        (SGDRegressor(), values(2), "SGDRegressor: the estimator fails: ValueError"),
        (3, values(1), "int is not an estimator"),
        (Ridge(alpha="much"), values(1), "the estimator fails: InvalidParameterError"),
    ],
)
def test_what_cannot_be_averaged_is_refused_at_once(estimator: Any, data: FederatedData, words: str) -> None:
    with pytest.raises(TaskError, match=words):
        SklearnTask(estimator, data)


def test_examples_of_another_width_are_refused() -> None:
    task = SklearnTask(Ridge(), values(1))
    with pytest.raises(SignatureError, match="expects 3 numbers for each example; the data has 5"):
        task.predict(task.initial(Draw(0)), np.zeros((2, 5)))


def test_divergence_is_told() -> None:
    task = SklearnTask(SGDRegressor(), values(1))
    with pytest.raises(CirandaError, match="SGDRegressor"):
        task.train(task.initial(Draw(0)), task.data().train, ClientSettings(20, 8, learning_rate=1e37), Draw(1))


@pytest.mark.parametrize("estimator", [SGDClassifier(loss="log_loss"), LogisticRegression()])
def test_estimators_learn_iris_together(tmp_path: Path, estimator: Any) -> None:
    task = SklearnTask(estimator, ciranda.data.iris)
    assert as_task(task) is task
    run = ciranda.run(task, clients=5, num_rounds=10, local_epochs=5, learning_rate=0.05, out=tmp_path / "run", quiet=True, workers=1)
    assert run.result.metrics["server"]["accuracy"] > 0.8
    assert run.predict(ciranda.data.iris().test.x).shape == (30, 3)


def test_fedprox_and_scaffold_reach_an_estimator(tmp_path: Path) -> None:
    task = SklearnTask(SGDClassifier(loss="log_loss"), ciranda.data.iris)
    for strategy in ({"strategy": "fedprox", "proximal_mu": 0.1}, {"strategy": "scaffold"}):
        run = ciranda.run(task, clients=5, num_rounds=3, out=tmp_path / str(strategy["strategy"]), quiet=True, workers=1, **strategy)
        assert run.result.state == "finished"
