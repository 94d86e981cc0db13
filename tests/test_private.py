"""Tensors that never leave their client, in whole runs: kept between rounds, evaluated with, the same bits after `kill -9`."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch.nn.functional as F
from torch import Tensor, nn

from ciranda.cli import compose
from ciranda.cli.folder import RunFolder
from ciranda.cli.result import Result
from ciranda.core.task import Examples, FederatedData
from ciranda.experiment.load import resolve
from ciranda.store.client_states import ClientStates
from ciranda.tasks.torch_engine import TorchEngine
from ciranda.tasks.torch_task import Batch, TorchTask
from ciranda.testing.faulty import Fault, FaultyStore
from ciranda.testing.processes import Child, Report

CLIENTS, ROUNDS = 4, 4


class Shared(TorchTask):
    """Clients agree on what matters and not on which answer is which: odd clients have all labels turned."""

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return F.cross_entropy(model(batch.x), batch.y)

    def data(self) -> FederatedData:
        generator = np.random.default_rng(1)
        owner = np.repeat(np.arange(CLIENTS), 60)
        x = generator.normal(size=(len(owner), 6)).astype(np.float32)
        y = ((x[:, 0] + x[:, 1] > 0) ^ (owner % 2 == 1)).astype(np.int64)
        return FederatedData(Examples(x, y), Examples(x[:0], y[:0]), ("no", "yes"), groups=owner)


class Personal(Shared):
    private = ("2.",)


def run(task: TorchTask, folder: Path, workers: int = 1) -> Result:
    settings = (
        *("federation.partitioner=natural-id", f"federation.clients={CLIENTS}", "federation.test-fraction=0.2", "evaluate.where=clients"),
        *(f"rounds.num-rounds={ROUNDS}", "rounds.fraction-train=1.0", "evaluate.fraction-evaluate=1.0"),
        *("client.local-epochs=20", "client.learning-rate=0.5", "client.batch-size=16"),
    )
    return compose.run(resolve("digits", settings), folder, workers=workers, task=TorchEngine(task, "cpu"))


def accuracy(result: Result) -> float:
    return result.metrics["clients"]["accuracy"]


def test_heads_of_their_own_serve_clients_that_disagree(tmp_path: Path) -> None:
    own, shared = run(Personal(), tmp_path / "own"), run(Shared(), tmp_path / "shared")
    assert accuracy(own) > 0.85
    assert accuracy(shared) < 0.7


def test_what_is_private_stays_with_its_client(tmp_path: Path) -> None:
    result = run(Personal(), tmp_path / "run")
    task = TorchEngine(Personal(), "cpu")
    final = compose.stored_model(RunFolder(tmp_path / "run"))
    states = ClientStates(RunFolder(tmp_path / "run").clients)
    heads = [states.read(str(client))["private"]["2.weight"] for client in range(CLIENTS)]
    assert all(not np.array_equal(one, other) for number, one in enumerate(heads) for other in heads[:number])
    first = compose.assemble(compose.experiment_of(tmp_path / "run"), task).initial()
    np.testing.assert_array_equal(final["2.weight"], first["2.weight"])
    assert not np.array_equal(final["0.weight"], first["0.weight"])
    assert result.bytes_up == CLIENTS * ROUNDS * (first["0.weight"].nbytes + first["0.bias"].nbytes)


def test_workers_and_kills_change_no_bit(tmp_path: Path) -> None:
    whole, two = run(Personal(), tmp_path / "whole"), run(Personal(), tmp_path / "two", workers=2)
    assert whole.model_sha256 == two.model_sha256
    assert accuracy(whole) == accuracy(two)
    real = RunFolder.open_store

    def work(report: Report) -> None:
        RunFolder.open_store = lambda self: FaultyStore(real(self), Fault(3, "after"), counted=("swap",))  # type: ignore[method-assign]
        run(Personal(), tmp_path / "killed")

    child = Child(work)
    list(child.reports())
    assert child.join() == -signal.SIGKILL
    resumed = compose.resume(tmp_path / "killed", workers=1, task=TorchEngine(Personal(), "cpu"))
    assert resumed.model_sha256 == whole.model_sha256
    assert accuracy(resumed) == accuracy(whole)
