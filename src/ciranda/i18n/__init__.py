"""What people read, in their language: English as it stands in the code, Brazilian Portuguese from the catalogue.

`_("Round {round} of {rounds}", round=1, rounds=3)`: the English text is the key of its translation, so it is always a literal; values
go in by name. `python scripts/catalogue.py` collects the texts; a test fails on one without translation. Keys, names of metrics, JSON
and logs are English whatever the language.
"""

from __future__ import annotations

import gettext
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from string import Formatter

from ciranda.core.texts import Text, fill

LANGUAGES = ("en", "pt")
DOMAIN = "ciranda"
LOCALE = Path(__file__).with_name("locale")
_VARIABLES = ("CIRANDA_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
_SWAPPED = str.maketrans(".,", ",.")

_chosen: str | None = None
_here: ContextVar[str | None] = ContextVar("language", default=None)


def language(environment: Mapping[str, str] | None = None) -> str:
    """ "pt" or "en": what `speaking` or `use` chose, else CIRANDA_LANG, else what the locale variables say, else English.

    With an `environment` given, only that counts.
    """
    if environment is None:
        if chosen := _here.get() or _chosen:
            return chosen
        environment = os.environ
    for name in _VARIABLES:
        if value := environment.get(name, ""):
            return "pt" if value.lower().startswith("pt") else "en"
    return "en"


def use(name: str | None) -> None:
    """Choose the language of the whole process; None leaves it to the environment. Raises ValueError for one that there is not."""
    global _chosen
    _chosen = _known(name)


@contextmanager
def speaking(name: str | None) -> Iterator[None]:
    """Choose the language of what runs inside, in this thread or coroutine: one web request. None changes nothing."""
    token = _here.set(_known(name) or _here.get())
    try:
        yield
    finally:
        _here.reset(token)


def _(msgid: str, /, **fields: object) -> str:
    """The text in the reader's language, filled in. Texts and errors among the fields are told in the same language."""
    return Text(msgid, **fields).in_language(tell)


def plural(one: str, many: str, count: int, /, **fields: object) -> str:
    """ "1 round" or "{count} rounds": the form that goes with `count`, which is a field of its own."""
    chosen = _catalogue(language()).ngettext(one, many, count)
    return _filled(chosen, Text(chosen, count=count, **fields).fields)


def told(text: Text | str) -> str:
    """A text in the reader's language; a string is looked up as a text without fields."""
    return (text if isinstance(text, Text) else Text(text)).in_language(tell)


def retold(text: str, templates: Iterable[str]) -> str:
    """An English text that was kept as such, in a file, told in the reader's language: by the first of `templates` that it fits."""
    for template in templates:
        pattern = "".join(re.escape(literal) + (f"(?P<{name}>.*)" if name else "") for literal, name, *_spec in Formatter().parse(template))
        if found := re.fullmatch(pattern, text, re.DOTALL):
            return _(template, **found.groupdict())
    return text


def tell(template: str, fields: Mapping[str, object]) -> str:
    """How `Text.in_language` is told in the reader's language."""
    return _filled(_catalogue(language()).gettext(template) if template else "", fields)


def number(value: float, spec: str = "") -> str:
    """The number as `format` gives it, with the language's decimal mark: 0,5 in Portuguese."""
    return marks(format(value, spec))


def marks(text: str) -> str:
    """A number that was written the English way, with the language's marks."""
    return text.translate(_SWAPPED) if language() == "pt" else text


def _filled(template: str, fields: Mapping[str, object]) -> str:
    """Filled in. A number with a format is prose and gets the language's decimal mark; one after "=" is part of a command and does not."""
    if language() == "en" or not fields:
        return fill(template, fields)
    parts = []
    for literal, name, spec, conversion in Formatter().parse(template):
        parts.append(literal)
        if name is None:
            continue
        value = fields[name]
        prose = spec and isinstance(value, int | float) and not literal.endswith("=")
        field = f"{{{name}{f'!{conversion}' if conversion else ''}{f':{spec}' if spec else ''}}}"
        parts.append(number(value, str(spec).format(**fields)) if prose else field.format(**fields))  # type: ignore[arg-type]
    return "".join(parts)


@cache
def _catalogue(name: str) -> gettext.NullTranslations:
    return gettext.translation(DOMAIN, LOCALE, [name], fallback=True)


def _known(name: str | None) -> str | None:
    if name is not None and name not in LANGUAGES:
        raise ValueError(f"there is no language {name!r}; there are {', '.join(LANGUAGES)}")
    return name
