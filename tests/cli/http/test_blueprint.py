"""An experiment as a run of the server: what clients are told of it, what its contract admits, and how it begins and ends."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from ciranda.cli.compose import Assembly, assemble
from ciranda.cli.folder import RunFolder
from ciranda.cli.http.blueprint import ExperimentBlueprint
from ciranda.cli.session import begin
from ciranda.core.errors import CirandaError, ExperimentError, RunError
from ciranda.core.params import model_sha256
from ciranda.experiment.load import loads, resolve
from ciranda.protocol.messages import Close, Command, Event, Instruct, StopAsked
from ciranda.runtimes.base import Gathered, Published
from ciranda.runtimes.http.roster import Member, Roster
from ciranda.store.base import Store
from ciranda.testing.toys import MeanTask

SEED = 11


@pytest.fixture(scope="module")
def assembly() -> Assembly:
    overrides = ["experiment.seed=11", "federation.clients=4", "rounds.num-rounds=2", "client.local-epochs=1"]
    return assemble(resolve("digits", overrides))


class Lines:
    """A wire that only listens."""

    repeatable = False
    population = 0

    def __init__(self) -> None:
        self.published: list[Published] = []
        self.asked: list[str] = []
        self.happens: list[Event] = []

    def publish(self, model: Published) -> None:
        self.published.append(model)

    def carry(self, commands: Sequence[Command]) -> None:
        self.asked.extend(command.name for command in commands if isinstance(command, Instruct))

    def events(self) -> Sequence[Event]:
        assert self.happens, "nobody waits here"
        return [self.happens.pop(0)]

    def gather(self, close: Close) -> Gathered:
        raise AssertionError("nothing came")

    def close(self) -> None:
        pass


class Site:
    """A run's folder as the server finds it, and what is told of the run."""

    def __init__(self, folder: Path, assembly: Assembly, **limits: Any) -> None:
        self.folder = RunFolder(folder)
        begin(self.folder, assembly)
        self.blueprint = ExperimentBlueprint("digits", self.folder, assembly, **limits)
        self.store: Store = self.blueprint.open_store()
        self.wire = Lines()
        self.told: list[Mapping[str, Any]] = []

    def host(self, roster: Roster) -> Any:
        return self.blueprint.host(self.wire, self.store, roster, self.told.append)  # type: ignore[arg-type]

    def contract(self, roster: Roster) -> Any:
        """What updates of the first model must satisfy."""
        self.blueprint.begin(self.host(roster), self.store, roster, self.told.append)
        return self.wire.published[-1].contract


@pytest.fixture
def site(tmp_path: Path, assembly: Assembly) -> Iterator[Site]:
    it = Site(tmp_path / "run", assembly)
    yield it
    it.store.close()


def numbered(count: int = 4) -> Roster:
    return Roster([Member(f"client-{number}", str(number), number, probe="p") for number in range(count)])


def own(*examples: int | None) -> Roster:
    """Clients with data of their own, which tell how many or do not."""
    return Roster([Member(f"c{number}", f"c{number}", None, count) for number, count in enumerate(examples)])


@pytest.mark.parametrize("given", ["digits", "my run/no. 1", "../../etc", "@server", "ação", "...", "", "-", "a\nb", "x" * 300])
def test_the_name_of_a_run_is_a_piece_of_a_path(tmp_path: Path, assembly: Assembly, given: str) -> None:
    name = ExperimentBlueprint(given, RunFolder(tmp_path), assembly).name
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name)
    assert ExperimentBlueprint(name, RunFolder(tmp_path), assembly).name == name


@pytest.mark.parametrize(("minimum", "maximum"), [(0, 4), (5, 4), (1, 0), (-1, None)])
def test_numbers_of_clients_that_cannot_be(tmp_path: Path, assembly: Assembly, minimum: int, maximum: int | None) -> None:
    with pytest.raises(ExperimentError, match="cannot be"):
        ExperimentBlueprint("digits", RunFolder(tmp_path), assembly, minimum=minimum, maximum=maximum)


@pytest.mark.parametrize(
    ("minimum", "maximum", "expected"),
    [(None, None, (4, 4)), (2, None, (2, 4)), (None, 3, (3, 3)), (1, 9, (1, 9))],
)
def test_as_many_clients_as_the_experiment_says_unless_told(
    tmp_path: Path, assembly: Assembly, minimum: int | None, maximum: int | None, expected: tuple[int, int]
) -> None:
    blueprint = ExperimentBlueprint("digits", RunFolder(tmp_path), assembly, minimum=minimum, maximum=maximum)
    assert (blueprint.minimum, blueprint.maximum) == expected
    assert blueprint.partitions == 4
    assert blueprint.rounds == 2


