"""Tests of tasks compute as workers do: on one thread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ciranda.tasks.recipe import prepare_worker


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    with prepare_worker(uses_torch=True):
        yield
