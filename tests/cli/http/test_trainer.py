"""A client's side of an experiment: what it tells, which examples are its own, and that the same round gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ciranda.cli.compose import Assembly, assemble
from ciranda.cli.folder import RunFolder
from ciranda.cli.http.blueprint import ExperimentBlueprint
from ciranda.cli.http.trainer import ExperimentTrainer, Own
from ciranda.core.errors import DataError, ExperimentError
from ciranda.core.message import encode_update
from ciranda.core.metrics import summarise
from ciranda.core.update import Contract, accept
from ciranda.experiment.load import resolve
from ciranda.runtimes.http.client import Limits, Told
from ciranda.runtimes.http.home import Wish

CLIENTS = 4
SEED = 11
LIMITS = Limits(max_weight=2000, cohort=CLIENTS, population=CLIENTS, broadcast=False)


def assembled(*overrides: str) -> Assembly:
    settings = [f"federation.clients={CLIENTS}", "client.local-epochs=1", "federation.test-fraction=0.25", "evaluate.where=both"]
    return assemble(resolve("digits", [f"experiment.seed={SEED}", *settings, *overrides]))


@pytest.fixture(scope="module")
def assembly() -> Assembly:
    return assembled()


@pytest.fixture(scope="module")
def told(assembly: Assembly, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What the server says of the run."""
    return saying(assembly, tmp_path_factory.mktemp("server"))


def saying(assembly: Assembly, folder: Path) -> Told:
    blueprint = ExperimentBlueprint("digits", RunFolder(folder), assembly)
    return Told(blueprint.experiment, dict(blueprint.described()))


def begun(told: Told, number: int = 0, *, seed: int = SEED, name: str | None = None) -> ExperimentTrainer:
    trainer = ExperimentTrainer(told, Own(partition=(number, CLIENTS)))
    trainer.begin(name if name is not None else str(number), seed)
    return trainer


def message(trainer: ExperimentTrainer, model: Mapping[str, Any], round: int = 1) -> bytes:
    update, _ = trainer.train(round, model, {}, LIMITS, {})
    return encode_update(update)


