"""Findings in plain words: the place, the key, what is allowed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ciranda.core.errors import ExperimentError
from ciranda.experiment.explain import SHOWN, Origin, explain
from ciranda.experiment.load import check
from ciranda.experiment.schema import Experiment

TASK = {"experiment": {"task": "digits-mlp"}}


def explained(table: dict[str, Any], origin: Origin | None = None) -> str:
    with pytest.raises(ValidationError) as caught:
        Experiment.model_validate(table, by_alias=True, by_name=False)
    return str(explain(caught.value, origin or Origin("f.toml")))


def test_a_place_is_the_option_else_the_line_else_the_section_else_the_text() -> None:
    origin = Origin("f.toml", {("s",): 2, ("s", "a"): 3}, {("s", "b"): "--set s.b=1"})
    assert str(origin.place(("s", "a"))) == "f.toml, line 3"
    assert str(origin.place(("s", "b"))) == "--set s.b=1"
    assert str(origin.place(("s", "c"))) == "f.toml, line 2"
    assert str(origin.place(("s", "a", "deeper"))) == "f.toml, line 3"
    assert str(origin.place(("t", "a"))) == "f.toml"
    assert str(origin.place(())) == "f.toml"


def test_an_option_wins_over_the_line_that_it_replaces() -> None:
    assert Origin("f", {("s", "a"): 3}, {("s", "a"): "--set s.a=1"}).place(("s", "a")) == "--set s.a=1"


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("rounds", "num-rounds", "x", 'rounds.num-rounds must be a whole number, not "x".'),
        ("rounds", "num-rounds", 2**60, "must be at most"),
        ("rounds", "fraction-train", [1], "rounds.fraction-train must be a number, not [1]."),
        ("rounds", "fraction-train", {"a": 1}, "not a table."),
        ("rounds", "fraction-train", -0.5, "rounds.fraction-train is -0.5, but must be more than 0."),
        ("federation", "self-balancing", 1, "federation.self-balancing does not go with partitioner 'iid'."),
        ("federation", "validation-fraction", 1.0, "must be less than 1."),
        ("client", "weight-decay", -1, "must be at least 0."),
        ("client", "optimizer", "adm", "client.optimizer is \"adm\": did you mean 'adam'? It is one of: sgd, adam, adamw."),
        ("client", "optimizer", 3, "client.optimizer is 3. It is one of:"),
        ("experiment", "device", "gpu", "It is one of: auto, cpu, cuda, mps."),
        ("evaluate", "wher", "both", "evaluate.wher is unknown: did you mean 'where'?"),
        ("evaluate", "where", True, "is true"),
    ],
)
def test_a_finding_in_a_sentence(section: str, key: str, value: Any, words: str) -> None:
    table = {**TASK, section: {**TASK.get(section, {}), key: value}}
    assert words in explained(table)


def test_an_empty_task_and_a_long_name() -> None:
    assert "experiment.task" in explained({"experiment": {"task": ""}})
    assert "at most 80" in explained({"experiment": {"task": "t", "name": "n" * 81}})


def test_long_values_are_cut() -> None:
    assert len(explained({**TASK, "client": {"optimizer": "x" * 10_000}})) < 300


def test_one_line_for_each_finding_up_to_a_screen() -> None:
    many = explained({**TASK, "client": {f"k{number}": 1 for number in range(SHOWN + 3)}})
    assert len(many.splitlines()) == SHOWN + 1
    assert many.endswith("... and 3 more")


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=5), inner, max_size=2)),
    max_leaves=4,
)
section_names = list(Experiment.model_fields)


@given(st.dictionaries(st.one_of(st.sampled_from(section_names), st.text(max_size=5)), json_values, max_size=4))
def test_any_table_loads_or_is_explained(table: dict[str, Any]) -> None:
    try:
        loaded = check(table, Origin("f.toml"))
    except ExperimentError as error:
        message = str(error)
        assert message
        assert "pydantic" not in message
        assert all(line.startswith(("f.toml", "...")) for line in message.split("\n"))
    else:
        assert loaded.experiment.task


@given(st.data())
def test_any_value_of_any_key_loads_or_is_explained(data: st.DataObject) -> None:
    section = data.draw(st.sampled_from(section_names))
    model: Any = Experiment.model_fields[section].annotation
    key = data.draw(st.sampled_from([field.alias for field in model.model_fields.values()]))
    table: dict[str, Any] = {"experiment": {"task": "digits-mlp"}}
    table[section] = {**table.get(section, {}), key: data.draw(json_values)}
    with suppress(ExperimentError):
        assert check(table, Origin("f.toml")).experiment.task
