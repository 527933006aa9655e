"""What is recorded, and when: `no_grad`, the numbered nodes, and how the graph comes to its end."""

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tensors import leaf

import tinygrad_np as tg
from tinygrad_np.errors import DtypeError
from tinygrad_np.graph import recording


def records() -> bool:
    """Whether a call is recorded here and now."""
    return (leaf() * 2).requires_grad


# ------------------------------------------------------------------------------------------------ no_grad, enable_grad


def test_calls_are_recorded_by_default() -> None:
    assert records()


def test_no_grad_records_nothing() -> None:
    x = leaf()
    with tg.no_grad():
        y = np.exp(x) @ x + x[0]
        total = tg.tensor(np.zeros(3))
        total += x
        assert x.requires_grad
    assert not y.requires_grad
    assert not total.requires_grad
    assert records()


def test_enable_grad_records_again() -> None:
    with tg.no_grad():
        with tg.enable_grad():
            assert records()
            with tg.no_grad():
                assert not records()
            assert records()
        assert not records()


@pytest.mark.parametrize("switch", [tg.no_grad, tg.enable_grad])
def test_a_decorator_without_parentheses_is_an_error_that_says_so(switch: Any) -> None:
    with pytest.raises(tg.errors.DtypeError, match=rf"write @tg\.{switch.__name__}\(\)"):

        @switch
        def function() -> None: ...


def test_leaves_can_be_made_under_no_grad() -> None:
    with tg.no_grad():
        x = leaf()
    np.sum(x * x).backward()
    np.testing.assert_array_equal(x.grad, 2 * x.data)


def test_backward_works_under_no_grad() -> None:
    x = leaf()
    y = np.sum(x * x)
    with tg.no_grad():
        y.backward()
    np.testing.assert_array_equal(x.grad, 2 * x.data)


def test_an_exception_restores_the_state() -> None:
    with pytest.raises(RuntimeError, match="deliberate"), tg.no_grad():
        raise RuntimeError("deliberate")
    assert records()


def test_one_object_can_be_entered_more_than_once() -> None:
    off = tg.no_grad()
    with off:
        with off:
            assert not records()
        assert not records()
    assert records()
    with off:
        assert not records()


@pytest.mark.parametrize(("switch", "state"), [(tg.no_grad, False), (tg.enable_grad, True)])
def test_as_a_decorator(switch: Callable[..., Any], state: bool) -> None:
    @switch()
    def check(a: int, *, b: int = 2) -> tuple[bool, int]:
        """The docstring."""
        return records(), a + b

    for outside in (tg.no_grad, tg.enable_grad):
        with outside():
            assert check(1, b=3) == (state, 4)
    assert (check.__name__, check.__doc__) == ("check", "The docstring.")


def test_a_decorated_method_that_calls_itself() -> None:
    class Counter:
        @tg.no_grad()
        def down(self, n: int) -> list[bool]:
            return [records(), *(self.down(n - 1) if n else [])]

    assert Counter().down(2) == [False] * 3
    assert records()


def test_a_decorated_function_in_two_threads_at_once() -> None:
    entered = threading.Barrier(2, timeout=10)

    @tg.no_grad()
    def check(wait: threading.Event) -> bool:
        entered.wait()
        wait.wait(10)
        return records()

    first, second = threading.Event(), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(check, event) for event in (first, second)]
        for event, result in zip((first, second), results, strict=True):  # in the order in which they came in
            event.set()
            assert result.result(10) is False


def test_a_decorated_coroutine_is_switched_while_it_runs() -> None:
    @tg.no_grad()
    async def check() -> list[bool]:
        before = records()
        await asyncio.sleep(0)
        return [before, records()]

    async def main() -> tuple[list[bool], bool]:
        return await check(), records()

    assert asyncio.run(main()) == ([False, False], True)


def test_generators_cannot_be_decorated() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def more_numbers() -> Any:
        yield 1

    for function in (numbers, more_numbers):
        with pytest.raises(DtypeError, match=r"no_grad cannot decorate a generator.*write with tg.no_grad\(\) in it"):
            tg.no_grad()(function)


def test_threads_do_not_share_the_state() -> None:
    seen: dict[str, bool] = {}
    inside, checked = threading.Event(), threading.Event()

    def switched() -> None:
        with tg.no_grad():
            inside.set()
            assert checked.wait(10)
            seen["switched"] = records()

    thread = threading.Thread(target=switched)
    thread.start()
    assert inside.wait(10)
    seen["main"] = records()
    checked.set()
    thread.join()
    with tg.no_grad():
        fresh = threading.Thread(target=lambda: seen.update(fresh=records()))
        fresh.start()
        fresh.join()
    assert seen == {"switched": False, "main": True, "fresh": True}


def test_asyncio_tasks_do_not_share_the_state() -> None:
    async def switched(inside: asyncio.Event, checked: asyncio.Event) -> bool:
        with tg.no_grad():
            inside.set()
            await checked.wait()
            return records()

    async def other(inside: asyncio.Event, checked: asyncio.Event) -> bool:
        await inside.wait()
        state = records()
        checked.set()
        return state

    async def main() -> list[bool]:
        events = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(switched(*events), other(*events))

    assert asyncio.run(main()) == [False, True]
    assert recording.get()


