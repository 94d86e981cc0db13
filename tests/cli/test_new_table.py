"""`ciranda new --from`: the run without code, as a project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ciranda.cli.app import main
from ciranda.cli.new_table import class_name


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "en")
    monkeypatch.chdir(tmp_path)


def write(path: Path, rows: int = 90) -> None:
    lines = [f"{i};{'ana' if i % 3 else 'rui'};{i},5;{'azul' if i % 2 else 'verde'};{3 * i},25" for i in range(rows)]
    path.write_bytes(("código;dono;área;cor;preço\n" + "\n".join(lines) + "\n").encode("latin-1"))


def result(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main([*arguments, "--json", "--workers", "1", "--set", "rounds.num-rounds=2"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("owner", ["dono", None])
def test_unchanged_it_trains_the_model_of_the_run_without_code(capsys: pytest.CaptureFixture[str], owner: str | None) -> None:
    write(Path("casas.csv"))
    column = ["--client-column", owner] if owner else []
    without = result(capsys, "run", "casas.csv", "--target", "preço", *column)
    assert main(["new", "project", "--from", "casas.csv", "--target", "preço", *column]) == 0
    told = capsys.readouterr().out
    assert "task: regression of preço" in told
    # Ten clients of seven rows each cannot tell an identifier; two clients with more can.
    assert ("left out: 'código' looks like an identifier" in told) == (owner is not None)
    text = Path("project/my_task.py").read_text()
    assert 25 <= len(text.splitlines()) <= 60
    assert "class Casas(ciranda.TableTask)" in text
    assert ("Left out: código (identifier)." in text) == ('drop=["código"]' in text) == (owner is not None)
    assert ('keep=["código"]' in text) == (owner is None)
    assert main(["check", "project/my_task.py"]) == 0
    capsys.readouterr()
    with_code = result(capsys, "run", "project/experiment.toml")
    assert with_code["model_sha256"] == without["model_sha256"]
    assert with_code["metrics"] == without["metrics"]


def test_a_folder_of_files_and_strange_names_are_written_too(capsys: pytest.CaptureFixture[str]) -> None:
    Path("1 dados").mkdir()
    for name in ("a", "b"):
        write(Path("1 dados") / f"{name}.csv")
        file = Path("1 dados") / f"{name}.csv"
        file.write_text(file.read_bytes().decode("latin-1").replace("cor;", 'c"""or\\;'), encoding="utf-8")
    assert main(["new", "p/q", "--from", "1 dados", "--target", "preço"]) == 0
    text = Path("p/q/my_task.py").read_text()
    assert 'TABLE = Path(__file__).parent / "../../1 dados"' in text
    assert "class Table1Dados" in text
    assert "every file is a client" in Path("p/q/experiment.toml").read_text()
    capsys.readouterr()
    result(capsys, "run", "p/q/experiment.toml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "y"], "go with --from"),
        (["--from", "casas.csv"], "Which column of casas.csv"),
        (["--from", "none.csv", "--target", "y"], "There is no file none.csv"),
        (["--from", "casas.csv", "--target", "preco"], "Did you mean 'preço'"),
    ],
)
def test_what_cannot_be_made_leaves_nothing(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    write(Path("casas.csv"))
    assert main(["new", "project", *arguments]) == 1
    assert words in capsys.readouterr().err
    assert not Path("project").exists()


@pytest.mark.parametrize(("stem", "name"), [("preços 2024", "Precos2024"), ("2024", "Table2024"), ("ção-x", "CaoX"), ("表", "Table")])
def test_a_class_is_named_after_the_file(stem: str, name: str) -> None:
    assert class_name(stem) == name
    assert name.isidentifier()
