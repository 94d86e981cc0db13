"""How a command ends: what is printed for an error, and with which exit status."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable

import typer

from ciranda import i18n
from ciranda.core.errors import CirandaError
from ciranda.i18n import _

USAGE = 2
INTERRUPTED = 130


def guarded(command: Callable[[], object], *, debug: bool) -> int:
    """Run `command` and return the exit status: 0, 1 for an error, 2 for wrong usage, 130 for Ctrl-C."""
    try:
        outcome = command()
        sys.stdout.flush()  # here, where a reader that is gone is no fault, and not at exit
    except typer.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        tell(_("Interrupted"))
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_gone()
    except Exception as error:
        # Wrong usage is told by the option parser, whose exceptions live in click or in typer, depending on its version.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            return USAGE
        if debug:
            traceback.print_exc()
        return _told(error, debug)
    return outcome if isinstance(outcome, int) else 0


def tell(text: str) -> None:
    """Print on standard error."""
    print(text, file=sys.stderr)


def _told(error: Exception, debug: bool) -> int:
    if isinstance(error, CirandaError):
        text, hint = error.in_language(i18n.tell)
        tell(f"{_('Error')}: {text}")
        if hint:
            tell(hint)
    elif isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        tell(f"{_('Error')}: {error.strerror or error}{place}")
        if error.errno == errno.ENOSPC:
            tell(_("Free some space, then go on with: ciranda resume RUN"))
    elif isinstance(error, MemoryError):
        tell(f"{_('Error')}: {_('the memory does not suffice. Fewer --workers or a smaller batch need less.')}")
    else:
        tell(f"{_('Something went wrong inside')}: {type(error).__name__}: {error}")
        if not debug:
            tell(_("Run again with --debug to see where."))
    return 1


def _reader_gone() -> int:
    """Whoever read our output stopped, as `head` does; what is still to be flushed at exit goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return 1
