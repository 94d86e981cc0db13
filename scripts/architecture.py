"""Which part may import which: reads every import of the package and reports what breaks the table.

`python scripts/architecture.py [FOLDER]` prints each breach and ends with 1 when there is one. FOLDER holds the package
(`src/ciranda` by default). Imports inside functions count; imports under TYPE_CHECKING count for the table and not for cycles.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "ciranda"
SOURCE = Path(__file__).resolve().parent.parent / "src" / PACKAGE

# The part of the standard library that has no clock, no entropy, no file, no network and no process in it.
PURE = frozenset(
    {"__future__", "abc", "base64", "binascii", "bisect", "collections", "contextlib", "copy", "dataclasses", "decimal", "enum"}
    | {
        "fractions",
        "functools",
        "hashlib",
        "heapq",
        "hmac",
        "inspect",
        "itertools",
        "json",
        "math",
        "numbers",
        "operator",
        "re",
        "statistics",
    }
    | {"string", "struct", "sys", "textwrap", "types", "typing", "unicodedata", "weakref", "zlib"}
)
# What can turn foreign bytes into running code.
EXECUTABLE = frozenset({"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"})


@dataclass(frozen=True)
class Rule:
    """What one folder may import: rows of the table or single modules of ours, third parties; and whether its standard library is PURE."""

    ours: tuple[str, ...] = ()
    third: tuple[str, ...] = ()
    pure: bool = False
    everything: bool = False


WIRE = ("core", "protocol", "privacy", "store", "runtimes")  # "runtimes" is what all of them share, never one of them
RULES: Mapping[str, Rule] = {
    "core": Rule(third=("numpy",), pure=True),
    "i18n": Rule(("core",)),
    "protocol": Rule(("core",), pure=True),
    "plugins": Rule(("core",)),
    "experiment": Rule(("core", "protocol", "plugins", "i18n"), ("pydantic", "pydantic_core")),
    "privacy": Rule(("core", "protocol"), ("numpy", "dp_accounting", "cryptography")),
    "store": Rule(("core",), ("pymongo", "psycopg")),
    "tasks": Rule(("core", "plugins"), ("numpy", "threadpoolctl", "torch", "xgboost", "lightgbm", "sklearn", "pyarrow", "datasets", "PIL")),
    "runtimes": Rule(WIRE, ("numpy",)),
    "runtimes.local": Rule(WIRE, ("numpy",)),
    "runtimes.http": Rule(WIRE, ("numpy", "fastapi", "starlette", "uvicorn", "httpx", "pydantic")),
    "runtimes.mqtt": Rule(WIRE, ("numpy", "paho", "aiomqtt", "amqtt")),
    "runtimes.serverless": Rule(WIRE, ("numpy", "boto3", "botocore", "awslambdaric")),
    "runtimes.flower": Rule(WIRE, ("numpy", "flwr", "flwr_datasets")),
    "testing": Rule(("core", "protocol", "store", "runtimes.base"), ("numpy", "pytest", "hypothesis")),
    "web": Rule(
        ("core", "store", "tasks.registry", "i18n"), ("numpy", "pydantic", "fastapi", "starlette", "nicegui", "sqlalchemy", "alembic")
    ),
    "learn": Rule(("core", "i18n"), ("numpy", "matplotlib")),
    "diagnosis": Rule(("core", "i18n"), ("numpy",)),
    "report": Rule(("core", "i18n"), ("numpy", "tensorboard", "mlflow")),
    "cli": Rule(everything=True),
}
# Modules outside the table, each with its reason. A breach here needs a new line here.
EXCEPTIONS: Mapping[str, str] = {
    PACKAGE: "the door: its names point lazily at cli and tasks, and nothing of ours is imported with it",
    f"{PACKAGE}.__main__": "python -m ciranda starts the command line",
}
# Modules that may name something EXECUTABLE, each with its reason.
EXECUTABLE_EXCEPTIONS: Mapping[str, str] = {
    f"{PACKAGE}.runtimes.local.pool": "hands this process's own objects to worker processes that it started itself",
    f"{PACKAGE}.testing.tasks": "checks that a task survives being handed to a worker process",
}


@dataclass(frozen=True)
class Import:
    """One import: the module named (of the package: the deepest module that exists), its line, and where it stands."""

    module: str
    line: int
    checking: bool
    nested: bool


@dataclass(frozen=True)
class Module:
    name: str
    path: Path
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"


def read(source: Path) -> dict[str, Module]:
    """The modules below `source`, by dotted name."""
    modules = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        name = ".".join((PACKAGE, *(part for part in parts if part != "__init__")))
        modules[name] = Module(name, path, ast.parse(path.read_text(encoding="utf-8"), str(path)))
    return modules


def imports(module: Module, modules: Mapping[str, Module]) -> Iterator[Import]:
    """Every import of `module`, wherever it stands."""
    yield from _imports(module, modules, module.tree, checking=False, nested=False)


def _imports(module: Module, modules: Mapping[str, Module], node: ast.AST, *, checking: bool, nested: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(_deepest(alias.name, modules), child.lineno, checking, nested)
        elif isinstance(child, ast.ImportFrom):
            base = _base(module, child)
            for target in dict.fromkeys(_deepest(f"{base}.{alias.name}", modules) for alias in child.names):
                yield Import(target, child.lineno, checking, nested)
        elif isinstance(child, ast.If) and ast.unparse(child.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            yield from _imports(module, modules, child, checking=True, nested=nested)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(module, modules, child, checking=checking, nested=nested or inside)


def _base(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    anchor = module.name.split(".")
    anchor = anchor[: len(anchor) - node.level + module.is_package]
    return ".".join([*anchor, *([node.module] if node.module else [])])


def _deepest(name: str, modules: Mapping[str, Module]) -> str:
    """`name` cut back to a module of the package that exists; another package's name as it is."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return name
    while len(parts) > 1 and ".".join(parts) not in modules:
        parts.pop()
    return ".".join(parts)


