"""The fixture `robustness_cache`; it is nobody's until a conftest.py names this module.

    pytest_plugins = ["saddlepoint.testing.plugin"]

This is the one module of the package that imports pytest.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from saddlepoint.testing.cache import RobustnessCache


@pytest.fixture(scope="session")
def robustness_cache(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> RobustnessCache:
    """Return a cache of evaluations in pytest's cache folder, which `--cache-clear` empties.

    Where pytest keeps none (`-p no:cacheprovider`) it lasts for the session.
    """
    kept = getattr(request.config, "cache", None)
    if kept is None:
        return RobustnessCache(tmp_path_factory.mktemp("saddlepoint"))
    return RobustnessCache(Path(kept.mkdir("saddlepoint")))
