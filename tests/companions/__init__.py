"""Train the small files that go with the embedded model: a ControlNet, a learned word, an enlarger."""
