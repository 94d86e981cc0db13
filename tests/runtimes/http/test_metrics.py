"""What Prometheus reads, by a parser as strict as its text format 0.0.4; and the buckets behind 429."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.message import encode_update
from ciranda.runtimes.http.limits import Buckets
from ciranda.runtimes.http.meter import Meter, number, sample
from tests.runtimes.http.harness import House, Toy
from tests.runtimes.http.test_hostile_clients import refused, row_of, started

Labels = frozenset[tuple[str, str]]
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? (NaN|[+-]Inf|[-+]?[0-9.]+(?:e[-+]?[0-9]+)?)")


def parsed(text: str) -> dict[str, dict[Labels, float]]:
    """The samples by metric; asserts what the format demands: a HELP and a TYPE before, families together, no sample twice."""
    assert text.endswith("\n")
    samples: dict[str, dict[Labels, float]] = {}
    kinds: dict[str, str] = {}
    helped = family = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped = line.split(" ", 3)[2]
            assert len(line.split(" ", 3)) == 4
            continue
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family == helped
            assert family not in kinds
            assert kind in ("counter", "gauge", "histogram")
            kinds[family] = kind
            continue
        found = _SAMPLE.fullmatch(line)
        assert found, line
        name = found.group(1)
        suffix = name.removeprefix(family)
        assert suffix in (("_bucket", "_sum", "_count") if kinds[family] == "histogram" else ("",)), line
        assert kinds[family] != "counter" or name.endswith("_total")
        labels = frozenset((key, _read(value)) for key, value in re.findall(_LABEL, found.group(2) or ""))
        assert labels not in samples.setdefault(name, {}), line
        samples[name][labels] = float(found.group(found.re.groups).replace("Inf", "inf"))
    return samples


def _read(value: str) -> str:
    return re.sub(r'\\(["\\n])', lambda found: "\n" if found.group(1) == "n" else found.group(1), value)


def one(samples: dict[Labels, float], **labels: str) -> float:
    """The only sample with these labels among others."""
    (value,) = [value for key, value in samples.items() if labels.items() <= dict(key).items()]
    return value


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(Toy(tmp_path, clients=3, rounds=1)) as house:
        yield house


def test_a_run_can_be_followed(house: House) -> None:
    (raw,) = started(house)
    instruction = raw.instruction()
    before = parsed(house.link().ask("GET", "/metrics").body.decode())
    assert one(before["ciranda_clients"], state="working") >= 1
    assert one(before["ciranda_run_status"], run="toy") == 1
    body = encode_update(raw.update(instruction))
    raw.send(instruction, body)
    refused(lambda: raw.send(instruction, body + b"x"))
    row = row_of(house)
    refused(lambda: house.link("guess").ask("GET", "/v1/runs"))
    house.operator.ask("DELETE", "/v1/clients/raw-0")
    answer = house.link().ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = parsed(answer.body.decode())
    assert one(samples["ciranda_run_rounds_recorded_total"], run="toy") == 1
    assert one(samples["ciranda_run_round"], run="toy") == 1
    assert one(samples["ciranda_replies_total"], status="stored") == 3
    assert sum(samples["ciranda_clients"].values()) == 3
    assert one(samples["ciranda_clients"], state="revoked") == 1
    assert one(samples["ciranda_refused_total"], reason="unknown-credential") == 1
    assert one(samples["ciranda_http_requests_total"], route="/v1/runs", method="GET", status="401") == 1
    assert one(samples["ciranda_http_bytes_in_total"]) > len(body) * 3
    assert one(samples["ciranda_http_bytes_out_total"]) > 3 * len(house.service.runs["toy"].models.latest)
    for name, value in row["metrics"]["server"].items():
        assert one(samples["ciranda_run_metric"], group="server", name=name) == pytest.approx(value)


def test_durations_add_up(house: House) -> None:
    link = house.link()
    for _ in range(5):
        link.ask("GET", "/healthz")
    samples = parsed(link.ask("GET", "/metrics").body.decode())
    name = "ciranda_http_request_seconds"
    buckets = {dict(labels)["le"]: count for labels, count in samples[f"{name}_bucket"].items() if dict(labels)["route"] == "/healthz"}
    ordered = [buckets[bound] for bound in sorted(buckets, key=lambda bound: float(bound.replace("Inf", "inf")))]
    assert ordered == sorted(ordered)
    assert ordered[-1] == one(samples[f"{name}_count"], route="/healthz") == 5
    assert 0 < one(samples[f"{name}_sum"], route="/healthz") < 60


def test_no_client_can_make_up_labels(house: House) -> None:
    link = house.link()
    before = len(link.ask("GET", "/metrics").body.splitlines())
    for made_up in range(50):
        refused(lambda made_up=made_up: link.ask("GET", f"/made-up-{made_up}"))  # type: ignore[misc]
        refused(lambda made_up=made_up: link.ask(f"MADE{made_up}", "/healthz"))  # type: ignore[misc]
    samples = parsed(link.ask("GET", "/metrics").body.decode())
    routes = {dict(labels)["route"] for labels in samples["ciranda_http_requests_total"]}
    assert routes <= {"other", "/metrics", "/healthz"}
    assert len(link.ask("GET", "/metrics").body.splitlines()) < before + 80


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
        st.text(st.characters(exclude_categories=["Cs"]).filter(lambda c: c not in "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=20),
        max_size=4,
    ),
    st.floats(),
)
def test_whatever_a_label_or_value_is_it_is_read_back(labels: dict[str, str], value: float) -> None:
    (read,) = parsed(f"# HELP x h\n# TYPE x gauge\n{sample('x', labels, value)}\n")["x"].items()
    assert read[0] == frozenset(labels.items())
    assert read[1] == value or math.isnan(value)


@pytest.mark.parametrize(("value", "text"), [(math.nan, "NaN"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (3, "3"), (1e-9, "1e-09")])
def test_numbers_are_written_as_prometheus_reads_them(value: float, text: str) -> None:
    assert number(value) == text


def test_a_duration_on_a_bound_counts_below_it() -> None:
    meter = Meter()
    meter.request("GET", "/x", 200, 0.001, 1, 2, "")
    meter.request("BREW", "/x", 200, 1000.0, 1, 2, "odd")
    text = "\n".join(meter.lines())
    assert 'ciranda_http_request_seconds_bucket{method="GET",route="/x",le="0.001"} 1' in text
    assert 'ciranda_http_request_seconds_bucket{method="other",route="/x",le="60.0"} 0' in text
    assert 'ciranda_http_request_seconds_bucket{method="other",route="/x",le="+Inf"} 1' in text
    assert 'ciranda_refused_total{reason="odd"} 1' in text


# --- buckets


def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    now = [0.0]
    buckets = Buckets(2.0, 3.0, clock=lambda: now[0])
    for _ in range(3):
        assert buckets.wait("a") == 0.0
        buckets.spend("a")
    assert buckets.wait("a") == pytest.approx(0.5)
    assert buckets.wait("b") == 0.0
    now[0] = 0.5
    assert buckets.wait("a") == 0.0
    now[0] = 1000.0
    for _ in range(3):
        assert buckets.wait("a") == 0.0
        buckets.spend("a")
    assert buckets.wait("a") > 0.0


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 4)), max_size=40))
def test_no_more_is_ever_given_than_the_burst_and_what_flowed_in(asks: list[tuple[float, float]]) -> None:
    now = [0.0]
    buckets = Buckets(2.0, 5.0, clock=lambda: now[0])
    given_out = 0.0
    for pause, cost in asks:
        now[0] += pause
        if buckets.wait("a") == 0.0:
            buckets.spend("a", cost)
            given_out += cost
    assert given_out <= 5.0 + 2.0 * now[0] + 4.0 + 1e-6  # the last one may overdraw


def test_buckets_take_no_more_memory_than_they_may() -> None:
    buckets = Buckets(1.0, 2.0, most=10)
    for client in range(1000):
        buckets.spend(str(client), 5.0)
    assert len(buckets) == 10
    assert buckets.wait("0") == 0.0
    assert buckets.wait("999") > 0.0
