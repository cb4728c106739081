"""The node definitions that a server checks workflows against, kept current with the packs' files."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from hashlib import blake2b

from graphengine.core.registry import Definitions

__all__ = ["LiveDefinitions"]


class LiveDefinitions:
    """Definitions, and the bytes that tell of them, made once for all requests.

    Args:
        read: Reads the definitions of all packs; takes long if a pack has to be imported for it.
    """

    def __init__(self, read: Callable[[], Definitions]) -> None:
        self._read = read
        self._turn = threading.Lock()
        self._use(read())

    def refresh(self) -> bool:
        """Read them again, and say whether anything changed; call it in a thread."""
        with self._turn:
            before = self.etag
            self._use(self._read())
            return self.etag != before

    @property
    def needs_worker(self) -> frozenset[str]:
        """The node kinds whose own code takes part in checks, which runs in a worker."""
        return self._needs_worker

    def _use(self, definitions: Definitions) -> None:
        nodes = {id_: each.model_dump(mode="json", exclude_defaults=True) for id_, each in definitions.by_id.items()}
        self.current = definitions
        self.body = json.dumps(
            {
                "nodes": nodes,
                "failures": {failure.pack: failure.error for failure in definitions.failures},
                "conflicts": list(definitions.conflicts),
            },
            separators=(",", ":"),
        ).encode()
        self.compressed_body = gzip.compress(self.body, mtime=0)
        self.etag = f'W/"{blake2b(self.body, digest_size=12).hexdigest()}"'  # weak: compressed or not, it is the same
        self._needs_worker = frozenset(
            id_ for id_, each in definitions.by_id.items() if each.has_check or each.has_refine or each.sockets_from
        )
