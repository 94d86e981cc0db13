"""A user's own Python file, loaded as a module of its own."""

from __future__ import annotations

import importlib.util
import sys
from hashlib import sha256
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from ciranda.core.errors import CirandaError, blame
from ciranda.core.texts import Text

_CONTENT = "__ciranda_content__"


def is_file(name: str) -> bool:
    """Whether a name in an experiment means a file, "mine.py" or "mine.py:Class", and not something that is built in."""
    _, suffix, rest = name.rpartition(".py")
    return suffix == ".py" and rest[:1] in ("", ":")


def split(name: str) -> tuple[str, str]:
    """The file and the class ("" if none is given) of "mine.py:Class"."""
    file, _, wanted = name.rpartition(":") if ".py:" in name else (name, "", "")
    return file, wanted


class _Source(SourceFileLoader):
    """Reads the source each time: bytecode that lies beside it may be of a file of the same length, written in the same second."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def load_module(path: Path, fault: type[CirandaError]) -> ModuleType:
    """The module that the file holds, executed once, and again when the file has changed.

    Raises `fault`, with the line, for an error in it.
    """
    # One name for each file, so that two files called task.py do not share a module, and objects of it can be pickled between processes
    # that loaded the same file.
    name = f"ciranda_user_{path.stem}_{sha256(str(path).encode()).hexdigest()[:8]}"
    source = path.read_bytes()
    content = sha256(source).hexdigest()
    known = sys.modules.get(name)
    if known is not None and vars(known).get(_CONTENT) == content:
        # Classes made a second time would be other classes: their objects could not be handed to a worker process.
        return known
    spec = importlib.util.spec_from_file_location(name, path, loader=_Source(name, str(path)))
    if spec is None or spec.loader is None:
        raise fault("{path} cannot be loaded as Python.", path=path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        if b"\0" in source:  # which some versions of Python name without the line
            line = source[: source.index(b"\0")].count(b"\n") + 1
            raise SyntaxError("source code cannot contain null bytes", (str(path), line, None, None))
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise fault(
            "{filename}, line {lineno}: {msg}: {text}",
            filename=error.filename or path,
            lineno=error.lineno or 1,
            msg=error.msg,
            text=(error.text or "").strip(),
        ) from error
    except CirandaError:
        raise
    except SystemExit as error:
        hint = 'Put what ends the process below `if __name__ == "__main__":`.'
        raise fault("{place}: the file ends the process when it is loaded.", hint=hint, place=blame(error) or str(path)) from error
    except Exception as error:
        place = blame(error) or str(path)
        raise fault("{place}: {kind}: {error}", place=place, kind=type(error).__name__, error=first_line(error)) from error
    finally:
        sys.path.remove(str(path.parent))
    vars(module)[_CONTENT] = content
    return module


def first_line(error: BaseException) -> str | Text:
    text = str(error).strip()
    return text.splitlines()[0] if text else Text("no message")
