"""The TorchTask of a user in the engine: batches, hooks, optimizers, buffers, devices, and errors in the user's own terms."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ciranda.core.errors import DataError, DivergedError, ExperimentError, SignatureError, StopRequested, TaskError
from ciranda.core.metrics import summarise
from ciranda.core.params import model_sha256
from ciranda.core.rng import Draw
from ciranda.core.task import ClientSettings, Examples, FederatedData
from ciranda.tasks.torch_engine import TorchEngine
from ciranda.tasks.torch_recipe import resolve_device, seeded
from ciranda.tasks.torch_task import Batch, TorchTask
from ciranda.testing.tasks import TaskConformance

GENERATOR = np.random.default_rng(0)
Y = GENERATOR.integers(0, 3, 90)
X = (GENERATOR.normal(size=(90, 5)) + 2 * np.eye(5)[Y]).astype(np.float64)
DATA = FederatedData(Examples(X, Y), Examples(X[:30], Y[:30]), ("a", "b", "c"))
FEW = Examples(X[:20], Y[:20])
SGD = ClientSettings(batch_size=6, learning_rate=0.1)


class Plain(TorchTask):
    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return F.cross_entropy(model(batch.x), batch.y)

    def data(self) -> FederatedData:
        return DATA


class Normalised(Plain):
    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


class Image(Plain):
    """Convolutions with channels last, on examples reshaped by `transform`."""

    channels_last = True

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))

    def transform(self, x: Tensor) -> Tensor:
        return F.pad(x.float(), (0, 4)).reshape(-1, 1, 3, 3)


class Regression(TorchTask):
    kind = "regression"

    def model(self) -> nn.Module:
        return nn.Linear(5, 1)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return F.mse_loss(model(batch.x)[:, 0], batch.y)

    def data(self) -> FederatedData:
        y = (X @ np.arange(5)).astype(np.float64)
        return FederatedData(Examples(X, y), Examples(X[:30], y[:30]))


class TestPlain(TaskConformance):
    def make(self) -> TorchEngine:
        return TorchEngine(Plain(), "cpu")


class TestNormalised(TaskConformance):
    def make(self) -> TorchEngine:
        return TorchEngine(Normalised(), "cpu")


class TestImage(TaskConformance):
    learning_epochs = 20

    def make(self) -> TorchEngine:
        return TorchEngine(Image(), "cpu")

    def test_arrays_are_in_the_logical_order_of_axes(self) -> None:
        arrays = self.make().initial(Draw(1))
        assert arrays["0.weight"].shape == (4, 1, 2, 2)
        assert all(array.flags.c_contiguous for array in arrays.values())


class TestRegression(TaskConformance):
    settings = ClientSettings(local_epochs=2, batch_size=8, learning_rate=0.02)

    def make(self) -> TorchEngine:
        return TorchEngine(Regression(), "cpu")


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_step_is_torchs_own(momentum: float) -> None:
    engine = TorchEngine(Normalised(), "cpu")
    start = engine.initial(Draw(1))
    module = Normalised().model()
    module.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in start.items()})
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=momentum)
    for epoch in (1, 2):
        order = Draw(7).at("shuffle", epoch=epoch).generator().permutation(20)
        for rows in (order[:6], order[6:12], order[12:18], order[18:]):
            optimizer.zero_grad()
            F.cross_entropy(module(torch.from_numpy(X[rows]).float()), torch.from_numpy(Y[rows])).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    trained = engine.train(start, FEW, ClientSettings(local_epochs=2, batch_size=6, learning_rate=0.1, momentum=momentum), Draw(7)).arrays
    for name, value in module.state_dict().items():
        assert np.allclose(trained[name], value.numpy(), atol=1e-6), name


@pytest.mark.parametrize(
    "chosen",
    [
        ClientSettings(batch_size=6, momentum=0.9),
        ClientSettings(batch_size=6, momentum=0.9, weight_decay=0.01),
        ClientSettings(optimizer="adam"),
    ],
)
def test_an_optimizer_keeps_nothing_from_client_to_client(chosen: ClientSettings) -> None:
    fresh, used = TorchEngine(Plain(), "cpu"), TorchEngine(Plain(), "cpu")
    model = fresh.initial(Draw(1))
    used.train(model, DATA.train, chosen, Draw(2))
    digests = {model_sha256(engine.train(model, FEW, chosen, Draw(3)).arrays) for engine in (fresh, used)}
    assert len(digests) == 1


def test_parts_of_running_statistics() -> None:
    engine = TorchEngine(Normalised(), "cpu")
    parts = {name: engine.part_of(name) for name in engine.initial(Draw(1))}
    assert parts["0.weight"] == parts["1.bias"] == "model"
    assert parts["1.running_mean"] == parts["1.running_var"] == "buffers"
    assert parts["1.num_batches_tracked"] == "counters"
    trained = engine.train(engine.initial(Draw(1)), FEW, SGD, Draw(1)).arrays
    assert trained["1.num_batches_tracked"] == 4
    assert trained["1.running_mean"].any()
    with pytest.raises(SignatureError, match="nonsense"):
        engine.part_of("nonsense")


def test_evaluation_is_without_dropout_and_leaves_the_statistics() -> None:
    engine = TorchEngine(Plain(), "cpu")
    model = engine.initial(Draw(1))
    assert summarise(engine.evaluate(model, FEW, 6)) == summarise(engine.evaluate(model, FEW, 6))
    module = Plain().model().eval()
    module.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in model.items()})
    with torch.no_grad():
        expected = float(F.cross_entropy(module(torch.from_numpy(FEW.x).float()), torch.from_numpy(FEW.y)))
    assert summarise(engine.evaluate(model, FEW, 6))["loss"] == pytest.approx(expected, rel=1e-5)


def test_training_leaves_torchs_generator_alone_and_seeds_its_own() -> None:
    engine = TorchEngine(Plain(), "cpu")
    model = engine.initial(Draw(1))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = engine.train(model, FEW, SGD, Draw(1)).arrays
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(99)
    assert model_sha256(engine.train(model, FEW, SGD, Draw(1)).arrays) == model_sha256(first)


def test_threads_give_what_one_thread_gives() -> None:
    engine = TorchEngine(Plain(), "cpu")
    model = engine.initial(Draw(1))
    alone = [model_sha256(engine.train(model, FEW, SGD, Draw(seed)).arrays) for seed in range(8)]
    together: dict[int, str] = {}

    def work(seed: int) -> None:
        together[seed] = model_sha256(engine.train(model, FEW, SGD, Draw(seed)).arrays)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[seed] for seed in range(8)] == alone


class Hooked(Plain):
    """Replaces what may be replaced."""

    name = "hooked"

    def transform(self, x: Tensor) -> Tensor:
        return 0.1 * x.float()

    def predict(self, model: nn.Module, x: Tensor) -> Tensor:
        return F.one_hot(model(x).argmin(dim=1), 3).float()

    def optimizer(self, parameters: Iterable[nn.Parameter], settings: ClientSettings) -> torch.optim.Optimizer:
        return torch.optim.SGD(list(parameters)[:1], lr=settings.learning_rate)


def test_hooks_are_used() -> None:
    engine = TorchEngine(Hooked(), "cpu")
    assert engine.name == "hooked"
    model = engine.initial(Draw(1))
    trained = engine.train(model, FEW, SGD, Draw(1)).arrays
    assert [name for name in model if not np.array_equal(model[name], trained[name])] == ["0.weight"]
    usual = TorchEngine(Plain(), "cpu")
    assert np.array_equal(engine.predict(model, X * 10).argmax(axis=1), usual.predict(model, X).argmin(axis=1))
    accuracy = summarise(engine.evaluate(model, DATA.train, 16))["accuracy"]
    assert accuracy == pytest.approx(float((engine.predict(model, X).argmax(axis=1) == Y).mean()))


def test_default_transform_keeps_whole_numbers_and_makes_floats_of_bytes() -> None:
    task = Plain()
    assert task.transform(torch.zeros(2, dtype=torch.uint8)).dtype == torch.float32
    assert task.transform(torch.zeros(2, dtype=torch.float64)).dtype == torch.float32
    assert task.transform(torch.zeros(2, dtype=torch.int64)).dtype == torch.int64


def test_tied_parameters_travel_once() -> None:
    class Tied(Plain):
        def model(self) -> nn.Module:
            first, second = nn.Linear(5, 5), nn.Linear(5, 5)
            second.weight = first.weight
            return nn.Sequential(first, second, nn.Linear(5, 3))

    engine = TorchEngine(Tied(), "cpu")
    model = engine.initial(Draw(1))
    assert sorted(model) == ["0.bias", "0.weight", "1.bias", "2.bias", "2.weight"]
    assert engine.train(model, FEW, SGD, Draw(1)).arrays.keys() == model.keys()


def test_scratch_buffers_do_not_leak_from_client_to_client() -> None:
    class Counter(nn.Linear):
        calls: Tensor

        def __init__(self) -> None:
            super().__init__(5, 3)
            self.register_buffer("calls", torch.zeros(1), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return super().forward(x) * self.calls

    class Leaky(Plain):
        def model(self) -> nn.Module:
            return Counter()

    engine = TorchEngine(Leaky(), "cpu")
    model = engine.initial(Draw(1))
    assert "calls" not in model
    first, again = (model_sha256(engine.train(model, FEW, SGD, Draw(1)).arrays) for _ in range(2))
    assert first == again


class Broken(Plain):
    """`how` says in which way."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.calls = 0

    def model(self) -> nn.Module:
        self.calls += 1
        if self.how == "shape":
            return nn.Linear(5, 2 + self.calls)
        if self.how == "layer":
            return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(7, 3))
        if self.how == "half":
            return nn.Linear(5, 3).half()
        if self.how == "lazy":
            return nn.LazyLinear(3)
        if self.how == "empty":
            return nn.ReLU()
        if self.how == "none":
            return None  # type: ignore[return-value]
        return nn.Linear(5, 3)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        if self.how == "vector":
            return F.cross_entropy(model(batch.x), batch.y, reduction="none")
        if self.how == "code":
            batch = {"batch": batch}["key"]
        if self.how == "stop":
            raise StopRequested("enough")
        loss = F.cross_entropy(model(batch.x), batch.y)
        return loss / 0 * 0 if self.how == "nan" else loss


