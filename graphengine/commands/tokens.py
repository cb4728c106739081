"""``graphengine token``: make, list and revoke the tokens that let people and programs use a server."""

from __future__ import annotations

import argparse
import json
import sys

from graphengine.config import Settings
from graphengine.server.tokens import TokenStore

__all__ = ["create_token", "list_tokens", "revoke_token"]

DONE = 0


def create_token(options: argparse.Namespace) -> int:
    """Make a token and print it, which can't be done again."""
    owner = options.owner or options.name
    secret = _store(options).create(options.name, owner)
    if options.json:
        print(json.dumps({"type": "token", "name": options.name, "owner": owner, "token": secret}))
        return DONE
    print(secret)
    sys.stderr.write("It is not shown again. Programs take it from GRAPHENGINE_TOKEN, or a file with --token-file.\n")
    return DONE


def list_tokens(options: argparse.Namespace) -> int:
    """List tokens by name, without what is secret."""
    tokens = _store(options).list()
    if options.json:
        for token in tokens:
            created = token.created.isoformat()
            print(json.dumps({"type": "token", "name": token.name, "owner": token.owner, "created": created}))
        return DONE
    width = max((len(token.name) for token in tokens), default=0)
    for token in tokens:
        print(f"{token.name:{width}}  {token.created.astimezone():%Y-%m-%d %H:%M}  owner {token.owner}")
    if not tokens:
        sys.stderr.write("There are no tokens. 'graphengine token create NAME' makes one.\n")
    return DONE


def revoke_token(options: argparse.Namespace) -> int:
    """Make a token worthless, at once and on servers that run."""
    _store(options).revoke(options.name)
    if options.json:
        print(json.dumps({"type": "token_revoked", "name": options.name}))
    else:
        print(f"{options.name} lets nobody in any more.")
    return DONE


def _store(options: argparse.Namespace) -> TokenStore:
    return TokenStore(Settings.for_user(data=options.data).data / "tokens.json")
