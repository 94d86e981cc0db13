"""The catalogue of translations: collects what users read from the source, keeps the .po file in step, compiles it.

`python scripts/catalogue.py` updates src/ciranda/i18n/locale and names what has no translation yet; `python scripts/catalogue.py check`
changes nothing and ends with 1 on any problem: a text that is no literal, one without translation, a translation with other fields than
its text, a catalogue that is not in step with the source.

What users read: the literals given to `_`, `plural`, `Text`, `marked`, to errors (message and hint), as `help=`, and as `summary`.
"""

from __future__ import annotations

import ast
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "ciranda"
PO = Path("i18n/locale/pt/LC_MESSAGES/ciranda.po")
HEADER = "Content-Type: text/plain; charset=UTF-8\nLanguage: pt_BR\nPlural-Forms: nplurals=2; plural=(n != 1);\n"

# Function -> the places of its literals. An error that is not named here has them where its `__init__` takes `message`.
PLACES: Mapping[str, tuple[int, ...]] = {
    "_": (0,),
    "plural": (0, 1),
    "Text": (0,),
    "marked": (0,),
    "problem": (0,),
    "blamed": (1,),
    "MissingExtra": (2,),
    "_entry": (1,),
    "_Refused": (0,),
    "fault": (0,),  # a parameter: which error to raise
    "Partitioner": (0,),
}
# Functions whose name means this in one folder only.
WITHIN: Mapping[str, str] = {"problem": "ciranda/experiment/"}
# Functions that may also be handed a text that was marked elsewhere.
LENIENT = frozenset({"Text", "MissingExtra", "blamed", "_entry"})
KEYWORDS = frozenset({"hint", "help"})
ATTRIBUTES = frozenset({"summary"})
# What the option parser says of its own accord, through the same catalogue: text -> plural.
FOREIGN: Mapping[str, str] = {
    "Usage:": "",
    "Options": "",
    "Arguments": "",
    "Commands": "",
    "required": "",
    "default: {default}": "",
    "Show this message and exit.": "",
    "Try '{command} {option}' for help.": "",
    "Error: {message}": "",
    "Missing argument": "",
    "Missing option": "",
    "Missing command.": "",
    "No such option: {name}": "",
    "No such command {name!r}.": "",
    "Invalid value: {message}": "",
    "Invalid value for {param_hint}: {message}": "",
    "{value} is not in the range {range}.": "",
    "{value!r} is not a valid {number_type}.": "",
    "Option {name!r} does not take a value.": "",
    "Option {name!r} requires an argument.": "Option {name!r} requires {nargs} arguments.",
    "Got unexpected extra argument ({args})": "Got unexpected extra arguments ({args})",
    "Did you mean {possibility}?": "(Possible options: {possibilities})",
}


@dataclass
class Entry:
    """One text: its plural form if it has one, the files it occurs in, its translation (two for a plural)."""

    msgid: str
    plural: str = ""
    files: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


@dataclass
class Found:
    """What the source holds: texts by their English, and faults as `path:line: what`."""

    entries: dict[str, Entry] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def add(self, msgid: str, where: str, plural: str = "") -> None:
        if not _has_words(msgid):
            return
        entry = self.entries.setdefault(msgid, Entry(msgid))
        entry.plural = plural or entry.plural
        if where not in entry.files:
            entry.files.append(where)


