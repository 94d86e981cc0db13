from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from threading import Thread

import pytest

from ciranda.core.params import model_sha256
from ciranda.core.rng import Draw
from ciranda.core.task import ClientSettings, Task
from ciranda.tasks.registry import TASKS
from ciranda.tasks.watching import EVERY, teller, watched

Seen = list[tuple[int, int, float]]


def numpy_classifier() -> Task:
    return TASKS["digits-mlp"].make()


def numpy_regression() -> Task:
    return TASKS["diabetes-mlp"].make()


def torch_regression() -> Task:
    pytest.importorskip("torch")
    import torch

    import ciranda

    class Line(ciranda.TorchTask):
        kind = "regression"

        def model(self) -> torch.nn.Module:
            return torch.nn.Linear(10, 1)

        def loss(self, model: torch.nn.Module, batch: ciranda.Batch) -> torch.Tensor:
            return torch.nn.functional.mse_loss(model(batch.x.float())[:, 0], batch.y.float())

        def data(self) -> ciranda.FederatedData:
            return TASKS["diabetes-linear"].make().data()

    from ciranda.tasks.user import as_task

    return as_task(Line(), "cpu")


def sklearn_classifier() -> Task:
    linear = pytest.importorskip("sklearn.linear_model")
    from ciranda.tasks.sklearn_task import SklearnTask

    return SklearnTask(linear.SGDClassifier(loss="log_loss"), TASKS["iris-mlp"].make().data())


EACH = pytest.mark.parametrize("make", [numpy_classifier, numpy_regression, torch_regression, sklearn_classifier])


def trained(task: Task, settings: ClientSettings) -> str:
    draw = Draw(3)
    return model_sha256(task.train(task.initial(draw), task.data().train[:100], settings, draw).arrays)


@EACH
def test_every_tenth_batch_over_all_epochs_is_told_and_changes_nothing(make: Callable[[], Task]) -> None:
    task, settings, seen = make(), ClientSettings(local_epochs=3, batch_size=8, learning_rate=1e-9), Seen()
    before = trained(task, settings)
    with watched(lambda batch, batches, loss: seen.append((batch, batches, loss))):
        assert trained(task, settings) == before
    assert [(batch, batches) for batch, batches, _ in seen] == [(10, 39), (20, 39), (30, 39)]
    assert all(math.isfinite(loss) and loss > 0 for _, _, loss in seen)


def test_the_loss_told_is_that_of_the_batch_before_its_step() -> None:
    task, seen = numpy_classifier(), Seen()
    examples = task.data().train[:10]
    model = task.initial(Draw(3))
    with watched(lambda *told: seen.append(told)):
        # One example a batch, and a rate that moves nothing: the losses are those of the initial model on single examples.
        task.train(model, examples, ClientSettings(batch_size=1, learning_rate=1e-12), Draw(3))
    losses = [-math.log(float(task.predict(model, examples.x[[row]])[0, int(examples.y[row])])) for row in range(10)]
    assert len(seen) == 1
    assert min(abs(seen[0][2] - loss) for loss in losses) < 1e-5


def test_nobody_watches_outside_the_block_nor_in_another_thread() -> None:
    found: list[bool] = []
    with watched(lambda *told: None):
        thread = Thread(target=lambda: found.append(teller(10) is None))
        thread.start()
        thread.join()
        assert teller(10) is not None
    assert found == [True]
    assert teller(10) is None


def test_the_loss_is_only_computed_when_it_is_told() -> None:
    computed: list[int] = []

    def loss(batch: int) -> float:
        computed.append(batch)
        return 1.0

    with watched(lambda *told: None):
        tell = teller(100)
        assert tell is not None
        for batch in range(1, 101):
            tell(batch, partial(loss, batch))
    assert computed == list(range(EVERY, 101, EVERY))
