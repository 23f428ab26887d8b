"""Fixtures of the unit tests."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from streams.logging import configure_logging


@pytest.fixture
def logging_put_back() -> Iterator[None]:
    """The logging of the test run is put back after the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def written(logging_put_back: None) -> io.StringIO:
    """What is logged as JSON while the test runs."""
    stream = io.StringIO()
    configure_logging("INFO", stream=stream)
    return stream
