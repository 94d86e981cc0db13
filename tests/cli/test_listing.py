"""The lists hold what an experiment can name."""

from __future__ import annotations

import pytest

from ciranda.cli.listing import KINDS, show
from ciranda.core.errors import CirandaError
from ciranda.core.partition import PARTITIONERS
from ciranda.core.strategies import STRATEGIES
from ciranda.experiment.presets import preset_names
from ciranda.tasks.registry import TASKS


def test_everything_is_listed_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show(None)
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("  ")]
    named = [line.split()[0] for line in lines]
    assert set(named) >= {*TASKS, *STRATEGIES, *PARTITIONERS, *preset_names(), "clip", "local"}
    assert all(len(line.split()) > 2 for line in lines)
    assert max(map(len, lines)) < 160


@pytest.mark.parametrize("kind", KINDS)
def test_one_kind_alone(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    show(kind)
    printed = capsys.readouterr().out
    assert printed.count("\n\n") == 0
    assert len(printed.splitlines()) == 1 + len(KINDS[kind]())


def test_parameters_are_written_as_in_a_file() -> None:
    assert "[alpha, min-partition-size, self-balancing]" in KINDS["partitioners"]()["dirichlet"]
    assert "[proximal-mu, server-*]" in KINDS["strategies"]()["fedprox"]


def test_presets_speak_the_users_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "pt")
    assert "dígitos" in KINDS["presets"]()["digits"]
    monkeypatch.setenv("CIRANDA_LANG", "en")
    assert "digits" in KINDS["presets"]()["digits"]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ciranda.cli.listing.find_spec", lambda name: None)
    assert "ciranda[torch]" in KINDS["tasks"]()["mnist-cnn"]
    assert "ciranda[" not in KINDS["tasks"]()["digits-mlp"]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(CirandaError, match="no kind 'strategy'"):
        show("strategy")
