"""Whether a version is the latest, told by the folder of manifests."""

from __future__ import annotations

import os
from pathlib import Path

import lance
import pyarrow as pa
import pytest

from lancelike.storage import Dataset, Location
from lancelike.storage.latest import Manifests

ROWS = pa.table({"id": [1, 2]})


@pytest.fixture
def uri(tmp_path: Path) -> str:
    path = str(tmp_path / "t.lance")
    lance.write_dataset(ROWS, path)
    return path


def test_a_version_is_the_latest_until_the_next(uri: str) -> None:
    manifests = Manifests(uri)
    stamp = manifests.stamp(1, manifests.folder())
    assert manifests.is_latest(1, stamp)
    lance.write_dataset(ROWS, uri, mode="append")
    assert not manifests.is_latest(1, stamp)
    assert manifests.is_latest(2, manifests.stamp(2, manifests.folder()))


def test_two_versions_of_the_same_moment_are_told_apart(uri: str) -> None:
    manifests, folder = Manifests(uri), os.stat(f"{uri}/_versions")
    stamp = manifests.stamp(1, manifests.folder())
    lance.write_dataset(ROWS, uri, mode="append")
    os.utime(f"{uri}/_versions", ns=(folder.st_atime_ns, folder.st_mtime_ns))
    assert manifests.stamp(1, manifests.folder()) == stamp
    assert not manifests.is_latest(1, stamp)


def test_manifests_of_the_older_naming_are_seen(tmp_path: Path) -> None:
    uri = str(tmp_path / "t.lance")
    lance.write_dataset(ROWS, uri, enable_v2_manifest_paths=False)
    manifests, folder = Manifests(uri), os.stat(f"{uri}/_versions")
    stamp = manifests.stamp(1, manifests.folder())
    lance.write_dataset(ROWS, uri, mode="append")
    os.utime(f"{uri}/_versions", ns=(folder.st_atime_ns, folder.st_mtime_ns))
    assert not manifests.is_latest(1, stamp)


def test_nothing_is_told_without_a_folder(tmp_path: Path) -> None:
    for manifests in (Manifests(None), Manifests(str(tmp_path / "gone.lance"))):
        assert manifests.folder() is None
        assert manifests.stamp(1, manifests.folder()) is None
        assert not manifests.is_latest(1, None)


def test_a_handle_goes_on_from_a_tagged_version_when_the_next_was_deleted(uri: str) -> None:
    location = Location(str(Path(uri).parent))
    handle = Dataset.open(location, "t")
    handle.refresh()
    other = lance.dataset(uri)
    other.tags.create("kept", 1)
    other = lance.write_dataset(ROWS, lance.write_dataset(ROWS, other, mode="append"), mode="append")
    other.cleanup_old_versions(
        older_than=None, retain_versions=1, delete_unverified=True, error_if_tagged_old_versions=False
    )
    assert not any(each["version"] == 2 for each in other.versions())
    handle.refresh()
    assert handle.version == 3


def test_a_manifest_that_was_damaged_is_looked_at_again(uri: str) -> None:
    manifests = Manifests(uri)
    stamp = manifests.stamp(1, manifests.folder())
    [manifest] = Path(uri, "_versions").glob("*.manifest")
    manifest.write_bytes(b"damaged")
    assert not manifests.is_latest(1, stamp)


def test_a_handle_that_only_reads_is_up_to_date_without_listing(uri: str) -> None:
    handle = Dataset.open(Location(str(Path(uri).parent)), "t")
    lance.write_dataset(ROWS, uri, mode="append")
    handle.refresh()
    assert handle.version == 2
    shown = handle.frozen()
    handle.refresh()
    assert handle.frozen() is shown
