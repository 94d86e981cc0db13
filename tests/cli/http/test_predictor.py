"""Inputs that come over HTTP, whatever they are written in, answered as `ciranda predict` does."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ciranda.cli.http import predictor as module
from ciranda.cli.http.predictor import ExperimentPredictor, check_schema
from ciranda.core.codec import encode
from ciranda.core.errors import DataError
from ciranda.core.rng import Draw
from ciranda.tasks.datasets.csvfile import from_csv
from ciranda.tasks.inputs import Form
from ciranda.tasks.registry import TASKS
from ciranda.tasks.table_task import TableTask

TASK = TASKS["digits-softmax"].make()
DATA = TASK.data()
MODEL = TASK.initial(Draw(1))
DIGITS = ExperimentPredictor(TASK, Form.of(DATA))
X = DATA.test.x[:3]


def npy(x: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, x)
    return stream.getvalue()


@pytest.mark.parametrize(
    "body",
    [
        npy(X),
        encode({"x": X}),
        json.dumps({"x": X.tolist()}).encode(),
        b"  \n" + json.dumps({"x": X.reshape(3, 64).tolist()}).encode(),
    ],
)
def test_the_same_examples_in_any_writing_get_the_same_answers(body: bytes) -> None:
    found = DIGITS.predict(MODEL, [("body", body)], 10)
    expected = TASK.predict(MODEL, X)
    assert [answer["class"] for answer in found] == [DATA.classes[label] for label in expected.argmax(axis=1)]
    assert [answer["input"] for answer in found] == ["body:0", "body:1", "body:2"]
    for answer, row in zip(found, expected, strict=True):
        assert answer["probabilities"] == {DATA.classes[k]: round(float(p), 6) for k, p in enumerate(row)}


def test_the_likeliest_classes_come_first_and_only_so_many() -> None:
    (answer,) = DIGITS.predict(MODEL, [("one", npy(X[0]))], 3)
    values = list(answer["probabilities"].values())
    assert answer["input"] == "one"
    assert len(values) == 3
    assert values == sorted(values, reverse=True)
    assert next(iter(answer["probabilities"])) == answer["class"]


def test_several_parts_are_answered_in_their_order() -> None:
    stream = io.BytesIO()
    Image.fromarray((X[1].astype(int) * 255 // 16).astype(np.uint8)).save(stream, "PNG")
    found = DIGITS.predict(MODEL, [("a.png", stream.getvalue()), ("b.npy", npy(X[:2]))], 1)
    assert [answer["input"] for answer in found] == ["a.png", "b.npy:0", "b.npy:1"]
    assert found[0]["class"] == found[2]["class"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is no PNG"),
        (b"GIF89a", "is no PNG"),
        (b"\x80\x04\x95pickle", "is no PNG"),
        (b"{", "not JSON"),
        (b"[1, 2]", "is no PNG"),
        (b'{"y": 1}', "not JSON with examples"),
        (b'{"x": "text"}', "finite numbers"),
        (b'{"x": [[1], [2, 3]]}', "not JSON with examples"),
        (b'{"x": ' + b"[" * 100_000, "not JSON"),
        (b'{"x": [NaN]}', "finite numbers"),
        (b'{"x": [1e999]}', "finite numbers"),
        (b'{"x": [' + b"9" * 400 + b"]}", "finite numbers"),
        (b'{"x": [1, 2, 3]}', "shape"),
        (b'{"x": []}', "shape"),
        (b'{"rows": [{"a": 1}]}', "not trained on a table"),
        (encode({"other": X}), "one tensor, x"),
        (encode({"x": X})[:-1], "not safetensors"),
        (npy(np.zeros((0, 8, 8), np.uint8)), "from 1 to"),
    ],
)
def test_a_body_that_does_not_fit_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        DIGITS.predict(MODEL, [("body", body)], 3)


def test_too_many_examples_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EXAMPLES", 2)
    with pytest.raises(DataError, match="There are 3 examples; from 1 to 2"):
        DIGITS.predict(MODEL, [("body", npy(X))], 3)


def test_rows_of_a_table_are_encoded_as_in_training(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("age,town,sick\n" + "".join(f"{20 + i},{'ab'[i % 2]},{'yn'[i % 3 == 0]}\n" for i in range(40)))
    data = from_csv(tmp_path / "all.csv", target="sick")
    task = TableTask(data)
    table = ExperimentPredictor(task, Form.of(data), data.record)
    body = json.dumps({"rows": [{"town": "b", "age": 20, "more": None}, {"town": " a ", "age": "59"}, {"town": "b"}]}).encode()
    assert len(table.read("body", body)) == 3
    (tmp_path / "rows.csv").write_text("age,town\n20,b\n59,a\n,b\n")
    from ciranda.tasks.datasets.encoding import Encoding

    assert data.record is not None
    np.testing.assert_array_equal(table.read("body", body), Encoding.from_json(data.record["encoding"]).read(tmp_path / "rows.csv"))
    for rows, words in (
        ([], "no rows"),
        ([1], "no rows"),
        ({"a": 1}, "no rows"),
        ([{"town": "a"}], "no column 'age'"),
        ([{"town": "a", "age": "old"}], "age"),
    ):
        with pytest.raises(DataError, match=words):
            table.read("body", json.dumps({"rows": rows}).encode())


def test_a_schema_must_be_the_runs_where_it_says_something() -> None:
    form = Form.of(DATA)
    check_schema({}, form)
    check_schema({**form.to_json(), "counts": [1, 2]}, form)
    for key, value in (("x", ["uint8", 28, 28]), ("x", ["float32", 8, 8]), ("y", ["float32"]), ("classes", ["a"])):
        with pytest.raises(DataError, match=f"{key} is .*, and must be"):
            check_schema({**form.to_json(), key: value}, form)
