"""A text with named fields that can still be told in another language.

What a user may read is made of literal templates, "The column '{column}' is missing.", and values by name. The English text is the template
filled in; a translator gets the template itself, so it travels between processes untranslated and is told where the reader is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Number

# (template, fields) -> the template in the reader's language, filled in. Fields that are texts arrive already told.
Tell = Callable[[str, Mapping[str, object]], str]


def fill(template: str, fields: Mapping[str, object]) -> str:
    """The template with its fields filled in. Without fields it is taken as it stands, braces and all."""
    return template.format(**fields) if fields else template


class Text:
    """A template and the values of its fields, which may be texts themselves; `str(text)` is English.

    Args:
        template: with `{name}`, `{name:spec}` or `{name!r}`; no positions, attributes or indices.
        fields: numbers, strings, texts and lists of these are kept as they are, an error of ours as its message, anything else
            as the words it prints as: so a text can always go to another process.
    """

    __slots__ = ("fields", "template")

    def __init__(self, template: str, /, **fields: object) -> None:
        self.template = template
        self.fields: Mapping[str, object] = {name: _settled(value) for name, value in fields.items()}

    def __str__(self) -> str:
        return fill(self.template, self.fields)

    def __repr__(self) -> str:
        return f"Text({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and (self.template, self.fields) == (other.template, other.fields)

    def __hash__(self) -> int:
        return hash((self.template, *sorted(self.fields)))

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def in_language(self, tell: Tell) -> str:
        """The text as `tell` puts it, the texts in its fields included."""
        return tell(self.template, {name: _told(value, tell) for name, value in self.fields.items()})


def marked(template: str) -> str:
    """The template as it is: marks a literal for translation where it is kept in a table and becomes a `Text` elsewhere."""
    return template


def joined(separator: str, texts: Iterable[Text | str]) -> Text:
    """The texts one after another."""
    fields = {f"text{number}": text for number, text in enumerate(texts)}
    return Text(separator.join(f"{{{name}}}" for name in fields), **fields)


class _Words(str):
    """What a value printed as, plainly and with `!r`."""

    __slots__ = ("_repr",)
    _repr: str

    def __new__(cls, plain: str, full: str) -> _Words:
        words = super().__new__(cls, plain)
        words._repr = full
        return words

    def __repr__(self) -> str:
        return self._repr

    def __reduce__(self) -> tuple[object, ...]:
        return _Words, (str(self), self._repr)


def _settled(value: object) -> object:
    if value is None or isinstance(value, str | Number | Text):
        return value
    if isinstance(inner := getattr(value, "text", None), Text):  # an error stands for its message
        return inner
    if type(value) in (tuple, list):
        return type(value)(_settled(each) for each in value)  # type: ignore[attr-defined, call-arg]
    return _Words(str(value), repr(value))


def _told(value: object, tell: Tell) -> object:
    return value.in_language(tell) if isinstance(value, Text) else value
