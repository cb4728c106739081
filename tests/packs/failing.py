"""A pack whose import fails."""

raise ImportError("libmissing is not installed")
