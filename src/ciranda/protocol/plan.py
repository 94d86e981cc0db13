"""What an experiment fixes for the coordinator: how many rounds, who is asked, when a phase closes, when the run stops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ciranda.core.errors import ExperimentError
from ciranda.protocol.messages import EVALUATOR, CloseRule, PhaseKind

Select = Callable[[int, int, int], Sequence[str]]
Choose = Callable[[int, int, int, Mapping[str, float]], Sequence[str]]
Where = Literal["server", "clients", "both", "none"]


@dataclass(frozen=True)
class StopRule:
    """When a run ends before its number of rounds.

    metric: "GROUP.NAME" ("server.accuracy", "clients.loss", "train.loss"), or a bare NAME, which is looked for in the
    evaluation's groups, server first (in "train" where nothing is evaluated). It matters only with `target` or `patience`.
    mode: whether more is better ("max") or less ("min"). target: stop when reached. patience: stop after so many measured
    values in a row that do not better the best by more than `min_delta`. max_bytes counts both directions, max_seconds adds
    up what the phases took, max_epsilon is compared with the metric "privacy.epsilon"; each stops the run once reached.
    """

    metric: str = "accuracy"
    mode: Literal["max", "min"] = "max"
    target: float | None = None
    patience: int | None = None
    min_delta: float = 0.0
    max_bytes: int | None = None
    max_seconds: float | None = None
    max_epsilon: float | None = None


@dataclass(frozen=True)
class Shortlist:
    """Selection by loss: the clients that are asked for it before a round's training, and who of them trains.

    `candidates` is a pure function as `Plan.select` is, `choose` one of (round, attempt, roster size, losses): name -> loss of the round's
    model, for the candidates that answered with a finite number.
    """

    candidates: Select
    choose: Choose


@dataclass(frozen=True)
class Plan:
    """The coordinator's constants. `select` and `select_evaluate` are pure functions of (round, attempt, roster size), where
    attempt counts the tries since the round was begun or reopened: a round that was stopped is taken up with the same cohort.

    shortlist: if given, every attempt begins with a phase "candidates", and its cohort comes from there instead of from `select`.
    evaluate_every: a version is evaluated in every so many-th round, and in the last one in any case.
    Raises ExperimentError for values with which no run could go on.
    """

    run: str
    num_rounds: int
    select: Select
    select_evaluate: Select
    train: CloseRule
    evaluate: CloseRule
    evaluate_where: Where
    evaluate_every: int = 1
    stop: StopRule = StopRule()
    shortlist: Shortlist | None = None

    def __post_init__(self) -> None:
        _require(bool(self.run), "run", self.run, "a name")
        _require(self.num_rounds >= 1, "rounds.num-rounds", self.num_rounds, "at least 1")
        _require(self.evaluate_every >= 1, "evaluate.every", self.evaluate_every, "at least 1")
        where = self.evaluate_where
        _require(where in ("server", "clients", "both", "none"), "evaluate.where", where, "server, clients, both or none")
        _require(self.stop.mode in ("max", "min"), "stop.mode", self.stop.mode, "max or min")
        _require(self.stop.patience is None or self.stop.patience >= 1, "stop.patience", self.stop.patience, "at least 1")
        _require(self.stop.min_delta >= 0, "stop.min-delta", self.stop.min_delta, "at least 0")
        for section, rule in (("rounds", self.train), ("evaluate", self.evaluate)):
            _check_rule(section, rule)

    def evaluators(self, round: int, attempt: int, roster: int) -> tuple[str, ...]:
        """Who evaluates the version of this round; empty when nobody does."""
        names: list[str] = []
        if self.evaluate_where in ("server", "both"):
            names.append(EVALUATOR)
        if self.evaluate_where in ("clients", "both"):
            names.extend(self.select_evaluate(round, attempt, roster))
        return tuple(dict.fromkeys(names))

    def rule(self, kind: str) -> CloseRule:
        """The close rule of phases of this kind."""
        if kind == "candidates" and self.train.kind == "first":
            # So many replies are wanted of the cohort; it is chosen better the more candidates are heard.
            return replace(self.train, kind="all-or-deadline")
        return self.evaluate if kind == "evaluate" else self.train

    def place(self, kind: PhaseKind) -> int:
        """The place of phases of this kind in a round, from 0."""
        return {"candidates": 0, "train": 0, "evaluate": 1}[kind] + (self.shortlist is not None and kind != "candidates")


def _check_rule(where: str, rule: CloseRule) -> None:
    _require(rule.kind in ("all-or-deadline", "all", "first"), f"{where}.close", rule.kind, "all-or-deadline, all or first")
    _require(rule.too_few in ("extend", "retry", "skip", "abort"), f"{where}.too-few", rule.too_few, "extend, retry, skip or abort")
    _require(0 < rule.deadline_s < float("inf"), f"{where}.deadline-s", rule.deadline_s, "a positive number of seconds")
    _require(rule.min_replies >= 1, f"{where}.min-replies", rule.min_replies, "at least 1")
    _require(rule.max_attempts >= 1, f"{where}.max-attempts", rule.max_attempts, "at least 1")
    if rule.kind == "first":
        _require(rule.first >= rule.min_replies, f"{where}.first", rule.first, f"at least min-replies ({rule.min_replies})")


def _require(holds: bool, key: str, value: object, allowed: str) -> None:
    if not holds:
        raise ExperimentError("{key} = {value!r} cannot work.", hint="Allowed: {allowed}.", key=key, value=value, allowed=allowed)
