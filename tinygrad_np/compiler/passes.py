"""Passes over a Program, each of which keeps its results bit for bit."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import Any

import numpy as np

from tinygrad_np.compiler.blocks import EXACT
from tinygrad_np.compiler.program import Call, Program, Value, replaced
from tinygrad_np.core import getitem, table
from tinygrad_np.memory import CACHE_LINE
from tinygrad_np.rules.shapes import reshaped

__all__ = [
    "batch_products",
    "batched",
    "drop_dead_calls",
    "drop_identities",
    "expand_broadcasts",
    "expanded",
    "fold_constants",
    "optimised",
    "share_common_calls",
]

OFTEN = 4
"""From how many uses on it pays to do something once for all of them."""

SHORT = 256
"""Up to how many elements in a row going through it again for each row costs more than the arithmetic."""

REPEATED = 65_536
"""Up to how many bytes in all rows repeating one costs less than it brings."""

_PART = table[getitem].function
_ATOMS = (bool, int, float, complex, str, np.generic, type(None), type(...))
_RESHAPES = {np.reshape, np.ravel, table[reshaped].function}


def batched(x: Any, w: Any) -> tuple[Any, ...]:
    """``x[0] @ w, x[1] @ w, ...``."""
    return tuple(x @ w)


def expanded(x: Any, shape: tuple[int, ...]) -> Any:
    """A copy of an array repeated to a shape."""
    return np.broadcast_to(x, shape).copy()


def optimised(program: Program) -> Program:
    """All passes, in the order in which they help one another."""
    first = fold_constants, drop_identities, share_common_calls, drop_dead_calls
    for improve in (*first, batch_products, expand_broadcasts, drop_dead_calls):
        program = improve(program)
    return program


def fold_constants(program: Program) -> Program:
    """Take the results of calls whose arguments never change as constants: their work is done once."""
    folded: dict[Value, Value] = {}
    calls = []
    for call in program.calls:
        call = _on_others(call, folded) if folded else call
        if _never_changes(call):
            for result in call.results:
                folded[result] = dataclasses.replace(result, kind="constant", owner=None)
        else:
            calls.append(call)
    return _with(program, calls, folded, program.values + list(folded.values()))


def _never_changes(call: Call) -> bool:
    return not call.effect and {v.kind for v in call.operands} <= {"constant"}


def drop_identities(program: Program) -> Program:
    """Leave out calls that give what they get: products with a constant of ones, such as the cotangent that backward
    starts from, and reshapes to the shape that there is.
    """
    instead: dict[Value, Value] = {}
    calls = []
    for call in program.calls:
        call = _on_others(call, instead) if instead else call
        same = _same(call)
        if same is None:
            calls.append(call)
        else:
            instead[call.results[0]] = same
    return _with(program, calls, instead, program.values)


def _same(call: Call) -> Value | None:
    """The operand that the result is equal to in all respects, if there is one."""
    operand: Any = None
    if call.function is np.multiply and not call.kwargs and len(call.args) == 2:
        a, b = call.args
        operand = b if _is_one(a) else a if _is_one(b) else None
        # (inf + 0j) * 1 is inf + nanj.
        operand = operand if call.results[0].dtype.kind != "c" else None
    elif call.function in _RESHAPES and call.results[0].owner is not None and len(call.operands) == 1:
        operand = call.args[0]
    return operand if isinstance(operand, Value) and operand.lies_as(call.results[0]) else None


def _is_one(argument: Any) -> bool:
    if isinstance(argument, Value):
        return argument.kind == "constant" and argument.dtype.kind == "f" and bool(np.all(argument.source == 1))
    return isinstance(argument, int | float) and argument == 1


def share_common_calls(program: Program) -> Program:
    """Make a call with the same function and arguments as an earlier one only once."""
    seen: dict[Any, list[Value]] = {}
    shared: dict[Value, Value] = {}
    calls = []
    for call in program.calls:
        call = _on_others(call, shared) if shared else call
        key = None if call.effect else _key(call)
        if key is not None and key in seen:
            shared.update(zip(call.results, seen[key], strict=True))
            continue
        if key is not None:
            seen[key] = call.results
        calls.append(call)
    return _with(program, calls, shared, program.values)


def _key(call: Call) -> Any:
    """What two equal calls have in common; None if that cannot be told."""
    try:
        parts = [leaf if leaf.__class__ is Value else _key_of(leaf) for leaf in call.args]
        if call.kwargs:
            parts += [(name, _key_of(leaf)) for name, leaf in call.kwargs.items()]
    except _UntoldError:
        return None
    return call.function, call.dtype, *parts, *call.errors.items()


class _UntoldError(Exception):
    """Whether two things are equal cannot be told."""


def _key_of(tree: Any) -> Any:
    """Equal for arguments that are the same to NumPy: 0.0 and -0.0, 1 and True are equal, but give other results."""
    kind = type(tree)
    if kind is Value:
        return tree
    if isinstance(tree, _ATOMS):
        return kind, tree if tree and not isinstance(tree, (complex, np.complexfloating)) else repr(tree)
    if isinstance(tree, (list, tuple)):
        return kind, *map(_key_of, tree)
    if isinstance(tree, dict):
        return kind, *((key, _key_of(item)) for key, item in tree.items())
    if kind is slice:
        return kind, _key_of(tree.start), _key_of(tree.stop), _key_of(tree.step)
    if isinstance(tree, (np.dtype, type)):
        return kind, repr(tree)
    raise _UntoldError


def drop_dead_calls(program: Program) -> Program:
    """Leave out the calls whose results nobody uses."""
    needed = program.kept()
    calls = []
    for call in reversed(program.calls):
        if call.effect or not needed.isdisjoint(call.results):
            calls.append(call)
            needed.update(call.operands)
    values = [v for v in program.values if v in needed or v in program.stores or v.kind == "input"]
    return _with(program, calls[::-1], {}, values)


def batch_products(program: Program) -> Program:
    """Make the products of all parts of an array, ``x[0] @ w``, ``x[1] @ w``, ..., in one call, with the same bits."""
    parts = {call.results[0]: call for call in program.calls if call.function is _PART and len(call.args) == 1}
    groups: dict[tuple[Value, Value], dict[int, Call]] = {}
    for call in program.calls:
        if call.function is not np.matmul or not call.flat or call.dtype is not None or call.args[0] not in parts:
            continue
        part, (left, right) = parts[call.args[0]], call.args
        whole, index = part.args[0], part.kwargs["index"]
        plain = isinstance(whole, Value) and isinstance(right, Value) and type(index) is int
        matrices = plain and len(whole.shape) == 3 and len(left.shape) == len(right.shape) == 2
        # The products will lie side by side, and each should start at a cache line.
        if matrices and call.results[0].nbytes % CACHE_LINE == 0:
            groups.setdefault((whole, right), {}).setdefault(index % whole.shape[0], call)
    instead: dict[Call, list[Call]] = {}
    for (whole, right), products in groups.items():
        if len(products) == whole.shape[0] >= OFTEN:
            together = Call(batched, (whole, right), {}, [products[i].results[0] for i in range(len(products))])
            first, *others = products.values()
            instead |= {first: [together]} | {call: [] for call in others}
    return dataclasses.replace(program, calls=[new for call in program.calls for new in instead.get(call, [call])])


def expand_broadcasts(program: Program) -> Program:
    """Repeat a short row or column once, in an array of its own, if many elementwise calls would."""
    again = {call: found for call in program.calls if (found := _broadcast(call))}
    uses = Counter((value, call.results[0].shape) for call, found in again.items() for value in found)
    if not uses:
        return program
    whole: dict[tuple[Value, tuple[int, ...]], Value] = {}
    number = program.unused_numbers()
    values, calls = list(program.values), []
    for call in program.calls:
        found = again.get(call, [])
        for value in found:
            key = value, call.results[0].shape
            if uses[key] < OFTEN or key in whole:
                continue
            like = dataclasses.replace(call.results[0], dtype=value.dtype)
            whole[key] = Value(next(number), "result", key[1], value.dtype, like.packed, True)
            if value.kind == "constant":
                whole[key].kind, whole[key].source = "constant", expanded(value.source, key[1])
                values.append(whole[key])
            else:
                calls.append(Call(expanded, (value,), {"shape": key[1]}, [whole[key]]))
        instead = {value: whole.get((value, call.results[0].shape), value) for value in found}
        calls.append(_on_others(call, instead) if instead else call)
    return dataclasses.replace(program, values=values, calls=calls)


def _broadcast(call: Call) -> list[Value]:
    """The operands of an elementwise call that it goes through again and again for each row of a small result."""
    # NumPy computes others, such as np.power, in another way where an exponent, say, is the same for all.
    if call.function not in EXACT or not call.flat or call.dtype is not None:
        return []
    (result,) = call.results
    stretched = [v for v in call.operands if v.shape != result.shape and math.prod(v.shape) > 1]
    if not stretched or result.shape[-1] > SHORT or result.nbytes > REPEATED:
        return []
    rows = result.strides == result.packed and result.strides[-1] == result.dtype.itemsize
    return list(dict.fromkeys(stretched)) if rows else []


def _on_others(call: Call, instead: dict[Value, Value]) -> Call:
    """The call on what is put in the place of its operands."""
    if instead.keys().isdisjoint(call.operands):
        return call
    if call.flat:
        args, kwargs = tuple([instead.get(a, a) for a in call.args]), call.kwargs
    else:
        args, kwargs = replaced((call.args, call.kwargs), lambda v: instead.get(v, v))
    operands = [instead.get(v, v) for v in call.operands]
    same = call.dtype, call.effect, call.several, call.errors
    return Call.known(call.function, args, kwargs, call.results, operands, call.flat, *same)


def _with(program: Program, calls: list[Call], instead: dict[Value, Value], values: list[Value]) -> Program:
    """The program with other calls, and values put in the place of others."""

    def by(value: Value) -> Value:
        return instead.get(value, value)

    for call in calls if instead else ():
        for result in call.results:
            result.owner = None if result.owner is None else by(result.owner)
    return dataclasses.replace(
        program,
        values=values,
        calls=calls,
        outputs=replaced(program.outputs, by),
        stores={target: by(value) for target, value in program.stores.items()},
        grads={leaf: None if value is None else by(value) for leaf, value in program.grads.items()},
    )