def collect(source: Path = PACKAGE) -> Found:
    """Every text of the package."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(source.rglob("*.py"))}
    errors = _errors(trees.values())
    constants: dict[str, list[ast.expr]] = {}
    for tree in trees.values():
        for name, values in _assigned(tree.body).items():
            constants.setdefault(name, []).extend(values)
    found = Found()
    for path, tree in trees.items():
        _Reader(found, path.relative_to(source.parent).as_posix(), errors, constants).visit(tree)
    for text, plural in FOREIGN.items():
        found.add(text, "click", plural)
    return found


def _errors(trees: Iterable[ast.Module]) -> dict[str, int]:
    """The classes below CirandaError -> the place of their message."""
    classes = {node.name: node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    known = {"CirandaError": 0}
    while more := {name: node for name, node in classes.items() if name not in known and _bases(node) & known.keys()}:
        for name, node in more.items():
            own = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
            inherited = next(known[base] for base in _bases(node) if base in known)
            known[name] = _message_place(own[0]) if own else inherited
    return known


def _bases(node: ast.ClassDef) -> set[str]:
    return {base.id for base in node.bases if isinstance(base, ast.Name)}


def _message_place(init: ast.FunctionDef) -> int:
    names = [argument.arg for argument in (*init.args.posonlyargs, *init.args.args)][1:]
    return names.index("message") if "message" in names else -1


def _assigned(body: Iterable[ast.AST]) -> dict[str, list[ast.expr]]:
    """Name -> every value it is given in these statements, wherever they stand."""
    values: dict[str, list[ast.expr]] = {}
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        values.setdefault(target.id, []).append(node.value)
            elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and isinstance(node.target, ast.Name) and node.value is not None:
                values.setdefault(node.target.id, []).append(node.value)
    return values


class _Reader(ast.NodeVisitor):
    """Collects the texts of one module."""

    def __init__(self, found: Found, where: str, errors: Mapping[str, int], constants: Mapping[str, list[ast.expr]]) -> None:
        self._found, self._where, self._errors, self._constants = found, where, errors, constants
        self._scopes: list[dict[str, list[ast.expr]]] = []
        self._class = ""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._scopes.append(_assigned(node.body))
        self.generic_visit(node)
        self._scopes.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        outer, self._class = self._class, node.name
        self.generic_visit(node)
        self._class = outer

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name) and node.target.id in ATTRIBUTES and node.value is not None:
            self._take(node.value, node, strict=True)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if not self._where.startswith(WITHIN.get(name, "")):
            name = ""
        inner = name == "__init__" and self._class in self._errors
        if inner and node.args:  # super().__init__("...", hint="..."): a literal counts, what is only handed on does not
            for value in (node.args[0], *(keyword.value for keyword in node.keywords if keyword.arg == "hint")):
                self._take(value, node, strict=False)
        places = PLACES.get(name) or ((self._errors[name],) if self._errors.get(name, -1) >= 0 else ())
        if name == "plural" and len(node.args) > 1 and all(isinstance(arg, ast.Constant) for arg in node.args[:2]):
            one, many = (str(arg.value) for arg in node.args[:2] if isinstance(arg, ast.Constant))
            self._found.add(one, self._where, many)
        else:
            for place in places:
                if place < len(node.args) and not isinstance(node.args[place], ast.Starred):
                    self._take(node.args[place], node, strict=name not in LENIENT)
        if name in self._errors or places or any(keyword.arg == "help" for keyword in node.keywords):
            for keyword in node.keywords:
                if keyword.arg in KEYWORDS:
                    self._take(keyword.value, node, strict=True)
        self.generic_visit(node)

    def _take(self, value: ast.expr, node: ast.AST, *, strict: bool) -> None:
        texts = self._literals(value, set())
        if texts is None:
            if strict:
                line = getattr(node, "lineno", 0)
                self._found.faults.append(f"{self._where}:{line}: a text that is no literal: {ast.unparse(value)[:80]}")
            return
        for text in texts:
            self._found.add(text, self._where)

    def _literals(self, value: ast.expr, seen: set[str]) -> list[str] | None:
        """Every text that `value` can be, None if that cannot be told from the source."""
        if isinstance(value, ast.Constant):
            return [value.value] if isinstance(value.value, str) else [] if value.value is None else None
        if isinstance(value, ast.IfExp | ast.BoolOp):
            sides = [value.body, value.orelse] if isinstance(value, ast.IfExp) else value.values
            return _all(self._literals(side, seen) for side in sides)
        if isinstance(value, ast.Name) and value.id not in seen:
            given = next((scope[value.id] for scope in reversed(self._scopes) if value.id in scope), self._constants.get(value.id, []))
            return _all(self._literals(each, seen | {value.id}) for each in given) if given else None
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in ("_", "Text", "marked"):
            return []  # collected where it is called
        return None


def _all(parts: Iterable[list[str] | None]) -> list[str] | None:
    found: list[str] = []
    for part in parts:
        if part is None:
            return None
        found += part
    return found


def fields(text: str) -> set[str]:
    """The names of the fields of a template."""
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def _has_words(text: str) -> bool:
    """Whether there is anything to translate beside the fields."""
    try:
        return any(character.isalpha() for literal, _, _, _ in Formatter().parse(text) for character in literal)
    except ValueError:
        return True


# --- the .po file


def read(path: Path) -> dict[str, Entry]:
    """The entries of a .po file as this script writes it. Raises ValueError for a line it does not know."""
    entries: dict[str, Entry] = {}
    parts: dict[str, str] = {}
    key = ""
    for line in [*(path.read_text(encoding="utf-8").splitlines() if path.exists() else []), ""]:
        if not line:
            if parts.get("msgid"):
                told = [parts[name] for name in ("msgstr", "msgstr[0]", "msgstr[1]") if name in parts]
                entries[parts["msgid"]] = Entry(parts["msgid"], parts.get("msgid_plural", ""), told=told)
            parts, key = {}, ""
        elif line.startswith('"') and key:
            parts[key] += ast.literal_eval(line)
        elif line.startswith("msg"):
            key, _, text = line.partition(" ")
            parts[key] = ast.literal_eval(text)
        elif not line.startswith("#"):
            raise ValueError(f"{path}: cannot read {line!r}")
    return entries


def written(entries: Iterable[Entry]) -> str:
    """The text of a .po file."""
    blocks = ["\n".join(_pair("msgid", "") + _pair("msgstr", HEADER))]
    for entry in sorted(entries, key=lambda entry: (entry.files[:1], entry.msgid)):
        lines = [f"#: {' '.join(entry.files)}", *_pair("msgid", entry.msgid)]
        if entry.plural:
            told = entry.told if len(entry.told) == 2 else ["", ""]
            lines += _pair("msgid_plural", entry.plural) + _pair("msgstr[0]", told[0]) + _pair("msgstr[1]", told[1])
        else:
            lines += _pair("msgstr", entry.told[0] if len(entry.told) == 1 else "")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _pair(key: str, text: str) -> list[str]:
    pieces = text.split("\n")
    if len(pieces) == 1:
        return [f"{key} {_quoted(text)}"]
    lines = [f"{piece}\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])
    return [f'{key} ""', *map(_quoted, lines)]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'


def compiled(entries: Iterable[Entry]) -> bytes:
    """The .mo file: what `gettext` reads. Texts without a translation are left out."""
    pairs = {b"": HEADER.encode()}
    for entry in entries:
        if entry.told and all(entry.told):
            key = f"{entry.msgid}\0{entry.plural}" if entry.plural else entry.msgid
            pairs[key.encode()] = "\0".join(entry.told).encode()
    keys = sorted(pairs)
    start = 28 + 16 * len(keys)
    tables, data = [b"", b""], b""
    for number, texts in enumerate((keys, [pairs[key] for key in keys])):
        for text in texts:
            tables[number] += struct.pack("<II", len(text), start + len(data))
            data += text + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(keys), 28, 28 + 8 * len(keys), 0, 0)
    return head + tables[0] + tables[1] + data


# --- in step


def merged(found: Found, known: Mapping[str, Entry]) -> list[Entry]:
    """The source's texts with the translations that are known."""
    return [
        Entry(entry.msgid, entry.plural, entry.files, list(known[msgid].told) if msgid in known else [])
        for msgid, entry in found.entries.items()
    ]


