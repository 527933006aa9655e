"""The pytest plugin: a ``gradcheck`` fixture, and failures that show the report, not a traceback.

pytest loads this module on every run in which the library is installed, so it imports nothing until it is used.
"""

from __future__ import annotations

import sys
from typing import Any

__all__: list[str] = []


def pytest_configure(config: Any) -> None:
    """Register the fixture."""
    import pytest

    class Fixtures:
        @pytest.fixture
        def gradcheck(self) -> Any:
            """`tinygrad_np.testing.gradcheck`."""
            from tinygrad_np.testing import gradcheck

            return gradcheck

        @pytest.fixture
        def check_gradient(self) -> Any:
            """`tinygrad_np.testing.check_gradient`."""
            from tinygrad_np.testing import check_gradient

            return check_gradient

    config.pluginmanager.register(Fixtures(), "tinygrad_np-fixtures")


def pytest_runtest_makereport(item: Any, call: Any) -> Any:
    """Nothing but a gradient's report is of interest when it is wrong."""
    errors = sys.modules.get("tinygrad_np.errors")
    if errors is None or call.excinfo is None or not isinstance(call.excinfo.value, errors.GradcheckError):
        return None
    from _pytest.reports import TestReport

    report = TestReport.from_item_and_call(item, call)
    report.longrepr = str(call.excinfo.value)
    return report
