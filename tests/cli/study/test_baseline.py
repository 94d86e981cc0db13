"""The federated run between its baselines: the same data, the same start, the same budget."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ciranda.cli import compose
from ciranda.cli.folder import RunFolder
from ciranda.cli.result import read_result
from ciranda.cli.study.baseline import Baselines, baseline, central, parse_seeds, passes_of
from ciranda.cli.study.local_only import CLIENTS, train_alone
from ciranda.core.errors import ExperimentError, StoreError
from ciranda.core.metrics import summarise
from ciranda.core.paired import paired
from ciranda.core.task import ClientSettings
from ciranda.experiment.load import dump, resolve
from ciranda.experiment.schema import Experiment
from ciranda.tasks.recipe import prepare_worker
from ciranda.testing.toys import MeanTask


def small(*overrides: str) -> Experiment:
    settings = (
        "rounds.num-rounds=3",
        "client.local-epochs=2",
        "federation.clients=6",
        "federation.partitioner=dirichlet",
        "federation.alpha=0.3",
    )
    return resolve("digits", [*settings, *overrides])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Baselines]:
    out = tmp_path_factory.mktemp("study") / "out"
    return out, baseline(small(), out, seeds=[1, 2], workers=2)


@pytest.mark.parametrize(
    ("overrides", "passes"),
    [
        ((), 3),
        (("rounds.fraction-train=1",), 6),
        (("rounds.num-rounds=1", "client.local-epochs=1"), 1),
        (("rounds.fraction-train=0.17",), 1),
    ],
)
def test_the_budget_is_the_passes_of_the_federated_run(overrides: tuple[str, ...], passes: int) -> None:
    assert passes_of(small(*overrides), 6) == passes


@pytest.mark.parametrize(
    ("rounds", "passes", "expected"), [(3, 3, (3, 1)), (10, 400, (10, 40)), (15, 50, (10, 5)), (20, 53, (53, 1)), (50, 7, (7, 1))]
)
def test_the_central_run_makes_exactly_so_many_passes(rounds: int, passes: int, expected: tuple[int, int]) -> None:
    found = central(small(f"rounds.num-rounds={rounds}"), passes)
    assert (found.rounds.num_rounds, found.client.local_epochs) == expected
    assert found.rounds.num_rounds * found.client.local_epochs == passes


def test_the_central_run_keeps_what_is_not_federated() -> None:
    settings = ("strategy.name=fedprox", "strategy.proximal-mu=1", "privacy.clipping-norm=1", "rounds.min-replies=2", "stop.target=0.9")
    found = central(small(*settings, "client.momentum=0.7", "evaluate.batch-size=77", "experiment.seed=9"), 3)
    assert found.study.role == "centralised"
    assert (found.strategy.name, found.strategy.params, found.privacy.clipping_norm) == ("fedavg", {}, None)
    assert (found.client.momentum, found.evaluate.batch_size, found.experiment.seed) == (0.7, 77, 9)
    assert (found.stop.target, found.stop.metric, found.rounds.fraction_train) == (None, "accuracy", 1.0)
    assert found.federation == small().federation


def test_all_three_see_the_same_split_and_begin_alike() -> None:
    federated = compose.assemble(small())
    one = compose.assemble(central(small(), 3))
    assert one.population.size == 1
    everything = np.sort(np.concatenate([federated.population.train(rank).x for rank in range(6)]), axis=0)
    assert np.array_equal(np.sort(one.population.train(0).x, axis=0), everything)
    assert np.array_equal(one.population.data.test.x, federated.population.data.test.x)
    for name, array in federated.initial().items():
        assert np.array_equal(array, one.initial()[name])


def test_a_study_leaves_runs_that_stand_by_themselves(study: tuple[Path, Baselines]) -> None:
    out, found = study
    for seed in (1, 2):
        folder = out / f"seed-{seed}"
        federated, one = (read_result(RunFolder(folder / name).result) for name in ("federated", "centralised"))
        assert (federated.state, federated.rounds, one.state, one.rounds) == ("finished", 3, "finished", 3)
        place = found.seeds.index(seed)
        assert found.methods[0].values[place] == federated.metrics["server"]["accuracy"]
        assert found.methods[1].values[place] == one.metrics["server"]["accuracy"]
    assert (
        compose.run(small(), out.parent / "again", workers=1).model_sha256 == read_result(out / "seed-1/federated/result.json").model_sha256
    )


def test_a_client_alone_is_what_training_alone_gives(study: tuple[Path, Baselines]) -> None:
    _, found = study
    assembly = compose.assemble(small())
    values = []
    with prepare_worker(False):
        for rank in range(6):
            settings = ClientSettings(local_epochs=3, batch_size=10, learning_rate=0.1, momentum=0.5)
            draw = assembly.draw.at("train", round=1, client=str(rank))
            model = assembly.task.train(assembly.initial(), assembly.population.train(rank), settings, draw).arrays
            values.append(summarise(assembly.task.evaluate(model, assembly.population.data.test, 1000))["accuracy"])
    row = found.rows[2]
    assert found.methods[2].values[0] == pytest.approx(np.mean(values))
    spread = found.alone[0].spreads["server"]["accuracy"]
    assert (spread["min"], spread["max"]) == (min(values), max(values))
    assert row["training"] == "local-only"


def test_the_table_says_how_many_seeds_and_what_is_significant(study: tuple[Path, Baselines]) -> None:
    _, found = study
    assert [row["training"] for row in found.rows] == ["federated", "centralised", "local-only"]
    assert {row["seeds"] for row in found.rows} == {2}
    test = paired(found.methods[0].values, found.methods[2].values)
    assert test is not None
    assert found.rows[2]["difference"] == pytest.approx(test.mean)
    text = found.table.text()
    assert "Each trains for 3 passes over the examples" in text
    assert "Seeds: 1, 2." in text
    assert "Paired t-test over 2 seeds" in text


def test_what_is_there_is_kept_and_seeds_can_be_added(study: tuple[Path, Baselines]) -> None:
    out, found = study
    before = {file: file.stat().st_mtime_ns for file in out.rglob("result.json")}
    again = baseline(small(), out, seeds=[1, 2, 3], workers=2)
    assert again.methods[0].values[:2] == found.methods[0].values
    assert again.methods[2].values[:2] == found.methods[2].values
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert len(again.methods[2].values) == 3


def test_another_experiment_does_not_go_on_in_the_same_folder(study: tuple[Path, Baselines]) -> None:
    out, _ = study
    with pytest.raises(StoreError, match="holds another study: it differs in experiment"):
        baseline(small("client.learning-rate=0.2"), out, seeds=[1])


def test_one_seed_gives_no_test(tmp_path: Path) -> None:
    found = baseline(small("rounds.num-rounds=1"), tmp_path / "out", seeds=[4], workers=1)
    assert found.tests == [None, None, None]
    assert found.rows[1]["p"] is None
    assert "One seed" in found.notes[1]
    assert found.rows[0][f"{found.metric}_std"] is None


def test_evaluated_on_the_clients_the_spread_is_told(tmp_path: Path) -> None:
    found = baseline(small("evaluate.where=clients"), tmp_path / "out", seeds=[1], workers=1)
    federated, centralised, alone = found.rows
    assert found.group == "clients"
    for row in (federated, alone):
        low, mean, high = row["clients_min"], row["accuracy"], row["clients_max"]
        assert isinstance(low, float)
        assert isinstance(mean, float)
        assert isinstance(high, float)
        assert low <= mean <= high
    assert centralised["clients_min"] is None
    counted = [json.loads(line) for line in (tmp_path / "out/seed-1/local-only" / CLIENTS).read_text().splitlines()]
    right, n = (sum(line["sums"]["clients"][key] for line in counted) for key in ("correct", "n"))
    assert alone["accuracy"] == right / n


def test_a_better_federation_is_called_better(study: tuple[Path, Baselines]) -> None:
    _, found = study
    mine, alone = ([0.90, 0.91, 0.92], [0.5, 0.52, 0.51])
    made = Baselines(found.group, found.metric, [1, 2, 3], 3, found.runs, found.alone)
    made.__dict__["methods"] = [
        found.methods[0].__class__(method.name, values, 0.0, 0.0, [])
        for method, values in zip(found.methods, (mine, [0.93, 0.94, 0.9505], alone), strict=True)
    ]
    assert any("better than local only (p" in note for note in made.notes)
    assert any("worse than centralised (p" in note for note in made.notes)
    made.__dict__["methods"][1] = found.methods[0].__class__("centralised", [0.95, 0.88, 0.92], 0.0, 0.0, [])
    made.__dict__.pop("tests")
    assert any("Federated and centralised: the difference may be luck (p" in note for note in made.notes)


def test_a_cut_line_is_trained_again(tmp_path: Path) -> None:
    experiment = small()
    whole = train_alone(experiment, 2, tmp_path / "whole", lambda row: None)
    lines = (tmp_path / "whole" / CLIENTS).read_text().splitlines(keepends=True)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / CLIENTS).write_text("".join(lines[:2]) + lines[2][:20])
    told: list[int] = []
    again = train_alone(experiment, 2, tmp_path / "cut", lambda row: told.append(row.get("done", -1)))
    assert told[0] == 2
    assert (again.groups, again.spreads) == (whole.groups, whole.spreads)
    assert len((tmp_path / "cut" / CLIENTS).read_text().splitlines()) == 6


def test_a_task_of_ones_own_is_compared_too(tmp_path: Path) -> None:
    task = MeanTask(clients=3)
    experiment = resolve("digits", ["federation.clients=3", "rounds.num-rounds=2", "stop.metric=rmse"])
    found = baseline(experiment, tmp_path / "out", seeds=[1, 2], workers=2, task=task)
    assert found.metric == "r2"
    assert len(found.methods[1].values) == 2


def test_nothing_to_compare_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="nothing would be compared"):
        baseline(small("evaluate.where=none"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_ends_a_training_ends_the_study(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"too-few-replies|not a number|infinite"):
        baseline(small("client.learning-rate=1e6"), tmp_path / "out", seeds=[1], workers=2)


def test_seeds_are_a_count_or_a_list() -> None:
    assert parse_seeds("3", 7) == [7, 8, 9]
    assert parse_seeds("3,", 7) == [3]
    assert parse_seeds("1, 2,9", 7) == [1, 2, 9]
    for wrong in ("", ",", "0", "a", "1,b", "-1", "1001"):
        with pytest.raises(ExperimentError, match="neither a count nor a list"):
            parse_seeds(wrong, 1)


def test_the_study_says_what_it_asks(study: tuple[Path, Baselines]) -> None:
    out, _ = study
    question = json.loads((out / "baseline.json").read_text())
    assert question["passes"] == 3
    assert question["experiment"] == dump(small())
