"""The HTTP server: workflows run for browsers and programs."""
