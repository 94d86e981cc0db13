"""An answer that is an error."""

from __future__ import annotations

from collections.abc import Mapping

from ciranda.core.errors import CirandaError


class ApiError(CirandaError):
    """An answer that is an error: the status, a code for programs, a message and a hint for people."""

    def __init__(
        self, status: int, code: str, message: str, /, *, hint: str = "", headers: Mapping[str, str] | None = None, **fields: object
    ) -> None:
        super().__init__(message, hint=hint, **fields)
        self.status, self.code, self.headers = status, code, dict(headers or {})
