"""A reader for the pickles in which CIFAR-10 is published, which runs nothing.

A pickle is a program: `pickle.load` may call any function that the file names. Here the opcodes are only read (by `pickletools`), and the
few that build dictionaries, lists, numbers, texts and plain numeric arrays are carried out by our own code; at any other, or at any name
beyond those with which numpy writes arrays, reading stops.
"""

from __future__ import annotations

import pickletools
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from ciranda.core.errors import DataError
from ciranda.core.task import Array
from ciranda.core.texts import Text

_NUMPY_CORE = ("numpy.core", "numpy._core")
_NAMES = {
    **{f"{core}.multiarray _reconstruct": "reconstruct" for core in _NUMPY_CORE},
    **{f"{core}.numeric _frombuffer": "frombuffer" for core in _NUMPY_CORE},
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",
    "__builtin__ bytes": "no bytes",
}
_DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
_IGNORED = {"PROTO", "FRAME"}
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "SHORT_BINSTRING", "BINSTRING", "BINUNICODE", "SHORT_BINUNICODE"}
_VALUES |= {"SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Refused(Exception):
    """The pickle does something that a file of arrays has no need of; `text` says what, after "a pickle that"."""

    def __init__(self, template: str, **fields: object) -> None:
        self.text = Text(template, **fields)
        super().__init__(str(self.text))


@dataclass(frozen=True)
class _Name:
    """A name that the pickle may mention: a value of `_NAMES`. It is never looked up anywhere."""

    role: str


@dataclass
class _Dtype:
    code: str
    order: str = "|"

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(f"{'>' if self.order == '>' else '<'}{self.code}")


@dataclass
class _Array:
    """An array that may still be empty: numpy's pickles first make it and then fill it."""

    value: Array | None = None


def read_pickle(data: bytes, where: str) -> dict[str, Any]:
    """The dictionary in a pickle (protocols 2 to 5, Python 2 or 3): numbers, texts, bytes, lists, tuples and numeric arrays.

    Args:
        data: the file's bytes.
        where: the file's name, for messages.

    Raises:
        DataError: the pickle is damaged, is no dictionary, or holds anything but plain data; nothing of it has run.
    """
    machine = _Machine()
    try:
        with warnings.catch_warnings():
            # An odd escape in a damaged text is no news for the user: the damage is.
            warnings.simplefilter("ignore", DeprecationWarning)
            for opcode, argument, _ in pickletools.genops(data):
                machine.step(opcode.name, argument)
        return machine.result()
    except _Refused as error:
        raise DataError(
            "{where} was not loaded: it is a pickle that {error}.",
            hint="Fetch the file again from its publisher.",
            where=where,
            error=error,
        ) from error
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise DataError("{where} is a damaged pickle: {error}.", hint="Fetch the file again.", where=where, error=error) from error


class _Machine:
    """The stack machine of the pickle format, without its calls."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:
        if opcode in _VALUES:
            self.stack.append(argument)
        elif opcode in _CONSTANTS:
            self.stack.append(_CONSTANTS[opcode])
        elif opcode in _TUPLES:
            self.stack.append(tuple(self._pop(_TUPLES[opcode])))
        elif opcode in _IGNORED or opcode == "STOP":
            pass
        else:
            action = _ACTIONS.get(opcode)
            if action is None:
                raise _Refused("uses the instruction {opcode}", opcode=opcode)
            action(self, argument)

    def result(self) -> dict[str, Any]:
        (top,) = self.stack
        if not isinstance(top, dict):
            raise _Refused("holds no dictionary")
        if any(isinstance(value, _Name | _Dtype) or (isinstance(value, _Array) and value.value is None) for value in top.values()):
            raise _Refused("holds an array that was never filled")
        return {_text(key): value.value if isinstance(value, _Array) else value for key, value in top.items()}

    def _pop(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise ValueError("its stack is empty")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def _since_mark(self) -> list[Any]:
        return self._pop(len(self.stack) - self.marks.pop())

    def _mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _empty_list(self, _: Any) -> None:
        self.stack.append([])

    def _empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def _append(self, _: Any) -> None:
        self._extend(self._pop(1))

    def _appends(self, _: Any) -> None:
        self._extend(self._since_mark())

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise _Refused("appends to something that is not a list")
        self.stack[-1].extend(items)

    def _set_item(self, _: Any) -> None:
        self._update(self._pop(2))

    def _set_items(self, _: Any) -> None:
        self._update(self._since_mark())

    def _update(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise _Refused("sets items of something that is not a dictionary")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _put(self, argument: Any) -> None:
        self.memo[argument] = self.stack[-1]

    def _memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self, argument: Any) -> None:
        self.stack.append(self.memo[argument])

    def _global(self, argument: Any) -> None:
        self._name(str(argument))

    def _stack_global(self, _: Any) -> None:
        module, name = self._pop(2)
        self._name(f"{module} {name}")

    def _name(self, name: str) -> None:
        if name not in _NAMES:
            raise _Refused("names {name!r}, which is no part of an array", name=name.replace(" ", "."))
        self.stack.append(_Name(_NAMES[name]))

    def _reduce(self, _: Any) -> None:
        called, arguments = self._pop(2)
        if not isinstance(called, _Name) or not isinstance(arguments, tuple):
            raise _Refused("calls something that is not a function")
        self.stack.append(_construct(called.role, arguments))

    def _build(self, _: Any) -> None:
        state = self._pop(1)[0]
        target = self.stack[-1]
        if isinstance(target, _Dtype):
            target.order = _text(state[1])
        elif isinstance(target, _Array):
            _, shape, dtype, fortran, raw = state
            target.value = _filled(raw, dtype, shape, "F" if fortran else "C")
        else:
            raise _Refused("sets the state of something that is not an array")


_ACTIONS = {
    "MARK": _Machine._mark,
    "TUPLE": _Machine._tuple,
    "EMPTY_LIST": _Machine._empty_list,
    "EMPTY_DICT": _Machine._empty_dict,
    "APPEND": _Machine._append,
    "APPENDS": _Machine._appends,
    "SETITEM": _Machine._set_item,
    "SETITEMS": _Machine._set_items,
    "BINPUT": _Machine._put,
    "LONG_BINPUT": _Machine._put,
    "MEMOIZE": _Machine._memoize,
    "BINGET": _Machine._get,
    "LONG_BINGET": _Machine._get,
    "GLOBAL": _Machine._global,
    "STACK_GLOBAL": _Machine._stack_global,
    "REDUCE": _Machine._reduce,
    "BUILD": _Machine._build,
}


def _construct(role: str, arguments: tuple[Any, ...]) -> Any:
    """What the few permitted calls make."""
    match role:
        case "encode":
            return _bytes(arguments[0])
        case "no bytes" if not arguments:
            return b""
        case "dtype":
            code = _text(arguments[0])
            if code not in _DTYPES:
                raise _Refused("holds an array of dtype {code!r}, which is not a plain number", code=code)
            return _Dtype(code)
        case "reconstruct" if arguments[0] == _Name("ndarray"):
            return _Array()
        case "frombuffer":
            raw, dtype, shape, order = arguments
            return _Array(_filled(raw, dtype, shape, _text(order)))
        case _:
            raise _Refused("makes an array with {role}, which is not how arrays are written", role=role)


def _filled(raw: Any, dtype: Any, shape: Any, order: str) -> Array:
    if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise _Refused("holds an array without a proper dtype and shape")
    # reshape fails when the product of the shape is not what the bytes hold, before anything is allocated.
    return np.frombuffer(_bytes(raw), dtype.numpy()).reshape(shape, order="F" if order == "F" else "C")


def _bytes(value: Any) -> bytes:
    """Bytes as Python 3 wrote them, or a byte string of Python 2, which `pickletools` shows as Latin-1 text."""
    if isinstance(value, str):
        return value.encode("latin-1")
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    raise _Refused("has something else where bytes are due")


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
