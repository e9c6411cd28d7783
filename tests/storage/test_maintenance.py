from __future__ import annotations

from datetime import timedelta

from lancelike.index import BTree
from lancelike.storage import Dataset, Location, Tags, maintenance, versions
from lancelike.storage import index as indices
from tests.storage.rows import ids, rows


def test_optimize_merges_fragments_and_brings_indices_up_to_date(any_location: Location) -> None:
    dataset = Dataset.create(any_location, "a", rows(50))
    indices.create_scalar_index(dataset, "id", BTree())
    for each in range(3):
        dataset.append(rows(10, start=100 + 10 * each))
    done = maintenance.optimize(dataset)
    assert (done.compaction.fragments_removed, done.compaction["fragments_added"]) == (3, 1)
    assert done["prune"].old_versions == 0
    stats = indices.index_stats(dataset, "id_idx")
    assert stats
    assert stats.num_unindexed_rows == 0
    assert ids(dataset, "id >= 100") == list(range(100, 130))


def test_old_versions_go_and_tagged_ones_stay(dataset: Dataset) -> None:
    for each in range(3):
        dataset.append(rows(10, start=100 + 10 * each))
    Tags(dataset).create("keep", 2)
    assert maintenance.cleanup_old_versions(dataset).old_versions == 0
    done = maintenance.cleanup_old_versions(dataset, timedelta(0), delete_unverified=True)
    assert done.old_versions == 2
    assert done.bytes_removed > 0
    assert [each["version"] for each in versions.list_versions(dataset)] == [2, 4]
    assert dataset.at("keep").count_rows() == 110
    assert dataset.count_rows() == 130


def test_a_shorter_keep_goes_through_optimize(dataset: Dataset) -> None:
    dataset.append(rows(10, start=100))
    assert maintenance.optimize(dataset, cleanup_older_than=timedelta(0)).prune.old_versions >= 2
    assert [each["version"] for each in versions.list_versions(dataset)] == [dataset.version]
    assert ids(dataset) == list(range(110))


def test_compaction_leaves_out_deleted_rows(dataset: Dataset) -> None:
    dataset.delete("id < 50")
    assert maintenance.compact_files(dataset, target_rows_per_fragment=1000).fragments_added == 1
    assert dataset.lance.get_fragments()[0].metadata.physical_rows == 50


def test_stats(dataset: Dataset) -> None:
    dataset.append(rows(2, start=100))
    without = maintenance.stats(dataset)
    assert (without.num_rows, without.num_indices) == (102, 0)
    assert without["fragment_stats"]["num_small_fragments"] == 2
    lengths = without.fragment_stats.lengths
    assert (lengths.min, lengths.max, lengths.mean, lengths.p25, lengths.p50) == (2, 100, 51, 2, 100)
    indices.create_scalar_index(dataset, "id", BTree())
    assert maintenance.stats(dataset).total_bytes > without.total_bytes


def test_stats_of_an_empty_table(location: Location) -> None:
    stats = maintenance.stats(Dataset.create(location, "a", rows(0)))
    assert (stats.num_rows, stats.fragment_stats.num_fragments, stats.fragment_stats.lengths.max) == (0, 0, 0)
