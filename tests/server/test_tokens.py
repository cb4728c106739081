"""Tokens: made, shown once, found again, revoked, and kept so that the file gives nobody a token."""

from __future__ import annotations

import json
import os
import stat
import threading
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from graphengine.errors import GraphEngineError
from graphengine.server import tokens as module
from graphengine.server.tokens import SESSION_SECONDS, Token, TokenError, TokenFileError, TokenStore
from graphengine.server.uploads import is_owner_name

START = 1_800_000_000


class Clock:
    def __init__(self) -> None:
        self.now = float(START)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> TokenStore:
    return TokenStore(tmp_path / "data" / "tokens.json", clock)


def test_a_token_is_found_by_its_secret_alone(store: TokenStore) -> None:
    secret = store.create("laptop", "ada")
    created = datetime.fromtimestamp(START, UTC)
    assert store.find(secret) == Token("laptop", "ada", created)
    assert store.owner_of(secret) == "ada"
    assert store.list() == [Token("laptop", "ada", created)]


def test_a_secret_has_256_random_bits_and_a_prefix_for_scanners(store: TokenStore) -> None:
    secrets = {store.create(f"t{number}") for number in range(5)}
    assert len(secrets) == 5
    assert all(secret.startswith("gek_") and len(secret) == 47 for secret in secrets)


def test_who_names_no_owner_owns_by_the_tokens_name(store: TokenStore) -> None:
    assert store.owner_of(store.create("ci")) == "ci"


@pytest.mark.parametrize("guess", ["", "gek_", "laptop", "ada", "gek_" + "A" * 43, "gek_\udcff\ud800", "ü" * 10000])
def test_nothing_else_is_a_token(store: TokenStore, guess: str) -> None:
    store.create("laptop", "ada")
    assert store.owner_of(guess) is None


def test_a_kept_hash_is_no_token(store: TokenStore) -> None:
    kept = sha256(store.create("laptop").encode()).hexdigest()
    assert kept in store.path.read_text()
    assert store.owner_of(kept) is None


def test_the_file_holds_no_secret_and_is_its_owners_alone(store: TokenStore) -> None:
    previous = os.umask(0)
    try:
        secret = store.create("laptop")
    finally:
        os.umask(previous)
    assert secret.removeprefix("gek_") not in store.path.read_text()
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert os.listdir(store.path.parent) == ["tokens.json"]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ü", "a\n", "x" * 65, "a;b", "a=b"])
@pytest.mark.parametrize("what", ["name", "owner"])
def test_names_that_could_mean_something_elsewhere_are_refused(store: TokenStore, name: str, what: str) -> None:
    with pytest.raises(TokenError, match=f"can't be a token's {what}\n  Use 1 to 64 letters"):
        store.create(**{"name": "good", what: name})
    assert not store.path.exists()


@pytest.mark.parametrize("owner", ["..", ".hidden", "a.", "con", "COM1.x"])
def test_an_owner_that_is_no_folders_name_is_refused(store: TokenStore, owner: str) -> None:
    with pytest.raises(TokenError, match=r"can't be a token's owner\n  .*no dot at either end"):
        store.create(owner)
    assert store.owner_of(store.create(owner, "ada")) == "ada"


@pytest.mark.parametrize("name", ["a", "A.b-c_9", "x" * 64])
def test_other_names_are_fine(store: TokenStore, name: str) -> None:
    assert store.owner_of(store.create(name)) == name
    assert is_owner_name(name)


def test_a_name_is_given_once(store: TokenStore) -> None:
    secret = store.create("laptop", "ada")
    with pytest.raises(TokenError, match="'laptop' already\n  Choose another name, or revoke"):
        store.create("laptop", "eve")
    assert store.owner_of(secret) == "ada"
    assert os.listdir(store.path.parent) == ["tokens.json"]


def test_a_revoked_token_is_worth_nothing_and_the_others_stay(store: TokenStore) -> None:
    lost, kept = store.create("lost"), store.create("kept")
    store.revoke("lost")
    assert (store.owner_of(lost), store.owner_of(kept)) == (None, "kept")
    assert [token.name for token in store.list()] == ["kept"]


