"""Connections: as text for other processes, with shared caches, and with no namespaces."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import lancelike
from lancelike.errors import SecretError


def test_a_connection_goes_to_another_process_as_text(tmp_path: Path) -> None:
    db = lancelike.connect(tmp_path, read_consistency_interval=timedelta(seconds=2), index_policy="manual")
    db.create_table("t", [{"id": 1}])
    code = "import lancelike, sys; print(len(lancelike.deserialize_conn(sys.argv[1])['t']))"
    done = subprocess.run([sys.executable, "-c", code, db.serialize()], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    again = lancelike.deserialize_conn(db.serialize(), for_worker=True)
    assert again.read_consistency_interval == timedelta(seconds=2)
    assert again.serialize() == db.serialize()


@pytest.mark.parametrize("option", ["aws_secret_access_key", "AWS_SESSION_TOKEN", "account_key", "azure_sas_key"])
def test_no_secret_becomes_text(option: str) -> None:
    db = lancelike.connect("s3://bucket/db", storage_options={option: "hush", "region": "eu-west-1"})
    with pytest.raises(SecretError, match="environment of each process") as raised:
        db.serialize()
    assert raised.value.setting == option
    assert "hush" not in str(raised.value)
    with pytest.raises(SecretError):
        lancelike.connect("s3://user:hush@bucket/db").serialize()
    kept = json.loads(lancelike.connect("s3://bucket/db", storage_options={"region": "eu-west-1"}).serialize())
    assert kept["storage_options"] == {"region": "eu-west-1"}


def test_texts_that_lead_nowhere() -> None:
    with pytest.raises(ValueError, match="in memory"):
        lancelike.connect("memory://").serialize()
    with pytest.raises(ValueError, match="serialize"):
        lancelike.deserialize_conn('{"connection_type": "remote"}')


def test_a_connection_is_pickled(tmp_path: Path) -> None:
    db = lancelike.connect(tmp_path, read_consistency_interval=timedelta(0), index_policy="manual")
    db.create_table("t", [{"id": 1}])
    again = pickle.loads(pickle.dumps(db))
    assert (again.uri, again.read_consistency_interval) == (db.uri, timedelta(0))
    assert again["t"].count_rows() == 1
    with pytest.raises(pickle.PicklingError, match="in memory"):
        pickle.dumps(lancelike.connect("memory://"))


def test_connections_share_a_session(tmp_path: Path) -> None:
    session = lancelike.Session(index_cache_size_bytes=1 << 20, metadata_cache_size_bytes=1 << 20)
    one, two = (lancelike.connect(tmp_path, session=session) for _ in range(2))
    one.create_table("t", [{"id": 1}]).count_rows()
    before = session.size_bytes
    two.open_table("t").to_arrow()
    assert session.size_bytes >= before > 0
    assert one.session is two.session is session
    assert lancelike.connect(tmp_path).session is None


@pytest.mark.parametrize("name", ["vector_cache_bytes", "ledger_bytes"])
@pytest.mark.parametrize("value", [-1, 1.5, "1GB"])
def test_a_bound_is_a_number_of_bytes(tmp_path: Path, name: str, value: Any) -> None:
    connect: Any = lancelike.connect
    with pytest.raises(ValueError, match=f"{name} is a whole number of bytes from 0, not {value!r}"):
        connect(tmp_path, **{name: value})
    assert connect(tmp_path, **{name: 1e9}).list_tables().tables == []


def test_the_root_is_no_namespace_in_particular(db: lancelike.DBConnection, docs: lancelike.Table) -> None:
    assert db.list_tables([]).tables == ["docs"]
    assert db.open_table("docs", namespace_path=[]).count_rows() == len(docs)
    assert (docs.namespace, docs.id) == ([], "docs")


def test_older_arguments_warn(db: lancelike.DBConnection, docs: lancelike.Table) -> None:
    with pytest.warns(DeprecationWarning, match=r"write connect\(uri, session="):
        db.open_table("docs", index_cache_size=10)
