"""HTML and SVG as nested calls. Whatever is not Html already is escaped, so that a client's or an experiment's name stays a name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from ciranda.i18n import language

HERE = Path(__file__).parent
VOID = frozenset({"meta", "input", "br", "image", "line", "path", "rect", "circle", "use"})


class Html(str):
    """Text that is markup."""

    __slots__ = ()


Child = str | None | Iterable["Child"]


def tag(name: str, /, *children: Child, **attributes: object) -> Html:
    """`<name attributes>children</name>`: None and False leave an attribute out, True writes it bare; `class_` is class, _ is -."""
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Html(f"<{name}{written}/>")
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Html:
    """The markup of some children, nested lists flattened, None left out."""
    return Html("".join(_markup(child) for child in children))


def _markup(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, str):
        return child if isinstance(child, Html) else escape(child, quote=False)
    return join(child)


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def table(
    head: Sequence[Child],
    rows: Iterable[Sequence[Child]],
    *,
    caption: str,
    numeric: Iterable[int] = (),
    hidden: bool = False,
    **attributes: object,
) -> Html:
    """A table with a caption (for screen readers only, if `hidden`); the columns `numeric` are set flush right."""
    right = set(numeric)

    def cells(kind: str, values: Sequence[Child]) -> list[Html]:
        return [tag(kind, value, class_="n" if place in right else None) for place, value in enumerate(values)]

    return tag(
        "table",
        tag("caption", caption, class_="unseen" if hidden else None),
        tag(
            "thead", tag("tr", *(tag("th", value, scope="col", class_="n" if place in right else None) for place, value in enumerate(head)))
        ),
        tag("tbody", [tag("tr", cells("td", row)) for row in rows]),
        **attributes,
    )


def document(title: str, *body: Child) -> str:
    """A whole page that needs nothing beside itself: style and script are inside, nothing is fetched."""
    style, script = (Html((HERE / name).read_text(encoding="utf-8")) for name in ("style.css", "script.js"))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", style),
    )
    lang = "pt-BR" if language() == "pt" else "en"
    page = tag("html", head, tag("body", tag("main", *body), tag("script", script)), lang=lang)
    return f"<!doctype html>\n{page}\n"
