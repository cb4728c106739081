"""Tokens by which programs and people use a server, and the sessions that browsers get for them.

A token is 256 random bits, so nobody finds it by trying, and a plain SHA-256 of it is safe to keep: slow and salted
hashes protect what people think up, and would only make every request slow here.
"""

from __future__ import annotations

import builtins
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints, ValidationError

from graphengine.errors import GraphEngineError
from graphengine.server.uploads import is_owner_name

__all__ = ["SESSION_SECONDS", "Token", "TokenError", "TokenFileError", "TokenStore"]

SESSION_SECONDS = 30 * 24 * 3600
"""How long a browser stays logged in."""

_PREFIX = "gek_"  # by which scanners recognise a token that was published by mistake
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SESSION = re.compile(rf"({_NAME.pattern})\.([0-9]{{1,12}})\.([0-9a-f]{{64}})")
_LOCK_TRIES = 100
_LOCK_PAUSE = 0.05

_Name = Annotated[str, StringConstraints(pattern=rf"^{_NAME.pattern}$")]
_Hex256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class TokenError(GraphEngineError):
    """A token can't be made or revoked as it was asked."""


class TokenFileError(TokenError):
    """The file of tokens can't be used, so nobody may be let in."""


@dataclass(frozen=True)
class Token:
    """What is known of a token besides its secret.

    Attributes:
        name: By which it is revoked.
        owner: Whose work it is that is done with it.
        created: When, in UTC.
    """

    name: str
    owner: str
    created: datetime


class _Strict(BaseModel):
    # Errors get into logs: they may not show the key.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class _Entry(_Strict):
    owner: _Name
    created: AwareDatetime
    sha256: _Hex256


class _Content(_Strict):
    format: Literal[1] = 1
    key: _Hex256
    tokens: dict[_Name, _Entry]


class _Loaded(NamedTuple):
    raw: bytes
    content: _Content
    by_hash: dict[str, Token]


