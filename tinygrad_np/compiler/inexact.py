"""Passes over a Program that change the last bits of its results: what ``tg.compile(fn, exact=False)`` adds.

BLAS can add a product to an array as it computes it, ``C += A @ B``. That saves a buffer of the product's size and two
passes over it, but each sum is then rounded in another order. It also adds multiples of two arrays, ``y = a x + b y``,
in one pass, and rounds less often than three calls do.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_np.compiler import blas
from tinygrad_np.compiler.passes import batched
from tinygrad_np.compiler.program import Call, Program, Value

__all__ = [
    *("accumulate_products", "accumulated", "combine_multiples", "combined", "fold_learning_rates"),
    *("prefers_one_thread", "reordered", "stack_products", "stacked"),
]

LONG = 4
"""Of how many products a sum is worth stacking."""

SMALL = 32_768
"""Below how many bytes a weight is updated sooner than its gradient's factors are scaled, or BLAS is called for it."""

ALONE = 1_100_000, 3_000_000
"""How many multiplications the product takes, that the average one is made in, for which one BLAS thread is best.

Below, BLAS takes one by itself or loses little with two; above, the second computes more than it costs that both cores
then hold the weights, which the next call changes.
"""


def accumulated(total: Any, a: Any, b: Any) -> Any:
    """``total + a @ b``."""
    return total + a @ b


def stacked(total: Any, left: Any, right: Any) -> Any:
    """``total + left[0] @ right[0] + left[1] @ right[1] + ...``; there may be no total."""
    for a, b in zip(left, right, strict=True):
        total = a @ b if total is None else total + a @ b
    return total


def combined(x: Any, y: Any, a: Any, b: float) -> Any:
    """``a * x + b * y``."""
    return a * x + b * y


def reordered(program: Program) -> Program:
    """All passes."""
    program = stack_products(accumulate_products(fold_learning_rates(program)))
    return combine_multiples(program) if blas.combines() else program


def fold_learning_rates(program: Program) -> Program:
    """Turn ``w - rate * (a @ b)`` into ``w + a @ (-rate * b)``, or into ``w + (-rate * a) @ b`` if `a` is smaller.

    The gradient ``a @ b`` is then nowhere any more: leaves whose gradient it was are noted in ``program.folded``.
    """
    made = _makers(program.calls)
    uses = Counter(value.root for call in program.calls for value in call.operands)
    grads = dict(program.grads)
    kept = {v.root for v in dataclasses.replace(program, grads={}).kept()}
    instead: dict[Call, list[Call]] = {}
    folded = list(program.folded)
    numbers = program.unused_numbers()
    for call in program.calls:
        found = _update(call, made)
        if found is None:
            continue
        weight, change, rate, gradient = found
        if weight.nbytes < SMALL:
            continue
        if uses[change] + uses[gradient] > 2 or change in kept or gradient in kept:
            continue
        product = made[gradient]
        small = min((0, 1), key=lambda i: product.args[i].nbytes)
        factor = _like(product.args[small], next(numbers))
        slope = dataclasses.replace(_like(rate, next(numbers)), is_array=False)
        scaled = [Call(np.negative, (rate,), {}, [slope])]
        scaled.append(Call(np.multiply, (product.args[small], slope), {}, [factor]))
        operands = tuple(factor if i == small else x for i, x in enumerate(product.args))
        (result,) = call.results
        instead[call], instead[made[change]] = [], []
        # Where the product was, if the weight is not read any more after that: its factors are in the cache there.
        movable = _is_pure(rate, made) and not _read_between(program, weight, product, call)
        place = product if movable else call
        instead[product] = []
        instead[place] = [*scaled, Call(accumulated, (weight, *operands), {}, [result])]
        for leaf in [leaf for leaf, value in grads.items() if value is gradient]:
            folded.append(leaf)
            del grads[leaf]
    calls = [new for call in program.calls for new in instead.get(call, [call])]
    return dataclasses.replace(program, calls=_sorted(calls), grads=grads, folded=folded)


def accumulate_products(program: Program) -> Program:
    """Turn ``x + a @ b`` into one call, if nothing else needs x or the product."""
    made = _makers(program.calls)
    uses = Counter(value.root for call in program.calls for value in call.operands)
    kept = {value.root for value in program.kept()}
    calls, gone = [], set()
    for call in program.calls:
        if call.function is np.add and not call.kwargs and call.dtype is None and len(call.args) == 2:
            for total, product in (call.args, call.args[::-1]):
                alone = isinstance(total, Value) and isinstance(product, Value) and total is not product
                if not alone or any(uses[v] != 1 or v.root in kept or v.root is not v for v in (total, product)):
                    continue
                maker, maker_of_total = made.get(product), made.get(total)
                if maker is None or maker_of_total is None or not _is_product(maker, total):
                    continue
                if maker in gone or maker_of_total.results[0].strides != call.results[0].strides:
                    continue
                gone.add(maker)
                call = Call(accumulated, (total, *maker.args), {}, call.results)
                break
        calls.append(call)
    return dataclasses.replace(program, calls=_sorted([call for call in calls if call not in gone]))


