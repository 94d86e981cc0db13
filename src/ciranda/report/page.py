"""The report of one run: a page that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ciranda.core.irreproducible import REASONS
from ciranda.i18n import _, plural, retold
from ciranda.report.clients import clients
from ciranda.report.confusion import confusion
from ciranda.report.curves import curves, shown_metrics
from ciranda.report.fairness import fairness
from ciranda.report.html import Html, document, tag
from ciranda.report.participation import participation
from ciranda.report.records import rises
from ciranda.report.run import Run
from ciranda.report.text import capital, group_name, measure, metric_name, number, reason, seconds, size, state_name

MACHINE = ("machine", "system", "cpu", "cores", "memory", "device", "gpu", "cpu_capability", "threads")


def report(run: Run) -> str:
    """The page, in the reader's language. Sections that the run has nothing for are left out."""
    return document(
        f"{run.name} · Ciranda",
        _head(run),
        curves(run),
        clients(run),
        confusion(run),
        participation(run),
        settings(run),
        footer(),
    )


def _head(run: Run) -> Html:
    return tag(
        "header",
        tag("h1", run.name),
        tag("p", _ending(run), class_="lead"),
        tag("ul", [tag("li", text, class_=kind or None) for text, kind in _chips(run)], class_="chips"),
        tag("dl", [_tile(*tile) for tile in _tiles(run)], class_="tiles"),
    )


def _ending(run: Run) -> str:
    """How it went, in one sentence or two."""
    done = int((~run.records.skipped).sum())
    rounds = plural("{count} round", "{count} rounds", done)
    if not run.result:
        text = _("Not finished: {rounds} so far.", rounds=rounds)
    else:
        state, why = state_name(str(run.result["state"])), reason(str(run.result["stop_reason"]))
        text = _("{state} after {rounds}: {reason}.", state=state, rounds=rounds, reason=why.rstrip("."))
    value, best = run.records.final(run.group, run.metric), run.best()
    if value is None or best is None:
        return text
    told = {"metric": capital(metric_name(run.metric)), "value": measure(run.metric, value), "best": measure(run.metric, best[0])}
    if best[0] == value:
        return text + " " + _("{metric} {value}, the best of all rounds.", **told)
    return text + " " + _("{metric} {value}; the best was {best} in round {round}.", **told, round=best[1])


def _chips(run: Run) -> list[tuple[str, str]]:
    task, strategy = run.setting("experiment", "task"), run.setting("strategy", "name")
    chips = [
        (_("task {name}", name=task), ""),
        (_("strategy {name}", name=strategy), ""),
        (_("seed {seed}", seed=run.setting("experiment", "seed")), ""),
    ]
    chips.append((_("partition {name}", name=run.setting("federation", "partitioner")), ""))
    if run.result:
        chips.append((_("reproducible"), "good") if run.result.get("reproducible") else (_("not reproducible"), "bad"))
    return chips


def _tiles(run: Run) -> list[tuple[str, str, str]]:
    """(what, value, note) of the numbers that sum the run up."""
    records = run.records
    tiles = []
    for name in shown_metrics(run):
        value = records.final(run.group, name)
        if value is not None:
            tiles.append((capital(metric_name(name)), measure(name, value), group_name(run.group)))
    own = records.client_headline()
    _who, values, _rows = records.latest(own)
    if len(values):
        found = fairness(values, rising=rises(own))
        tiles.append((_("Worst 10 %"), measure(own, found.worst), _("of the clients, {metric}", metric=metric_name(own))))
    per_round = records.part.row
    mean = len(per_round) / max(1, len(records.rounds))
    tiles.append((_("Clients"), number(run.clients), _("{count} asked in a round", count=number(mean, 2))))
    spent, longest = float(records.seconds.sum()), max(1, len(records.rounds))
    tiles.append((_("Time in rounds"), seconds(spent), _("{time} a round", time=seconds(spent / longest))))
    up, down = float(records.bytes_up.sum()), float(records.bytes_down.sum())
    tiles.append((_("Sent"), size(up + down), _("{up} up, {down} down", up=size(up), down=size(down))))
    epsilon = run.result.get("epsilon")
    if epsilon is not None:
        tiles.append((_("Privacy spent"), f"ε = {number(float(epsilon), 3)}", f"δ = {run.setting('privacy', 'delta', '')}"))
    return tiles


def _tile(what: str, value: str, note: str) -> Html:
    return tag("div", tag("dt", what), tag("dd", value), tag("dd", note, class_="note"), class_="tile")


def settings(run: Run) -> Html:
    """Everything that the run was made with, and what it takes to make it again."""
    sections = [keys(f"[{name}]", values) for name, values in run.settings.items() if values]
    versions = dict(run.result.get("versions", {}))
    machine = {key: versions.pop(key) for key in MACHINE if key in versions}
    sections += [keys(title, values) for title, values in ((_("Versions"), versions), (_("Machine"), machine)) if values]
    if run.manifest:
        sections.append(keys(_("Data"), _data(run.manifest)))
    return tag("section", tag("h2", _("Settings and origin")), _origin(run), tag("div", sections, class_="settings"))


def _origin(run: Run) -> list[Html | None]:
    digest = run.result.get("model_sha256") or (run.records.models[-1] if run.records.models else "")
    lines: list[Html | None] = [tag("p", _("Digest of the model: "), tag("code", digest), class_="code")] if digest else []
    if run.result:
        why = [retold(str(reason), REASONS) for reason in run.result.get("reasons", ())]
        if run.result.get("reproducible"):
            text = _("Reproducible: the same experiment on the same versions and kind of machine ends in the same model, bit for bit.")
        else:
            text = _("Not reproducible.") + (" " + _("Why: {reasons}.", reasons="; ".join(why)) if why else "")
        lines.append(tag("p", text))
    lines.append(tag("pre", f"ciranda replay {run.folder}") if run.folder else None)
    return lines


def _data(manifest: Mapping[str, Any]) -> dict[str, Any]:
    sizes = manifest.get("sizes", {})
    told: dict[str, Any] = {_("examples"): number(float(manifest.get("examples", 0)))}
    if sizes:
        told[_("of a client")] = _(
            "{least} to {most}, median {median}",
            least=number(float(sizes["min"])),
            most=number(float(sizes["max"])),
            median=number(float(sizes["median"])),
        )
    if "heterogeneity" in manifest:
        told[_("heterogeneity")] = number(float(manifest["heterogeneity"]), 3)
    return told | {"sha256": str(manifest.get("sha256", ""))[:16] + "…"}


def keys(title: str, values: Mapping[str, Any]) -> Html:
    """Keys and values under a heading."""
    pairs = [
        (tag("dt", str(key)), tag("dd", str(value).lower() if isinstance(value, bool) else str(value))) for key, value in values.items()
    ]
    return tag("section", tag("h3", title), tag("dl", pairs, class_="keys"))


def footer() -> Html:
    return tag("footer", _("Made by Ciranda. This page needs no network: it can be kept, sent and printed."))