def problems(entries: Iterable[Entry]) -> Iterator[str]:
    """What is wrong with the translations."""
    for entry in entries:
        where = f"{entry.files[0]}: {entry.msgid!r}"
        if len(entry.told) != (2 if entry.plural else 1) or not all(entry.told):
            yield f"{where} has no translation"
            continue
        for english, told in zip((entry.msgid, entry.plural), entry.told, strict=False):
            try:
                same = fields(english) == fields(told) or bool(entry.plural and fields(told) <= fields(entry.plural))
            except ValueError as error:
                yield f"{where}: {error}"
                continue
            if not same:
                yield f"{where}: its translation has other fields: {told!r}"


def _in_step(path: Path, entries: Iterable[Entry]) -> bool:
    """Whether both files hold these texts. Which file of the source a text stands in does not matter."""
    known = {(entry.msgid, entry.plural, *entry.told) for entry in read(path).values() if any(entry.told)}
    wanted = {(entry.msgid, entry.plural, *entry.told) for entry in entries if any(entry.told)}
    binary = path.with_suffix(".mo")
    return known == wanted and binary.is_file() and binary.read_bytes() == compiled(entries)


def main() -> int:
    """Update, or with "check" only tell what is wrong."""
    path = PACKAGE / PO
    found = collect()
    entries = merged(found, read(path))
    faults = [*found.faults, *problems(entries)]
    if sys.argv[1:] == ["check"]:
        if not _in_step(path, entries):
            faults.append("the catalogue is not in step with the source: run python scripts/catalogue.py")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(written(entries), encoding="utf-8")
        path.with_suffix(".mo").write_bytes(compiled(entries))
    print("\n".join(faults) or f"catalogue: {len(entries)} texts, all translated")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
