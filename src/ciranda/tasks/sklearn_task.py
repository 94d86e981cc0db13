"""scikit-learn's linear estimators as tasks: their coefficients are the model.

    ciranda.run(ciranda.SklearnTask(SGDClassifier(loss="log_loss"), data), clients=10)

An estimator proposes where a batch leads: with `partial_fit` (SGDClassifier, SGDRegressor, Perceptron) from the model as it stands, else
(LogisticRegression, Ridge, LinearRegression, LinearSVC, Lasso) by fitting all of the client's data anew, once an epoch. The proposal w' is
taken as the gradient (w - w') / learning-rate, so that plain SGD lands on it, and momentum, Adam, FedProx's pull and SCAFFOLD's correction
mean what they mean elsewhere.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ciranda.core import metrics
from ciranda.core.errors import DataError, SignatureError, TaskError, blame
from ciranda.core.metrics import Sums
from ciranda.core.rng import Draw
from ciranda.core.task import Array, Arrays, ClientSettings, Examples, FederatedData, Part, Trained
from ciranda.core.texts import Text
from ciranda.plugins.files import first_line
from ciranda.tasks.numpy_models import SMALLEST, diverged
from ciranda.tasks.numpy_optim import make_step
from ciranda.tasks.watching import teller

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


class SklearnTask:
    """An estimator of scikit-learn with linear coefficients and the data that it learns from.

    Tensors: "coef" of shape (rows, features) and "intercept" of shape (rows,), float32; as many rows as scikit-learn has: one for two
    classes or one target, else one for each class or target. An example's `x` is flattened. Scale the features first: `from_frame` and
    `from_csv` do, a Pipeline has no coefficients.

    Without `partial_fit` a client learns nothing from one class alone, and leaves the coefficients of classes that it lacks as they are:
    where clients have few of the classes, take SGDClassifier. The estimator's own step
    size, schedule and averaging give way to [client].
    """

    def __init__(self, estimator: Any, data: FederatedData | Callable[[], FederatedData], name: str = "") -> None:
        """Args: data: a data set, or a function of a module that reads it. Raises TaskError if the estimator has no linear coefficients."""
        self.estimator = estimator
        self.name = name or type(estimator).__name__
        self.kind: Literal["classification", "regression"] = _kind(estimator)
        self._data = data
        self._incremental = hasattr(estimator, "partial_fit")
        train, classes = self.data().train, len(self.data().classes)
        if (self.kind == "classification") != (classes > 0):
            raise TaskError(
                "{task}: the estimator is for {kind}, and the data has {classes} classes.", task=self.name, kind=self.kind, classes=classes
            )
        self.features = int(np.prod(train.x.shape[1:]))
        self.classes = np.arange(classes)
        outputs = classes if classes else int(np.prod(train.y.shape[1:]))
        self.rows = 1 if classes == 2 else outputs
        self._single = train.y.ndim == 1
        self._try()

    def data(self) -> FederatedData:
        return self._data if isinstance(self._data, FederatedData) else self._data()

    def initial(self, draw: Draw) -> Arrays:
        """Coefficients uniform on +-0.01, intercepts 0."""
        coef = draw.at("initial").generator().uniform(-0.01, 0.01, (self.rows, self.features))
        return {"coef": coef.astype(np.float32), "intercept": np.zeros(self.rows, np.float32)}

    def part_of(self, name: str) -> Part:
        return "model"

    def train(self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None) -> Trained:
        """See the module. `steps` is 0 without `partial_fit`. Raises DataError, DivergedError, TaskError, SignatureError."""
        if not len(examples):
            raise DataError(
                "{task}: a client has no examples to train on.", hint="Use fewer clients or another partitioner.", task=self.name
            )
        flat = self._flat(model)
        gradient = np.empty_like(flat)
        shift = None
        if correction is not None:
            shift = self._flat({name: correction.get(name, np.zeros_like(array)) for name, array in model.items()})
        step = make_step(flat, gradient, settings, shift)
        x, y = self._inputs(examples.x), examples.y
        propose = self._partial(draw) if self._incremental else self._whole(flat)
        loss = 0.0
        size = settings.batch_size if self._incremental else len(x)
        batches = -(-len(x) // size)
        tell = teller(settings.local_epochs * batches)
        for epoch in range(1, settings.local_epochs + 1):
            order = draw.at("shuffle", epoch=epoch).generator().permutation(len(x))
            with np.errstate(all="ignore"):
                for number, start in enumerate(range(0, len(x), size), (epoch - 1) * batches + 1):
                    batch = order[start : start + size]
                    if tell is not None:
                        tell(number, partial(self._mean_loss, flat, x[batch], y[batch]))
                    try:
                        proposed = propose(flat, x[batch], y[batch], settings.learning_rate)
                    except TaskError as error:
                        if "overflow" not in str(error.__cause__):
                            raise
                        # scikit-learn looks at its numbers itself, and in its own words.
                        raise diverged(self.name, Text("epoch {epoch}", epoch=epoch), settings.learning_rate) from error
                    gradient[...] = (flat - proposed) / settings.learning_rate
                    step()
                epoch_loss = self._loss(self._outputs(self._arrays(flat), x), y)
            if not (np.isfinite(epoch_loss) and np.isfinite(flat).all()):
                raise diverged(self.name, Text("epoch {epoch}", epoch=epoch), settings.learning_rate)
            loss += epoch_loss
        steps = settings.local_epochs * batches if self._incremental else 0
        return Trained(self._arrays(flat), {"n": len(x) * settings.local_epochs, "loss": metrics.fixed(loss)}, steps)

    def evaluate(self, model: Arrays, examples: Examples, batch_size: int) -> Sums:
        if not len(examples):
            raise DataError("{task}: there are no examples to evaluate on.", task=self.name)
        total: Sums = {}
        for start in range(0, len(examples), batch_size):
            batch = examples[start : start + batch_size]
            outputs = self.predict(model, batch.x)
            if self.kind == "regression":
                sums: Sums = metrics.regression(outputs, batch.y)
            else:
                sums = metrics.classification(outputs, batch.y, self._loss(outputs, batch.y), len(self.classes))
            total = metrics.add(total, sums)
        return total

    def predict(self, model: Arrays, x: Array) -> Array:
        self._flat(model)
        outputs = self._outputs(model, self._inputs(x))
        return outputs[:, 0] if self.kind == "regression" and self._single else outputs

    def _outputs(self, model: Arrays, x: Doubles) -> Floats:
        """Probabilities (n, classes), or predictions (n, targets): of the decision values, as scikit-learn has them."""
        scores = x @ model["coef"].T.astype(np.float64) + model["intercept"]
        if self.kind == "regression":
            return np.asarray(scores, np.float32)
        if self.rows == 1:
            scores = np.hstack([-scores, scores]) / 2
        elif type(self.estimator).__name__ != "LogisticRegression":
            # One against the rest: the logarithm of each sigmoid.
            scores = -np.logaddexp(0, -scores)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(scores / scores.sum(axis=1, keepdims=True), np.float32)

    def _loss(self, outputs: Floats, y: Array) -> float:
        """The summed negative log-likelihood, or half the summed squared error."""
        if self.kind == "regression":
            return float(0.5 * np.square(outputs.reshape(len(y), -1) - y.reshape(len(y), -1), dtype=np.float64).sum())
        return -float(np.log(np.maximum(outputs[np.arange(len(y)), y], SMALLEST)).sum(dtype=np.float64))

    def _mean_loss(self, flat: Floats, x: Doubles, y: Array) -> float:
        return self._loss(self._outputs(self._arrays(flat), x), y) / len(y)

    def _partial(self, draw: Draw) -> Callable[[Floats, Doubles, Array, float], Doubles]:
        """Proposals of `partial_fit`, from the coefficients given."""
        estimator: Any = None

        def propose(flat: Floats, x: Doubles, y: Array, rate: float) -> Doubles:
            nonlocal estimator
            if estimator is None:
                estimator = self._fresh(draw, rate)
                self._asked(estimator.partial_fit, x[:1], y[:1])  # makes room for the coefficients
            here = self._arrays(flat.astype(np.float64))
            shape = np.shape(estimator.coef_)
            estimator.coef_, estimator.intercept_ = here["coef"].reshape(shape).copy(), here["intercept"].copy()
            self._asked(estimator.partial_fit, x, y)
            return np.concatenate([np.ravel(estimator.coef_), np.ravel(estimator.intercept_)]).astype(np.float64)

        return propose

    def _whole(self, before: Floats) -> Callable[[Floats, Doubles, Array, float], Doubles]:
        """The one proposal of `fit`; coefficients of classes that the data lacks are those `before`."""
        found: list[Doubles] = []
        start = self._arrays(before.astype(np.float64))

        def propose(flat: Floats, x: Doubles, y: Array, rate: float) -> Doubles:
            if self.kind == "classification" and len(np.unique(y)) < 2:
                return flat.astype(np.float64)
            if not found:
                estimator = self._fresh(Draw(0), rate)
                self._asked(estimator.fit, x, y)
                found.append(np.concatenate([part.ravel() for part in self._padded(estimator, start)]))
            return found[0]

        return propose

    def _padded(self, estimator: Any, start: Arrays) -> Iterator[Doubles]:
        """Coefficients and intercepts in the model's rows."""
        for fitted, before in ((estimator.coef_, start["coef"]), (estimator.intercept_, start["intercept"])):
            rows = np.asarray(fitted, np.float64).reshape(-1, *before.shape[1:])
            if len(rows) == 1 and len(before) > 1:
                if self.kind == "regression" or len(estimator.classes_) == 1:
                    rows = np.repeat(rows, len(before), axis=0)  # fit_intercept=False: one 0 for all
                else:
                    rows = np.concatenate([-rows, rows]) / 2  # two of several classes
            if self.kind == "classification" and len(before) > 1:
                whole = before.copy()
                whole[estimator.classes_ if len(rows) == len(estimator.classes_) else slice(None)] = rows
                rows = whole
            yield rows

    def _fresh(self, draw: Draw, rate: float) -> Any:
        """A new estimator with the user's parameters, but for those that [client] and the seed say."""
        from sklearn.base import clone

        estimator = clone(self.estimator)
        ours = {"learning_rate": "constant", "eta0": rate, "average": False, "early_stopping": False} if self._incremental else {}
        ours["random_state"] = int(draw.at("estimator").generator().integers(2**31))
        known = estimator.get_params()
        return estimator.set_params(**{name: value for name, value in ours.items() if name in known})

    def _asked(self, method: Callable[..., Any], x: Doubles, y: Array) -> None:
        """Call the estimator, which must know all classes. Raises TaskError, with what it says."""
        more = {"classes": self.classes} if "classes" in inspect.signature(method).parameters else {}
        try:
            with warnings.catch_warnings():
                # A local fit that stops early is what a round of federated learning is made of.
                warnings.simplefilter("ignore")
                method(x, y, **more)
        except Exception as error:
            raise TaskError(
                "{task}: the estimator fails: {kind}: {error} {place}",
                task=self.name,
                kind=type(error).__name__,
                error=first_line(error),
                place=blame(error),
            ) from error

    def _try(self) -> None:
        """One call on a few made-up rows, to see what the estimator leaves. Raises TaskError if it is not linear."""
        count = max(20, 2 * len(self.classes))
        x = Draw(0).at("try").generator().normal(size=(count, self.features))
        y: Array = self.classes[np.arange(count) % len(self.classes)] if len(self.classes) else x[:, :1].repeat(self.rows, 1)
        y = y[:, 0] if y.ndim == 2 and self.rows == 1 else y
        estimator = self._fresh(Draw(0), 0.01)
        self._asked(estimator.partial_fit if self._incremental else estimator.fit, x, y)
        coefficients: Any = getattr(estimator, "coef_", None)
        shape = np.shape(coefficients)
        if shape not in ((self.rows, self.features), (self.features,)) or not hasattr(estimator, "intercept_"):
            raise TaskError(
                "{task} has no linear coefficients to average: coef_ has shape {shape}, expected {expected}.",
                task=self.name,
                shape=str(shape) if shape else Text("none"),
                expected=str((self.rows, self.features)),
                hint="Take a linear estimator, a ciranda.TableTask with hidden layers, or a ciranda.TorchTask.",
            )

    def _inputs(self, x: Array) -> Doubles:
        flat = np.asarray(x, np.float64).reshape(len(x), -1)
        if flat.shape[1] != self.features:
            raise SignatureError(
                "{task}: tensor 'coef' expects {first} numbers for each example; the data has {second}.",
                task=self.name,
                first=self.features,
                second=flat.shape[1],
            )
        return flat

    def _flat(self, model: Arrays) -> Floats:
        expected = {"coef": (self.rows, self.features), "intercept": (self.rows,)}
        for name in sorted({*model, *expected}):
            given = np.shape(model[name]) if name in model else Text("none")
            if given != expected.get(name):
                raise SignatureError(
                    "{task}: tensor '{tensor}' has shape {given}, expected {expected}.",
                    task=self.name,
                    tensor=name,
                    given=str(given),
                    expected=str(expected.get(name, "none")),
                )
        return np.concatenate([np.ravel(model["coef"]), np.ravel(model["intercept"])]).astype(np.float32)

    def _arrays(self, flat: NDArray[Any]) -> dict[str, Array]:
        cut = self.rows * self.features
        return {"coef": flat[:cut].reshape(self.rows, self.features).copy(), "intercept": flat[cut:].copy()}


def _kind(estimator: Any) -> Literal["classification", "regression"]:
    if not hasattr(estimator, "get_params") or not hasattr(estimator, "fit"):
        raise TaskError("An object of class {kind} is not an estimator of scikit-learn.", kind=type(estimator).__name__)
    from sklearn.base import is_classifier, is_regressor

    if is_classifier(estimator):
        return "classification"
    if is_regressor(estimator):
        return "regression"
    raise TaskError("{kind} is neither a classifier nor a regressor.", kind=type(estimator).__name__)
