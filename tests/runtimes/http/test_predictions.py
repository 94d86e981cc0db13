"""`POST /predict` on the server, and everything at a client's own door: real sockets, a toy behind them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ciranda.core.client import PRIVATE
from ciranda.core.codec import decode
from ciranda.core.params import model_sha256
from ciranda.core.stages import States
from ciranda.core.task import Arrays
from ciranda.runtimes.http import predictions
from ciranda.runtimes.http.door import create_door
from ciranda.runtimes.http.home import Home, Wish
from ciranda.runtimes.http.link import Link, Rejected
from ciranda.runtimes.http.listener import Listener
from ciranda.runtimes.http.run import Predictor
from tests.runtimes.http.harness import Echo, House, RawClient, Toy

MODEL: Arrays = {"w": np.array([1.0, 2.0], np.float32)}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


def form(*files: tuple[str, bytes], field: str = "file") -> bytes:
    parts = [
        b"--x\r\nContent-Disposition: form-data; " + f'name="{field}"; filename="{name}"\r\n\r\n'.encode() + data + b"\r\n"
        for name, data in files
    ]
    return b"".join(parts) + b"--x--\r\n"


class Alone(Echo):
    """A client's side: training adds one."""

    def __init__(self) -> None:
        super().__init__()
        self.predictor: Predictor = self
        self.wishes: list[Wish] = []

    def train_alone(self, model: Arrays, wish: Wish) -> tuple[Arrays, dict[str, Any]]:
        self.wishes.append(wish)
        return {name: array + 1 for name, array in model.items()}, {"examples": 5}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    toy = Toy(tmp_path, clients=1, rounds=1)
    with House(toy) as house:
        yield house


def refused(link: Link, method: str, path: str, body: bytes = b"x", headers: dict[str, str] | None = None) -> Rejected:
    with pytest.raises(Rejected) as raised:
        link.ask(method, path, body, headers)
    return raised.value


def test_the_server_answers_with_the_runs_latest_model(house: House) -> None:
    house.toy.predictor = Echo()
    operator = house.operator
    run = house.begin()
    assert refused(operator, "POST", "/predict?run=nowhere").status == 404
    assert refused(operator, "POST", "/predict").code == "no-model"
    client = RawClient(house, 0)
    instruction = client.instruction()
    answer = client.link.ask("POST", "/predict?top=7", b"12345").json()
    assert answer["run"] == "toy"
    assert answer["model_sha256"] == instruction["model"] == model_sha256(client.model(instruction["model"]))
    assert answer["predictions"][0]["value"] == 5
    assert answer["predictions"][0]["top"] == 7
    client.answer(instruction)
    assert run.over.wait(20)
    later = operator.ask("POST", "/predict?run=toy", b"12345").json()
    assert later["model_sha256"] == run.view()["model"] != answer["model_sha256"]
    assert refused(operator, "POST", "/predict?model=personal").status == 409
    assert refused(house.link(), "POST", "/predict").status == 401


def test_forms_are_taken_apart(house: House) -> None:
    house.toy.predictor = Echo()
    house.begin()
    client = RawClient(house, 0)
    client.instruction()
    answer = client.link.ask("POST", "/predict", form(("a.png", b"\r\n123"), ("é.jpg", b"")), FORM).json()
    assert [(one["input"], one["value"]) for one in answer["predictions"]] == [("a.png", 5), ("é.jpg", 0)]
    assert refused(client.link, "POST", "/predict", form(), FORM).status == 422
    assert refused(client.link, "POST", "/predict", b"no form", FORM).status in (400, 422)
    assert refused(client.link, "POST", "/predict", form(("a", b"b"))[:-20], FORM).status in (400, 422)
    assert refused(client.link, "POST", "/predict", b"", {"Content-Type": "multipart/form-data"}).status == 400
    assert refused(client.link, "POST", "/predict", form(*[("a", b"b")] * (predictions.MAX_PARTS + 1)), FORM).status == 400
    problem = refused(client.link, "POST", "/predict", form(("a.png", b"bad")), FORM)
    assert problem.status == 422
    assert "a.png is bad" in str(problem)


def test_bodies_that_are_too_long_or_without_length_are_refused_unread(house: House) -> None:
    house.toy.predictor = Echo()
    house.begin()
    client = RawClient(house, 0)
    client.instruction()
    limit = predictions.MAX_BODY
    assert refused(client.link, "POST", "/predict", b"x", {"Content-Length": str(limit + 1)}).status == 413
    client.link.close()
    with pytest.raises(Rejected) as raised:
        client.link.ask("POST", "/predict", iter([b"x"]))
    assert raised.value.status == 411
    client.link.close()
    for query in ("top=0", "top=x", "model=other"):
        assert refused(client.link, "POST", f"/predict?{query}").status == 422


class AtHome:
    """A client's door before a server that has the model `MODEL`."""

    def __init__(self, folder: Path, server: House | None = None, states: States | None = None) -> None:
        folder.mkdir()
        self.owner = Alone()
        self.server = server
        self.home = Home(
            folder, lambda: Link(server.url if server else "http://127.0.0.1:9"), lambda run, name: states if states is not None else {}
        )
        self.listener = Listener(create_door(self.home))
        self.listener.start()
        self.link = Link(self.listener.url)
        self.link.credential = (folder / "door.token").read_text().strip()

    def close(self) -> None:
        self.link.close()
        self.listener.stop()
        self.home.close()


@pytest.fixture
def door(house: House, tmp_path: Path) -> Iterator[AtHome]:
    house.begin()
    at_home = AtHome(tmp_path / "home", house)
    yield at_home
    at_home.close()


