"""Words to complete prompts with, over HTTP."""

from __future__ import annotations

from tests.server.running import Json, Server


def _words(server: Server, query: str) -> Json:
    return server.ask("GET", f"/words{query}").json["words"]


def test_a_models_words_are_given_with_the_learned_ones(server: Server) -> None:
    folder = server.data / "models" / "embeddings"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dusk.safetensors").write_bytes(b"")
    learned = ["embedding:dusk", "embedding:mascot"]  # the second is shipped
    assert _words(server, "") == learned
    words = _words(server, "?of=checkpoints/embedded&of=loras/nothing")
    assert words[:2] == learned
    assert "triangle" in words
    (folder / "dusk.safetensors").unlink()
    assert "triangle" in _words(server, "?of=checkpoints/embedded")


def test_no_other_file_is_looked_into(server: Server) -> None:
    (server.data / "input").mkdir(exist_ok=True)
    (server.data / "input" / "words.txt").write_text("secret")
    for name in ("input", "input/.", "checkpoints/..", "checkpoints/../../input", "../input", "/etc"):
        assert _words(server, f"?of={name}") == ["embedding:mascot"]
    assert server.ask("GET", "/words?of=" + "&of=".join("x" * 51)).code == "bad_parameter"