def broken(how: str) -> Any:
    engine = TorchEngine(Broken(how), "cpu")
    return engine.train(engine.initial(Draw(1)), FEW, SGD, Draw(1))


def test_a_layer_that_does_not_fit_is_named_with_both_shapes() -> None:
    with pytest.raises(SignatureError, match=r"layer '2' .*shape \(6, 8\).*expected \(\.\.\., 7\).*test_torch_task.py, line \d+"):
        broken("layer")


def test_a_model_that_changes_shape_is_named_with_both_shapes() -> None:
    with pytest.raises(SignatureError, match=r"'weight'.*\(4, 5\).*expected \(3, 5\)|'weight'.*\(3, 5\).*expected \(4, 5\)"):
        broken("shape")


@pytest.mark.parametrize(
    ("how", "text", "hint"),
    [
        ("half", "float16", "float32 master weights"),
        ("lazy", "no shape yet", "input size"),
        ("empty", "no parameters", ""),
        ("none", "NoneType", ""),
        ("vector", r"scalar tensor, not a tensor of shape \(6,\)", "mean"),
        ("code", r"KeyError: 'key' \(.*test_torch_task.py, line \d+\)", ""),
    ],
)
def test_mistakes_are_told_in_the_users_terms(how: str, text: str, hint: str) -> None:
    with pytest.raises(TaskError, match=text) as caught:
        broken(how)
    assert hint in caught.value.hint


