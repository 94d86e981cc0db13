"""What the commands that talk HTTP are told about certificates."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from ciranda.core.errors import ExperimentError
from ciranda.runtimes.http.link import Link
from ciranda.runtimes.http.tls import client_tls, is_loopback, server_tls


@dataclass(frozen=True)
class Door:
    """How a server is reached. client_ca: clients need a certificate of this CA. insecure: plain HTTP from other machines too."""

    cert: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    insecure: bool = False

    def tls(self) -> ssl.SSLContext | None:
        """None for plain HTTP. Raises ExperimentError for options or files that do not fit each other."""
        if self.cert is None and (self.key is not None or self.client_ca is not None):
            raise ExperimentError("TLS needs a certificate.", hint="Give --tls-cert too.")
        if self.cert is None:
            return None
        return server_tls(self.cert, self.key if self.key is not None else self.cert, self.client_ca)

    def check_anybody(self, host: str) -> None:
        """Raises ExperimentError where `--anybody` would let in whoever comes by."""
        if not is_loopback(host) and self.client_ca is None:
            raise ExperimentError(
                "With --anybody whoever reaches {host} could take part.",
                hint="Give out tokens (--tokens N), or ask for certificates with --tls-client-ca.",
                host=host,
            )


@dataclass(frozen=True)
class Trust:
    """Whom a client trusts, and how it shows who it is. ca: whose certificates servers have, instead of what this machine trusts."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def link(self, url: str, timeout: float = 30.0) -> Link:
        """A line to the server at `url`. Raises ExperimentError."""
        return Link(url, client_tls(self.ca, self.cert, self.key) if url.startswith("https:") else None, timeout)
