"""How NumPy handles errors is told right, with the variable that it keeps this in and without."""

from collections.abc import Iterator

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np.compiler import handling as module
from tinygrad_np.compiler.handling import handling, token


@pytest.fixture(params=["told by NumPy", "not told"], autouse=True)
def _told(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param == "not told":
        monkeypatch.setattr(module, "_VARIABLE", None)
    yield
    module._handling.cache_clear()


def test_it_is_that_of_the_moment() -> None:
    for settings in ({}, {"over": "raise"}, {"all": "ignore"}, {"divide": "warn", "under": "raise"}):
        with np.errstate(**settings):
            assert dict(handling()) == np.geterr()
            with np.errstate(invalid="call"):
                assert dict(handling()) == np.geterr()
            assert dict(handling()) == np.geterr()


def test_the_token_is_another_after_each_change() -> None:
    before = token()
    old = np.seterr(over="raise")
    try:
        assert token() is not before
    finally:
        np.seterr(**old)


def test_a_function_is_captured_for_each_way() -> None:
    compiled = tg.compile(lambda x: np.exp(x) * 2)
    x = np.array([1e4])
    with np.errstate(over="ignore"):
        assert compiled(x) == np.inf
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        compiled(x)
    with np.errstate(over="ignore"):
        assert compiled(x) == np.inf
    assert compiled.captures == 2