def test_a_loss_that_is_no_number_is_told_with_epoch_and_batch() -> None:
    with pytest.raises(DivergedError, match=r"epoch 1, batch 1 of 4, at learning rate 0.1") as caught:
        broken("nan")
    assert "Lower" in caught.value.hint


def test_a_last_batch_of_one_under_batch_normalisation_is_explained() -> None:
    engine = TorchEngine(Normalised(), "cpu")
    with pytest.raises(TaskError, match=r"layer '1' \(BatchNorm1d") as caught:
        engine.train(engine.initial(Draw(1)), FEW[:7], SGD, Draw(1))
    assert "GroupNorm" in caught.value.hint


def test_asking_to_stop_passes_through() -> None:
    with pytest.raises(StopRequested, match="enough"):
        broken("stop")


def test_an_error_while_loading_data_points_at_the_line() -> None:
    class Lost(Plain):
        def data(self) -> FederatedData:
            return FederatedData(*np.load("nowhere.npz"))

    with pytest.raises(TaskError, match=r"data\(\) failed.*nowhere.npz.*test_torch_task.py, line \d+"):
        TorchEngine(Lost()).data()


def test_labels_beyond_the_outputs_are_told() -> None:
    engine = TorchEngine(Plain(), "cpu")
    model = engine.initial(Draw(1))
    with pytest.raises(TaskError, match="training failed"):
        engine.train(model, Examples(X[:4], np.array([0, 1, 2, 3])), SGD, Draw(1))
    with pytest.raises((TaskError, DataError)):
        engine.evaluate(model, Examples(X[:4], np.array([0, 1, 2, 3])), 4)


def test_double_precision_is_kept() -> None:
    class Double(Plain):
        def model(self) -> nn.Module:
            return nn.Linear(5, 3).double()

        def transform(self, x: Tensor) -> Tensor:
            return x.double()

    engine = TorchEngine(Double(), "cpu")
    trained = engine.train(engine.initial(Draw(1)), FEW, SGD, Draw(1)).arrays
    assert {array.dtype for array in trained.values()} == {np.dtype(np.float64)}


