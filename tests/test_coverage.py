"""Every function in NumPy is in one of the three tables, and does what its table says.

When a new NumPy fails here, it has added functions: give each its rule, or its line in ``rules/constants.py`` or
``rules/refused.py``.
"""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np import core, coverage
from tinygrad_np.coverage import Entry
from tinygrad_np.errors import MissingMethodError, MissingRuleError
from tinygrad_np.rules.handlers import Query, Refused, Unrelated
from tinygrad_np.trees import leaves, map_leaves

ENTRIES = coverage.entries()
METHODS = [e for e in ENTRIES if e.group == "ndarray"]
FUNCTIONS = list({e.function: e for e in ENTRIES if e.group != "ndarray"}.values())  # each alias once


def every(entries: list[Entry]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", entries, ids=lambda e: e.name)


def of(kind: str, entries: list[Entry] = FUNCTIONS) -> list[Entry]:
    return [e for e in entries if e.kind == kind]


def is_dispatched(function: Any) -> bool:
    """Whether NumPy asks the arguments of a function whether they want to take over."""
    if isinstance(getattr(function, "__self__", None), np.ufunc):
        return function.__name__ != "resolve_dtypes"
    return isinstance(function, np.ufunc) or type(function) is type(np.sum)


# ----------------------------------------------------------------------------------------------------- completeness


def test_nothing_is_missing() -> None:
    assert [e.name for e in ENTRIES if e.kind == "missing"] == []


def test_everything_is_in_one_table_once() -> None:
    assert {e.kind for e in ENTRIES} == {"differentiable", "constant", "refused"}
    assert [name for name, count in Counter(e.name for e in ENTRIES).items() if count > 1] == []
    assert all(e.how for e in ENTRIES)


@pytest.mark.parametrize("module", [np, np.linalg, np.fft], ids=lambda m: m.__name__)
def test_every_public_callable_is_listed(module: Any) -> None:
    public = {name for name in dir(module) if callable(getattr(module, name)) and not name.startswith("_")}
    documented = {name for name in module.__all__ if callable(getattr(module, name)) and not name.startswith("_")}
    prefix = module.__name__.replace("numpy", "np")
    listed = {e.name.removeprefix(f"{prefix}.") for e in ENTRIES if e.group == module.__name__}
    assert listed == documented
    assert public - listed <= {"test"}  # each package's own test runner


def test_every_method_of_a_ufunc_is_listed() -> None:
    listed = {e.name for e in ENTRIES if e.group.startswith("ufunc")}
    assert {f"np.{f.__name__}.{m}" for f in (np.add, np.exp, np.matmul, np.modf) for m in ("reduce", "at")} <= listed
    public = {name for name in dir(np.add) if callable(getattr(np.add, name)) and not name.startswith("_")}
    assert {f"np.add.{name}" for name in public} <= listed


def test_every_method_of_an_array_is_listed_and_none_is_made_up() -> None:
    listed = {e.name.removeprefix("ndarray.") for e in METHODS}
    public = {name for name in dir(MATRIX) if hasattr(MATRIX, name) and not name.startswith("_")}
    assert public <= listed <= set(dir(MATRIX))


@every(of("differentiable", METHODS) + of("constant", METHODS))
def test_every_method_that_is_offered_is_a_method_of_tensors(entry: Entry) -> None:
    assert hasattr(tg.Tensor, entry.name.removeprefix("ndarray."))


# ----------------------------------------------------------------------------------------------------------- constants

MATRIX = np.array([[0.3, -1.7, 2.6], [1.2, 0.9, -0.4], [3.3, 2.1, -2.2]])
VECTOR = np.array([0.3, -1.7, 2.6])
SHIFTED = VECTOR + 0.45
WHOLE = np.array([5, 2, 3])

ARGUMENTS: dict[Any, tuple[Any, ...]] = {
    np.allclose: (VECTOR, SHIFTED),
    np.argpartition: (MATRIX, 1),
    np.array_equal: (VECTOR, SHIFTED),
    np.array_equiv: (VECTOR, SHIFTED),
    np.can_cast: (VECTOR, np.float32),
    np.digitize: (VECTOR, np.sort(SHIFTED)),
    np.einsum_path: ("ij,j", MATRIX, VECTOR),
    np.isclose: (VECTOR, SHIFTED),
    np.isin: (VECTOR, SHIFTED),
    np.lexsort: ((VECTOR, SHIFTED),),
    np.may_share_memory: (VECTOR, SHIFTED),
    np.packbits: (WHOLE,),
    np.ravel_multi_index: ((WHOLE, WHOLE), (6, 6)),
    np.searchsorted: (np.sort(VECTOR), SHIFTED),
    np.shares_memory: (VECTOR, SHIFTED),
    np.unpackbits: (WHOLE.astype(np.uint8),),
    np.unravel_index: (WHOLE, (6, 6)),
}
LIKE: dict[Any, tuple[Any, ...]] = {
    np.empty: (0,),
    np.eye: (3,),
    np.fromiter: ([1, 2], float),
    np.fromstring: ("1 2", float, -1),
    np.genfromtxt: (["1 2"],),
    np.identity: (3,),
    np.loadtxt: (["1 2"],),
    np.ones: (3,),
    np.tri: (3,),
    np.zeros: ((2, 3),),
}
"""Functions that no Tensor goes into, but that make one where ``like=t`` asks for it."""


def arguments(function: Any) -> tuple[Any, ...]:
    """What to call a function with that takes Tensors."""
    ufunc = getattr(function, "__self__", function)
    if not isinstance(ufunc, np.ufunc):
        return ARGUMENTS.get(function, (MATRIX,))
    operands: tuple[Any, ...] = (VECTOR, SHIFTED)[: ufunc.nin]
    if ufunc.types and not any("d" in signature.split("->")[0] for signature in ufunc.types):
        operands = (WHOLE, WHOLE)[: ufunc.nin]
    kind = function.__name__ if function is not ufunc else ""
    if kind == "at":
        return (operands[0], [0], *operands[1:])
    return {"reduce": operands[:1], "accumulate": operands[:1], "reduceat": (operands[0], [0, 2])}.get(kind, operands)


def recorded(tree: Any) -> Any:
    """Tensors in the place of arrays, such as require a gradient wherever they can."""

    def tensor(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        return +tg.tensor(leaf, requires_grad=leaf.dtype.kind in "fc")  # no leaf, or writing into it would be refused

    return map_leaves(tensor, tree)


def attempt(call: Callable[[], Any]) -> Any:
    """What a call returns, or that it cannot be made."""
    try:
        return call()
    except (TypeError, ValueError) as error:
        return "a TypeError" if isinstance(error, TypeError) else "a ValueError"


def assert_same(found: Any, expected: Any, tensors: bool) -> None:
    """Assert that a result is NumPy's: as Tensors without a gradient in the place of arrays, or as it is."""
    found, expected = leaves(found), leaves(expected)
    assert len(found) == len(expected)
    for ours, numpys in zip(found, expected, strict=True):
        if tensors and isinstance(numpys, np.ndarray | np.generic):
            assert isinstance(ours, tg.Tensor)
            assert not ours.requires_grad
            ours, numpys = ours.data, np.asarray(numpys)
        assert type(ours) is type(numpys)
        if isinstance(ours, np.ndarray):
            assert ours.dtype == numpys.dtype
        np.testing.assert_array_equal(ours, numpys)


TAKING_TENSORS = [e for e in of("constant") if not isinstance(core.table[e.function], Unrelated)]


@every(TAKING_TENSORS)
def test_a_constant_function_gives_numpys_value_and_no_gradient(entry: Entry) -> None:
    args = arguments(entry.function)
    if entry.function is np.empty_like:
        args = (MATRIX[:0],)
    expected = attempt(lambda: entry.function(*args))
    found = attempt(lambda: entry.function(*recorded(args)))
    assert_same(found, expected, not isinstance(core.table[entry.function], Query))


NUMERIC = [
    e for e in TAKING_TENSORS if not isinstance(core.table[e.function], Query) and e.function is not np.empty_like
]


@every(NUMERIC)
def test_a_constant_function_does_not_change_when_its_arguments_do_by_a_little(entry: Entry) -> None:
    args = arguments(entry.function)
    nearby = map_leaves(lambda x: x * (1 + 1e-9) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x, args)
    here, there = (attempt(lambda x=x: entry.function(*x)) for x in (args, nearby))
    for one, other in zip(leaves(here), leaves(there), strict=True):
        np.testing.assert_array_equal(one, other)


@every([e for e in of("constant") if e not in TAKING_TENSORS])
def test_numpy_does_not_dispatch_a_function_that_no_array_goes_into(entry: Entry) -> None:
    assert not is_dispatched(entry.function)


@pytest.mark.parametrize("function", LIKE, ids=lambda f: f.__name__)
def test_like_a_tensor_makes_a_tensor_without_a_gradient(function: Any) -> None:
    t = tg.tensor(VECTOR, requires_grad=True)
    keywords = {"sep": " "} if function is np.fromstring else {}
    args = LIKE[function]
    assert_same(function(*args, like=t, **keywords), function(*args, **keywords), tensors=True)


OPERANDS: dict[str, tuple[Any, ...]] = {"argpartition": (1,), "searchsorted": (0.5,), "__format__": ("",)}
ONE_NUMBER = {"__bool__", "__complex__", "__float__", "__index__", "__int__", "item"}


@every(of("constant", METHODS))
def test_a_constant_method_gives_numpys_value_and_no_gradient(entry: Entry) -> None:
    name = entry.name.removeprefix("ndarray.")
    is_binary = isinstance(entry.function, np.ufunc) and entry.function.nin == 2
    operands = OPERANDS.get(name, (0.5,) if is_binary else ())

    def outcome(x: Any) -> Any:
        attribute = getattr(x, name)
        return attempt(lambda: attribute(*operands)) if callable(attribute) else attribute

    values = VECTOR[0] if name in ONE_NUMBER else VECTOR
    found, expected = outcome(+tg.tensor(values, requires_grad=True)), outcome(np.array(values))
    if name in ("__repr__", "__str__", "__format__"):
        assert all(str(number) in found for number in values)
    elif name == "data":
        np.testing.assert_array_equal(found, expected)
    else:
        assert_same(found, expected, tensors=True)


# ------------------------------------------------------------------------------------------------------------- refused

REFUSED: dict[Any, Callable[[tg.Tensor], Any]] = {
    np.bmat: lambda t: np.bmat([[t, t]]),
    np.broadcast: lambda t: np.broadcast(t, VECTOR),
    np.busday_count: lambda t: np.busday_count(t, t),
    np.busday_offset: lambda t: np.busday_offset(t, 1),
    np.flatiter: lambda t: np.flatiter(t),
    np.frompyfunc: lambda t: np.frompyfunc(lambda v: v * v, 1, 1)(t),
    np.full: lambda t: np.full(3, t),
    np.nested_iters: lambda t: np.nested_iters([t, t], [[0], [1]]),
    np.save: lambda t: np.save("never.npy", t),
    np.savetxt: lambda t: np.savetxt("never.txt", t),
    np.savez: lambda t: np.savez("never.npz", t),
    np.savez_compressed: lambda t: np.savez_compressed("never.npz", t),
    np.vectorize: lambda t: np.vectorize(lambda v: v * v)(t),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@every(of("refused"))
def test_a_refused_function_raises(entry: Entry) -> None:
    function = entry.function
    t = recorded(arguments(function)[0])
    if isinstance(getattr(function, "__self__", None), np.ufunc):
        call = lambda t: function(*recorded(arguments(function)))  # noqa: E731
    else:
        call = REFUSED.get(function, function)
    with pytest.raises((TypeError, ValueError, RuntimeError, NotImplementedError, AttributeError)) as caught:
        call(t)
    if is_dispatched(function) and entry.group != "ufunc methods that NumPy itself refuses":
        assert isinstance(caught.value, MissingRuleError)
        assert entry.how in str(caught.value)


@every(of("refused"))
def test_a_refused_function_says_why_and_what_to_write(entry: Entry) -> None:
    handler = core.table[entry.function]
    assert isinstance(handler, Refused)
    with pytest.raises(MissingRuleError) as caught:
        core.apply(entry.function, (tg.tensor(VECTOR),))
    assert str(caught.value) == f"{handler.name} does not take tensors: {entry.how}"


@every(of("refused", METHODS))
def test_a_refused_method_says_why_and_what_to_write(entry: Entry) -> None:
    name = entry.name.removeprefix("ndarray.")
    with pytest.raises(MissingMethodError) as caught:
        getattr(tg.tensor(VECTOR), name)
    assert str(caught.value) == f"a tensor has no .{name}: {entry.how}"


# --------------------------------------------------------------------------------------------------------- the command


def test_the_command_lists_every_function(capsys: pytest.CaptureFixture[str]) -> None:
    assert coverage.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[e.name, e.kind] for e in ENTRIES]


def test_the_command_looks_up_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert coverage.main(["np.argmax", "isfortran"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{'np.argmax':32} {'constant':14} no gradient",
        f"{'np.isfortran':32} {'refused':14} it is about bytes in memory: write t.data.flags.fnc",
    ]


@pytest.mark.usefixtures("scratch_table")
def test_the_command_fails_if_anything_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert coverage.main(["--missing"]) == 0
    assert capsys.readouterr().out == ""
    del core.table[np.median]
    assert coverage.main(["--missing"]) == 1
    assert capsys.readouterr().out.split() == ["np.median", "missing"]
    assert coverage.main(["--markdown"]) == 1
    assert "| missing |" in capsys.readouterr().out


def test_the_command_counts_for_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    assert coverage.main(["--markdown"]) == 0
    header, rule, *rows, total = capsys.readouterr().out.splitlines()
    assert header == "|  | differentiable | constant | refused |"
    assert rule == "| --- | --- | --- | --- |"
    counts = [[int(cell) for cell in row.split("|")[2:-1]] for row in rows]
    assert total == f"| all | {' | '.join(str(sum(column)) for column in zip(*counts, strict=True))} |"
    assert sum(map(sum, counts)) == len(ENTRIES)


def test_the_readme_shows_the_summary() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    version = re.search(r"`numpy\.fft` in NumPy (\d+\.\d+),", readme)
    assert version, "README.md does not say which NumPy its table is for"
    table = coverage.markdown(coverage.entries())
    if np.__version__.startswith(f"{version[1]}."):
        assert table in readme, f"README.md must hold the output of python -m tinygrad_np.coverage --markdown:\n{table}"
    for line in table.splitlines():  # other versions have other numbers
        assert line.split("|")[1] in readme
