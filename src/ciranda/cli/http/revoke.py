"""`ciranda revoke`: shut a client out of a server for good."""

from __future__ import annotations

from urllib.parse import quote

from ciranda.cli.errors import tell
from ciranda.cli.find import find_run
from ciranda.cli.http.security import Trust
from ciranda.core.errors import ExperimentError, Missing
from ciranda.i18n import _
from ciranda.runtimes.http.link import Rejected


def revoke(client: str, run: str | None, trust: Trust) -> None:
    """Revoke the credential of `client` on the server of `run`; what it is about ends at once.

    Raises:
        Missing: no such run or client. ExperimentError: the run has no server. Cut: nobody listens.
    """
    folder = find_run(run) / "http"
    address, secret = folder / "address", folder / "operator.token"
    if not address.is_file() or not secret.is_file():
        raise ExperimentError("No server was started for {run}.", hint="Name its folder with --run.", run=folder.parent)
    link = trust.link(address.read_text(encoding="utf-8").strip(), timeout=10.0)
    link.credential = secret.read_text(encoding="utf-8").strip()
    try:
        link.ask("DELETE", f"/v1/clients/{quote(client, safe='')}")
    except Rejected as error:
        if error.status != 404:
            raise
        raise Missing("There is no client '{client}'.", hint="GET /v1/clients tells who there is.", client=client) from error
    finally:
        link.close()
    tell(_("{client} is shut out", client=client))
