"""The ways of training that a baseline study compares, and what they are called."""

from __future__ import annotations

from ciranda.i18n import _

FEDERATED, CENTRALISED, LOCAL = "federated", "centralised", "local-only"


def method_name(method: str) -> str:
    """The way of training in the reader's language."""
    return {FEDERATED: _("federated"), CENTRALISED: _("centralised"), LOCAL: _("local only")}[method]
