"""Benchmarks: ``make bench``. Never part of the tests, whose outcome must not depend on a clock."""
