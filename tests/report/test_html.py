"""Markup out of nested calls."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.i18n import speaking
from ciranda.report.html import VOID, Html, document, join, table, tag


def test_what_is_not_markup_is_escaped() -> None:
    assert tag("p", "<script>", tag("b", "a & b")) == "<p>&lt;script&gt;<b>a &amp; b</b></p>"
    assert tag("i", title='"><script>', class_="x") == '<i title="&quot;&gt;&lt;script&gt;" class="x"></i>'
    assert join(["a", None, [Html("<b/>"), ["<"]]]) == "a<b/>&lt;"


def test_attributes_can_be_left_out_or_bare() -> None:
    assert tag("input", checked=True, disabled=False, id=None, data_x=3) == '<input checked data-x="3"/>'
    assert tag("label", "go", for_="x") == '<label for="x">go</label>'


@given(st.text())
def test_any_text_comes_back_as_text(text: str) -> None:
    class Reader(HTMLParser):
        seen = ""

        def handle_data(self, data: str) -> None:
            self.seen += data

        def handle_starttag(self, tag: str, attrs: object) -> None:
            assert tag == "q"

    reader = Reader()
    reader.feed(tag("q", text))
    reader.close()
    assert reader.seen.replace("\x00", "�") == text.replace("\x00", "�") or re.search("[\r\x00\f]", text)


def test_a_table_says_what_it_is_and_sets_numbers_right() -> None:
    shown = table(["a", "b"], [["x", "1"], ["<y>", "2"]], caption="two of them", numeric=[1])
    assert "<caption>two of them</caption>" in shown
    assert shown.count('<td class="n">') == 2
    assert '<th scope="col" class="n">b</th>' in shown
    assert "&lt;y&gt;" in shown
    assert 'class="unseen"' in table(["a"], [], caption="c", hidden=True)


@pytest.mark.parametrize(("language", "written"), [("en", 'lang="en"'), ("pt", 'lang="pt-BR"')])
def test_a_document_needs_nothing_from_elsewhere(language: str, written: str) -> None:
    with speaking(language):
        page = document("A & B", tag("h1", "hello"))
    assert page.startswith("<!doctype html>")
    assert written in page
    assert "<title>A &amp; B</title>" in page
    assert_self_contained(page)


def assert_self_contained(page: str) -> None:
    """Nothing is loaded: no address but data and fragments, no import, no font."""
    for address in re.findall(r"""(?:src|href|action)\s*=\s*["']([^"']*)""", page):
        assert address.startswith(("data:", "#")), address
    assert not re.search(r"@import|@font-face|url\(|fetch\(|XMLHttpRequest|<link|<iframe", page)
    rest = page.replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in rest
    assert "https://" not in rest


def assert_well_formed(page: str) -> None:
    """Every tag that is opened is closed, in order; ids are there once, and what refers to them finds them."""

    class Checker(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.ids: list[str] = []
            self.wanted: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in VOID:
                self.open.append(tag)
            self.note(attrs)

        def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag in VOID
            self.note(attrs)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

        def note(self, attrs: list[tuple[str, str | None]]) -> None:
            for name, value in attrs:
                if name == "id":
                    self.ids.append(str(value))
                if name in ("aria-labelledby", "for"):
                    self.wanted += str(value).split()

    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    assert len(set(checker.ids)) == len(checker.ids)
    assert set(checker.wanted) <= set(checker.ids)