class TokenStore:
    """The tokens in one file, which several processes may read and change.

    A change takes effect everywhere at once.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self.path = path
        self._now = now
        self._loaded: _Loaded | None = None

    def create(self, name: str, owner: str | None = None) -> str:
        """Make a token and give its secret, which can't be shown again.

        Args:
            name: By which it is revoked: letters, digits and ``_.-``.
            owner: Whose work is done with it, which is the name of a folder of their uploads too; the name itself by
                default.

        Raises:
            TokenError: for a name that is taken or that can't be one, and for a file that can't be used.
        """
        owner = name if owner is None else owner
        if not _NAME.fullmatch(name):
            raise _bad_name("name", name, "")
        if not _NAME.fullmatch(owner) or not is_owner_name(owner):
            raise _bad_name("owner", owner, "; no dot at either end, and no name that Windows gives to a device")
        secret = _PREFIX + secrets.token_urlsafe(32)
        created = datetime.fromtimestamp(int(self._now()), UTC)
        with self._changing() as tokens:
            if name in tokens:
                raise TokenError(
                    f"{self.path} has a token named {name!r} already\n  Choose another name, or revoke that one first."
                )
            tokens[name] = _Entry(owner=owner, created=created, sha256=_hash(secret))
        return secret

    def revoke(self, name: str) -> None:
        """Make a token and all its sessions worthless.

        Raises:
            TokenError: if there is none of this name, and for a file that can't be used.
        """
        with self._changing() as tokens:
            if tokens.pop(name, None) is None:
                raise self._unknown(name, builtins.list(tokens))

    def list(self) -> builtins.list[Token]:
        """Give all tokens, by name."""
        return [_token(name, entry) for name, entry in sorted(self._load().content.tokens.items())]

    def find(self, secret: str) -> Token | None:
        """Find the token that a secret belongs to; None if it belongs to none.

        The time it takes depends on nothing that a stranger could use: what is looked up is the hash of what was
        sent, and how far that agrees with a kept hash says nothing about the secret behind that.
        """
        return self._load().by_hash.get(_hash(secret))

    def owner_of(self, token: str) -> str | None:
        """Tell whose a secret is; None if it is no token's, or a revoked one's."""
        found = self.find(token)
        return None if found is None else found.owner

    def sign(self, name: str) -> str:
        """Make the value of a session cookie, good for ``SESSION_SECONDS``.

        Raises:
            TokenError: if there is no token of this name.
        """
        content = self._load().content
        if (entry := content.tokens.get(name)) is None:
            raise self._unknown(name, builtins.list(content.tokens))
        expiry = str(int(self._now()) + SESSION_SECONDS)
        return f"{name}.{expiry}.{_signature(content.key, name, expiry, entry)}"

    def verify(self, value: str) -> Token | None:
        """Give the token of a session; None if it expired, wasn't signed here, or the token was revoked since."""
        match = _SESSION.fullmatch(value)
        if match is None:
            return None
        name, expiry, signature = match.groups()
        content = self._load().content
        entry = content.tokens.get(name)
        if entry is None or not hmac.compare_digest(signature, _signature(content.key, name, expiry, entry)):
            return None
        return _token(name, entry) if int(expiry) > self._now() else None

    def _load(self) -> _Loaded:
        """Read the file, and parse it if it changed; a missing one has no tokens, so it lets nobody in."""
        try:
            # All of it, not its time and size: two changes within a tick of the clock can leave these as they were,
            # and the inode too, which is used again. It is small; only parsing it would cost something.
            raw = self.path.read_bytes()
            if self._loaded is None or self._loaded.raw != raw:
                self._loaded = _loaded(raw)
            return self._loaded
        except FileNotFoundError:
            return _Loaded(b"", _Content(key=secrets.token_hex(32), tokens={}), {})
        except OSError as error:
            raise TokenFileError(
                f"{self.path} can't be read: {error.strerror}\n  Make it a file that the server's user may read."
            ) from error
        except ValidationError as error:
            raise TokenFileError(
                f"{self.path} is damaged: {_first_problem(error)}\n"
                "  Restore it, or delete it and create new tokens; until then nobody can log in."
            ) from error

    @contextmanager
    def _changing(self) -> Iterator[dict[str, _Entry]]:
        """Lend the tokens to be changed, and write them, at once or not at all, unless the body raises."""
        # The draft is the lock too: without one, who writes what they read earlier could undo another's revocation.
        draft = self.path.with_name(f"{self.path.name}.lock")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = self._open_locked(draft)
            try:
                with open(descriptor, "wb") as file:
                    content = self._load().content
                    tokens = dict(content.tokens)
                    yield tokens
                    file.write(_Content(key=content.key, tokens=tokens).model_dump_json(indent=1).encode())
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(draft, self.path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise TokenFileError(
                f"{self.path} can't be written: {error.strerror}\n  Nothing was changed. Mend that and try again."
            ) from error

    def _open_locked(self, draft: Path) -> int:
        for _ in range(_LOCK_TRIES):
            try:
                return os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                time.sleep(_LOCK_PAUSE)
        raise TokenFileError(
            f"{self.path} is being changed by another process, as {draft} exists\n"
            "  Wait for that process; if there is none, it crashed: delete that file and try again."
        )

    def _unknown(self, name: str, names: builtins.list[str]) -> TokenError:
        known = ", ".join(sorted(names)) or "none"
        return TokenError(f"{self.path} has no token named {name!r}\n  There are: {known}.")


def _loaded(raw: bytes) -> _Loaded:
    content = _Content.model_validate_json(raw)
    return _Loaded(raw, content, {entry.sha256: _token(name, entry) for name, entry in content.tokens.items()})


def _bad_name(what: str, text: str, besides: str) -> TokenError:
    remedy = f"Use 1 to 64 letters, digits, dots, hyphens and underscores{besides}."
    return TokenError(f"{text!r} can't be a token's {what}\n  {remedy}")


def _token(name: str, entry: _Entry) -> Token:
    return Token(name, entry.owner, entry.created)


def _hash(secret: str) -> str:
    # Headers and JSON can bring lone surrogates, which plain UTF-8 refuses.
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _signature(key: str, name: str, expiry: str, entry: _Entry) -> str:
    # With the token's hash, or a session of a revoked token would be good for a later one of the same name.
    return hmac.new(bytes.fromhex(key), f"{name}.{expiry}.{entry.sha256}".encode(), sha256).hexdigest()


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, problem["loc"]))
    return f"{place}: {problem['msg']}" if place else problem["msg"]
