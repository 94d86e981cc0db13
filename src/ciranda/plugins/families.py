"""Where a strategy, a stage or a selection rule comes from, by its name in an experiment: built in, an entry point, or a user's file.

A package announces its own under the groups `ciranda.strategies`, `ciranda.stages` and `ciranda.selections`, in its pyproject.toml:

    [project.entry-points."ciranda.strategies"]
    median = "my_package.strategies:Median"
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from ciranda.core.errors import ExperimentError, blame
from ciranda.core.selection import SELECTIONS
from ciranda.core.stages import STAGES
from ciranda.core.strategies import STRATEGIES
from ciranda.core.texts import Text
from ciranda.plugins.files import first_line, is_file, load_module, split


@dataclass(frozen=True)
class Family:
    """One kind of thing that an experiment names.

    Attributes:
        noun: what messages call one of them.
        group: of entry points.
        builtin: name -> class.
        methods: what a class of the family has.
        example: what to do about a class that has not.
    """

    noun: Text
    group: str
    builtin: Mapping[str, type[Any]]
    methods: tuple[str, ...]
    example: Text

    def entries(self) -> dict[str, EntryPoint]:
        """The entry points of installed packages; what is built in cannot be replaced."""
        return {entry.name: entry for entry in entry_points(group=self.group) if entry.name not in self.builtin}

    def names(self) -> tuple[str, ...]:
        """What an experiment may name, files aside."""
        return (*self.builtin, *sorted(self.entries()))

    def knows(self, name: str) -> bool:
        """Whether `name` means anything: a file, which need not be there, or one of `names`."""
        return is_file(name) or name in self.builtin or name in self.entries()

    def find(self, name: str) -> type[Any]:
        """The class that `name` means; a relative file is looked for in the working folder.

        Raises:
            ExperimentError: there is no such name, file or class, or what was found is not of this family.
        """
        if is_file(name):
            return self._from_file(name)
        if name in self.builtin:
            return self.builtin[name]
        entries = self.entries()
        if name not in entries:
            raise ExperimentError(
                "There is no {noun} '{name}'.",
                hint="Choose one of: {names}. Or give a file: my_file.py:MyClass.",
                noun=self.noun,
                name=name,
                names=", ".join(self.names()),
            )
        return self._from_entry(entries[name])

    def classes(self, module: ModuleType) -> dict[str, type[Any]]:
        """The classes of this family that a user's module defines itself."""
        return {name: value for name, value in vars(module).items() if self._is_ours(value) and value.__module__ == module.__name__}

    def _from_file(self, name: str) -> type[Any]:
        file, wanted = split(name)
        path = Path(file).resolve()
        if not path.is_file():
            raise ExperimentError("There is no file {path}.", hint="{example}", path=path, example=self.example)
        module = load_module(path, ExperimentError)
        found = self.classes(module)
        if wanted and wanted not in vars(module):
            names = ", ".join(found) or Text("none")
            raise ExperimentError(
                "{file} has no class '{wanted}'; of the kind {noun} in it: {names}.",
                file=path.name,
                wanted=wanted,
                noun=self.noun,
                names=names,
            )
        if not wanted and len(found) != 1:
            if not found:
                raise ExperimentError("{file} has no {noun}.", hint="{example}", file=path.name, noun=self.noun, example=self.example)
            raise ExperimentError(
                "{file} has several of the kind {noun}: {names}.",
                hint="Name one: {file}:{first}",
                file=path.name,
                noun=self.noun,
                names=", ".join(found),
                first=next(iter(found)),
            )
        return self._checked(vars(module)[wanted] if wanted else next(iter(found.values())), name)

    def _from_entry(self, entry: EntryPoint) -> type[Any]:
        try:
            value = entry.load()
        except Exception as error:
            raise ExperimentError(
                "The {noun} '{name}' ({value}) cannot be loaded: {kind}: {error} ({place})",
                noun=self.noun,
                name=entry.name,
                value=entry.value,
                kind=type(error).__name__,
                error=first_line(error),
                place=blame(error) or entry.module,
            ) from error
        return self._checked(value, entry.name)

    def _is_ours(self, value: object) -> bool:
        return isinstance(value, type) and all(callable(getattr(value, method, None)) for method in self.methods)

    def _checked(self, value: Any, name: str) -> type[Any]:
        """A class that can be made and listed."""
        missing = [method for method in self.methods if not callable(getattr(value, method, None))]
        lacking = sorted({*missing, *getattr(value, "__abstractmethods__", ())})
        if not inspect.isclass(value) or lacking:
            raise ExperimentError(
                "'{name}' is no {noun}: it lacks {methods}.",
                hint="{example}",
                example=self.example,
                name=name,
                noun=self.noun,
                methods=", ".join(f"{method}()" for method in lacking) or Text("a class"),
            )
        if not isinstance(getattr(value, "name", None), str):
            raise ExperimentError(
                "'{name}' has no name.", hint='Give the class a line such as name: ClassVar[str] = "{example}".', name=name, example="mine"
            )
        return value


STRATEGY = Family(
    Text("strategy"),
    "ciranda.strategies",
    STRATEGIES,
    ("init", "apply"),
    Text(
        "A strategy is a frozen dataclass such as `class Mine(ciranda.BaseStrategy)` with init(model) and apply(state, model, aggregate)."
    ),
)
STAGE = Family(
    Text("stage"),
    "ciranda.stages",
    STAGES,
    ("encode", "decode"),
    Text("A stage is a frozen dataclass such as `class Mine(ciranda.Stage)` with encode(update, state) and decode(message, contract)."),
)
SELECTION = Family(
    Text("selection rule"),
    "ciranda.selections",
    SELECTIONS,
    ("shortlist", "choose"),
    Text("A selection rule is a frozen dataclass such as `class Mine(ciranda.SelectionRule)` with choose(call, losses)."),
)