def stack_products(program: Program) -> Program:
    """Turn sums of many products, as of a weight that is used at each time step, into one call.

    If the factors lie one after the other in memory, it is one product of all of them.
    """
    made = _makers(program.calls)
    links: dict[Call, Call] = {}  # from a sum to the one before, which `accumulate_products` knows nobody else needs
    for call in program.calls:
        before = made.get(call.args[0]) if call.function is accumulated else None
        if before is not None and _is_alike(before, call):
            links[call] = before
    instead: dict[Call, list[Call]] = {}
    for end in set(links) - set(links.values()):
        chain = [end]
        while chain[-1] in links:
            chain.append(links[chain[-1]])
        if len(chain) < LONG:
            continue
        total = chain[-1].args[0] if chain[-1].function is accumulated else None
        left, right = (tuple(call.args[i] for call in reversed(chain)) for i in (-2, -1))
        instead |= {call: [] for call in chain}
        instead[end] = [Call(stacked, (total, left, right), {}, end.results)]
    return dataclasses.replace(program, calls=[new for call in program.calls for new in instead.get(call, [call])])


def combine_multiples(program: Program) -> Program:
    """Turn sums of multiples of large arrays into one call each where the sum takes the place of one of them.

    Such are ``w - rate * g``, ``b * v + c * g`` and ``(m - g) * b + g``: the updates of most optimisers.
    """
    return _Combining(program).combined()


