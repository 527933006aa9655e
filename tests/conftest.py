"""What every test runs under: the hypothesis profiles, and the rule that a test leaves no global state behind."""

import os
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import tinygrad_np as tg
from tinygrad_np import core
from tinygrad_np.graph import recording

# dev: other examples on every run. ci: the same ones on every run. long: by hand, over a coffee.
settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci",
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],  # it measures the machine's load, not the test
)
settings.register_profile("long", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fail a test that leaves recording switched, NumPy's error handling changed, or a rule in the table."""
    state, errors, table = recording.get(), np.geterr(), dict(core.table)
    yield
    leaks = []
    if recording.get() is not state:
        recording.set(state)
        leaks.append("recording was left switched")
    if np.geterr() != errors:
        np.seterr(**errors)
        leaks.append("np.seterr was left changed")
    if core.table != table:
        changed = [f for f in {**table, **core.table} if core.table.get(f) is not table.get(f)]
        core.table.clear()
        core.table.update(table)
        leaks.append(f"the derivative table was left changed (use the scratch_table fixture): {changed}")
    assert not leaks, "; ".join(leaks)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Give every test the same random draws of the library, whatever ran before it."""
    tg.manual_seed(0)


@pytest.fixture
def scratch_table(no_leaks: None) -> Iterator[None]:
    """Let a test register rules: the table is as before when it ends."""
    table = dict(core.table)
    yield
    core.table.clear()
    core.table.update(table)
