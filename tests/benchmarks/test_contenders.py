"""Every contender does the work it is asked, and learns from it. Nothing here looks at how long it took."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.contenders import local
from benchmarks.contenders.bare import average
from benchmarks.environments import FOLDER, imports
from benchmarks.launch import Outcome, launch
from benchmarks.work import CLASSIC, TEN_THOUSAND, TINY
from ciranda.tasks.torch_models import CnnMnist
from tests.benchmarks.conftest import SOFTMAX

CHANCE = 0.1


def learnt(outcome: Outcome) -> None:
    """It trained for the measured rounds, and knows more than chance does."""
    assert len(outcome.rounds) == SOFTMAX.rounds
    assert min(outcome.rounds) > 0
    assert outcome.accuracy > 3 * CHANCE
    assert outcome.versions


@pytest.mark.parametrize("module", ["bare", "ciranda"])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_contender_of_our_own_environment_learns(module: str, processes: int, small_file: str) -> None:
    learnt(launch(sys.executable, module, SOFTMAX, small_file, processes))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "package", "module", "processes"),
    [("flower", "flwr", "flower", 2), ("pfl", "pfl", "pfl", 1), ("pfl", "pfl", "pfl", 2)],
)
def test_a_framework_learns(environment: str, package: str, module: str, processes: int, small_file: str) -> None:
    python = FOLDER / environment / "bin" / "python"
    if not imports(python, package):
        pytest.skip(f"{package} is not in .venv-bench/{environment}, which `make bench` sets up")
    learnt(launch(python, module, SOFTMAX, small_file, processes))


def test_a_round_among_many_registered_clients_reports_its_memory() -> None:
    work = replace(TEN_THOUSAND, clients=500, cohort=50, rounds=3)
    outcome = launch(sys.executable, "ciranda", work, "", 1)
    assert outcome.accuracy > 0.5
    assert outcome.peak_mib > 20


@pytest.mark.parametrize(("work", "parameters"), [(CLASSIC, 21_840), (TINY, 7_850)])
def test_the_networks_have_the_stated_number_of_parameters(work: object, parameters: int) -> None:
    net = local.network(work)  # type: ignore[arg-type]
    assert sum(value.numel() for value in net.parameters()) == parameters


def test_the_cnn_is_the_one_that_ciranda_trains() -> None:
    ours, theirs = CnnMnist().eval(), local.network(CLASSIC).eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(4, 1, 28, 28)
    with torch.no_grad():
        assert torch.allclose(ours(x), theirs(x), atol=1e-6)


def test_the_shares_are_equal_and_together_the_whole(small_file: str) -> None:
    x, y = local.shares(small_file, "softmax", SOFTMAX.clients)
    assert [len(part) for part in x] == [SOFTMAX.examples] * SOFTMAX.clients
    with np.load(small_file) as arrays:
        assert np.bincount(torch.cat(y).numpy()).tolist() == np.bincount(arrays["y"]).tolist()


def test_the_cnn_gets_images_and_the_regression_rows(small_file: str) -> None:
    assert local.mnist(small_file, "cnn")[0].shape == (120, 1, 28, 28)
    assert local.mnist(small_file, "softmax")[0].shape == (120, 784)


def test_the_bare_mean_is_weighted_by_examples() -> None:
    examples, mean = average([(1, {"w": torch.tensor([0.0])}), (3, {"w": torch.tensor([4.0])})])
    assert examples == 4
    assert mean["w"].item() == 3.0


def test_one_epoch_of_the_bare_loop_steps_through_every_example(small_file: str) -> None:
    x, y = (part[0] for part in local.shares(small_file, "softmax", SOFTMAX.clients))
    seen: list[int] = []
    net = local.network(SOFTMAX)
    net.register_forward_hook(lambda module, given, output: seen.append(len(given[0])))
    before = [value.clone() for value in net.parameters()]
    local.train(net, x, y, SOFTMAX)
    assert seen == [5, 5, 5, 5]
    assert all(not torch.equal(old, new) for old, new in zip(before, net.parameters(), strict=True))


def test_ciranda_leaves_no_folder_behind(small_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    launch(sys.executable, "ciranda", SOFTMAX, small_file, 1)
    assert list(scratch.iterdir()) == []
