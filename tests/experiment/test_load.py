"""Experiment files: what loads, what is refused, and how clearly the refusal speaks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import ExperimentError
from ciranda.experiment.load import dump, load, loads, resolve

BASE = '[experiment]\ntask = "digits-mlp"\n'


def refusal(text: str, *overrides: str) -> str:
    with pytest.raises(ExperimentError) as caught:
        loads(text, "exp.toml", overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (BASE + "[round]\nnum-rounds = 3", 3, ["[round] is unknown", "did you mean 'rounds'?", "federation"]),
        (BASE + "[rounds]\nnum-round = 3", 4, ["rounds.num-round is unknown", "did you mean 'num-rounds'?", "fraction-train"]),
        (BASE + "[rounds]\nnum_rounds = 3", 4, ["did you mean 'num-rounds'?"]),
        (BASE + 'rounds = "3"', 3, ["experiment.rounds is unknown", "seed"]),
        (BASE + '[rounds]\n\n\nnum-rounds = "3"', 6, ["rounds.num-rounds must be a whole number", '"3"']),
        (BASE + "[rounds]\nnum-rounds = 1.5", 4, ["must be a whole number"]),
        (BASE + "[rounds]\nnum-rounds = true", 4, ["must be a whole number", "true"]),
        (BASE + "[rounds]\nnum-rounds = 0", 4, ["rounds.num-rounds is 0", "must be at least 1"]),
        (BASE + "[rounds]\nfraction-train = 1.5", 4, ["rounds.fraction-train is 1.5", "must be at most 1"]),
        (BASE + "[rounds]\nfraction-train = 0", 4, ["must be more than 0"]),
        (BASE + "[rounds]\nfraction-train = nan", 4, ["rounds.fraction-train is nan"]),
        (BASE + "[rounds]\ndeadline-s = inf", 4, ["must be finite"]),
        (BASE + '[rounds]\nclose = "al"', 4, ["did you mean 'all'?", "all-or-deadline, all, first"]),
        (BASE + '[rounds]\nclose = "first"', 3, ["rounds.first is needed"]),
        (BASE + "[rounds]\nfirst = 3", 4, ["rounds.first goes with"]),
        (BASE + '[rounds]\nclose = "first"\nfirst = 2\nmin-replies = 3', 6, ["more than rounds.first (2)"]),
        (BASE + '[federation]\npartitioner = "diriclet"', 4, ["did you mean 'dirichlet'?", "pathological"]),
        (BASE + '[federation]\npartitioner = "dirichlet"\nalpha = 0', 5, ["federation.alpha is 0; it must be a number above 0"]),
        (BASE + '[federation]\npartitioner = "dirichlet"\nalpha = [0.1, "x"]', 5, ["federation.alpha is 'x'"]),
        (BASE + "[federation]\nshard-size = 5", 4, ["federation.shard-size does not go with partitioner 'iid'"]),
        (BASE + "[federation]\nclients = 2\nalpah = 5", 5, ["federation.alpah is unknown", "The keys are: clients, partitioner"]),
        (
            BASE + '[federation]\nclients = 3\npartitioner = "size"\npartition-sizes = [5, 9]',
            4,
            ["federation.clients is 3", "makes 2 clients"],
        ),
        (BASE + '[federation]\npartitioner = "size"\npartition-sizes = [5, 0]', 5, ["partition-sizes is 0 for client 1"]),
        (BASE + '[federation]\npartitioner = "continuous"\nstrictness = 2', 5, ["strictness is 2", "from 0 to 1"]),
        (
            BASE + '[federation]\npartitioner = "distribution"\ndistribution-array = [[1, 2], [1]]',
            3,
            ["num-unique-labels-per-partition is needed"],
        ),
        (BASE + '[federation]\npartitioner = "dirichlet"', 3, ["federation.alpha is needed"]),
        (BASE + '[federation]\npartitioner = "pathological"', 3, ["federation.num-classes-per-partition is needed"]),
        (BASE + "[federation]\nalpha = 1.0", 4, ["does not go with partitioner 'iid'"]),
        (BASE + "[federation]\nvalidation-fraction = 0.5\ntest-fraction = 0.5", 5, ["leave nothing to train on"]),
        (BASE + '[federation]\nvalidation-fraction = 0.9\n[evaluate]\nwhere = "both"', 4, ["leaves nothing to train on"]),
        (BASE + "[federation]\nclients = 4\n[rounds]\nmin-train-clients = 5", 6, ["more than the 4 clients"]),
        (BASE + "[federation]\nclients = 10\n[rounds]\nfraction-train = 0.5\nmin-replies = 6", 7, ["only 5 of 10 clients"]),
        (BASE + '[strategy]\nname = "fedproxx"', 4, ["did you mean 'fedprox'?", "fedavg"]),
        (BASE + '[strategy]\nname = "fedprox"\nproximal-muu = 1', 5, ["did you mean 'proximal-mu'?"]),
        (BASE + '[strategy]\nname = "fedprox"\nproximal-mu = "a"', 5, ["strategy.proximal-mu must be a number"]),
        (BASE + '[strategy]\nname = "fedprox"\nproximal-mu = -1', 5, ["strategy.proximal-mu is -1.0; it must be 0 or more"]),
        (
            BASE + '[strategy]\nname = "fedavg"\nproximal-mu = 1',
            5,
            ["strategy.proximal-mu does not go with the strategy 'fedavg'", "fedprox"],
        ),
        (BASE + '[client]\noptimizer = "adam"\nmomentum = 0.9', 5, ["client.momentum goes with optimizer 'sgd'"]),
        (BASE + "[client]\nmomentum = 1.0", 4, ["must be less than 1"]),
        (BASE + '[stop]\nmetric = "acuracy"', 4, ["did you mean 'accuracy'?"]),
        (BASE + '[stop]\nmetric = "client.loss"', 4, ["did you mean 'clients'?"]),
        (BASE + '[stop]\nmetric = "clients.loss"\ntarget = 0.1', 4, ["never measured", "'server'"]),
        (BASE + '[stop]\nmetric = "train.accuracy"\npatience = 2', 4, ["use 'train.loss'"]),
        (BASE + '[data]\ncsv = "a.csv"', 3, ["data.target is needed"]),
        (BASE + "[data]\ntest-fraction = 0.1", 4, ["data.test-fraction goes with data.csv"]),
        (BASE + '[data]\ntarget = "y"', 4, ["data.target goes with data.csv"]),
        (BASE + 'name = "a/b"', 3, ["experiment.name", "no '/'"]),
        (BASE + "seed = -1", 3, ["experiment.seed is -1"]),
        ("experiment = 3", 1, ["[experiment] must be a section"]),
        ('experiment.task = "digits-mlp"\nrounds = { num-rounds = "x" }', 2, ["rounds.num-rounds must be a whole number"]),
        ('experiment.task = "digits-mlp"\nrounds.num-rounds = "x"', 2, ["rounds.num-rounds must be a whole number"]),
        ('[experiment]\nname = """two\n[rounds]\nlines"""\ntask = 3', 5, ["experiment.task must be text in quotes"]),
        ('"experiment"."task" = 3', 1, ["experiment.task must be text"]),
    ],
)
def test_what_cannot_work_names_the_key_the_line_and_what_is_allowed(text: str, line: int, words: list[str]) -> None:
    message = refusal(text)
    assert message.startswith(f"exp.toml, line {line}: ")
    for word in words:
        assert word in message


def test_all_faults_are_told_at_once_but_no_more_than_a_screen() -> None:
    message = refusal(BASE + "\n".join(f"wrong-{number} = 1" for number in range(30)))
    assert message.count("is unknown") == 10
    assert message.endswith("... and 20 more")


def test_a_file_without_a_task_says_so() -> None:
    assert refusal("[rounds]\nnum-rounds = 1") == "exp.toml: [experiment] is required."
    assert refusal("[experiment]\nseed = 3") == "exp.toml, line 1: experiment.task is required."


def test_broken_toml_tells_the_place() -> None:
    assert "at line 2, column" in refusal("[experiment]\ntask = digits")
    assert "not valid TOML" in refusal("a = " + "[" * 5000)


def test_overrides_replace_what_the_file_says() -> None:
    experiment = loads(BASE + "[rounds]\nnum-rounds = 3", "x", ["rounds.num-rounds=5", "experiment.seed = 7", "experiment.name=other name"])
    assert (experiment.rounds.num_rounds, experiment.experiment.seed, experiment.experiment.name) == (5, 7, "other name")


def test_overrides_reach_sections_that_the_file_does_not_have() -> None:
    assert loads(BASE, "x", ["client.learning-rate=0.5"]).client.learning_rate == 0.5


def test_a_wrong_override_is_named_instead_of_a_line() -> None:
    assert refusal(BASE, "rounds.num-rounds=many").startswith("--set rounds.num-rounds=many: rounds.num-rounds must be a whole number")
    assert "did you mean 'num-rounds'?" in refusal(BASE, "rounds.num-round=1")
    assert "section.key=value" in refusal(BASE, "num-rounds=1")
    assert "section.key=value" in refusal(BASE, "rounds.num-rounds")
    assert "not a section" in refusal("experiment = 3", "experiment.seed=1")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("server.accuracy", "server.accuracy"),
        ('"7"', "7"),
        ("2024-01-01", "2024-01-01"),
        ("a # b", "a # b"),
        ("1\nx = 2", "1\nx = 2"),
    ],
)
def test_an_override_that_is_no_number_is_text(text: str, value: str) -> None:
    assert loads(BASE + '[data]\ncsv = "a.csv"', "x", [f"data.target={text}"]).data.target == value


def test_resolve_knows_files_presets_tasks_and_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "exp.toml").write_text('[experiment]\ntask = "my_task.py:Digits"\n[data]\ncsv = "a.csv"\ntarget = "y"\n')
    experiment = resolve(str(tmp_path / "exp.toml"))
    assert experiment.experiment.task == f"{tmp_path}/my_task.py:Digits"
    assert experiment.experiment.name == "my_task"
    assert experiment.data.csv == str(tmp_path / "a.csv")
    assert resolve("digits").experiment.name == "digits"
    monkeypatch.chdir(tmp_path)
    assert resolve("my_task.py").experiment.task == f"{tmp_path}/my_task.py"
    assert resolve("my_task.py:Digits", ["rounds.num-rounds=9"]).rounds.num_rounds == 9


def test_a_csv_file_brings_its_clients_along(tmp_path: Path) -> None:
    (tmp_path / "hospitals.csv").write_text("a,y,hospital\n1,2,x\n")
    path = str(tmp_path / "hospitals.csv")
    experiment = resolve(path, target="y", client_column="hospital")
    assert (experiment.data.csv, experiment.data.target, experiment.data.client_column) == (path, "y", "hospital")
    assert (experiment.federation.partitioner, experiment.federation.clients) == ("natural-id", None)
    assert experiment.experiment.name == "hospitals"
    assert resolve(path, target="y").federation.clients == 10
    with pytest.raises(ExperimentError, match="Which column"):
        resolve(path)
    with pytest.raises(ExperimentError, match="no file"):
        resolve(str(tmp_path / "none.csv"), target="y")


def test_a_name_that_is_nothing_gets_the_nearest_preset() -> None:
    with pytest.raises(ExperimentError, match="did you mean 'digits'") as caught:
        resolve("digts")
    assert "classic-mnist" in caught.value.hint


def test_table_options_go_with_tables_only() -> None:
    with pytest.raises(ExperimentError, match="go with a CSV file"):
        resolve("digits", target="y")


def test_unreadable_files_are_told_plainly(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="No such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ExperimentError, match="not UTF-8"):
        load(tmp_path / "binary.toml")
    (tmp_path / "big.toml").write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ExperimentError, match="larger than 1 MiB"):
        load(tmp_path / "big.toml")


def test_windows_files_load(tmp_path: Path) -> None:
    (tmp_path / "w.toml").write_bytes(b'\xef\xbb\xbf[experiment]\r\ntask = "digits-mlp"\r\n')
    assert load(tmp_path / "w.toml").experiment.task == "digits-mlp"


def test_loading_does_not_depend_on_the_folder_of_a_resolved_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "exp.toml").write_text('[experiment]\ntask = "t.py:T"\n')
    experiment = load(tmp_path / "exp.toml")
    monkeypatch.chdir("/")
    assert loads(dump(experiment), "resolved", folder=Path("/usr")) == experiment


scraps = st.sampled_from(
    [
        "[rounds]",
        "[experiment]",
        "num-rounds = 3",
        'task = "digits-mlp"',
        "x = [",
        "[1, 2]",
        "]",
        '"""',
        "a.b = {c = 1}",
        "[[s]]",
        "'",
        "# note",
        "= 3",
    ]
)


@given(st.lists(st.one_of(scraps, st.text(max_size=8)), max_size=8))
def test_no_text_whatever_is_an_inner_error(lines: list[str]) -> None:
    try:
        loaded = loads("\n".join(lines), "f.toml")
    except ExperimentError as error:
        message = str(error)
    else:
        message = f"f.toml {loaded.experiment.task}"
    assert message.startswith("f.toml")