@pytest.fixture(scope="module")
def private(assembly: Assembly, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty digits of somebody's own."""
    path = tmp_path_factory.mktemp("own") / "digits.npz"
    train = assembly.population.data.train
    np.savez(path, x=train.x[:60], y=train.y[:60])
    return path


# --- what a client tells


def test_a_client_with_a_partition_tells_which_and_nothing_of_its_data(told: Told) -> None:
    said = ExperimentTrainer(told, Own(partition=(2, CLIENTS))).told()
    assert said["partition"] == [2, CLIENTS]
    assert sorted(said) == ["partition", "probe", "schema", "versions"]
    assert sorted(said["schema"]) == ["classes", "x", "y"]


def test_all_clients_of_equal_machines_have_the_same_probe(told: Told, private: Path) -> None:
    probes = {ExperimentTrainer(told, Own(partition=(number, CLIENTS))).told()["probe"] for number in range(2)}
    assert len(probes) == 1


def test_who_does_not_share_counts_tells_no_number(told: Told, private: Path) -> None:
    said = ExperimentTrainer(told, Own(data=private)).told()
    assert sorted(said) == ["probe", "schema", "versions"]
    assert "counts" not in said["schema"]


def test_who_shares_counts_tells_how_many_of_each_class(told: Told, private: Path, assembly: Assembly) -> None:
    said = ExperimentTrainer(told, Own(data=private, share_counts=True)).told()
    labels = assembly.population.data.train.y[:60]
    assert said["examples"] == 60
    assert said["schema"]["counts"] == [int((labels == number).sum()) for number in range(10)]


def test_what_is_told_fits_the_run(told: Told, private: Path, assembly: Assembly, tmp_path: Path) -> None:
    blueprint = ExperimentBlueprint("digits", RunFolder(tmp_path), assembly)
    for own in (Own(partition=(0, CLIENTS)), Own(data=private, share_counts=True)):
        blueprint.admit(ExperimentTrainer(told, own).told()["schema"])


# --- training


def test_the_same_round_gives_the_same_bytes_in_another_process_life(told: Told, assembly: Assembly) -> None:
    model = assembly.initial()
    first = message(begun(told), model)
    again = begun(told)
    message(again, model, round=5)
    assert message(again, model) == first


@pytest.mark.parametrize("change", [{"number": 1}, {"seed": SEED + 1}, {"name": "another"}])
def test_another_client_or_seed_gives_other_bytes(told: Told, assembly: Assembly, change: dict[str, Any]) -> None:
    model = assembly.initial()
    assert message(begun(told, **change), model) != message(begun(told), model)


def test_another_round_draws_anew(told: Told, assembly: Assembly) -> None:
    trainer, model = begun(told), assembly.initial()
    assert message(trainer, model, round=1) != message(trainer, model, round=2)


def test_an_update_satisfies_the_contract_and_weighs_what_was_learned_from(told: Told, assembly: Assembly) -> None:
    model = assembly.initial()
    contract = Contract.for_model(model, assembly.task.part_of, max_weight=2000, cohort=CLIENTS, population=CLIENTS)
    for number in range(CLIENTS):
        update, states = begun(told, number).train(1, model, {}, LIMITS, {})
        assert accept(contract, update) == ""
        assert update.weight == len(assembly.population.train(number))
        assert not states


def test_a_round_teaches_something(told: Told, assembly: Assembly) -> None:
    trainer, model = begun(told), dict(assembly.initial())
    before = summarise(trainer.evaluate("evaluate", model, {}))["loss"]
    for round in range(1, 4):
        update, _ = trainer.train(round, model, {}, LIMITS, {})
        model = {name: model[name] + delta for name, delta in update.parts["model"].items()}
    assert summarise(trainer.evaluate("evaluate", model, {}))["loss"] < before


# --- evaluation


def test_candidates_are_judged_on_what_they_train_on_and_models_on_what_was_kept_back(told: Told, assembly: Assembly) -> None:
    model = assembly.initial()
    for number in range(CLIENTS):
        trainer = begun(told, number)
        train, test = assembly.population.train(number), assembly.population.test(number)
        assert trainer.evaluate("candidates", model, {})["n"] == len(train)
        assert trainer.evaluate("evaluate", model, {})["n"] == len(test)


def test_without_anything_kept_back_nothing_is_evaluated(tmp_path: Path) -> None:
    assembly = assembled("federation.test-fraction=0", "evaluate.where=server")
    trainer = begun(saying(assembly, tmp_path))
    with pytest.raises(DataError, match="no examples to evaluate on") as caught:
        trainer.evaluate("evaluate", assembly.initial(), {})
    assert "test-fraction" in caught.value.hint


def test_personal_tensors_are_what_is_evaluated(told: Told, assembly: Assembly) -> None:
    trainer, model = begun(told), assembly.initial()
    name = sorted(model)[0]
    private = {"private": {name: np.full_like(model[name], 0.5)}}
    found, plain = (summarise(trainer.evaluate("evaluate", model, states)) for states in (private, {}))
    assert found == summarise(trainer.evaluate("evaluate", {**model, **private["private"]}, {}))
    assert found != plain


# --- data of one's own


def test_all_of_ones_own_data_is_ones_own(told: Told, private: Path, assembly: Assembly) -> None:
    trainer = ExperimentTrainer(told, Own(data=private))
    trainer.begin("ana", 99)
    model = assembly.initial()
    parts = [trainer.evaluate(kind, model, {})["n"] for kind in ("candidates", "evaluate")]
    assert sum(int(part) for part in parts) == 60
    update, _ = trainer.train(1, model, {}, LIMITS, {})
    assert update.weight == parts[0]


def test_data_that_are_not_there_or_of_another_form_are_refused_by_name(told: Told, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        ExperimentTrainer(told, Own(data=tmp_path / "nowhere"))
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, x=np.zeros((3, 5), np.uint8), y=np.zeros(3, np.int64))
    with pytest.raises(DataError, match=r"wrong\.npz"):
        ExperimentTrainer(told, Own(data=wrong))


@pytest.mark.parametrize("text", ["not TOML at all [", '[experiment]\ntask = "no-such-task"\n', "[unknown]\nkey = 1\n"])
def test_what_a_server_says_is_checked_like_any_experiment(told: Told, text: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        ExperimentTrainer(Told(text, told.data), Own(partition=(0, CLIENTS)))
    assert "no-such-task" in str(caught.value) or "the server's experiment" in str(caught.value)


def test_a_form_that_is_none_is_refused(told: Told, private: Path) -> None:
    with pytest.raises(DataError, match="what examples look like"):
        ExperimentTrainer(Told(told.experiment, {"form": {"x": ["object", -1]}, "record": None}), Own(data=private))


# --- training on demand


def test_training_alone_tells_what_it_did_and_changes_nothing_of_the_run(told: Told, assembly: Assembly) -> None:
    trainer, model = begun(told), assembly.initial()
    before = message(trainer, model)
    trained, said = trainer.train_alone(model, Wish(local_epochs=2))
    assert said["examples"] == len(assembly.population.train(0))
    assert said["epochs"] == 2
    assert said["after"]["loss"] < said["before"]["loss"]
    assert trained.keys() == model.keys()
    assert message(trainer, model) == before


def test_each_turn_of_training_alone_draws_anew_and_repeats(told: Told, assembly: Assembly) -> None:
    trainer, model = begun(told), assembly.initial()

    def digest(turn: int) -> bytes:
        trained, _ = trainer.train_alone(model, Wish(turn=turn))
        return b"".join(trained[name].tobytes() for name in sorted(trained))

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)