class _Combining:
    """What `combine_multiples` knows of the program, and has found so far."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.made = _makers(program.calls)
        self.uses = Counter(value.root for call in program.calls for value in call.operands)
        self.kept = {value.root for value in program.kept()}
        self.numbers = program.unused_numbers()
        self.start: list[Call] = []  # calls to be made before all others
        self.instead: dict[Call, list[Call]] = {}

    def combined(self) -> Program:
        """The program with the sums in one call each."""
        for call in self.program.calls:
            if call.function in (np.add, np.subtract) and _is_arithmetic(call) and call.results[0].nbytes >= SMALL:
                self._combine(call)
        calls = [new for call in self.program.calls for new in self.instead.get(call, [call])]
        return dataclasses.replace(self.program, calls=self.start + calls)

    def _combine(self, call: Call) -> None:
        """Put one call in the place of a sum and the multiples that it adds, if that is possible."""
        (result,) = call.results
        (x, a, first), (y, b, second) = map(self._multiple, call.args)
        between = self._maker(x, np.subtract)
        turned = call.function is np.subtract
        if turned and isinstance(b, float):
            b = -b
        elif between is not None and between.args[1] is call.args[1] and isinstance(a, float):
            # (x - y) * a + y, the average that moves from y to x
            x, b, first = between.args[0], 1.0 - a, [*first, between]
        gone = [*first, *second]
        if not gone or not all(isinstance(v, Value) and v.lies_as(result) for v in (x, y)) or x.root is y.root:
            return
        sign: Any = np.positive
        if self._fitness(x, a, result) > self._fitness(y, b, result):
            sign = np.negative if turned else np.positive
            x, y, a, b = y, x, b, a
        elif not self._fitness(y, b, result):
            return
        if isinstance(a, Value):
            a = self._from_array(a, sign)
        self.instead |= {one: [] for one in gone} | {call: [Call(combined, (x, y, a, b), {}, [result])]}

    def _multiple(self, value: Any) -> tuple[Any, Any, list[Call]]:
        """What a value is which multiple of, and the calls that it takes."""
        call = self._maker(value, np.multiply)
        if call is not None:
            for x, other in (call.args, call.args[::-1]):
                factor = _factor(other, value.dtype)
                if factor is not None and isinstance(x, Value) and x.shape == value.shape:
                    return x, factor, [call]
        return value, 1.0, []

    def _maker(self, value: Any, function: Any) -> Call | None:
        """The call of this function that makes a value which nothing else reads."""
        call = self.made.get(value) if self._is_passing(value) else None
        if call is None or call in self.instead or call.function is not function:
            return None
        return call if _is_arithmetic(call) else None

    def _is_passing(self, value: Any) -> bool:
        """Whether a value is made here, and read once and no more."""
        return value in self.made and self.uses[value] == 1 and value not in self.kept

    def _fitness(self, value: Value, factor: Any, result: Value) -> int:
        """How well the sum may take the place of one of its terms: 2 if that is where it has to be in the end."""
        if value.owner is not None or not isinstance(factor, float):
            return 0
        return 2 if self.program.stores.get(value) is result else int(self._is_passing(value))

    def _from_array(self, factor: Value, sign: Any) -> Value:
        """The factor, or its negative, in an array: BLAS reads it from one that is not written in between."""
        copy = _like(factor, next(self.numbers))
        call = self.made.get(factor)
        earlier = self.start if call is None else self.instead.setdefault(call, [call])
        earlier.append(Call(sign, (factor,), {}, [copy]))
        return copy


def _is_arithmetic(call: Call) -> bool:
    """Whether the call is of a ufunc on two arrays or numbers, and its result a new array that BLAS can work with."""
    if call.kwargs or call.dtype is not None or len(call.args) != 2:
        return False
    (result,) = call.results
    return result.is_array and result.dtype in (np.float32, np.float64) and result.strides == result.packed


def _factor(argument: Any, dtype: np.dtype[Any]) -> float | Value | None:
    """A single number that multiplies: known now, or on each run anew; None if it is no such."""
    if not isinstance(argument, Value):
        return float(argument) if isinstance(argument, float | int) else None
    if argument.shape or argument.dtype != dtype:
        return None
    return float(argument.source) if argument.kind == "constant" else argument


def _is_alike(before: Call, call: Call) -> bool:
    """Whether two calls make products of the same shapes, and neither of them anything else."""
    if before.function is not accumulated and not _is_product(before, call.results[0]):
        return False
    shapes = [[(x.shape, x.dtype) for x in one.args[-2:]] for one in (before, call)]
    return shapes[0] == shapes[1]


def prefers_one_thread(program: Program) -> bool:
    """Whether most of its multiplications are in matrix products that are better left to one BLAS thread."""
    sizes = list(_multiplications(program))
    least, most = ALONE
    return bool(sizes) and least <= sum(size * size for size in sizes) / sum(sizes) <= most


def _multiplications(program: Program) -> Iterator[int]:
    """How many multiplications each matrix product of a program takes, where it takes any."""
    for call in program.calls:
        if call.function is batched:
            yield from (math.prod(v.shape) * call.args[1].shape[0] for v in call.results if v.nbytes)
        elif call.function in (np.matmul, accumulated, stacked):
            a = call.args[-2]
            factors = [v for v in (a if call.function is stacked else (a,)) if isinstance(v, Value)]
            size = math.prod(call.results[0].shape) * sum(v.shape[-1] for v in factors)
            if size:
                yield size


def _update(call: Call, made: dict[Value, Call]) -> tuple[Value, Value, Value, Value] | None:
    """Weight, change, rate and gradient, if the call is ``weight - rate * gradient`` and the gradient a product."""
    if call.function is not np.subtract or call.kwargs or call.dtype is not None:
        return None
    weight, change = call.args
    maker = made.get(change) if isinstance(change, Value) else None
    if not isinstance(weight, Value) or maker is None or maker.function is not np.multiply:
        return None
    if maker.kwargs or maker.dtype is not None:
        return None
    for gradient, rate in (maker.args, maker.args[::-1]):
        fits = isinstance(gradient, Value) and isinstance(rate, Value) and gradient in made
        if fits and (rate.shape, rate.dtype) == ((), weight.dtype) and _is_product(made[gradient], weight):
            return weight, change, rate, gradient
    return None


def _is_product(call: Call, total: Value) -> bool:
    """Whether the call makes a product that BLAS could add to another array."""
    if call.function is not np.matmul or call.kwargs or call.dtype is not None:
        return False
    (result,) = call.results
    values = [*call.args, result, total]
    if not all(isinstance(v, Value) and v.is_array and v.dtype in (np.float32, np.float64) for v in values):
        return False
    dimensions = [len(v.shape) for v in call.args]
    same = (result.shape, result.dtype) == (total.shape, total.dtype) and result.nbytes > 0
    return same and dimensions in ([2, 2], [1, 2]) and all(v.dtype == result.dtype for v in call.args)


def _read_between(program: Program, weight: Value, first: Call, last: Call) -> bool:
    between = program.calls[program.calls.index(first) + 1 : program.calls.index(last)]
    return any(v.root is weight.root for call in between for v in call.operands)


def _is_pure(value: Value, made: dict[Value, Call]) -> bool:
    """Whether the calls that it comes from may be made earlier."""
    maker = made.get(value)
    return maker is None or (not maker.effect and all(_is_pure(v, made) for v in maker.operands))


def _makers(calls: list[Call]) -> dict[Value, Call]:
    return {result: call for call in calls for result in call.results}


def _like(value: Value, number: int) -> Value:
    """A new value of the same shape and dtype, with its axes in the same order in memory, but no gaps."""
    return dataclasses.replace(
        value, number=number, kind="result", strides=value.packed, owner=None, source=None, is_array=True
    )


def _sorted(calls: list[Call]) -> list[Call]:
    """The calls in their order, but none before what it needs."""
    made = _makers(calls)
    order: list[Call] = []
    done: set[Call] = set()
    for call in calls:
        pending = [call]
        while pending:
            missing = [made[v] for v in pending[-1].operands if v in made and made[v] not in done]
            if missing:
                pending += missing
            elif (ready := pending.pop()) not in done:
                done.add(ready)
                order.append(ready)
    return order
