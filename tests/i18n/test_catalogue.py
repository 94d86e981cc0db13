"""The catalogue: whole, in step with the source, and made by a script that finds every text."""

from __future__ import annotations

import gettext
import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import catalogue
from catalogue import Entry, collect, compiled, merged, problems, read, written

WORDS = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\u2028\u2029\x85"), min_size=1, max_size=40)


def source(folder: Path, **files: str) -> Path:
    package = folder / "ciranda"
    package.mkdir()
    base = "class CirandaError(Exception):\n    def __init__(self, message, /, *, hint='', **fields): ...\n"
    for name, text in {"errors": base, **files}.items():
        (package / f"{name}.py").write_text(text, encoding="utf-8")
    return package


def test_every_text_is_translated_with_its_own_fields_and_the_catalogue_is_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    told = io.StringIO()
    monkeypatch.setattr(sys, "argv", ["catalogue.py", "check"])
    monkeypatch.setattr(sys, "stdout", told)
    assert catalogue.main() == 0, told.getvalue()


def test_it_is_not_empty() -> None:
    assert len(collect().entries) > 1000


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        ("_('A {b}', b=1)", {"A {b}"}),
        ("raise CirandaError('A {b}', b=1, hint='Do {b}')", {"A {b}", "Do {b}"}),
        ("raise CirandaError('One' if x else 'Two')", {"One", "Two"}),
        ("raise CirandaError('One', hint='Two' if x else '')", {"One", "Two"}),
        ("class Mine(CirandaError): pass\nraise Mine('A')", {"A"}),
        ("class Mine(CirandaError):\n    def __init__(self, code, message): ...\nraise Mine(404, 'A')", {"A"}),
        (
            "class Mine(CirandaError):\n    def __init__(self, n):\n        super().__init__('A {n}', hint='Do', n=n)\nraise Mine(4)",
            {"A {n}", "Do"},
        ),
        ("HINT = 'A'\ndef f():\n    raise CirandaError('B', hint=HINT)", {"A", "B"}),
        ("def f(x):\n    text = 'A'\n    if x:\n        text = 'B'\n    raise CirandaError(text)", {"A", "B"}),
        ("raise CirandaError('{where}: {what}', where=1, what=2)", set()),
        ("Text('A')", {"A"}),
        ("Text(text)", set()),
        ("x = marked('A')", {"A"}),
        ("typer.Option('--a', help='A')", {"A"}),
        ("class S:\n    summary: ClassVar[str] = 'A'", {"A"}),
        ("print('A', hint='B')", set()),
        ("open('A')", set()),
    ],
)
def test_it_finds_what_users_read(tmp_path: Path, code: str, texts: set[str]) -> None:
    found = collect(source(tmp_path, module=code))
    assert set(found.entries) - set(catalogue.FOREIGN) == texts
    assert found.faults == []


def test_one_and_many_are_one_entry(tmp_path: Path) -> None:
    found = collect(source(tmp_path, module="plural('1 x', '{count} x', 2)"))
    assert found.entries["1 x"].plural == "{count} x"


@pytest.mark.parametrize(
    "code",
    [
        "raise CirandaError(f'A {b}')",
        "raise CirandaError('A ' + b)",
        "raise CirandaError(str(error))",
        "raise CirandaError('A', hint=f'Do {b}')",
        "_(text)",
        "def f(text):\n    raise CirandaError(text)",
        "raise CirandaError('A %s' % b)",
        "typer.Option('--a', help=f'A')",
    ],
)
def test_a_text_that_nobody_could_translate_is_a_fault(tmp_path: Path, code: str) -> None:
    (fault,) = collect(source(tmp_path, module=code)).faults
    assert fault.startswith("ciranda/module.py:")
    assert "no literal" in fault


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        (Entry("A", files=["f"]), "no translation"),
        (Entry("A", files=["f"], told=[""]), "no translation"),
        (Entry("A", plural="As", files=["f"], told=["B"]), "no translation"),
        (Entry("A {b}", files=["f"], told=["B {c}"]), "other fields"),
        (Entry("A {b}", files=["f"], told=["B"]), "other fields"),
        (Entry("A", files=["f"], told=["B {b}"]), "other fields"),
        (Entry("A {b}", files=["f"], told=["B {b"]), "expected '}'"),
    ],
)
def test_a_wrong_translation_is_a_problem(entry: Entry, word: str) -> None:
    (problem,) = problems([entry])
    assert word in problem


