"""Predictions: one line or one JSON object for each input; the same numbers as the task itself gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ciranda.cli import compose
from ciranda.cli.inputs import Inputs
from ciranda.cli.predict import answers, as_csv, line, predict
from ciranda.core.errors import DataError, Missing
from ciranda.experiment.load import resolve

CLASSES = ("cat", "dog", "owl", "pig")
VALUES: tuple[str, ...] = ()


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "en")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "digits"
    compose.run(resolve("digits", ["rounds.num-rounds=1", "client.local-epochs=1"]), folder, workers=1)
    return folder


def test_a_class_comes_with_its_probability_and_the_runners_up() -> None:
    [answer] = answers(Inputs(np.zeros((1, 2)), ["x"], np.array([2])), np.array([[0.1, 0.6, 0.3, 0.0]]), CLASSES)
    assert answer == {"input": "x", "class": "dog", "probabilities": {"cat": 0.1, "dog": 0.6, "owl": 0.3, "pig": 0.0}, "true": "owl"}
    assert line(answer) == "x:  class dog  (dog 0.6000, owl 0.3000, cat 0.1000)  true owl"


def test_without_a_truth_none_is_shown() -> None:
    [answer] = answers(Inputs(np.zeros((1, 2)), ["x"]), np.array([[1.0, 0.0, 0.0, 0.0]]), CLASSES)
    assert "true" not in answer
    assert "true" not in line(answer)


@pytest.mark.parametrize(
    ("predicted", "truth", "expected"),
    [
        (np.array([1.5]), np.array([2.0]), "x:  value 1.5  true 2"),
        (np.array([[1.5]]), np.array([[2.0]]), "x:  value 1.5  true 2"),
        (np.array([[1.0, 1234567.0]]), None, "x:  value 1, 1.23457e+06"),
    ],
)
def test_values_are_numbers(predicted: np.ndarray, truth: np.ndarray | None, expected: str) -> None:
    [answer] = answers(Inputs(np.zeros((1, 2)), ["x"], truth), predicted, VALUES)
    assert line(answer) == expected
    json.dumps(answer)


def test_the_language_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "pt")
    [answer] = answers(Inputs(np.zeros((1, 2)), ["x"], np.array([0])), np.array([[1.0, 0.0, 0.0, 0.0]]), CLASSES)
    assert line(answer).startswith("x:  classe cat")
    assert "verdadeiro cat" in line(answer)


def test_it_is_the_tasks_own_prediction_and_repeats_exactly(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predict(str(digits), "test:0-9", json=True)
    first = capsys.readouterr().out
    predict(str(digits), "test:0-9", json=True)
    assert capsys.readouterr().out == first
    task = compose.task_of(resolve("digits"))
    expected = compose.predict(digits, task.data().test.x[:10])
    shown = [list(answer["probabilities"].values()) for answer in json.loads(first)]
    np.testing.assert_allclose(shown, expected, atol=1e-6)
    assert [answer["class"] for answer in json.loads(first)] == [str(label) for label in expected.argmax(axis=1)]


def test_every_input_has_its_line(digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 8, 8), np.uint8))
    predict(str(digits), str(tmp_path / "x.npy"))
    lines = capsys.readouterr().out.splitlines()
    assert [text.partition(":")[0] for text in lines] == ["0", "1", "2"]
    assert len({text.partition(":")[2] for text in lines}) == 1


def test_an_input_that_does_not_fit_is_refused(digits: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((28, 28), np.uint8))
    with pytest.raises(DataError, match=r"shape \(28, 28\).*shape \(8, 8\)"):
        predict(str(digits), str(tmp_path / "x.npy"))


def test_a_run_without_a_model_is_told(digits: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "experiment.toml").write_text((digits / "experiment.toml").read_text())
    with pytest.raises(Missing, match="no model yet"):
        predict(str(tmp_path / "run"), "test:0")


HOUSES = "dono;área;cor;preço\n" + "".join(
    f"{'ana' if i % 2 else 'rui'};{i},5;{'azul' if i % 3 else 'verde'};{3 * i + (10 if i % 3 else 0)},25\n" for i in range(90)
)


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("houses")
    (folder / "casas.csv").write_bytes(HOUSES.encode("latin-1"))
    compose.run(resolve(str(folder / "casas.csv"), target="preço", client_column="dono"), folder / "run", workers=1)
    (folder / "casas.csv").unlink()
    return folder / "run"


def test_raw_rows_are_prepared_as_in_training_though_the_table_is_gone(
    houses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.csv").write_text("cor,área\nazul,40.5\nverde,40.5\nlilás,40.5\n,\n", encoding="utf-8")
    predict(str(houses), str(tmp_path / "new.csv"), json=True)
    told = capsys.readouterr()
    blue, green, unknown, _ = (answer["value"] for answer in json.loads(told.out))
    assert blue == pytest.approx(3 * 40 + 10.25, abs=8)
    assert green == pytest.approx(3 * 40 + 0.25, abs=8)
    assert green < unknown < blue
    assert "Column 'cor': 'lilás' did not occur in training (rows: 1)" in told.err


def test_predictions_are_written_in_the_dialect_of_their_input(houses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "new.csv").write_text("nome;cor;área\nx;azul;40,5\ny;verde;10,5\n", encoding="utf-8")
    predict(str(houses), str(tmp_path / "new.csv"), out=tmp_path / "out.csv")
    assert capsys.readouterr().out.strip() == str(tmp_path / "out.csv")
    header, first, second = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()
    assert header == "nome;cor;área;prediction"
    assert first.startswith("x;azul;40,5;1")
    assert float(second.split(";")[3].replace(",", ".")) == pytest.approx(30.25, abs=8)


def test_answers_without_a_table_are_written_with_the_inputs_names() -> None:
    [answer] = answers(Inputs(np.zeros((1, 2)), ["x.png"]), np.array([[0.1, 0.6, 0.3, 0.0]]), CLASSES)
    assert as_csv([answer], None) == "input,prediction,p(cat),p(dog),p(owl),p(pig)\nx.png,dog,0.100000,0.600000,0.300000,0.000000\n"
    [answer] = answers(Inputs(np.zeros((1, 2)), ["x"]), np.array([[1.0, 2.5]]), VALUES)
    assert as_csv([answer], None) == "input,prediction 1,prediction 2\nx,1,2.5\n"
