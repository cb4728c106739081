"""Diffusion models, samplers and training as a library that knows nothing of graphs."""