def test_threads_record_and_go_backward_side_by_side() -> None:
    def work(seed: int) -> bool:
        x = leaf(np.random.default_rng(seed).normal(size=5))
        y = x
        for _ in range(200):
            y = np.sin(y) + x
        slope = np.zeros(5)
        value = x.data
        for _ in range(200):
            slope = np.cos(value) * (slope if slope.any() else 1.0) + 1
            value = np.sin(value) + x.data
        return np.allclose(tg.gradients(np.sum(y), x), slope)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(16)))


# -------------------------------------------------------------------------------------------------------------- numbers


def test_a_node_has_a_higher_number_than_all_it_was_computed_from() -> None:
    x = leaf()
    y = np.modf(x * 2)[0]
    y[0] = x[1]
    nodes = [(y + np.stack([x[2], y[0], y[1]]))._node]
    for node in nodes:
        for parent in node.parents:
            if parent is not None:
                assert parent.number < node.number
                nodes.append(parent)
    assert x._node in nodes


# --------------------------------------------------------------------------------------------------------------- memory


@pytest.fixture
def no_gc() -> Iterator[None]:
    """Let nothing but reference counting free memory."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def watched(*tensors: Any) -> list[weakref.ref[Any]]:
    """Weak references to tensors, their arrays and their nodes."""
    return [weakref.ref(thing) for t in tensors for thing in (t, t.data, t._node)]


def alive(references: list[weakref.ref[Any]]) -> int:
    return sum(reference() is not None for reference in references)


@pytest.mark.usefixtures("no_gc")
class TestMemory:
    """All of this is with the garbage collector switched off."""

    def test_a_graph_dies_with_its_end(self) -> None:
        x = leaf()
        a = np.exp(x)
        b = a.reshape(3, 1)
        c = b * a
        d, e = np.modf(c)
        d[0] = e[1] + a
        loss = np.sum(np.stack([d, e]))
        references = watched(a, b, c, d, e)
        del a, b, c, d, e
        assert alive(references) > 0
        del loss
        assert alive(references) == 0

    def test_leaves_die_too(self) -> None:
        x = leaf()
        references = watched(x)
        y = x * 2
        np.sum(y).backward()
        del x, y
        assert alive(references) == 0

    def test_a_graph_that_was_retained_dies_with_its_end(self) -> None:
        x = leaf()
        y = np.exp(x)
        loss = np.sum(y * y)
        loss.backward(retain_graph=True)
        references = watched(y)
        del y
        assert alive(references) > 0
        del loss
        assert alive(references) == 0

    def test_a_graph_of_gradients_dies_with_its_end(self) -> None:
        x = leaf()
        y = np.exp(x)
        (slope,) = tg.gradients(np.sum(y * y), [x], create_graph=True)
        (curvature,) = tg.gradients(np.sum(slope), [x], create_graph=True)
        references = watched(y, slope, curvature)
        del y, slope, curvature
        assert alive(references) == 0

    def test_backward_lets_go_of_the_arrays_but_the_handle_stays(self) -> None:
        x = leaf()
        y = np.exp(x)
        loss = np.sum(y * y)
        array = weakref.ref(y.data)
        del y
        assert array() is not None
        loss.backward()
        assert array() is None
        assert loss.item() > 0

    @pytest.mark.usefixtures("scratch_table")
    def test_backward_lets_go_of_each_array_as_it_passes(self) -> None:
        arrays: list[weakref.ref[Any]] = []
        alive_at_each_rule = []

        def rule(g: Any, _y: Any, x: Any) -> Any:
            alive_at_each_rule.append(alive(arrays))
            return g

        step = tg.defvjp(lambda x: x + 1, rule)
        y = leaf()
        for _ in range(5):
            y = step(y)
            arrays.append(weakref.ref(y.data))
        y = y + 0.0
        y.backward(np.ones(3))
        # A rule sees its own input: the output of the step before.
        assert alive_at_each_rule == [4, 3, 2, 1, 0]

    def test_backward_lets_go_of_the_nodes_too(self) -> None:
        """A running total of losses does not hold all graphs that there ever were."""
        x, total, references = leaf(), 0.0, []
        for _ in range(3):
            y = np.exp(x)
            loss = np.sum(y)
            total = total + loss
            loss.backward()
            references += watched(y)
        del y
        assert alive(references) == 0
        assert total.item() > 0

    def test_a_rebound_value_is_let_go_of(self) -> None:
        y = leaf() + 1
        array = weakref.ref(y.data)
        y += 1
        assert array() is None

    def test_nothing_refers_to_itself(self) -> None:
        def use() -> None:
            x = leaf([[1.0, 2.0], [3.0, 4.0]])
            y = np.exp(x) @ x
            y[0] = x[1]
            y += x
            fraction, whole = np.modf(np.stack([y[0], y[1]]))
            loss = np.sum(whole * fraction + np.where(y > 2, y, 0))
            (slope,) = tg.gradients(loss, [x], create_graph=True, retain_graph=True)
            np.sum(slope * slope).backward(retain_graph=True)
            tg.hessian(lambda v: np.sum(v**3))(np.ones(3))
            tg.checkpoint(np.sum)(x).backward()

        use()
        gc.collect()
        use()
        assert gc.collect() == 0


def test_a_million_operations_forward_and_backward() -> None:
    x = leaf(0.5)
    y = x
    for _ in range(1_000_000):
        y = y + 1.0
    y.backward()
    assert x.grad == 1
    assert y.item() == pytest.approx(1_000_000.5)


def test_a_long_graph_dies_without_recursion() -> None:
    y = leaf(0.5)
    for _ in range(100 * sys.getrecursionlimit()):
        y = y * 1.0
    reference = weakref.ref(y._node)
    del y
    assert reference() is None