def test_right_translations_are_none() -> None:
    assert not list(
        problems(
            [
                Entry("A {b}", files=["f"], told=["{b} B"]),
                Entry("1 A", "{n} As", ["f"], ["1 B", "{n} Bs"]),
                Entry("A", files=["f"], told=["B"]),
            ]
        )
    )


@given(st.dictionaries(WORDS, st.tuples(WORDS, st.booleans()), max_size=8), st.sampled_from(["", "\n", "\t", '"', "\\"]))
def test_a_catalogue_is_read_as_it_was_written(texts: dict[str, tuple[str, bool]], extra: str) -> None:
    entries = [
        Entry(f"{key}{extra}z", f"{key}s" if many else "", ["f"], [told, f"{extra}{told}"] if many else [told])
        for key, (told, many) in texts.items()
    ]
    path = Path(catalogue.__file__).with_name("x.po")
    text = written(entries)
    known = read_text(text, path)
    assert {msgid: (entry.plural, entry.told) for msgid, entry in known.items()} == {
        entry.msgid: (entry.plural, entry.told) for entry in entries
    }


def read_text(text: str, path: Path) -> dict[str, Entry]:
    class Written(type(path)):  # type: ignore[misc]
        def exists(self) -> bool:
            return True

        def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
            return text

    return read(Written(path))


def test_a_line_that_is_not_of_a_catalogue_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.po"
    path.write_text('msgid "A"\nmsgstr "B"\nwhat\n')
    with pytest.raises(ValueError, match="cannot read 'what'"):
        read(path)


@given(st.dictionaries(WORDS, WORDS, max_size=8))
def test_the_compiled_catalogue_is_gettexts(texts: dict[str, str]) -> None:
    entries = [Entry(key, told=[told]) for key, told in texts.items()]
    several = Entry("one thing", "{n} things", told=["uma coisa", "{n} coisas"])
    found = gettext.GNUTranslations(io.BytesIO(compiled([*entries, several, Entry("untold")])))
    assert all(found.gettext(key) == told for key, told in texts.items())
    # None is many, since the singular of a text says "1".
    assert [found.ngettext("one thing", "{n} things", count) for count in (0, 1, 2)] == ["{n} coisas", "uma coisa", "{n} coisas"]
    assert found.gettext("untold") == texts.get("untold", "untold")


def test_translations_that_are_known_are_kept_and_others_dropped(tmp_path: Path) -> None:
    found = collect(source(tmp_path, module="_('A')\n_('B')"))
    entries = {entry.msgid: entry for entry in merged(found, {"A": Entry("A", told=["X"]), "gone": Entry("gone", told=["Y"])})}
    assert entries["A"].told == ["X"]
    assert entries["A"].files == ["ciranda/module.py"]
    assert entries["B"].told == []
    assert "gone" not in entries


def test_an_update_writes_both_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(catalogue, "PACKAGE", source(tmp_path, module="_('A {b}')"))
    monkeypatch.setattr(catalogue, "collect", lambda: collect(tmp_path / "ciranda"))
    monkeypatch.setattr(catalogue, "FOREIGN", {})
    monkeypatch.setattr(sys, "argv", ["catalogue.py"])
    assert catalogue.main() == 1
    assert "'A {b}' has no translation" in capsys.readouterr().out
    path = tmp_path / "ciranda" / catalogue.PO
    path.write_text(path.read_text(encoding="utf-8").replace('msgid "A {b}"\nmsgstr ""', 'msgid "A {b}"\nmsgstr "{b} B"'), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["catalogue.py", "check"])
    assert catalogue.main() == 1
    assert "not in step" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["catalogue.py"])
    assert catalogue.main() == 0
    monkeypatch.setattr(sys, "argv", ["catalogue.py", "check"])
    assert catalogue.main() == 0
    with path.with_suffix(".mo").open("rb") as file:
        assert gettext.GNUTranslations(file).gettext("A {b}") == "{b} B"