def test_devices_are_found_or_refused() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in ("cuda", "mps", "cpu")
    with pytest.raises(ExperimentError, match="auto, cpu, cuda, mps"):
        resolve_device("tpu")
    for name, present in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if not present:
            with pytest.raises(ExperimentError, match=name):
                resolve_device(name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_the_result_is_close_to_the_processors() -> None:
    model = TorchEngine(Normalised(), "cpu").initial(Draw(1))
    near, far = (TorchEngine(Normalised(), device).train(model, FEW, SGD, Draw(1)).arrays for device in ("cpu", "cuda"))
    for name in near:
        assert np.allclose(near[name], far[name], atol=1e-4), name


def test_the_reported_loss_weighs_batches_by_their_examples() -> None:
    engine = TorchEngine(Regression(), "cpu")
    model, few = engine.initial(Draw(1)), Regression().data().train[:7]
    still = ClientSettings(local_epochs=2, batch_size=3, learning_rate=0.0)
    reported = summarise(engine.train(model, few, still, Draw(1)).metrics)["loss"]
    assert reported == pytest.approx(summarise(engine.evaluate(model, few, 7))["mse"], rel=1e-5)


def test_threads_take_turns_with_the_generator() -> None:
    reached = threading.Event()

    def other() -> None:
        with seeded(Draw(2), torch.device("cpu")):
            reached.set()

    thread = threading.Thread(target=other)
    with seeded(Draw(1), torch.device("cpu")):
        thread.start()
        assert not reached.wait(0.05)
    thread.join()
    assert reached.is_set()


def test_seeded_restores_after_an_error() -> None:
    def fail() -> None:
        with seeded(Draw(3), torch.device("cpu")):
            torch.rand(5)
            raise RuntimeError("inside")

    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert torch.equal(torch.rand(2), expected)


def test_an_optimizer_of_ones_own_is_corrected_and_not_counted() -> None:
    class Own(Plain):
        def optimizer(self, parameters: Iterable[nn.Parameter], settings: ClientSettings) -> torch.optim.Optimizer:
            return torch.optim.RMSprop(parameters, lr=settings.learning_rate)

    task = TorchEngine(Own(), "cpu")
    model = task.initial(Draw(1))
    shift = {name: np.full_like(array, 0.5) for name, array in model.items()}
    plain, corrected = task.train(model, FEW, SGD, Draw(2)), task.train(model, FEW, SGD, Draw(2), shift)
    assert plain.steps == corrected.steps == 0
    assert model_sha256(plain.arrays) != model_sha256(corrected.arrays)


def test_a_parameter_without_gradient_is_corrected_and_a_frozen_one_is_not() -> None:
    class Partly(Plain):
        def model(self) -> nn.Module:
            module = nn.ModuleDict({"used": nn.Linear(5, 3), "unused": nn.Linear(2, 2), "frozen": nn.Linear(2, 2)})
            module["frozen"].requires_grad_(False)
            return module

        def loss(self, model: nn.Module, batch: Batch) -> Tensor:
            return F.cross_entropy(model["used"](batch.x), batch.y)  # type: ignore[index]

    task = TorchEngine(Partly(), "cpu")
    model = task.initial(Draw(1))
    shift = {name: np.ones_like(array) for name, array in model.items()}
    after = task.train(model, FEW[:6], SGD, Draw(2), shift).arrays
    np.testing.assert_allclose(after["unused.bias"], model["unused.bias"] - 0.1, rtol=1e-6)
    np.testing.assert_array_equal(after["frozen.bias"], model["frozen.bias"])


class Headed(Plain):
    """Every client has a last layer of its own."""

    private = ("3.",)


def test_private_tensors_are_told_by_the_beginnings_of_their_names() -> None:
    task = TorchEngine(Headed(), "cpu")
    parts = {name: task.part_of(name) for name in task.initial(Draw(1))}
    assert parts == {"0.weight": "model", "0.bias": "model", "3.weight": "private", "3.bias": "private"}


@pytest.mark.parametrize(
    ("private", "kind", "text"), [(("heda.",), SignatureError, "'heda.', but no tensor"), (("",), TaskError, "every parameter is private")]
)
def test_impossible_private_tensors_are_refused(private: tuple[str, ...], kind: type[Exception], text: str) -> None:
    class Wrong(Plain):
        pass

    Wrong.private = private
    with pytest.raises(kind, match=text):
        TorchEngine(Wrong(), "cpu").initial(Draw(1))