def test_clients_are_told_the_experiment_without_its_seed(site: Site, assembly: Assembly) -> None:
    told = loads(site.blueprint.experiment, "what clients read")
    assert told.experiment.seed != SEED
    section = told.experiment.model_copy(update={"seed": SEED})
    assert told.model_copy(update={"experiment": section}) == assembly.experiment


def test_clients_are_told_what_examples_look_like_and_none_of_them(site: Site) -> None:
    described = site.blueprint.described()
    assert described["form"]["x"] == ["uint8", 8, 8]
    assert described["form"]["classes"] == list("0123456789")
    assert described["record"] is None


def test_a_simulated_client_draws_as_in_the_local_runtime_and_others_from_seeds_of_their_own(site: Site) -> None:
    seed = site.blueprint.seed
    assert {seed(member) for member in numbered().members} == {SEED}
    others = [seed(member) for member in own(1, 2, 3).members]
    assert len({SEED, *others}) == 4
    assert [seed(member) for member in own(1, 2, 3).members] == others


def test_the_largest_weight_is_that_of_the_largest_partition(site: Site, assembly: Assembly) -> None:
    contract = site.contract(numbered())
    assert contract.max_weight == max(len(assembly.population.train(rank)) for rank in range(4))
    assert contract.cohort == assembly.experiment.cohort(4)


def test_the_largest_weight_is_the_most_that_a_client_tells(site: Site) -> None:
    assert site.contract(own(30, 500, 2)).max_weight == 500


@pytest.mark.parametrize(("declared", "roster"), [(70, own(None, 30)), (9, own(None, None))])
def test_a_declared_number_stands_in_for_what_is_not_told(tmp_path: Path, assembly: Assembly, declared: int, roster: Roster) -> None:
    site = Site(tmp_path / "run", assembly, max_examples=declared)
    try:
        assert site.contract(roster).max_weight == declared
    finally:
        site.store.close()


def test_somebody_must_say_how_many_examples_there_may_be(site: Site) -> None:
    with pytest.raises(ExperimentError, match="does not tell") as caught:
        site.host(own(5, None))
    assert "--max-examples" in caught.value.hint


def test_the_run_begins_once_and_is_found_begun_at_another_start(site: Site, assembly: Assembly) -> None:
    site.contract(numbered())
    start = site.told[0]
    assert (start["event"], start["clients"], start["rounds"], start["done"]) == ("start", 4, 2, 0)
    (first,) = site.wire.published
    assert first.digest == model_sha256(assembly.initial())
    site.wire = Lines()
    host = site.host(numbered())
    site.blueprint.begin(host, site.store, numbered(), site.told.append)
    assert [model.digest for model in site.wire.published] == [first.digest]
    assert host.state.status in ("pending", "running")


def test_a_run_that_was_stopped_goes_on_when_it_is_started_again(site: Site) -> None:
    for _ in range(2):
        site.wire = Lines()
        host = site.host(numbered())
        site.blueprint.begin(host, site.store, numbered(), site.told.append)
        site.wire.happens = [StopAsked("test")]
        host.run()
        assert site.wire.asked, "clients were asked before the stop"
        assert host.state.status == "aborted"


def test_the_server_evaluates_on_its_own_test_examples(site: Site, assembly: Assembly) -> None:
    sums = site.blueprint.evaluate(assembly.initial())
    assert sums["n"] == len(assembly.population.data.test)


def test_a_run_that_failed_leaves_a_result_that_says_why(site: Site) -> None:
    roster = numbered()
    host = site.host(roster)
    site.blueprint.begin(host, site.store, roster, site.told.append)
    site.blueprint.finish(host, roster, RunError("The roof fell in."), site.told.append)
    assert site.blueprint.result is not None
    assert "The roof fell in." in site.blueprint.result.stop_reason
    assert site.folder.result.is_file()
    assert site.told[-1]["event"] == "finish"


def test_a_run_that_never_began_has_no_result(site: Site) -> None:
    error: CirandaError = RunError("Too few came.")
    site.blueprint.finish(None, None, error, site.told.append)
    assert site.blueprint.result is None
    assert site.told == []


def test_data_of_another_form_are_not_admitted(site: Site) -> None:
    site.blueprint.admit({})
    site.blueprint.admit({"x": ["uint8", 8, 8], "classes": list("0123456789")})
    with pytest.raises(CirandaError):
        site.blueprint.admit({"x": ["float32", 28, 28]})


def test_a_task_whose_server_has_no_test_examples_is_the_tasks_affair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> NoReturn:
        raise RunError("There is nothing to evaluate on.")

    assembly = assemble(resolve("digits", ["federation.clients=2"]), MeanTask(2))
    blueprint = ExperimentBlueprint("toy", RunFolder(tmp_path), assembly)
    monkeypatch.setattr(MeanTask, "evaluate", fails)
    with pytest.raises(RunError, match="nothing to evaluate on"):
        blueprint.evaluate(assembly.initial())
