"""`ciranda ps`: what is up, as the machine and as the server see it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ciranda.cli.fleet.state import SERVER, Fleet, fleets, one_fleet
from ciranda.core.errors import Missing
from ciranda.core.texts import Text
from ciranda.i18n import _, told
from ciranda.runtimes.http.link import Cut, Rejected

STATES: Mapping[str, Text] = {
    "up": Text("up"),
    "ended": Text("ended"),
    "waiting": Text("waiting"),
    "working": Text("working"),
    "silent": Text("silent"),
    "revoked": Text("revoked"),
}


def ps(name: str | None, *, as_json: bool) -> None:
    """Print one table for each run that is up, or for the one that is named; a run of `ciranda server` may be named too."""
    found = [one_fleet(name)] if name is not None else list(fleets())
    if not found:
        raise Missing("Nothing is up here.", hint="Start something: ciranda up digits -n 20")
    seen = [view(fleet) for fleet in found]
    if as_json:
        print(json.dumps(seen, indent=1))
    else:
        print("\n\n".join("\n".join(lines(one)) for one in seen))


def view(fleet: Fleet) -> dict[str, Any]:
    """A fleet as JSON: its runs with their waiting rooms, and its processes with what the server knows of each."""
    runs, health = _asked(fleet)
    rows = []
    for one in fleet.started.values():
        alive = one.process.alive
        row = {"name": one.name, "pid": one.process.pid, "state": "up" if alive else "ended", "round": None, "seen_s": None}
        known = health.pop(f"client-{one.name}", None) if one.name != SERVER else None
        if known is not None and alive:
            row.update({key: known[key] for key in ("state", "round", "seen_s")})
        address = fleet.path / one.folder / "address"
        row["url"] = fleet.url if one.name == SERVER else address.read_text(encoding="utf-8").strip() if address.is_file() else ""
        rows.append(row)
    others = [{"name": name, "pid": None, **{key: one[key] for key in ("state", "round", "seen_s")}} for name, one in health.items()]
    return {"folder": str(fleet.path), "url": fleet.url, "runs": runs, "processes": rows + others}


def lines(seen: Mapping[str, Any]) -> list[str]:
    """The view for a reader."""
    found = [seen["folder"]]
    for run in seen["runs"]:
        found.append(f"{run['run']}: {run['status']}, {_('round {round} of {rounds}', round=run['round'], rounds=run['rounds'])}")
        if run["room"]["waiting"]:
            found.append(_waiting(run["room"]))
    header = [_("name"), _("pid"), _("state"), _("round"), _("heard"), _("address")]
    rows = [
        [
            str(row["name"]),
            str(row["pid"] or ""),
            told(STATES[row["state"]]),
            "" if row["round"] is None else str(row["round"]),
            "" if row["seen_s"] is None else _("now") if row["seen_s"] == 0 else _("{seconds:.0f} s ago", seconds=row["seen_s"]),
            row.get("url", ""),
        ]
        for row in seen["processes"]
    ]
    return [*found, *_table([header, *rows])]


def _waiting(room: Mapping[str, Any]) -> str:
    text = _(
        "waiting for clients: {count} have come; it begins with {maximum}",
        count=len(room["clients"]),
        maximum=room["maximum"],
    )
    if room["seconds_left"] is None:
        return text
    more = _("or in {seconds:.0f} s with at least {minimum}", seconds=room["seconds_left"], minimum=room["minimum"])
    return f"{text}, {more}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _asked(fleet: Fleet) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The server's runs, and its clients by name; nothing if it does not answer."""
    link = fleet.server()
    if link is None:
        return [], {}
    try:
        runs = link.ask("GET", "/v1/runs").json()["runs"]
        for run in runs:
            run["room"] = link.ask("GET", f"/v1/runs/{run['run']}/room").json()
        clients = link.ask("GET", "/v1/clients").json()["clients"]
    except (Cut, Rejected):
        return [], {}
    finally:
        link.close()
    return runs, {client["name"]: client for client in clients}
