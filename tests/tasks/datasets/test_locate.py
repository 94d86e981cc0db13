"""Where data sets are looked for, in what order, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ciranda.core.errors import DataError
from ciranda.core.texts import Text
from ciranda.tasks.datasets import locate
from ciranda.tasks.datasets.locate import Found, Layout, Wanted, cache_folder, checkout_folder, find, places

ONE = Layout(("shells", "Shells/raw"), (("a.gz", "a"), ("b.gz", "b")))
ARCHIVE = Layout(("shells", ""), (("shells.tar",),))
SHELLS = Wanted("Shells", (ONE, ARCHIVE), Text("Ask the sea."))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A world with an empty home, working folder and environment."""
    monkeypatch.delenv("CIRANDA_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(locate, "checkout_folder", lambda: None)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def put(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def refusal(root: Path | None = None, wanted: Wanted = SHELLS) -> DataError:
    with pytest.raises(DataError) as caught:
        find(wanted, root)
    return caught.value


def test_the_places_come_in_the_documented_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_DATA", str(home / "named"))
    monkeypatch.setattr(locate, "checkout_folder", lambda: home / "shared" / "data")
    assert places() == [home / "named", home / "work" / "data", home / "cache" / "ciranda", home / "shared" / "data"]


@pytest.mark.parametrize("better", range(4))
def test_an_earlier_place_wins(home: Path, monkeypatch: pytest.MonkeyPatch, better: int) -> None:
    monkeypatch.setenv("CIRANDA_DATA", str(home / "named"))
    monkeypatch.setattr(locate, "checkout_folder", lambda: home / "shared" / "data")
    for place in places()[better:]:
        put(place / "shells", "a", "b")
    assert find(SHELLS).folder == places()[better] / "shells"


def test_a_place_that_lacks_the_set_is_passed_over(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_DATA", str(put(home / "named" / "other").parent))
    expected = put(home / "cache" / "ciranda" / "shells", "a", "b")
    assert find(SHELLS).folder == expected


def test_an_incomplete_copy_is_passed_over(home: Path) -> None:
    put(home / "work" / "data" / "shells", "a")
    expected = put(home / "cache" / "ciranda" / "shells", "a", "b")
    assert find(SHELLS).folder == expected


def test_each_file_is_found_under_its_first_name_that_is_there(home: Path) -> None:
    folder = put(home / "work" / "data" / "shells", "a", "a.gz", "b")
    assert find(SHELLS) == Found(0, folder, [folder / "a.gz", folder / "b"])


def test_a_folder_with_the_name_of_a_file_is_no_file(home: Path) -> None:
    put(home / "work" / "data" / "shells", "b")
    (home / "work" / "data" / "shells" / "a").mkdir()
    assert "lacks a.gz" in str(refusal())


def test_the_second_folder_name_serves(home: Path) -> None:
    folder = put(home / "work" / "data" / "Shells" / "raw", "a", "b")
    assert find(SHELLS).folder == folder


def test_the_second_layout_serves_and_says_so(home: Path) -> None:
    put(home / "work" / "data", "shells.tar")
    assert find(SHELLS).layout == 1


def test_an_explicit_root_is_the_only_place(home: Path) -> None:
    put(home / "work" / "data" / "shells", "a", "b")
    put(home / "mine")
    error = refusal(home / "mine")
    assert str(home / "mine") in str(error)
    assert str(home / "work") not in str(error)


@pytest.mark.parametrize("inside", ["", "shells", "Shells/raw"])
def test_an_explicit_root_may_be_the_folder_or_its_parent(home: Path, inside: str) -> None:
    put(home / "mine" / inside, "a", "b")
    assert find(SHELLS, home / "mine").folder == home / "mine" / inside


def test_loose_files_in_a_general_place_are_not_taken_for_a_set(home: Path) -> None:
    # Fashion-MNIST has the file names of MNIST: only a folder's name tells them apart.
    put(home / "work" / "data", "a", "b")
    assert "nothing of it there" in str(refusal())


def test_the_system_folder_comes_last(home: Path) -> None:
    folder = put(home / "usr" / "shells", "a", "b")
    wanted = Wanted("Shells", (ONE,), Text("Ask the sea."), (str(folder),))
    assert find(wanted).folder == folder
    nearer = put(home / "cache" / "ciranda" / "shells", "a", "b")
    assert find(wanted).folder == nearer


def test_the_refusal_names_each_place_what_it_lacks_and_how_to_get_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_DATA", str(home / "named"))
    put(home / "work" / "data" / "shells", "b")
    put(home / "cache" / "ciranda")
    error = refusal(wanted=Wanted("Shells", (ONE, ARCHIVE), Text("Ask the sea."), ("/nowhere/shells",)))
    lines = str(error).splitlines()
    assert lines[0] == "Shells was not found. Looked in:"
    assert lines[1].strip() == f"{home / 'named'} (no such folder)"
    assert lines[2].strip() == f"{home / 'work' / 'data' / 'shells'} lacks a.gz"
    assert lines[3].strip() == f"{home / 'cache' / 'ciranda'} (nothing of it there)"
    assert lines[4].strip() == "/nowhere/shells (no such folder)"
    assert len(lines) == 5
    for words in ("Ask the sea.", "a.gz, b.gz", "shells.tar", "CIRANDA_DATA", "./data"):
        assert words in error.hint


def test_a_tilde_in_the_variable_and_in_the_root_is_the_home_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home))
    expected = put(home / "mine" / "shells", "a", "b")
    assert find(SHELLS, "~/mine").folder == expected
    monkeypatch.setenv("CIRANDA_DATA", "~/mine")
    assert find(SHELLS).folder == expected


def test_without_xdg_the_cache_is_under_the_home_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(home))
    assert cache_folder() == home / ".cache" / "ciranda"


def test_a_source_checkout_is_known_by_its_project_file(tmp_path: Path) -> None:
    module = tmp_path / "project" / "src" / "ciranda" / "tasks" / "datasets" / "locate.py"
    module.parent.mkdir(parents=True)
    assert checkout_folder(str(module)) is None
    (tmp_path / "project" / "pyproject.toml").touch()
    assert checkout_folder(str(module)) == tmp_path / "shared" / "data"


def test_an_installed_package_has_no_checkout() -> None:
    assert checkout_folder("/usr/lib/python3/site-packages/ciranda/tasks/datasets/locate.py") is None
    assert checkout_folder("/locate.py") is None
