"""Structured logs: one JSON line a record, with who speaks; handlers do not stay behind."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from ciranda.cli.logs import logging_to
from ciranda.core.errors import ExperimentError


def test_records_carry_role_and_client(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(tmp_path / "run", "warning"):
        logging.getLogger("ciranda.test").info("trained %d", 3, extra={"role": "client", "client": "7", "round": 2})
        logging.getLogger("ciranda.test").warning("slow", extra={"role": "client", "client": "7"})
        logging.getLogger("ciranda.test").debug("unseen")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["message"] for line in lines] == ["trained 3", "slow"]
    assert (lines[0]["role"], lines[0]["client"], lines[0]["round"], lines[0]["level"]) == ("client", "7", 2, "info")
    assert lines[0]["time"].endswith("+00:00")
    assert "round" not in lines[1]
    assert capsys.readouterr().err == "[client 7] slow\n"


def test_the_level_reaches_screen_and_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(tmp_path, "debug"):
        logging.getLogger("ciranda.test").debug("detail")
    assert capsys.readouterr().err == "detail\n"
    assert "detail" in (tmp_path / "log.jsonl").read_text()


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    logger = logging.getLogger("ciranda")
    before = (list(logger.handlers), logger.level)
    with pytest.raises(KeyError), logging_to(tmp_path, "error"):
        raise KeyError
    assert (list(logger.handlers), logger.level) == before


def test_a_run_that_logs_nothing_makes_no_folder(tmp_path: Path) -> None:
    with logging_to(tmp_path / "run", "warning"):
        pass
    assert not (tmp_path / "run").exists()


def test_a_log_that_cannot_be_written_does_not_end_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.jsonl").mkdir()
    with logging_to(tmp_path, "error"):
        logging.getLogger("ciranda.test").info("lost")
    assert capsys.readouterr().err == ""


def test_errors_are_kept_with_their_traceback(tmp_path: Path) -> None:
    with logging_to(tmp_path, "error"):
        try:
            raise ValueError("odd")
        except ValueError:
            logging.getLogger("ciranda.test").info("failed", exc_info=True)
    assert "ValueError: odd" in json.loads((tmp_path / "log.jsonl").read_text())["error"]


def test_an_unknown_level_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="loud") as caught, logging_to(tmp_path, "loud"):
        pass
    assert "warning" in caught.value.hint
