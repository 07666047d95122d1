"""Fixtures of a tiny run."""

from tests.tiny_run import config, data, make_data  # noqa: F401
