"""Options of the whole suite."""

from __future__ import annotations

import pytest

from scripts.localcluster import binaries


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kubernetes",
        default=binaries.DEFAULT_KUBERNETES,
        help="version of the API server that the integration tests run against",
    )
