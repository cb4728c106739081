"""Files by the hash of their bytes."""

from __future__ import annotations

import time

import pytest

from graphengine.jobs.store import JobStore
from tests.jobs.made import claim, end, submit, written


def upload(store: JobStore, name: str = "up.png", asset: str = "aa", owner: str = "ada") -> None:
    store.add_asset(owner, written(name, asset), name=name, source="upload")


def names(store: JobStore, owner: str | None = "ada") -> list[str]:
    return [each.name for each in store.assets(owner)]


def test_outputs_and_uploads_are_found_by_their_bytes(store: JobStore) -> None:
    submit(store)
    job = end(store, claim(store), outputs=[written("folder/a.png", "aa")])
    upload(store, "b.png", "bb")
    found = store.asset("aa", "ada")
    assert found is not None
    assert (found.path, found.name, found.source, found.job) == ("folder/a.png", "a.png", "output", job.id)
    assert names(store) == ["b.png", "a.png"]


def test_an_asset_is_its_owners(store: JobStore) -> None:
    upload(store)
    upload(store, "of bob.png", owner="bob")
    assert store.asset("aa", "cyd") is None
    assert names(store, "cyd") == []
    assert names(store, "bob") == ["of bob.png"]
    assert len(names(store, None)) == 2
    store.remove_asset("aa", "cyd")
    store.remove_asset("aa", "bob")
    assert names(store, None) == ["up.png"]


def test_an_upload_of_an_outputs_bytes_stands_beside_it(store: JobStore) -> None:
    submit(store)
    end(store, claim(store), outputs=[written("out.png", "aa")])
    upload(store, "up.png", "aa")
    assert sorted(names(store)) == ["out.png", "up.png"]
    found = [store.asset("aa", "ada"), store.asset("aa", "ada", "upload"), store.asset("aa", None, "output")]
    assert [each and each.name for each in found] == ["out.png", "up.png", "out.png"]


def test_an_asset_is_removed_one_source_at_a_time(store: JobStore) -> None:
    submit(store)
    end(store, claim(store), outputs=[written("out.png", "aa")])
    upload(store, "up.png", "aa")
    store.remove_asset("aa", "ada")  # the one that asset() gives
    assert names(store) == ["up.png"]
    store.remove_asset("aa", "ada", "output")
    assert names(store) == ["up.png"]
    store.remove_asset("aa", None, "upload")
    assert names(store) == []


def test_of_all_owners_the_newest_output_is_given_and_only_it_is_removed(store: JobStore) -> None:
    for owner in ("bob", "ada"):
        store.add_asset(owner, written(f"{owner}.png", "aa"), name=owner, source="output")
    found = store.asset("aa", None)
    assert found is not None
    assert found.name == "ada"
    store.remove_asset("aa", None)
    assert names(store, None) == ["bob"]


def test_a_newer_file_of_the_same_bytes_takes_the_place_of_an_older_one(store: JobStore) -> None:
    upload(store, "first.png", "aa")
    upload(store, "other.png", "bb")
    upload(store, "again.png", "aa")
    assert names(store) == ["again.png", "other.png"]


def test_pages_leave_out_none_though_the_clock_stands_or_goes_back(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, now in enumerate([1e9, 1e9, 1e9, 1e9 - 50, 1e9 + 50]):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        upload(store, f"{number}", f"{number}", owner="ada" if number % 2 else "bob")
    seen, before = [], None
    while page := store.assets(None, before=before, limit=2):
        seen += [each.name for each in page]
        before = page[-1].created
    assert seen == ["4", "3", "2", "1", "0"]
