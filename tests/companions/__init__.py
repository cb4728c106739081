"""Train the small files that go with the embedded model: a ControlNet and a learned word."""
