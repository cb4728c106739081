"""The graph: pure values and functions. Imports pydantic and networkx, never torch."""
