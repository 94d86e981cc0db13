"""A server cannot make a client run or read a file that the client's owner did not name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ciranda.cli.http.consent import allow_options, check_files, files_of
from ciranda.cli.http.trainer import ExperimentTrainer, Own
from ciranda.core.errors import ExperimentError
from ciranda.experiment.load import loads
from ciranda.runtimes.http.client import Told

PLANTED = "raise SystemExit('it ran')\n"
NAMING = {
    "experiment.task": '[experiment]\ntask = "{file}:Mine"\n',
    "strategy.name": '[experiment]\ntask = "digits-softmax"\n[strategy]\nname = "{file}:Mine"\n',
    "stage.name": '[experiment]\ntask = "digits-softmax"\n[stage]\nname = "{file}"\n',
    "rounds.selection": '[experiment]\ntask = "digits-softmax"\n[rounds]\nselection = "{file}:Mine"\n',
}


@pytest.mark.parametrize("key", NAMING)
def test_code_that_nobody_allowed_is_refused_unread(key: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(PLANTED, encoding="utf-8")
    with pytest.raises(ExperimentError) as caught:
        check_files(NAMING[key].format(file=file), [])
    assert str(caught.value) == f"The experiment names a file of this machine: {key} = {file}."
    assert f"--allow {file}" in caught.value.hint


def test_a_table_that_nobody_allowed_is_refused() -> None:
    text = '[experiment]\ntask = "csv"\n[data]\ncsv = "/etc/passwd"\ntarget = "x"\n'
    with pytest.raises(ExperimentError, match=r"data\.csv = /etc/passwd"):
        check_files(text, [Path("/etc/hosts")])


def test_what_is_allowed_may_be_named_in_any_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(PLANTED, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    text = NAMING["strategy.name"].format(file=tmp_path / "folder" / ".." / "mine.py")
    check_files(text, [Path("mine.py")])
    with pytest.raises(ExperimentError):
        check_files(text, [Path("folder/mine.py")])


def test_a_link_to_another_file_is_that_file(tmp_path: Path) -> None:
    secret, link = tmp_path / "secret.csv", tmp_path / "mine.csv"
    secret.write_text("a,b\n", encoding="utf-8")
    link.symlink_to(secret)
    text = f'[experiment]\ntask = "csv"\n[data]\ncsv = "{link}"\ntarget = "a"\n'
    check_files(text, [secret])
    with pytest.raises(ExperimentError):
        check_files(text, [tmp_path / "other.csv"])


def test_built_in_names_need_no_permission() -> None:
    check_files('[experiment]\ntask = "digits-softmax"\n[strategy]\nname = "scaffold"\n[stage]\nname = "int8"\n', [])


@pytest.mark.parametrize("text", ["", "experiment = 3", "[strategy]\nname = 5", "[data]\ncsv = ['a']"])
def test_a_form_that_names_nothing_is_left_to_the_loader(text: str) -> None:
    check_files(text, [])


def test_what_is_no_toml_is_an_error_of_ours() -> None:
    with pytest.raises(ExperimentError, match="cannot be read"):
        check_files("[experiment", [])


def test_the_options_of_ones_own_experiment_allow_all_that_it_names(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import ciranda\n\n\nclass Mine(ciranda.BaseStrategy):\n    name = 'mine'\n    summary = 's'\n\n"
        "    def init(self, model):\n        return {}\n\n    def apply(self, state, model, aggregate):\n        return state, model\n",
        encoding="utf-8",
    )
    text = NAMING["strategy.name"].format(file=file)
    options = allow_options(loads(text, "a test"))
    assert options == [f"--allow={file}"]
    check_files(text, [Path(options[0].removeprefix("--allow="))])
    assert allow_options(loads('[experiment]\ntask = "digits-softmax"\n', "a test")) == []


def test_every_key_that_may_name_a_file_is_looked_at(tmp_path: Path) -> None:
    sections = {"experiment": {"task": "a.py"}, "strategy": {"name": "b.py:B"}, "stage": {"name": "c.py"}, "data": {"csv": "d"}}
    assert files_of(sections) == {"experiment.task": "a.py", "strategy.name": "b.py", "stage.name": "c.py", "data.csv": "d"}
    with pytest.raises((ExperimentError, SystemExit)):
        ExperimentTrainer(Told(NAMING["strategy.name"].format(file=tmp_path / "absent.py"), {}), Own((0, 2)))
