"""What a run comes to: `result.json` and the model card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ciranda.core.errors import DataError
from ciranda.core.irreproducible import MACHINES, NOT_COUNTED, REASONS, TIMING
from ciranda.core.texts import Text
from ciranda.experiment.schema import Experiment
from ciranda.i18n import _, retold
from ciranda.protocol.plan import StopRule
from ciranda.protocol.state import State
from ciranda.protocol.stopping import measured

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """The content of result.json.

    Attributes:
        state: "finished", "aborted" or "error"; stop_reason says why.
        rounds: committed rounds. metrics: group -> metric -> value of the last evaluation.
        model_sha256: digest of the last committed model. reproducible: whether a run of the same experiment on the same recipe
            must end in it; reasons: why not, if not.
        bytes_up, bytes_down: payload from and to clients, in bytes, that of a survey before the first round included.
        seconds: time spent in rounds.
        epsilon: the privacy spent, None without a private mechanism. versions: the recipe.
    """

    state: str
    stop_reason: str
    rounds: int
    metrics: Mapping[str, Mapping[str, float]]
    model_sha256: str
    reproducible: bool
    reasons: Sequence[str]
    bytes_up: int
    bytes_down: int
    seconds: float
    epsilon: float | None
    versions: Mapping[str, str]
    out: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def text(self) -> str:
        """The text of result.json."""
        return json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n"


def read_result(file: Path) -> Result:
    """The result that `text` wrote. Raises DataError."""
    try:
        return Result(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise DataError(
            "{file} is not a run's result: {error}.", hint="Has the run come to its end? Go on with: ciranda resume", file=file, error=error
        ) from None


def make_result(
    state: State,
    rows: Sequence[Row],
    reason: str,
    probes: Sequence[str],
    experiment: Experiment,
    recipe: Mapping[str, str],
    out: str,
    *,
    failed: bool,
    survey: Mapping[str, int],
) -> Result:
    """The result of a run that ended in `state` with these recorded rows.

    Args:
        failed: an error ended it. survey: what was asked of the owners before the first round, with its bytes.
    """
    rounds = [row for row in rows if row["event"] == "round"]
    evaluated = [row["metrics"] for row in rounds if set(row["metrics"]) & {"server", "clients"}]
    last = evaluated[-1] if evaluated else (rounds[-1]["metrics"] if rounds else {})
    reasons = irreproducible(rounds, probes, experiment)
    return Result(
        state="error" if failed else state.status,
        stop_reason=reason,
        rounds=sum(not row["skipped"] for row in rounds),
        metrics=last,
        model_sha256=state.model,
        reproducible=not reasons and not failed,
        reasons=reasons,
        bytes_up=sum(row["bytes_up"] for row in rounds) + survey.get("bytes_up", 0),
        bytes_down=sum(row["bytes_down"] for row in rounds) + survey.get("bytes_down", 0),
        seconds=sum(row["seconds"] for row in rounds),
        epsilon=None,
        versions=recipe,
        out=out,
    )


def irreproducible(rounds: Sequence[Row], probes: Sequence[str], experiment: Experiment) -> list[str]:
    """Why the same experiment and seed might end in another model; empty if they must end in this one."""
    reasons = []
    if experiment.rounds.close == "first":
        reasons.append(TIMING)
    missing = [str(row["round"]) for row in rounds if row["failed"] or row["refusals"] or row["skipped"]]
    if missing:
        reasons.append(NOT_COUNTED.format(rounds=", ".join(missing[:5])))
    if len(set(probes)) > 1:
        reasons.append(MACHINES)
    return reasons


def best_round(rows: Sequence[Row], rule: StopRule) -> int:
    """The round whose evaluation is best by the rule's metric; the last if none was evaluated."""
    best, chosen = None, rows[-1]["round"]
    sign = 1 if rule.mode == "max" else -1
    for row in rows:
        value = measured(rule, row["metrics"], "both")
        if value is not None and (best is None or sign * value > best):
            best, chosen = sign * value, row["round"]
    return int(chosen)


def model_card(result: Result, experiment: Experiment) -> str:
    """The model's card, in Markdown: what it is, how it was made, how good it is, how to use it."""
    reasons = "; ".join(retold(reason, REASONS) for reason in result.reasons)
    lines = [
        f"# {experiment.experiment.name}",
        "",
        _(
            "Task `{task}`, trained with Ciranda over {clients} clients ({partitioner} partition), strategy `{strategy}`, seed {seed}.",
            task=experiment.experiment.task,
            clients=experiment.federation.clients or Text("natural"),
            partitioner=experiment.federation.partitioner,
            strategy=experiment.strategy.name,
            seed=experiment.experiment.seed,
        ),
        "",
        "- " + _("rounds: {rounds}, stopped: {reason}", rounds=result.rounds, reason=result.stop_reason),
        f"- model_sha256: `{result.model_sha256}`",
        "- " + (_("reproducible: yes") if result.reproducible else _("reproducible: no: {reasons}", reasons=reasons)),
        "- " + _("payload: {up:,} bytes up, {down:,} bytes down", up=result.bytes_up, down=result.bytes_down),
        "",
        _("| evaluated on | metric | value |"),
        "|---|---|--:|",
    ]
    shown = {group: values for group, values in result.metrics.items() if group in ("train", "server", "clients")}
    lines += [f"| {group} | {name} | {_cell(value)} |" for group, values in shown.items() for name, value in values.items()]
    lines += _class_table(result.metrics)
    lines += ["", _("Use it with `ciranda predict RUN INPUT`; the whole recipe is in `experiment.toml` beside this file."), ""]
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    """Four decimals; a dash for what was no finite number."""
    return "–" if value is None else f"{value:.4f}"


def _class_table(metrics: Mapping[str, Mapping[str, float]]) -> list[str]:
    """One line a class, of the server's evaluation or else the clients'; nothing for regression."""
    values = metrics.get("server-classes") or metrics.get("clients-classes") or {}
    labels = [name.partition(".")[2] for name in values if name.startswith("support.")]
    if not labels:
        return []
    columns = ("precision", "recall", "f1")
    rows = [
        " | ".join([f"| {label}", *(_cell(values[f"{name}.{label}"]) for name in columns), f"{values[f'support.{label}']:.0f} |"])
        for label in labels
    ]
    return ["", "| class | precision | recall | f1 | support |", "|---|--:|--:|--:|--:|", *rows]
