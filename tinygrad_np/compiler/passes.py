"""Passes over a Program, each of which keeps its results bit for bit."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tinygrad_np.compiler.program import Call, Program, Value, replaced, values_in
from tinygrad_np.trees import leaves

__all__ = [
    "drop_dead_calls",
    "drop_multiplications_by_one",
    "fold_constants",
    "optimised",
    "share_common_calls",
]


def optimised(program: Program) -> Program:
    """All passes, in the order in which they help one another."""
    for improve in (fold_constants, drop_multiplications_by_one, share_common_calls, drop_dead_calls):
        program = improve(program)
    return program


def fold_constants(program: Program) -> Program:
    """Take the results of calls whose arguments never change as constants: their work is done once."""
    folded: dict[Value, Value] = {}
    calls = []
    for call in program.calls:
        call = _on_others(call, folded)
        if not call.effect and all(v.kind == "constant" for v in call.operands):
            for result in call.results:
                folded[result] = dataclasses.replace(result, kind="constant", owner=None)
        else:
            calls.append(call)
    return _with(program, calls, folded, program.values + list(folded.values()))


def drop_multiplications_by_one(program: Program) -> Program:
    """Leave out products with a constant of ones, such as the cotangent that backward starts from."""
    instead: dict[Value, Value] = {}
    calls = []
    for call in program.calls:
        call = _on_others(call, instead)
        if call.function is np.multiply and not call.kwargs and len(call.args) == 2:
            (result,), (a, b) = call.results, call.args
            factor = b if _is_one(a) else a if _is_one(b) else None
            if isinstance(factor, Value) and (factor.shape, factor.dtype) == (result.shape, result.dtype):
                instead[result] = factor
                continue
        calls.append(call)
    return _with(program, calls, instead, program.values)


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
        call = _on_others(call, shared)
        key = None if call.effect else _key(call.function, call.args, call.kwargs, call.dtype)
        if key is not None and key in seen:
            shared.update(zip(call.results, seen[key], strict=True))
            continue
        if key is not None:
            seen[key] = call.results
        calls.append(call)
    return _with(program, calls, shared, program.values)


def _key(function: Any, args: Any, kwargs: Any, dtype: Any) -> Any:
    """What two equal calls have in common; None if that cannot be told."""
    parts: list[Any] = [id(function), str(dtype), *kwargs]
    for leaf in leaves((args, list(kwargs.values()))):
        if isinstance(leaf, Value):
            parts.append(leaf)
        elif leaf is None or leaf is Ellipsis or isinstance(leaf, bool | int | float | complex | str | np.generic):
            parts.append((type(leaf), repr(leaf)))  # 0.0 and -0.0, 1 and True are equal, and give other results
        elif isinstance(leaf, slice | np.dtype | type) and not list(values_in(leaf)):
            parts.append(repr(leaf))
        else:
            return None
    return (*parts, _structure((args, kwargs)))


def _structure(tree: Any) -> str:
    if isinstance(tree, dict):
        return f"{{{','.join(f'{k}:{_structure(v)}' for k, v in tree.items())}}}"
    if isinstance(tree, list | tuple):
        return f"{type(tree).__name__}({','.join(map(_structure, tree))})"
    return "*"


def drop_dead_calls(program: Program) -> Program:
    """Leave out the calls whose results nobody uses."""
    needed = program.kept()
    calls = []
    for call in reversed(program.calls):
        if call.effect or any(result in needed for result in call.results):
            calls.append(call)
            needed.update(call.operands)
    values = [v for v in program.values if v in needed or v in program.stores or v.kind == "input"]
    return _with(program, calls[::-1], {}, values)


def _on_others(call: Call, instead: dict[Value, Value]) -> Call:
    """The call on what is put in the place of its operands."""
    if not any(value in instead for value in call.operands):
        return call
    args, kwargs = replaced((call.args, call.kwargs), lambda v: instead.get(v, v))
    return dataclasses.replace(call, args=args, kwargs=kwargs)


def _with(program: Program, calls: list[Call], instead: dict[Value, Value], values: list[Value]) -> Program:
    """The program with other calls, and values put in the place of others."""

    def by(value: Value) -> Value:
        return instead.get(value, value)

    for call in calls:
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

