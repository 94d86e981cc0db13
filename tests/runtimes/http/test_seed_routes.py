"""The seeds' six routes: a client that knows nothing else trains to the same model as any other, and breaks nothing."""

from __future__ import annotations

import http.client
import json
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ciranda.core.codec import decode, encode
from ciranda.core.rng import Draw
from ciranda.core.task import ClientSettings, Examples
from ciranda.protocol.messages import CloseRule
from ciranda.runtimes.http.link import Rejected
from tests.runtimes.http.harness import House, Toy
from tests.runtimes.http.test_hostile_clients import refused

CLIENTS, ROUNDS = 3, 2


class SeedClient:
    """What a client of the seeds does, in their words; nothing of ours but the task and the format of arrays."""

    def __init__(self, address: tuple[str, int], task: Any, dataset: Examples) -> None:
        self.line, self.task, self.dataset = http.client.HTTPConnection(*address, timeout=30), task, dataset
        self.headers: dict[str, str] = {}
        subscribed = self.post("/subscribe")
        self.id = subscribed["id"]
        self.headers = {"Authorization": f"Bearer {subscribed['credential']}", "Client-Id": str(self.id)}
        mine = json.loads(self.post("/get_data", {"client_id": self.id})["dict_user"])
        self.examples = dataset[np.array(mine)]

    def ask(self, path: str, body: bytes = b"") -> bytes:
        self.line.request("POST", path, body, {**self.headers, "Content-Type": "application/json"})
        answer = self.line.getresponse()
        data = answer.read()
        if answer.status >= 400:
            raise RuntimeError(answer.status, json.loads(data)["error"])
        return data

    def post(self, path: str, value: object = None) -> Any:
        return json.loads(self.ask(path, json.dumps(value).encode() if value is not None else b""))

    def train(self) -> list[int]:
        """Until the run is over; the rounds that it trained for."""
        epochs = []
        while not (turn := self.post("/get_clients_to_train", {"client_id": self.id})).get("done"):
            if turn["train"]:
                epochs.append(turn["epoch"])
                model, _ = decode(self.ask("/get_model"))
                trained = self.task.train(model, self.examples, ClientSettings(), Draw(1))
                self.ask("/send_model", encode(trained.arrays))
        return epochs


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(Toy(tmp_path, clients=CLIENTS, rounds=ROUNDS, rule=CloseRule(deadline_s=60.0)), seed_routes=True) as house:
        yield house


def seed_client(house: House) -> SeedClient:
    client = SeedClient((house.server.host, house.server.port), house.toy.task, house.toy.population.data.train)
    house._links.append(client.line)  # type: ignore[arg-type]
    return client


def all_subscribed(house: House) -> list[SeedClient]:
    house.begin()
    return [seed_client(house) for _ in range(CLIENTS)]


def turn_of(client: SeedClient) -> int:
    """Wait for the client's turn."""
    while not (turn := client.post("/get_clients_to_train", {"client_id": client.id}))["train"]:
        pass
    return int(turn["epoch"])


def test_clients_that_know_only_these_routes_train_to_the_same_model_as_ours(house: House, tmp_path: Path) -> None:
    clients = all_subscribed(house)
    assert sorted(client.id for client in clients) == list(range(CLIENTS))
    with ThreadPoolExecutor(CLIENTS) as pool:
        assert list(pool.map(SeedClient.train, clients)) == [list(range(1, ROUNDS + 1))] * CLIENTS
    run = house.service.runs["toy"]
    assert run.over.wait(10)
    assert run.status == "finished", run.reason
    with House(Toy(tmp_path / "ours", clients=CLIENTS, rounds=ROUNDS)) as other:
        ours = other.begin()
        other.everybody()
        assert ours.over.wait(30)
        assert run.rows[-1]["model"] == ours.rows[-1]["model"]
        assert [len(row["accepted"]) for row in run.rows] == [CLIENTS] * ROUNDS


def test_each_has_examples_of_its_own_and_together_all(house: House) -> None:
    clients = all_subscribed(house)
    dealt = [json.loads(client.post("/get_data", {"client_id": client.id})["dict_user"]) for client in clients]
    assert sorted(index for indices in dealt for index in indices) == sorted(
        int(i) for rank in range(CLIENTS) for i in house.toy.population.split(rank)[0]
    )


