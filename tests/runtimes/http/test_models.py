"""The last two published models are there, whole and under their digests, in memory or in files; what is older is gone."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from ciranda.core.codec import decode
from ciranda.core.errors import StoreError
from ciranda.core.params import model_sha256
from ciranda.core.task import Arrays
from ciranda.core.update import Contract
from ciranda.runtimes.base import Published
from ciranda.runtimes.http import models as module
from ciranda.runtimes.http.models import Content, Models


def published(value: float, *, size: int = 3, broadcast: Arrays | None = None) -> Published:
    arrays = {"layer.w": np.full((size,), value, np.float32), "b": np.asarray(value, np.float32)}
    contract = Contract.for_model(arrays, lambda name: "model", max_weight=9, cohort=2, population=2)
    return Published(model_sha256(arrays), arrays, contract, broadcast or {})


def bytes_of(content: Content) -> bytes:
    if content.data is not None:
        assert content.file is None
        return content.data
    assert content.file is not None
    return content.file.read_bytes()


@pytest.fixture(params=["memory", "files"])
def models(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Models:
    if request.param == "files":
        monkeypatch.setattr(module, "_IN_MEMORY", 0)
    return Models(tmp_path / "models")


def test_a_model_as_clients_fetch_it(models: Models) -> None:
    it = published(1.5)
    models.publish(it)
    offer = models.get(it.digest)
    assert offer is not None
    data = bytes_of(offer.model)
    arrays, metadata = decode(data)
    assert offer.model.size == len(data)
    assert model_sha256(arrays) == it.digest
    assert metadata["model_sha256"] == it.digest
    assert metadata["format"] == "pt", "what PyTorch's readers look for"
    assert offer.broadcast is None
    assert offer.published is it
    assert models.latest == it.digest


def test_what_goes_beside_the_model(models: Models) -> None:
    it = published(1.0, broadcast={"c": np.arange(4, dtype=np.float64)})
    models.publish(it)
    offer = models.get(it.digest)
    assert offer is not None
    assert offer.broadcast is not None
    arrays, _ = decode(bytes_of(offer.broadcast))
    np.testing.assert_array_equal(arrays["c"], np.arange(4.0))


def test_the_last_two_are_there_and_no_third(models: Models) -> None:
    several = [published(value, broadcast={"c": np.asarray(value)}) for value in (1.0, 2.0, 3.0, 4.0)]
    for number, it in enumerate(several):
        models.publish(it)
        assert models.latest == it.digest
        there = [other.digest for other in several[: number + 1] if models.get(other.digest) is not None]
        assert there == [other.digest for other in several[max(0, number - 1) : number + 1]]


def test_nobody_offers_what_was_never_published(models: Models) -> None:
    assert models.latest == ""
    assert models.get("") is None
    assert models.get("0" * 64) is None


def test_the_same_model_again_is_whole_and_leaves_no_file_of_the_first_time(models: Models, tmp_path: Path) -> None:
    """After a pause, or a round that changed nothing, the same model is published again."""
    first, second = published(1.0), published(2.0)
    models.publish(first)
    models.publish(second)
    models.publish(second)
    assert models.latest == second.digest
    again = models.get(second.digest)
    assert again is not None
    assert decode(bytes_of(again.model))[0]["b"] == 2.0
    assert len(list((tmp_path / "models").iterdir())) <= 1


def test_a_model_that_comes_back_is_whole(models: Models) -> None:
    first, second = published(1.0), published(2.0)
    for it in (first, second, first, second, first):
        models.publish(it)
        offer = models.get(it.digest)
        assert offer is not None
        assert model_sha256(decode(bytes_of(offer.model))[0]) == it.digest


def test_files_of_models_that_are_not_offered_any_more_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IN_MEMORY", 0)
    models = Models(tmp_path / "models")
    for value in range(6):
        models.publish(published(float(value), broadcast={"c": np.asarray(value)}))
    assert len(list((tmp_path / "models").iterdir())) == 4, "two models, and what goes beside each"


def test_a_small_model_takes_no_file_and_a_large_one_no_memory(tmp_path: Path) -> None:
    models = Models(tmp_path / "models")
    small, large = published(1.0), published(1.0, size=300_000)
    for it, held in ((small, 0), (large, 1)):
        models.publish(it)
        offer = models.get(it.digest)
        assert offer is not None
        assert (offer.model.file is not None) == bool(held)
        assert len(list((tmp_path / "models").iterdir())) == held


def test_leftovers_of_a_crash_are_cleared_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("1.safetensors", "7.safetensors", "notes.txt"):
        (folder / name).write_bytes(b"left")
    Models(folder)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_full_disk_is_told_and_what_was_offered_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IN_MEMORY", 0)
    models = Models(tmp_path / "models")
    first = published(1.0)
    models.publish(first)

    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(StoreError, match=r"Cannot write .*safetensors.*No space left"):
            models.publish(published(2.0))
    assert models.latest == first.digest
    offer = models.get(first.digest)
    assert offer is not None
    assert model_sha256(decode(bytes_of(offer.model))[0]) == first.digest
    models.publish(published(2.0))
    assert models.latest != first.digest
