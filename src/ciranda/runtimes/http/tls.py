"""TLS at both ends, and where a server without it may be reached from."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path

from ciranda.core.errors import ExperimentError


def server_tls(cert: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """How a server is reached: `cert` is its chain in PEM, `key` the private key. With `client_ca` clients need a certificate of that CA.

    Raises ExperimentError for files that are missing or do not fit each other.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _own(context, cert, key)
    if client_ca is not None:
        _trust(context, client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_tls(ca: Path | None = None, cert: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """How a client reaches a server whose certificate is of the CA in `ca` (None: of one that this machine trusts), with `cert` of its own.

    Raises ExperimentError as `server_tls` does.
    """
    context = ssl.create_default_context()
    if ca is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _trust(context, ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert is not None:
        _own(context, cert, key if key is not None else cert)
    return context


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _own(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ExperimentError(
            "The certificate {cert} with the key {key} cannot be used: {error}.",
            hint="Both are PEM files; the key belongs to the certificate and has no password.",
            cert=cert,
            key=key,
            error=_why(error),
        ) from error


def _trust(context: ssl.SSLContext, ca: Path) -> None:
    try:
        context.load_verify_locations(ca)
    except (OSError, ValueError) as error:
        raise ExperimentError(
            "The CA's certificates in {ca} cannot be used: {error}.", hint="It is a PEM file.", ca=ca, error=_why(error)
        ) from error


def _no_password() -> str:
    raise ValueError("the key has a password")  # and nobody is asked for one


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "it is not PEM"
    return (isinstance(error, OSError) and error.strerror) or str(error)
