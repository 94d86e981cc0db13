"""What the OpenAPI description says of errors and of who may call."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class Problem(BaseModel):
    """Every error: a code for programs, a message and a hint for people."""

    error: str
    message: str
    hint: str = ""


_MEANING = {
    400: "not a request that can be understood",
    401: "no or an unknown credential, or a token that enrols nobody",
    403: "a credential that may not do this",
    404: "no such run, model, upload or record",
    405: "no such method here",
    408: "the body did not go on",
    409: "not in this state",
    410: "the credential was revoked",
    411: "the length of the body is not declared",
    413: "longer than the model's signature admits",
    415: "not the kind of content that is understood",
    416: "no such range",
    422: "a value that does not fit",
    428: "the envelope names a body that was not uploaded",
    429: "too many requests",
    503: "not now",
    507: "no room on the server's disk",
}
CLIENT: dict[str, Any] = {"openapi_extra": {"security": [{"credential": []}]}}
"""For routes that need a credential, a client's or the operator's."""


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer these errors."""
    return {status: {"model": Problem, "description": _MEANING[status]} for status in statuses}
