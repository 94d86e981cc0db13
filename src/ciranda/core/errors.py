"""Every error that a user can meet, as one tree.

CirandaError
+-- ExperimentError    an experiment file or an option that cannot work
+-- DataError          data missing, corrupt, empty or of the wrong kind
+-- TaskError          a task (built in or a user's own) that breaks its contract
|   +-- SignatureError a tensor whose name, shape or dtype is not the agreed one
|   +-- DivergedError  a loss or parameter that is no longer a finite number
+-- RefusedUpdate      an update that the aggregation does not admit
+-- CodecError         bytes that are not a valid message or model
+-- StoreError         the store could not keep what it was asked to keep
|   +-- Conflict       somebody else wrote first
|   +-- Missing        no such run or blob
+-- RunError           a run that cannot go on
|   +-- WorkerDied     a worker process ended without an answer
+-- StopRequested      a participant asks that the run stop
+-- MissingExtra       an optional dependency that is not installed
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Self

from ciranda.core.texts import Tell, Text

# Installed packages, the standard library (on Windows too), what is frozen into the interpreter, and this package.
_NOT_THE_USERS = re.compile(
    r"[\\/](site-packages|dist-packages|lib[\\/]python3[^\\/]*|Lib)[\\/]|^<frozen|[\\/]ciranda[\\/](core|experiment|plugins|tasks|testing|runtimes|cli)[\\/]"
)


class CirandaError(Exception):
    """The base of all. `str(error)` says what is wrong and where; `hint` says what to do about it, both in English.

    Args:
        message: a literal template with named fields, "There is no column '{column}'."; never a text that is already filled in,
            which nobody could translate. Without fields it is taken as it stands.
        hint: the same; it shares the fields.
        fields: the values by name (`ciranda.core.texts.Text`). Another error among them stands for its message.
    """

    def __init__(self, message: str, /, *, hint: str = "", **fields: object) -> None:
        self.text = Text(message, **fields)
        self.advice = Text(hint, **fields)
        super().__init__(str(self.text))

    @property
    def message(self) -> str:
        """The message's template."""
        return self.text.template

    @property
    def fields(self) -> Mapping[str, object]:
        """What fills the template."""
        return self.text.fields

    @property
    def hint(self) -> str:
        """What to do about it, in English; "" if there is nothing to say."""
        return str(self.advice)

    def in_language(self, tell: Tell) -> tuple[str, str]:
        """Message and hint as `tell` puts them."""
        return self.text.in_language(tell), self.advice.in_language(tell) if self.advice.template else ""

    def within(self, where: Text) -> Self:
        """The same error, which now says first where it happened: "Round 3, client 7: ..."."""
        self.text = Text("{where}: {what}", where=where, what=self.text)
        self.args = (str(self.text),)
        return self

    def __reduce__(self) -> tuple[object, ...]:
        # The default would call the class with `args` alone and lose the rest between processes.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[CirandaError], args: tuple[object, ...], attributes: dict[str, object]) -> CirandaError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    return error


class ExperimentError(CirandaError):
    """An experiment that is refused when it is loaded."""


class DataError(CirandaError):
    """Data that is missing, corrupt, empty or of the wrong kind."""


class TaskError(CirandaError):
    """A task that breaks its contract."""


class SignatureError(TaskError):
    """A tensor whose name, shape or dtype differs from the agreed signature."""


class DivergedError(TaskError):
    """A loss or a parameter that is no longer a finite number."""


class RefusedUpdate(CirandaError):
    """An update that is not admitted; `reason` is one of `ciranda.core.update.REASONS`."""

    def __init__(self, reason: str, message: str, /, *, hint: str = "", **fields: object) -> None:
        super().__init__(message, hint=hint, **fields)
        self.reason = reason


class CodecError(CirandaError):
    """Bytes that are not what they claim to be."""


class StoreError(CirandaError):
    """The store could not keep what it was asked to keep."""


class Conflict(StoreError):
    """Another writer changed the record first."""


class Missing(StoreError):
    """There is no such run or blob."""


class RunError(CirandaError):
    """A run that cannot go on."""


class WorkerDied(RunError):
    """A worker process ended without an answer."""


class MissingExtra(CirandaError):
    """An optional dependency is needed and not installed."""

    def __init__(self, package: str, extra: str, purpose: str | Text) -> None:
        super().__init__(
            "{purpose} needs the package '{package}', which is not installed.",
            hint="Install it with: pip install 'ciranda[{extra}]'",
            purpose=purpose if isinstance(purpose, Text) else Text(purpose),
            package=package,
            extra=extra,
        )


class StopRequested(CirandaError):
    """Raised by a task's training to ask that the whole run stop; the text says why."""


def blame(error: BaseException) -> str:
    """The "FILE, line N" of the innermost frame that is the user's own code, or "" when there is none.

    Frames of installed packages and of this package are passed over: the user can't mend those.
    """
    place = ""
    frame = error.__traceback__
    while frame is not None:
        filename = frame.tb_frame.f_code.co_filename
        if not _NOT_THE_USERS.search(filename):
            place = f"{filename}, line {frame.tb_lineno}"
        frame = frame.tb_next
    return place
