"""What a sweep tries: the combinations of the values in --grid, as whole experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from ciranda.cli.study.trial import changed
from ciranda.core.errors import ExperimentError
from ciranda.core.rng import Draw
from ciranda.core.selection import sample
from ciranda.core.strategies import STRATEGIES
from ciranda.experiment.explain import Origin
from ciranda.experiment.names import kebab, parameters
from ciranda.experiment.overrides import parse_value
from ciranda.experiment.schema import Experiment

Value = str | bool | int | float
TRAINING = ("rounds", "client", "strategy", "privacy")
"""Sections that say how a model is trained. The others say what is measured, and values measured differently do not compare."""
MOST = 10_000
_CLOSING = {'"': '"', "'": "'", "[": "]"}


@dataclass(frozen=True)
class Candidate:
    """One combination: its number from 1, the values it tries by "section.key" (those that apply to it), and the whole experiment."""

    number: int
    values: Mapping[str, Value]
    experiment: Experiment

    @property
    def label(self) -> str:
        """The values in short: `fedadam, learning-rate 0.01`."""
        shorts = [key.partition(".")[2] for key in self.values]
        words = []
        for (key, value), short in zip(self.values.items(), shorts, strict=True):
            words.append(text_of(value) if key == "strategy.name" else f"{short if shorts.count(short) == 1 else key} {text_of(value)}")
        return ", ".join(words)


def text_of(value: Value) -> str:
    """A value as TOML writes it, without the quotes."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def parse_grid(entries: Sequence[str]) -> dict[str, list[Value]]:
    """ "client.learning-rate=0.01,0.1" and the like as key -> values, TOML scalars, each once.

    Raises:
        ExperimentError: an entry of another form, a key given twice, or one that does not say how to train.
    """
    grid: dict[str, list[Value]] = {}
    for entry in entries:
        key, equals, text = entry.partition("=")
        section, dot, name = (part.strip() for part in key.partition("."))
        values = [parse_value(each.strip()) for each in _pieces(text)]
        if not (equals and dot and section and name and text.strip()) or "" in values or any(isinstance(each, list) for each in values):
            raise ExperimentError(
                "--grid {entry}: not of the form section.key=value,value.",
                entry=entry,
                hint="For example: --grid client.learning-rate=0.01,0.1",
            )
        if section not in TRAINING:
            raise ExperimentError(
                "--grid {entry}: [{section}] says what is measured, not how to train; values of it cannot be chosen by validation.",
                entry=entry,
                section=section,
                hint="The grid may hold keys of: {sections}. Change others with --set.",
                sections=", ".join(TRAINING),
            )
        full = f"{section}.{kebab(name)}"
        if full in grid:
            raise ExperimentError("--grid {key} is given twice.", key=full, hint="Give all its values at once: --grid {key}=1,2,3")
        grid[full] = list(dict.fromkeys(values))
    return grid


def candidates(base: Experiment, grid: Mapping[str, Sequence[Value]], random: int | None = None) -> list[Candidate]:
    """Every combination of the grid, each once; with `random`, so many of them, drawn by the experiment's seed.

    A parameter in the grid that a strategy in the grid does not have is left out with that strategy: fedavg,fedadam with two values of
    strategy.tau are three candidates. What the base says for a strategy of another name is left out too.

    Raises:
        ExperimentError: a combination that cannot work, an empty grid, or a parameter that no strategy here has.
    """
    total = 1
    for values in grid.values():
        total *= len(values)
    if not grid or total > MOST:
        raise ExperimentError(
            "A grid of {total} combinations cannot be swept.", total=total if grid else 0, hint="Give --grid, of 10,000 at most."
        )
    names = [str(name) for name in grid.get("strategy.name", [base.strategy.name])]
    for key in grid:
        if key.startswith("strategy.") and key != "strategy.name" and not any(_fits(key, name) for name in names):
            raise ExperimentError(
                "--grid {key}: {names} has no such parameter.",
                key=key,
                names=", ".join(names),
                hint="Its parameters: {takes}.",
                takes="; ".join(f"{name}: {', '.join(_takes(name) or ()) or '-'}" for name in names),
            )
    unique: dict[tuple[tuple[str, Value], ...], None] = {}
    for values in product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        name = str(chosen.get("strategy.name", base.strategy.name))
        unique.setdefault(tuple((key, value) for key, value in chosen.items() if _fits(key, name)))
    combinations = [dict(each) for each in unique]
    if random is not None:
        if random < 1:
            raise ExperimentError("--random {random} tries nothing.", random=random)
        draw = Draw(base.experiment.seed).at("sweep")
        combinations = [combinations[place] for place in sample(draw, len(combinations), min(random, len(combinations)))]
    return [Candidate(number, values, _experiment(base, values)) for number, values in enumerate(combinations, start=1)]


def _experiment(base: Experiment, values: Mapping[str, Value]) -> Experiment:
    changes: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _dot, name = key.partition(".")
        changes.setdefault(section, {})[name] = value
    strategy = str(changes.get("strategy", {}).get("name", base.strategy.name))
    if strategy != base.strategy.name:
        leftover = {key: None for key, _value in base.strategy.written() if key != "name"}
        changes["strategy"] = {**leftover, **changes["strategy"]}
    options = {tuple(key.split(".", 1)): f"--grid {key}={text_of(value)}" for key, value in values.items()}
    return changed(base, changes, Origin(base.experiment.name, {}, options))


def _fits(key: str, strategy: str) -> bool:
    takes = _takes(strategy)
    return not key.startswith("strategy.") or key == "strategy.name" or takes is None or key.partition(".")[2] in takes


def _takes(strategy: str) -> tuple[str, ...] | None:
    """The parameters of a strategy; None if it is none of ours, which then says itself what it takes."""
    return parameters(STRATEGIES[strategy]) if strategy in STRATEGIES else None


def _pieces(text: str) -> list[str]:
    """The parts between commas that stand neither in quotes nor in brackets."""
    pieces, closing = [""], ""
    for char in text:
        if not closing and char == ",":
            pieces.append("")
            continue
        closing = "" if char == closing else closing or _CLOSING.get(char, "")
        pieces[-1] += char
    return pieces
