from __future__ import annotations

from datetime import datetime

import pytest

from lancelike.errors import QueryError, VersionNotFoundError
from lancelike.storage import Dataset, Location, Tags, versions
from tests.storage.rows import rows


def test_versions_are_listed_oldest_first(dataset: Dataset) -> None:
    dataset.append(rows(5, start=100))
    listed = versions.list_versions(dataset)
    assert [each["version"] for each in listed] == [1, 2]
    assert isinstance(listed[0]["timestamp"], datetime)
    assert [each["metadata"]["total_rows"] for each in listed] == ["100", "105"]


def test_restore_makes_a_new_version(any_location: Location) -> None:
    dataset = Dataset.create(any_location, "a", rows(3))
    dataset.append(rows(5, start=100))
    assert versions.restore(dataset, 1) == 3
    assert (dataset.version, dataset.count_rows()) == (3, 3)
    dataset.append(rows(1, start=200))
    assert dataset.count_rows() == 4


def test_restore_by_tag_and_from_a_pinned_handle(dataset: Dataset) -> None:
    dataset.append(rows(5, start=100))
    Tags(dataset).create("first", 1)
    assert versions.restore(dataset, "first") == 3
    assert versions.restore(dataset.at(2)) == 4
    assert dataset.count_rows() == 105


@pytest.mark.parametrize("version", [99, "none"])
def test_restoring_what_is_not_there(dataset: Dataset, version: int | str) -> None:
    with pytest.raises(VersionNotFoundError):
        versions.restore(dataset, version)
    assert dataset.version == 1


def test_tags(any_location: Location) -> None:
    dataset = Dataset.create(any_location, "a", rows(3))
    dataset.append(rows(5, start=100))
    tags = Tags(dataset)
    assert tags.list() == {}
    tags.create("first", 1)
    tags.create("other", 1)
    tags.update("other", 2)
    assert {name: tag["version"] for name, tag in tags.list().items()} == {"first": 1, "other": 2}
    assert tags.get_version("other") == 2
    assert dataset.at("first").count_rows() == 3
    assert Dataset.open(any_location, "a", version="first").version == 1
    tags.delete("other")
    assert list(tags.list()) == ["first"]


def test_tags_that_cannot_be(dataset: Dataset) -> None:
    tags = Tags(dataset)
    tags.create("first", 1)
    with pytest.raises(QueryError, match="there is a tag 'first' already"):
        tags.create("first", 1)
    with pytest.raises(QueryError, match="alphanumeric"):
        tags.create("a b", 1)
    with pytest.raises(VersionNotFoundError, match="99"):
        tags.create("new", 99)
    with pytest.raises(VersionNotFoundError, match="99"):
        tags.update("first", 99)
    for lost in (lambda: tags.get_version("none"), lambda: tags.update("none", 1), lambda: tags.delete("none")):
        with pytest.raises(VersionNotFoundError, match="no tag 'none'"):
            lost()
