"""The OpenAPI description and the server agree: whatever is asked, no server error, and every answer is one that is described."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from ciranda.runtimes.http.limits import Rates
from tests.runtimes.http.harness import Echo, House, Toy

schemathesis = pytest.importorskip("schemathesis")

EXAMPLES = int(os.environ.get("CIRANDA_API_EXAMPLES", "40"))
SEED = int(os.environ.get("CIRANDA_API_SEED", "20261122"))
UNLIMITED = Rates(client=1e9, client_burst=1e9, address=1e9, address_burst=1e9)
PATHS = {
    "/v1/enrol": {"post"},
    "/v1/next": {"get"},
    "/v1/runs": {"get", "post"},
    "/v1/tokens": {"post"},
    "/v1/clients": {"get"},
    "/v1/clients/{name}": {"delete"},
    "/v1/runs/{run}": {"get", "delete"},
    "/v1/runs/{run}/join": {"post"},
    "/v1/runs/{run}/models/{digest}": {"get"},
    "/v1/runs/{run}/models/{digest}/broadcast": {"get"},
    "/v1/runs/{run}/replies/{phase}": {"put"},
    "/v1/runs/{run}/uploads/{digest}": {"head", "put"},
    "/v1/runs/{run}/failures/{phase}": {"post"},
    "/v1/runs/{run}/records/{round}": {"get"},
    "/v1/runs/{run}/events": {"get"},
    "/predict": {"post"},
    "/healthz": {"get"},
    "/readyz": {"get"},
    "/metrics": {"get"},
}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A server with a run that is over."""
    toy = Toy(tmp_path, clients=3, rounds=1)
    toy.predictor = Echo()
    with House(toy, rates=UNLIMITED) as house:
        run = house.begin()
        house.everybody()
        assert run.over.wait(30)
        yield house


def test_every_route_is_described_with_what_each_of_its_statuses_means(house: House) -> None:
    described = house.link().ask("GET", "/openapi.json").json()
    assert described["openapi"].startswith("3.")
    for path, methods in PATHS.items():
        assert methods <= set(described["paths"][path]), path
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            for status, answer in operation["responses"].items():
                assert answer["description"], (method, path, status)
                if int(status) >= 400 and method != "head":
                    assert "#/components/schemas/Problem" in str(answer["content"]["application/json"]["schema"]), (method, path, status)
            if path.startswith("/v1/") and path != "/v1/enrol":
                assert operation["security"] == [{"credential": []}], (method, path)
                assert "401" in operation["responses"], (method, path)
    assert "HTTPValidationError" not in str(described)


@pytest.mark.slow
def test_no_request_finds_a_server_error_or_an_answer_that_is_not_described(house: House) -> None:
    print(f"seed {SEED}, {EXAMPLES} examples for each operation")
    schema = schemathesis.openapi.from_url(f"{house.url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    client = house.link().post("/v1/enrol", {"name": "tester"}).json()["credential"]
    callers = ["", "unknown", client, house.access.operator_file.read_text().strip()]
    latest = house.service.runs["toy"].models.latest
    statuses: dict[str, set[int]] = {operation.label: set() for operation in operations}
    problems = {}
    for operation in operations:
        try:
            probe(operation, callers, latest, statuses[operation.label])
        except (Exception, BaseExceptionGroup) as problem:
            problems[operation.label] = f"{operation.label}: {problem}"
    assert not problems, "\n".join(problems.values())
    answered = {status for seen in statuses.values() for status in seen}
    assert not {status for status in answered if status >= 500} - {503}
    assert {200, 201, 401, 403, 404, 409, 422} <= answered  # it was not all turned away at the door
    assert house.link().ask("GET", "/healthz").status == 200


def probe(operation: Any, callers: list[str], model: str, statuses: set[int]) -> None:
    """Ask for `operation` in many ways, by somebody of `callers`; every other time about what is there, and never so that it waits."""
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks as conforming

    checks = [not_a_server_error, conforming.status_code_conformance, conforming.content_type_conformance]
    checks += [conforming.response_schema_conformance, conforming.response_headers_conformance]
    cases = operation.as_strategy() | operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)

    @hypothesis.seed(SEED)
    @hypothesis.settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(cases, st.sampled_from(callers), st.booleans(), st.sampled_from([0, 0.01, -1, "x"]))
    def ask(case: Any, caller: str, there: bool, wait: Any) -> None:
        for name, value in (("run", "toy"), ("digest", model)):
            if there and name in (case.path_parameters or {}):
                case.path_parameters[name] = value
        if "wait" in (case.query or {}):
            case.query["wait"] = wait
        case.headers = {key: value for key, value in (case.headers or {}).items() if key.lower() != "authorization"}
        if caller:
            case.headers["Authorization"] = f"Bearer {caller}"
        statuses.add(case.call_and_validate(checks=checks, timeout=30).status_code)

    ask()
