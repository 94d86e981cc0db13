"""The diagnosis at work: what a run tells before and while it goes on, and `ciranda doctor RUN`, which explains one in five lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ciranda.cli.find import find_run
from ciranda.cli.folder import RUN, RunFolder
from ciranda.cli.output import STATES, bytes_text, main_metrics, metrics_text, reason_text, seconds_text
from ciranda.core.metrics import RISING, label
from ciranda.core.partition import Partition, binned, chance_heterogeneity, heterogeneity, is_classes
from ciranda.diagnosis import Facts, Finding, History, examine, foresee
from ciranda.diagnosis.findings import by_severity
from ciranda.diagnosis.history import FIRST
from ciranda.experiment.load import load
from ciranda.i18n import _, plural, told
from ciranda.protocol.state import State

if TYPE_CHECKING:
    from ciranda.cli.compose import Assembly
    from ciranda.experiment.schema import Experiment


def facts_of(assembly: Assembly) -> Facts:
    """What is known of a run before its first round."""
    population, settings = assembly.population, assembly.settings
    partition, y = population.partition, population.data.train.y
    kept = 1.0 - population.validation_fraction - population.test_fraction
    score = chance = None
    if len(partition.indices) and partition.sizes.min() > 0 and partition.num_clients > 1:
        labels = y if is_classes(y) else binned(y)
        score, chance = heterogeneity(partition, labels), chance_heterogeneity(partition, labels)
    return Facts(
        sizes=np.maximum(1, np.rint(partition.sizes * kept)).astype(np.int64),
        heterogeneity=score,
        chance=chance,
        cohort=assembly.cohort,
        num_rounds=assembly.plan.num_rounds,
        client={name: getattr(settings, name) for name in settings.__dataclass_fields__},
        strategy=assembly.experiment.strategy.name,
    )


def warnings_of(assembly: Assembly) -> Iterator[dict[str, Any]]:
    """What `foresee` warns of, as events."""
    return events(finding for finding in foresee(facts_of(assembly)) if finding.severity != "info")


def events(findings: Iterable[Finding]) -> Iterator[dict[str, Any]]:
    """Each finding as an event row; `line` is in the reader's language."""
    for finding in findings:
        yield {"event": "finding", **finding.as_json(), "line": finding.line()}


def expected_losses(experiment: Experiment) -> frozenset[str]:
    """The reasons for which replies are lost by the experiment's own plan."""
    return FIRST if experiment.rounds.close == "first" else frozenset()


def doctor(name: str | None, *, as_json: bool = False) -> int:
    """Explain a run in five lines, or print all findings as JSON; the exit status is 1 if its result is worth nothing.

    Raises:
        Missing: there is no such run.
    """
    folder = RunFolder.existing(find_run(name))
    experiment = load(folder.experiment)
    history = History(expected_losses(experiment))
    for row in folder.each_row() if folder.metrics.is_file() else ():
        history.take(row)
    history.lose(_refused_at_the_end(folder))
    result = json.loads(folder.result.read_text(encoding="utf-8")) if folder.result.is_file() else {}
    findings = by_severity([*examine(history, result), *(each for each in _foreseen(experiment, folder) if each.severity == "warning")])
    if as_json:
        print(json.dumps([finding.as_json() for finding in findings], indent=2, ensure_ascii=False))
    else:
        print("\n".join(explained(experiment, history, result, findings, str(folder.path))))
    return 1 if any(finding.severity == "error" for finding in findings) else 0


def explained(experiment: Experiment, history: History, result: Mapping[str, Any], findings: Sequence[Finding], folder: str) -> list[str]:
    """Five lines: how it ended, how good the model is, who took part, what is wrong, what to do."""
    if findings:
        worst, more = findings[0], len(findings) - 1
        wrong = f"{told(worst.what)} ({told(worst.evidence)})."
        if more:
            others = "; ".join(told(finding.what) for finding in findings[1:])
            wrong += " " + _("Also: {others}.", others=others)
        advice = told(worst.advice).replace(" RUN", f" {folder}")
    else:
        wrong, advice = _("Nothing is wrong."), _("Look at it: ciranda plot {folder}", folder=folder)
    return [
        f"{experiment.experiment.name}: {_outcome(history, result)}",
        _quality(history, result),
        _participants(history, result),
        wrong,
        advice,
    ]