def folder(name: str) -> str:
    """The row of the table that a module of the package belongs to: "core", "runtimes.http", "runtimes" for runtimes/base.py."""
    parts = name.split(".")[1:]
    if parts[:1] == ["runtimes"] and ".".join(parts[:2]) in RULES:
        return ".".join(parts[:2])
    return parts[0] if parts else ""


def breaches(source: Path = SOURCE) -> list[str]:
    """Everything that breaks the table, each as `path:line: what`."""
    modules = read(source)
    found = []
    for module in modules.values():
        where = module.path.relative_to(source.parent)
        if module.name in EXCEPTIONS:
            found += [f"{where}:{line}: {what}" for line, what in _eager(module, modules)]
        elif folder(module.name) not in RULES:
            found.append(f"{where}:1: '{folder(module.name)}' has no row in the table")
        else:
            found += [f"{where}:{line}: {what}" for line, what in _forbidden(module, modules, RULES[folder(module.name)])]
        executable = [f"{where}:{line}: {what}" for line, what in _executable(module, modules)]
        if module.name not in EXECUTABLE_EXCEPTIONS:
            found += executable
        elif not executable:
            found.append(f"{where}:1: its exception in scripts/architecture.py is no longer needed")
    found += _cycles("modules", _edges(modules))
    found += _cycles("folders", _folder_edges(modules))
    return found


def _eager(module: Module, modules: Mapping[str, Module]) -> Iterator[tuple[int, str]]:
    """What the door imports at once and should not."""
    if module.name != PACKAGE:
        return
    for item in imports(module, modules):
        root = item.module.split(".")[0]
        if not item.checking and not item.nested and root not in sys.stdlib_module_names:
            yield item.line, f"{PACKAGE} imports {item.module} at once; its names are loaded when they are asked for"


def _forbidden(module: Module, modules: Mapping[str, Module], rule: Rule) -> Iterator[tuple[int, str]]:
    if rule.everything:
        return
    here = folder(module.name)
    for item in imports(module, modules):
        root, _, below = item.module.partition(".")
        if root == PACKAGE:
            row = folder(item.module)
            if row != here and row not in rule.ours and below not in rule.ours:
                yield item.line, f"{here} may not import {item.module}"
        elif root in sys.stdlib_module_names or (item.checking and root == "_typeshed"):
            if not item.checking and rule.pure and root not in PURE:
                yield item.line, f"{here} may not import {root}: it holds no clock, entropy, file, network or process"
        elif root not in rule.third:
            yield item.line, f"{here} may not import {root}"
    if rule.pure:
        yield from _impure_calls(module)


def _impure_calls(module: Module) -> Iterator[tuple[int, str]]:
    files = {"open", "input", "print"}
    numpy = {"load", "save", "savez", "savez_compressed", "memmap", "fromfile", "loadtxt", "savetxt", "genfromtxt"}
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        call = ast.unparse(node.func)
        if call in files or (call.split(".")[0] in {"np", "numpy"} and call.split(".")[-1] in numpy) or call.endswith(".tofile"):
            yield node.lineno, f"{folder(module.name)} may not call {call}: it touches no file"
        if call.endswith("random.default_rng") and not node.args:
            yield node.lineno, f"{folder(module.name)} may not draw without a key: {call}()"


def _executable(module: Module, modules: Mapping[str, Module]) -> Iterator[tuple[int, str]]:
    for item in imports(module, modules):
        if item.module.split(".")[0] in EXECUTABLE:
            yield item.line, f"{item.module}: nothing executable is loaded"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"torch.load", "eval", "exec"}:
            yield node.lineno, f"{ast.unparse(node.func)}: nothing executable is loaded"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield node.value.lineno, "allow_pickle: nothing executable is loaded"


def _edges(modules: Mapping[str, Module]) -> dict[str, set[str]]:
    return {
        name: {item.module for item in imports(module, modules) if item.module in modules and not item.checking} - {name}
        for name, module in modules.items()
        if name not in EXCEPTIONS
    }


def _folder_edges(modules: Mapping[str, Module]) -> dict[str, set[str]]:
    edges: dict[str, set[str]] = {}
    for name, targets in _edges(modules).items():
        edges.setdefault(folder(name), set()).update(folder(target) for target in targets if target not in EXCEPTIONS)
    return {name: targets - {name} for name, targets in edges.items()}


def _cycles(what: str, edges: Mapping[str, set[str]]) -> list[str]:
    """The knots: sets of two or more nodes that reach each other."""
    reached = {name: _reach(name, edges) for name in edges}
    knots = {frozenset(other for other in reached[name] if name in reached.get(other, ())) for name in edges if name in reached[name]}
    return [f"{what} import each other: {', '.join(sorted(knot))}" for knot in sorted(knots, key=sorted)]


def _reach(start: str, edges: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(edges.get(start, ()))
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(edges.get(name, ()))
    return seen


def main() -> int:
    found = breaches(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else SOURCE)
    print("\n".join(found) or "architecture: no breach")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
