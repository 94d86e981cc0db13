"""`--lang` anywhere on the line; help, errors and the option parser in the reader's language."""

from __future__ import annotations

import gettext
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda import i18n
from ciranda.cli.app import main
from ciranda.cli.language import chosen, known, localised, spoken
from ciranda.core.errors import ExperimentError

WORDS = st.lists(st.sampled_from(["run", "--json", "--set", "a.b=1", "x", "--"]), max_size=6)


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "en")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "name", "rest"),
    [
        ([], None, []),
        (["--lang", "pt", "run"], "pt", ["run"]),
        (["run", "x", "--lang=en", "--json"], "en", ["run", "x", "--json"]),
        (["run", "--lang", "pt", "--lang", "en"], "en", ["run"]),
        (["run", "--", "--lang", "pt"], None, ["run", "--", "--lang", "pt"]),
        (["--language", "pt"], None, ["--language", "pt"]),
    ],
)
def test_the_option_is_found_anywhere(arguments: list[str], name: str | None, rest: list[str]) -> None:
    assert chosen(arguments) == (name, rest)


@pytest.mark.parametrize("arguments", [["--lang", "fr"], ["--lang"], ["--lang="], ["run", "--lang", "--json"]])
def test_another_language_is_refused(arguments: list[str]) -> None:
    name, _ = chosen(arguments)
    with pytest.raises(ExperimentError, match="There is no language") as caught:
        known(name)
    assert caught.value.hint == "--lang is one of: en, pt."


@given(WORDS)
def test_what_does_not_choose_a_language_is_left_alone(words: list[str]) -> None:
    assert chosen(words) == (None, words)


@pytest.mark.parametrize("before", [None, "de"])
def test_gettext_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    monkeypatch.delenv("LANGUAGE", raising=False)
    if before is not None:
        monkeypatch.setenv("LANGUAGE", before)
    domain = gettext.textdomain()
    with suppress(KeyError), spoken("pt"):
        assert i18n.language() == "pt"
        assert gettext.gettext("Usage:") == "Uso:"
        raise KeyError
    assert i18n.language() == "en"
    assert os.environ.get("LANGUAGE") == before
    assert gettext.textdomain() == domain


def test_threads_and_processes_speak_it_too() -> None:
    heard: list[str] = []
    with spoken("pt"):
        thread = threading.Thread(target=lambda: heard.append(i18n.language()))
        thread.start()
        thread.join()
        code = "from ciranda.i18n import language; print(language())"
        heard.append(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    assert heard == ["pt", "pt"]
    assert os.environ["CIRANDA_LANG"] == "en"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    told = capsys.readouterr()
    return status, told.out, told.err


def test_help_is_in_the_language_and_in_english_again(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "run", "--help", "--lang", "pt")
    assert "Uso: ciranda run" in out
    assert "Treina um modelo federado." in out
    assert "Mostra o rastro (traceback) de um erro." in out
    assert "Mostra esta mensagem e termina." in out
    _, out, _ = run(capsys, "run", "--help")
    assert "Usage: ciranda run" in out
    assert "Train a federated model." in out


def test_every_help_text_is_translated(capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    from ciranda.cli.app import app

    def helps(command: object) -> list[str]:
        own = [part.help for part in (command, *command.params) if getattr(part, "help", None)]  # type: ignore[attr-defined]
        return own + [text for below in getattr(command, "commands", {}).values() for text in helps(below)]

    english = helps(typer.main.get_command(app))
    with i18n.speaking("pt"):
        portuguese = helps(localised(typer.main.get_command(app)))
    same = {one for one, other in zip(english, portuguese, strict=True) if one == other}
    assert len(english) > 50
    assert same <= {"text in both languages"}


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("run", "nothing.toml"), 1, ("Erro: Não foi possível ler o arquivo de experimento nothing.toml",)),
        (("run", "digit"), 1, ("'digit' não é um arquivo nem uma predefinição: você quis dizer 'digits'?", "Predefinições:")),
        (
            ("run", "digits", "--set", "rounds.num-round=3"),
            1,
            ("rounds.num-round é desconhecido: você quis dizer 'num-rounds'?", "As chaves são:"),
        ),
        (("run", "digits", "--set", "rounds.num-rounds=0"), 1, ("rounds.num-rounds é 0, mas precisa ser ao menos 1.",)),
        (("run", "digits", "--set", "client.learning-rate=x"), 1, ('precisa ser um número, não "x".',)),
        (("predict", "x"), 2, ("Uso: ciranda predict", "Falta o argumento 'INPUT'", "para ver a ajuda")),
        (("run", "--nothing"), 2, ("Não há a opção: --nothing",)),
        (("fly",), 2, ("Não há o comando 'fly'.",)),
        (("list", "birds"), 1, ("Não há o tipo 'birds'.", "É um destes: tasks")),
    ],
)
def test_errors_speak_portuguese(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, words: tuple[str, ...]
) -> None:
    found, out, err = run(capsys, *arguments, "--lang", "pt")
    assert found == status
    assert out == ""
    assert all(word in err for word in words), err


def test_a_language_that_there_is_not_is_told_in_the_environments(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "pt")
    status, _, err = run(capsys, "list", "--lang", "tupi")
    assert status == 1
    assert "Erro: Não há o idioma 'tupi'." in err


def test_a_run_speaks_portuguese_and_its_json_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    short = ("--set", "rounds.num-rounds=1", "--set", "client.local-epochs=1")
    status, out, err = run(capsys, "run", "iris", *short, "--workers", "1", "--out", "one", "--lang", "pt")
    assert status == 0
    assert "1 rodada, " in out + err
    assert "acurácia 0," in out + err
    result = json.loads(Path("one/result.json").read_text())
    assert result["state"] == "finished"
    assert "accuracy" in result["metrics"]["server"]
    assert "reprodutível: sim" in next(Path("one").glob("*.md")).read_text(encoding="utf-8")


def test_the_help_is_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--help"]) == 0
    out = capsys.readouterr().out
    assert "[default: 1; x>=1]" in out
    assert "\\" not in out
