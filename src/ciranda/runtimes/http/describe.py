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


def complete(described: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI description with what holds for every route: the credential, and the errors that come before a route is asked."""
    components = described.setdefault("components", {})
    components.setdefault("securitySchemes", {})["credential"] = {"type": "http", "scheme": "bearer"}
    schemas = components.setdefault("schemas", {})
    schemas.setdefault("Problem", Problem.model_json_schema())
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which nobody answers with
        schemas.pop(name, None)
    for operations in described["paths"].values():
        for method, operation in operations.items():
            told = operation["responses"]
            unusual = {400, 410, 411, 415, 429} | ({408, 413} if "requestBody" in operation else set())
            for status in sorted(unusual - set(map(_number, told))):
                told[str(status)] = {"description": _MEANING[status], "content": _PROBLEM}
            if _is_default(told.get("422")):
                told["422"] = {"description": _MEANING[422], "content": _PROBLEM}
            if method == "head":
                for answer in told.values():
                    answer.pop("content", None)
    return described


_PROBLEM = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def _number(status: str) -> int:
    return int(status) if status.isdigit() else 0


def _is_default(answer: Any) -> bool:
    return answer is not None and "HTTPValidationError" in str(answer)
