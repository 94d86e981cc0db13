"""What `ciranda client` refuses before it calls anybody, and leaves no folder behind for."""

from __future__ import annotations

from pathlib import Path

import pytest

from ciranda.cli.http.join import Asked, client
from ciranda.core.errors import ExperimentError, StoreError
from ciranda.runtimes.http.disk import Disk

NOBODY = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    "text", ["", "1", "/", "1/", "/3", "3/3", "4/3", "0/0", "-1/3", "1/-3", "a/b", "1/3/5", "1.0/3", "²/3", "1/²", "1 of 3"]
)
def test_a_partition_that_is_none(text: str, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="--partition is") as caught:
        client(Asked(NOBODY, partition=text, state=tmp_path / "client"), log_level="warning")
    assert "0/20" in caught.value.hint
    assert not (tmp_path / "client").exists()


@pytest.mark.parametrize(("partition", "data"), [(None, None), ("0/3", Path("mine.csv"))])
def test_a_client_brings_either_its_own_data_or_a_partition(partition: str | None, data: Path | None, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="either") as caught:
        client(Asked(NOBODY, partition=partition, data=data, name="me", state=tmp_path / "client"), log_level="warning")
    assert "--data" in caught.value.hint
    assert not (tmp_path / "client").exists()


@pytest.mark.parametrize("url", ["localhost", "ftp://example.org", "http://example.org/path"])
def test_an_address_that_is_none(url: str, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="is not a server's address"):
        client(Asked(url, partition="0/3", state=tmp_path / "client"), log_level="warning")


def test_a_folder_that_another_client_uses(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "client")
    try:
        with pytest.raises(StoreError, match="Another process works with the client"):
            client(Asked(NOBODY, partition="0/3", state=tmp_path / "client"), log_level="warning")
    finally:
        disk.close()


@pytest.mark.parametrize(("name", "folder"), [(None, "client-1"), ("ana", "ana")])
def test_a_client_keeps_its_things_under_its_name(name: str | None, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExperimentError, match="is not a server's address"):
        client(Asked("nonsense", partition="1/3", name=name), log_level="warning")
    assert [path.name for path in (tmp_path / "clients").iterdir()] == [folder]