def test_many_that_subscribe_at_once_get_a_number_each_and_the_next_is_turned_away(house: House) -> None:
    house.begin()

    def subscribe(_: int) -> int:
        try:
            return int(house.link().ask("POST", "/subscribe").json()["id"])
        except Rejected as error:
            return -error.status

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(subscribe, range(8))) == [-409] * 5 + [0, 1, 2]


def test_a_token_is_needed_where_one_is_needed(tmp_path: Path) -> None:
    with House(Toy(tmp_path, clients=CLIENTS), seed_routes=True, anybody=False) as house:
        house.begin()
        assert refused(lambda: house.link().ask("POST", "/subscribe")) == (401, "denied")
        token = house.operator.post("/v1/tokens", {}).json()["tokens"][0]
        assert house.link(token).ask("POST", "/subscribe").json()["id"] == 0
        assert refused(lambda: house.link(token).ask("POST", "/subscribe")) == (401, "denied")


def test_nobody_speaks_for_another_or_out_of_turn(house: House) -> None:
    clients = all_subscribed(house)
    first, second = clients[:2]
    turn_of(first)
    model = first.ask("/get_model")
    with pytest.raises(RuntimeError, match="403"):
        first.post("/get_clients_to_train", {"client_id": second.id})
    first.headers["Client-Id"] = str(second.id)
    with pytest.raises(RuntimeError, match="403"):
        first.ask("/send_model", model)
    first.headers["Client-Id"] = str(first.id)
    first.ask("/send_model", model)
    with pytest.raises(RuntimeError, match="409, 'not-selected'"):
        first.ask("/send_model", model)


def test_pickle_other_shapes_and_nan_are_refused_and_the_turn_stays_open_where_nothing_was_judged(house: House) -> None:
    (first, *_) = all_subscribed(house)
    turn_of(first)
    model, _ = decode(first.ask("/get_model"))
    with pytest.raises(RuntimeError, match="422, 'malformed'"):
        first.ask("/send_model", pickle.dumps(dict(model)))
    with pytest.raises(RuntimeError, match="422, 'wrong-shape'"):
        first.ask("/send_model", encode({name: array[:1] for name, array in model.items()}))
    with pytest.raises(RuntimeError, match="422, 'wrong-shape'"):
        first.ask("/send_model", encode({f"{name}x": array for name, array in model.items()}))
    with pytest.raises(RuntimeError, match="413"):
        first.ask("/send_model", bytes(10**7))
    assert turn_of(first) == 1
    answer = first.line
    answer.request("POST", "/send_model", encode({name: array * np.float32(np.nan) for name, array in model.items()}), first.headers)
    told = answer.getresponse()
    assert (told.status, json.loads(told.read())["reason"]) == (422, "non-finite")


def test_a_model_is_not_there_before_the_run_has_begun(house: House) -> None:
    house.begin()
    client = seed_client(house)
    with pytest.raises(RuntimeError, match="503, 'not-begun'"):
        client.ask("/get_model")


def test_only_the_operator_starts_training_and_is_told_how_it_stands(house: House) -> None:
    clients = all_subscribed(house)
    with pytest.raises(RuntimeError, match="403"):
        clients[0].ask("/start_training")
    told = house.operator.post("/start_training", {"dataset": "mnist", "numberOfClients": 3, "fracToTrain": 1.0})
    assert told.status == 202
    assert (told.json()["run"], told.json()["epochs"]) == ("toy", ROUNDS)
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(SeedClient.train, clients))
    assert refused(lambda: house.operator.post("/start_training", {})) == (409, "over")


def test_without_being_asked_for_they_are_not_there(tmp_path: Path) -> None:
    with House(Toy(tmp_path, clients=CLIENTS)) as house:
        house.begin()
        for path in ("/subscribe", "/get_data", "/get_model", "/get_clients_to_train", "/send_model", "/start_training"):
            assert refused(lambda path=path: house.link().ask("POST", path)) == (404, "no-such-path")  # type: ignore[misc]
