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

# Installed packages, the standard library (on Windows too), what is frozen into the interpreter, and this package.
_NOT_THE_USERS = re.compile(
    r"[\\/](site-packages|dist-packages|lib[\\/]python3[^\\/]*|Lib)[\\/]|^<frozen|[\\/]ciranda[\\/](core|tasks|runtimes|cli)[\\/]"
)


class CirandaError(Exception):
    """The base of all. `str(error)` says what is wrong and where; `hint` says what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # The default would call the class with `args` alone and lose the hint between processes.
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

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
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

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed.",
            hint=f"Install it with: pip install 'ciranda[{extra}]'",
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