def test_revoking_what_is_not_there_names_what_is(store: TokenStore) -> None:
    store.create("b")
    store.create("a")
    with pytest.raises(TokenError, match="no token named 'c'\n  There are: a, b"):
        store.revoke("c")


def test_another_processs_changes_take_effect_at_once(store: TokenStore, clock: Clock) -> None:
    secret = store.create("laptop")
    server = TokenStore(store.path, clock)
    assert server.owner_of(secret) == "laptop"
    store.revoke("laptop")
    assert server.owner_of(secret) is None
    assert server.owner_of(store.create("another")) == "another"


def test_a_change_of_the_same_length_within_a_tick_of_the_clock_is_seen(store: TokenStore, clock: Clock) -> None:
    secret = store.create("aa")
    server = TokenStore(store.path, clock)
    assert server.owner_of(secret) == "aa"
    before = store.path.stat()
    store.revoke("aa")
    store.create("bb")
    os.utime(store.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.path.stat().st_size == before.st_size
    assert server.owner_of(secret) is None


def test_an_unchanged_file_is_parsed_once(store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = store.create("laptop")
    assert store.owner_of(secret) == "laptop"
    monkeypatch.setattr(module._Content, "model_validate_json", lambda _: pytest.fail("parsed again"))
    assert store.owner_of(secret) == "laptop"


def test_without_a_file_nobody_is_let_in(store: TokenStore) -> None:
    secret = store.create("laptop")
    store.path.unlink()
    assert store.list() == []
    assert store.owner_of(secret) is None


ENTRY = {"owner": "a", "created": "2026-01-01T00:00:00Z", "sha256": "0" * 64}
GOOD = {"format": 1, "key": "0" * 64, "tokens": {"a": ENTRY}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 5000,
        json.dumps({"format": 1, "tokens": {}}).encode(),
        json.dumps(GOOD | {"format": 2}).encode(),
        json.dumps(GOOD | {"key": ""}).encode(),
        json.dumps(GOOD | {"more": 1}).encode(),
        json.dumps(GOOD | {"tokens": {"a b": ENTRY}}).encode(),
        json.dumps(GOOD | {"tokens": {"a": ENTRY | {"sha256": "secret"}}}).encode(),
        json.dumps(GOOD | {"tokens": {"a": ENTRY | {"created": "yesterday"}}}).encode(),
    ],
)
def test_a_damaged_file_is_an_error_and_never_an_empty_list(store: TokenStore, content: bytes) -> None:
    store.create("a")
    store.path.write_bytes(content)
    for use in (store.list, lambda: store.owner_of("x"), lambda: store.sign("a"), lambda: store.create("b")):
        with pytest.raises(TokenFileError, match=r"tokens.json is damaged: .+\n  Restore it, or delete it"):
            use()
    assert store.path.read_bytes() == content
    assert os.listdir(store.path.parent) == ["tokens.json"]


def test_what_is_wrong_with_a_file_is_told_without_its_secrets(store: TokenStore) -> None:
    store.create("a")
    store.path.write_text(json.dumps(GOOD | {"key": "hushhush"}))
    with pytest.raises(TokenFileError, match="damaged: key: ") as caught:
        store.list()
    assert "hushhush" not in f"{caught.value}{caught.value.__cause__}"


def test_a_good_file_by_hand_is_read(store: TokenStore) -> None:
    store.path.parent.mkdir()
    store.path.write_text(json.dumps(GOOD))
    assert [token.name for token in store.list()] == ["a"]


def test_a_file_that_cant_be_read_or_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(TokenFileError, match="can't be read: "):
        TokenStore(tmp_path / "folder").list()
    with pytest.raises(TokenFileError, match=r"can't be written: .*\n  Nothing was changed"):
        TokenStore(tmp_path / "file" / "tokens.json").create("a")
    assert issubclass(TokenFileError, GraphEngineError)


def test_a_file_that_cant_take_its_place_leaves_no_draft(store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    secret = store.create("a")
    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(f"graphengine.server.tokens.os.{step}", fail)
            with pytest.raises(TokenFileError, match="can't be written: No space left"):
                store.revoke("a")
        assert os.listdir(store.path.parent) == ["tokens.json"]
    assert store.owner_of(secret) == "a"


def test_a_change_waits_for_another_processs_and_names_what_a_crash_left(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create("a")
    lock = store.path.with_name("tokens.json.lock")
    lock.touch()
    pauses: list[float] = []
    monkeypatch.setattr("graphengine.server.tokens.time.sleep", pauses.append)
    with pytest.raises(TokenFileError, match=r"tokens.json.lock exists\n  Wait for that process"):
        store.revoke("a")
    assert 1 < sum(pauses) < 60
    assert lock.exists()
    monkeypatch.setattr("graphengine.server.tokens.time.sleep", lambda _: lock.unlink())
    store.revoke("a")
    assert store.list() == []


def test_changes_at_the_same_time_dont_undo_each_other(store: TokenStore) -> None:
    threads = [threading.Thread(target=TokenStore(store.path).create, args=(f"t{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.list()) == 8


def test_a_session_is_its_tokens_until_it_expires(store: TokenStore, clock: Clock) -> None:
    store.create("laptop", "ada")
    value = store.sign("laptop")
    clock.now += SESSION_SECONDS - 1
    assert store.verify(value) == store.list()[0]
    assert TokenStore(store.path, clock).verify(value) is not None  # the key is kept in the file
    clock.now += 1
    assert store.verify(value) is None


def test_a_session_holds_nothing_that_is_secret_or_odd_in_a_cookie(store: TokenStore) -> None:
    secret = store.create("a.b")
    name, expiry, signature = store.sign("a.b").rsplit(".", 2)
    assert (name, expiry) == ("a.b", str(START + SESSION_SECONDS))
    assert len(signature) == 64
    assert sha256(secret.encode()).hexdigest() not in signature


def test_a_session_ends_with_its_token_even_if_the_name_is_given_again(store: TokenStore) -> None:
    store.create("laptop")
    store.create("other")
    value = store.sign("laptop")
    store.revoke("laptop")
    assert store.verify(value) is None
    store.create("laptop")
    assert store.verify(value) is None
    assert store.verify(store.sign("laptop")) is not None


def test_only_a_token_can_have_sessions(store: TokenStore) -> None:
    with pytest.raises(TokenError, match="no token named 'nobody'\n  There are: none"):
        store.sign("nobody")


def test_another_stores_session_is_worth_nothing(store: TokenStore, tmp_path: Path, clock: Clock) -> None:
    other = TokenStore(tmp_path / "other.json", clock)
    for each in (store, other):
        each.create("laptop")
    assert store.verify(other.sign("laptop")) is None


def _tampered(name: str, expiry: str, signature: str) -> list[str]:
    other = "0" if signature[0] != "0" else "1"
    return [
        f"root.{expiry}.{signature}",
        f"{name}.{int(expiry) + 1}.{signature}",
        f"{name}.0{expiry}.{signature}",
        f"{name}.{expiry}.{other}{signature[1:]}",
        f"{name}.{expiry}.{signature[:-1]}",
        f"{name}.{expiry}.",
        f"{name}.{expiry}",
        f"{name}..{signature}",
        f"{name}.-1.{signature}",
        f"{name}.{'9' * 5000}.{signature}",
        f"{name}.{expiry}.{'ü' * 64}",
        f"{name}.{expiry}.{signature.upper()}!",
        f"{name}.{expiry}.{signature}\n",
        f" {name}.{expiry}.{signature}",
        f"{name}.{expiry}.\udcff{signature[1:]}",
        "",
        "...",
    ]


@pytest.mark.parametrize("case", range(17))
def test_a_tampered_session_is_worth_nothing(store: TokenStore, case: int) -> None:
    store.create("laptop")
    store.create("root")
    name, expiry, signature = store.sign("laptop").rsplit(".", 2)
    assert store.verify(_tampered(name, expiry, signature)[case]) is None
