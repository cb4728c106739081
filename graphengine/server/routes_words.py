"""Words to complete prompts with: those that the models of a graph know."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import PurePath

from pydantic import BaseModel, ConfigDict, Field, field_validator

from graphengine.config import Settings
from graphengine.diffusion.known_words import known_words
from graphengine.server.calls import Call, Route

__all__ = ["ROUTES"]

_NOT_MODELS = frozenset({"input", "datasets", "workflows"})
_LEARNED = "embeddings"


class WordsQuery(BaseModel):
    """Whose words are asked for.

    Attributes:
        of: Model files as ``KIND/NAME``, such as ``checkpoints/embedded``; may be given several times.
    """

    model_config = ConfigDict(extra="forbid")

    of: list[str] = Field(default=[], max_length=50)

    @field_validator("of", mode="before")
    @classmethod
    def _several(cls, given: object) -> object:
        return [given] if isinstance(given, str) else given


class WordsAnswer(BaseModel):
    """Words and phrases, the best known of each model first; learned words as prompts have them."""

    model_config = ConfigDict(frozen=True)

    words: list[str]


async def get_words(call: Call[WordsQuery, None]) -> WordsAnswer:
    """Give the words that models are known to understand, and those learned by textual inversion."""
    nodes = call.services.definitions.current.by_id.values()
    kinds = {place.files for kind in nodes for place in kind.inputs if place.files is not None} - _NOT_MODELS
    names = [each for each in call.query.of if each.partition("/")[0] in kinds]
    return WordsAnswer(words=await asyncio.to_thread(_find, call.services.settings, names))


def _find(settings: Settings, names: Sequence[str]) -> list[str]:
    found = [f"embedding:{PurePath(name).stem}" for name in settings.file_names(_LEARNED)]
    for each in names:
        kind, _, name = each.partition("/")
        path = settings.find_file(kind, name)
        if path is not None:
            found += known_words(path)
    return list(dict.fromkeys(found))


ROUTES = (Route("GET", "/words", get_words, "nodes", query=WordsQuery, answer=WordsAnswer),)