def _outcome(history: History, result: Mapping[str, Any]) -> str:
    rounds = plural("1 round", "{count:,} rounds", history.rounds)
    if not result:
        return _("not ended, {rounds} so far", rounds=rounds)
    state = told(STATES[result["state"]]) if result["state"] in STATES else str(result["state"])
    reason = reason_text(str(result["stop_reason"])).partition("\n")[0]
    return _(
        "{state} after {rounds}, {seconds}: {reason}",
        state=state.lower(),
        rounds=rounds,
        seconds=seconds_text(float(result["seconds"])),
        reason=reason,
    )


def _quality(history: History, result: Mapping[str, Any]) -> str:
    curve = history.score if len(history.score) else history.error
    if not len(curve) or not curve.finite:
        return (
            _("The model was not evaluated.")
            if not len(curve)
            else _("The model's {metric} is no finite number.", metric=label(curve.name))
        )
    place = curve.best(rising=curve.name in RISING)
    measured = metrics_text(main_metrics(result)) or metrics_text({curve.name: curve.values[-1]})
    where = _("on the server's test data") if history.evaluated == "server" else _("on the clients' own test data")
    text = _("{measured} {where}", measured=measured, where=where)
    best = _("best {metric} {value:.4f} in round {round}", metric=label(curve.name), value=curve.values[place], round=curve.rounds[place])
    return f"{text}; {best}"


def _participants(history: History, result: Mapping[str, Any]) -> str:
    asked, lost = sum(history.asked.values()), sum(history.lost.values())
    text = _(
        "{clients:,} clients took part, {counted:,} of {asked:,} replies counted",
        clients=len(history.asked),
        counted=asked - lost,
        asked=asked,
    )
    spread = history.last.get("clients-spread", {})
    low, high = spread.get("accuracy.min"), spread.get("accuracy.max")
    if low is not None and high is not None:
        text += _(", accuracy from {low:.2f} to {high:.2f}", low=low, high=high)
    if result:
        text += _(", {up} sent and {down} received by them", up=bytes_text(result["bytes_up"]), down=bytes_text(result["bytes_down"]))
    return text


def _foreseen(experiment: Experiment, folder: RunFolder) -> list[Finding]:
    """What the manifest and the settings let one foresee; nothing without a manifest that tells of each client."""
    manifest = json.loads(folder.manifest.read_text(encoding="utf-8")) if folder.manifest.is_file() else {}
    rows = manifest.get("per_client", ())
    if not rows:
        return []
    sizes, score, chance = np.array([row["size"] for row in rows], np.int64), manifest.get("heterogeneity"), None
    if score is not None:
        labels = np.concatenate([np.repeat(np.arange(len(row["labels"])), row["labels"]) for row in rows])
        chance = chance_heterogeneity(Partition(np.arange(len(labels)), np.concatenate([[0], np.cumsum(sizes)])), labels)
    settings = experiment.client.settings()
    return foresee(
        Facts(
            sizes=sizes,
            heterogeneity=score,
            chance=chance,
            cohort=experiment.cohort(len(sizes)),
            num_rounds=experiment.rounds.num_rounds,
            client={name: getattr(settings, name) for name in settings.__dataclass_fields__},
            strategy=experiment.strategy.name,
        )
    )


def _refused_at_the_end(folder: RunFolder) -> Mapping[str, str]:
    """What was refused in a round that ended the run, and so has no row."""
    if not (folder.path / "store").is_dir():
        return {}
    store = folder.open_store()
    try:
        version, header = store.read(RUN)
    finally:
        store.close()
    return State.from_json(json.loads(header)["state"]).refused if version else {}
