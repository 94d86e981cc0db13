"""The language of one command line: `--lang`, the help texts, and what the option parser says of its own accord."""

from __future__ import annotations

import gettext
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ciranda import i18n
from ciranda.core.errors import ExperimentError

OPTION = "--lang"


def chosen(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The language that `--lang` names, wherever it stands, and the arguments without it."""
    name: str | None = None
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        option, equals, value = argument.partition("=")
        if argument == "--":
            return name, [*rest, argument, *waiting]
        if option != OPTION:
            rest.append(argument)
            continue
        name = value if equals else next(waiting, "")
    return name, rest


def known(name: str | None) -> None:
    """Raise ExperimentError for a language that there is not."""
    if name is not None and name not in i18n.LANGUAGES:
        languages = ", ".join(i18n.LANGUAGES)
        raise ExperimentError("There is no language '{name}'.", hint="--lang is one of: {languages}.", name=name, languages=languages)


@contextmanager
def spoken(name: str | None) -> Iterator[None]:
    """Speak `name` (else, or if there is no such language, as the environment says) in all threads and in the processes that are started;
    and have the option parser do so, which asks gettext for its words."""
    domain = gettext.textdomain()
    with i18n.speaking(name if name in i18n.LANGUAGES else None):
        before = {variable: os.environ.get(variable) for variable in ("CIRANDA_LANG", "LANGUAGE")}
        os.environ.update(dict.fromkeys(before, i18n.language()))
        gettext.bindtextdomain(i18n.DOMAIN, str(i18n.LOCALE))
        gettext.textdomain(i18n.DOMAIN)
        try:
            yield
        finally:
            gettext.textdomain(domain)
            for variable, value in before.items():
                if value is None:
                    del os.environ[variable]
                else:
                    os.environ[variable] = value


def localised(command: Any) -> Any:
    """The command with its help texts, and those of its commands and options, in the language."""
    for part in (command, *command.params):
        if getattr(part, "help", None):
            part.help = i18n.told(part.help)
    for below in getattr(command, "commands", {}).values():
        localised(below)
    return command