def join(door: AtHome) -> RawClient:
    assert door.server is not None
    client = RawClient(door.server, 0)
    client.instruction()
    door.home.open("toy", "0", client.link.credential, door.owner)
    return client


def test_the_door_opens_for_whoever_has_its_token(door: AtHome, tmp_path: Path) -> None:
    assert (tmp_path / "home" / "door.token").stat().st_mode & 0o777 == 0o600
    assert door.link.ask("GET", "/healthz").json() == {"status": "ok"}
    assert refused(door.link, "GET", "/readyz", b"").status == 503
    assert refused(door.link, "POST", "/predict").code == "not-joined"
    join(door)
    assert door.link.ask("GET", "/readyz").json() == {"status": "ok", "run": "toy", "name": "0"}
    stranger = Link(door.listener.url)
    for credential in ("", "wrong", "é"):
        headers = {"Authorization": f"Bearer {credential}".encode().decode("latin-1")}
        for method, path in (("POST", "/predict"), ("POST", "/train"), ("GET", "/model")):
            assert refused(stranger, method, path, b"", headers).status == 401
    stranger.close()


def test_a_client_answers_with_the_newest_model_and_without_the_server_with_the_last(door: AtHome) -> None:
    client = join(door)
    first = door.link.ask("POST", "/predict", b"12345").json()
    assert first["model"] == "global"
    model = decode(door.link.ask("GET", "/model").body)[0]
    assert model_sha256(model) == first["model_sha256"] == model_sha256(client.model(first["model_sha256"]))
    assert door.server is not None
    door.server.server.halt()
    door.server.server.stop()
    again = door.link.ask("POST", "/predict", b"123").json()
    assert again["model_sha256"] == first["model_sha256"]


def test_training_on_demand_makes_the_personal_model(door: AtHome) -> None:
    join(door)
    assert refused(door.link, "POST", "/predict?model=personal").code == "no-model"
    learned = door.link.post("/train", {"epochs": 3, "batch_size": 4, "learning_rate": 0.5}).json()
    assert learned["told"] == {"examples": 5}
    assert door.owner.wishes == [Wish(3, 4, 0.5, 1)]
    own = door.link.ask("POST", "/predict?model=personal", b"12345").json()
    common = door.link.ask("POST", "/predict", b"12345").json()
    assert own["model_sha256"] == learned["model_sha256"] != common["model_sha256"]
    assert own["predictions"][0]["sum"] > common["predictions"][0]["sum"]
    twice = door.link.post("/train", {"model": "personal"}).json()
    assert twice["model_sha256"] not in (own["model_sha256"], common["model_sha256"])
    assert door.owner.wishes[1] == Wish(turn=2)
    assert door.link.ask("POST", "/train").status == 200  # without a body: all as in the experiment
    assert model_sha256(decode(door.link.ask("GET", "/model?model=personal").body)[0]) != common["model_sha256"]
    for wish in ({"epochs": 0}, {"epochs": 1.5}, {"learning_rate": -1}, {"learning_rate": "x"}, {"other": 1}, {"batch_size": 0}, [1]):
        assert refused(door.link, "POST", "/train", json.dumps(wish).encode(), {"Content-Type": "application/json"}).status == 422


def test_private_tensors_make_a_model_personal(house: House, tmp_path: Path) -> None:
    run = house.begin()
    states: dict[str, Arrays] = {}
    at_home = AtHome(tmp_path / "home", house, states)
    try:
        client = join(at_home)
        common = client.model(run.models.latest)
        name = min(common)
        states[PRIVATE] = {name: common[name] + 9}
        own = decode(at_home.link.ask("GET", "/model?model=personal").body)[0]
        np.testing.assert_array_equal(own[name], common[name] + 9)
        assert model_sha256({**own, name: common[name]}) == run.models.latest
    finally:
        at_home.close()


def test_what_waits_for_an_answer_is_bounded(door: AtHome, monkeypatch: pytest.MonkeyPatch) -> None:
    join(door)
    monkeypatch.setattr(predictions, "_WAITING", 1)
    door.owner.hold = threading.Event()
    answers: list[int] = []

    def ask() -> None:
        link = Link(door.listener.url)
        link.credential = door.link.credential
        answers.append(link.ask("POST", "/predict", b"x").status)
        link.close()

    thread = threading.Thread(target=ask)
    thread.start()
    assert door.owner.entered.wait(20)
    busy = refused(door.link, "POST", "/predict")
    assert (busy.status, busy.after) == (429, 1.0)
    assert door.link.ask("GET", "/healthz").status == 200  # nothing else waits
    door.owner.hold.set()
    thread.join(20)
    assert answers == [200]


def test_a_model_of_another_run_is_not_taken_for_this_ones(door: AtHome, tmp_path: Path) -> None:
    join(door)
    door.link.post("/train", {})
    door.home.run = "another"
    assert refused(door.link, "POST", "/predict").status == 503
    assert refused(door.link, "POST", "/predict?model=personal").status in (409, 503)


@pytest.mark.slow
def test_no_request_at_the_door_finds_a_server_error_or_an_answer_that_is_not_described(door: AtHome) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from tests.runtimes.http.test_openapi import probe

    join(door)
    statuses: set[int] = set()
    for found in schemathesis.openapi.from_url(f"{door.listener.url}/openapi.json").get_all_operations():
        probe(found.ok(), ["", "unknown", door.link.credential, door.link.credential], "", statuses)
    assert not {status for status in statuses if status >= 500} - {503}
    assert {200, 401, 422} <= statuses
