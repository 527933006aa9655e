"""Writing a replay: a Program as a straight Python function of NumPy calls that write into buffers made beforehand.

What is decided here, once: which results are views, and so cost nothing on a run; how each other call is written; and
where calls go through large arrays together, block by block. Which buffer a result is written to, `buffers` decides.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from tinygrad_np.compiler import blas, kinds, running
from tinygrad_np.compiler.blocks import EXACT, Sweep, is_large, loops
from tinygrad_np.compiler.buffers import Buffers
from tinygrad_np.compiler.capture import copied
from tinygrad_np.compiler.code import Code
from tinygrad_np.compiler.inexact import accumulated, combined, stacked
from tinygrad_np.compiler.passes import batched, expanded
from tinygrad_np.compiler.program import Call, Program, Value, Wrapped, replaced, spelled
from tinygrad_np.compiler.traced import overlap
from tinygrad_np.core import Tensor, converted, getitem, updated
from tinygrad_np.graph import Leaf, Lost, Pending
from tinygrad_np.memory import laid_out
from tinygrad_np.rules.indexing import scattered
from tinygrad_np.standins import gradient_of
from tinygrad_np.trees import refilled

__all__ = ["Writer"]

# On single numbers Python's operators give the same bits as the ufuncs, in a fifth of the time.
_INFIX: dict[Any, str] = {np.add: "+", np.subtract: "-", np.multiply: "*", np.true_divide: "/", operator.pow: "**"}
# To these a Python number is the same as an array with it.
_ON_ARRAYS = EXACT | {np.power, np.maximum, np.minimum}
_NUMBERS, _NESTED = frozenset({int, float}), frozenset({tuple, list, dict, slice})
_ELEMENT = operator.itemgetter(())  # of an array without axes

MANY, WORTH = 4, 20_000
"""How many views of an argument make it worth copying, and how many bytes each of them."""

LONG = 150
"""From how many letters on a formula gets a line of its own."""


_FOLDED = (
    "this gradient went straight into its parameter, as tg.compile(..., exact=False) lets it: return it from the "
    "compiled function, or compile with exact=True"
)


class Writer(Code):
    """Writes the function that makes a program's calls.

    Parameters
    ----------
    program : Program
        What is to be called.
    careful : bool
        Any arithmetic may raise, as under ``np.errstate(all="raise")``: leave outside arrays as eager would then.

    Attributes
    ----------
    buffers : Buffers
        The memory that results are written to.
    pending : dict of Leaf to Pending
        The gradients that stay in buffers.
    """

    def __init__(self, program: Program, *, careful: bool = False) -> None:
        super().__init__()
        self.program = program
        self._careful = careful
        self.buffers = Buffers(program, self.fixed, careful=careful)
        self._numbers: set[Value] = set()  # values that are NumPy floats rather than arrays
        self._boxed: dict[Value, Any] = {}  # an array with each of those that a call on arrays takes
        self._scalars: dict[Any, Any] = {}
        self._sweeps: list[Sweep] = []
        self.pending: dict[Leaf, Pending] = {}
        self._in_calls = self._operands_of_calls()
        self._once = self._read_once()
        self._handed_out: set[Value] = set()  # results that the caller gets, of which another needs a copy
        self._take_in_numbers()
        for value in program.values:
            self._take_in(value)
        outside = np.geterr()
        errors: dict[str, str] = {}
        for position, call in enumerate(program.calls):
            if careful and call.errors != errors:
                errors = call.errors
                self.add(f"{self.name(np.seterr)}(**{outside | errors})")
            self._emit(call, position)
            self.buffers.release(position)
        for loop in reversed(loops(self._sweeps)):
            self.lines[loop.first : loop.last + 1] = loop.steps()
        self._finish()

    def _take_in_numbers(self) -> None:
        """Read arrays of one number, which arithmetic takes sooner than those."""
        single = [v for v in self.program.values if v.kind in ("storage", "constant") and not v.shape]
        single = [v for v in single if v.dtype.kind == "f"]
        if single:
            names = ", ".join([f"n{value.number}" for value in single])
            arrays = self.name(tuple(value.source for value in single), "arrays")
            self.add(f"{names}, = {self.name(map)}({self.name(_ELEMENT, 'element')}, {arrays})")
        for value in single:
            self._take_number(value, f"n{value.number}")

    def _take_in(self, value: Value) -> None:
        """Find a name for a value that is there before the first call."""
        if value in self._numbers:
            return
        if value.kind in ("storage", "constant"):
            self.fixed[value] = value.source
        elif value.kind == "grad":
            self.local[value] = f"g{value.number}"
            self.add(f"g{value.number} = {self.name(gradient_of)}({self.name(value.source, 'leaf')})")
        elif _is_cut_up(value, self.program):
            self.fixed[value] = array = laid_out(self.buffers.more(value.nbytes), value)
            self.add(f"{self.name(np.copyto)}({self.array(array)}, x{value.number})")
        else:
            self.local[value] = f"x{value.number}"

    def _take_number(self, value: Value, name: str) -> None:
        """Note that a variable holds a number; calls on arrays take that in an array, which is sooner read."""
        self.local[value] = name
        self._numbers.add(value)
        if value in self._in_calls:
            self._boxed[value] = box = np.empty((), value.dtype)
            self.add(f"{self.array(box)}[()] = {name}")

    def _operands_of_calls(self) -> set[Value]:
        """What ufuncs read whose result is an array with axes."""
        calls = [call for call in self.program.calls if isinstance(call.function, np.ufunc)]
        return {v for call in calls if call.results[0].shape for v in call.operands if not v.shape}

    def _read_once(self) -> set[Value]:
        """Single numbers that one call reads, and nobody else."""
        uses = Counter(v for call in self.program.calls for v in call.operands if not v.shape)
        return {v for v, count in uses.items() if count == 1} - self.program.kept() - self._in_calls

    # One call

    def _emit(self, call: Call, position: int) -> None:
        if len(call.results) == 1 and not call.effect:
            (result,) = call.results
            if result.owner is not None and kinds.is_fixed_view(call) and all(v in self.fixed for v in call.operands):
                view = call.function(*self._objects(call.args), **self._objects(call.kwargs))
                if overlap(view, self.fixed[result.root]) or view.size == 0:
                    self.fixed[result] = view
                    return
            if result.owner is None and result.is_array and self._into(call, result, position):
                return
        if call.function is batched:
            self._side_by_side(call)
        elif not call.results:
            self._call(call.function, *call.args, **call.kwargs)
        else:
            self._fresh(call)

    def _call(self, function: Any, *args: Any, **kwargs: Any) -> bool:
        """Have a call made: in a step, or in a line if an argument is not the same on every run. Returns which."""
        objects = self._objects(args)
        options = kwargs if objects is None or not kwargs else self._objects(kwargs)
        if objects is None or options is None:
            self.add(f"{self.name(function)}({self.arguments(args, kwargs)})")
            return False
        self.step(partial(function, **options) if options else function, *objects)
        return True

    def _objects(self, tree: Any) -> Any:
        """Nested arguments with arrays in the place of values; None if one of these is not always the same array."""
        try:
            if tree.__class__ is tuple and _NESTED.isdisjoint(map(type, tree)):
                return [self.fixed[x] if x.__class__ is Value else x for x in tree]
            if tree.__class__ is dict and _NESTED.isdisjoint(map(type, tree.values())):
                return {key: self.fixed[x] if x.__class__ is Value else x for key, x in tree.items()}
            return replaced(tree, self.fixed.__getitem__)
        except KeyError:
            return None

    def _side_by_side(self, call: Call) -> None:
        """Write several products to buffers that lie one after the other."""
        whole = self.buffers.side_by_side(call.results)
        self._call(np.matmul, *call.args, whole)

    def _fresh(self, call: Call) -> None:
        """Let the call make its own result."""
        if call.dtype is None and self._is_on_numbers(call):
            line = self._infix(call)
            (result,) = call.results
            if result in self._once and len(line) < LONG and not self._careful:
                self.local[result] = f"({line})"  # where it is needed
                self._numbers.add(result)
                return
        elif kinds.is_plain_reduction(call):
            line = f"{self.name(kinds.REDUCTIONS[call.function])}({self.arguments(kinds.reduced(call, None), {})})"
        elif call.function is np.take and call.args and kinds.is_an_array(call.args[0]):  # sooner by its method
            line = f"{self.argument(call.args[0])}.take({self.arguments(call.args[1:], call.kwargs)})"
        elif call.function is kinds.body_of(getitem) and len(call.args) == 1:
            line = f"{self.argument(call.args[0])}[{self.argument(call.kwargs['index'])}]"
        else:
            line = f"{self.name(call.function)}({self.arguments(call.args, call.kwargs)})"
        if call.dtype is not None and call.results[0].dtype == call.dtype:
            line = f"{self.name(np.asarray)}({line}, {self.name(call.dtype)})"
        names = [f"v{result.number}" for result in call.results]
        fixed = kinds.is_of_fixed_shape(call)
        if call.several and not fixed:
            line = f"{self.name(running.check_count)}({line}, {len(names)}, {self.name(call, 'call')})"
        self.add(f"{', '.join(names)}{',' * call.several} = {line}")
        for name, result in zip(names, call.results, strict=True):
            if not result.is_array and result.dtype.kind == "f":
                self._take_number(result, name)
            else:
                self.local[result] = name
            if not fixed:
                kind = f"{result.shape}, {self.name(result.dtype)}"
                self.add(f"{self.name(running.check_kind)}({name}, {kind}, {self.name(call, 'call')})")

    def _is_on_numbers(self, call: Call) -> bool:
        """Whether this is arithmetic on single numbers."""
        if call.function not in _INFIX or call.kwargs:
            return False
        return len(call.args) == 2 and all(isinstance(a, int | float) or a in self._numbers for a in call.args)

    def _infix(self, call: Call) -> str:
        names = [f"({name})" if name.startswith("-") else name for name in map(self.argument, call.args)]
        return f" {_INFIX[call.function]} ".join(names)

    def _into(self, call: Call, result: Value, position: int) -> bool:
        """Write the result to a buffer, or say that this function cannot."""
        function = call.function
        if result in self.buffers.returned and function not in (accumulated, stacked):
            return False  # the caller may keep it
        place = partial(self.buffers.array_for, call, result, position)
        if not result.shape and self._is_on_numbers(call):
            out = place()
            self._assign(out, self._infix(call))
        elif isinstance(function, np.ufunc) and function.nout == 1 and not call.kwargs:
            out = place(in_place=call.elementwise)
            self._ufunc(call, self._with_arrays(call, result), out, position)
        elif kinds.is_plain_reduction(call):
            out = place()
            self._call(kinds.REDUCTIONS[function], *kinds.reduced(call, out))
        elif function in (kinds.body_of(converted), copied, np.copy, expanded) and len(call.args) == 1:
            out = place()
            self._fill(out, call.args[0], "unsafe")
        elif function is kinds.body_of(getitem) and kinds.is_gather(call):
            out = place()
            self._call(running.gather, call.args[0], call.kwargs["index"], out)
        elif function is np.take and call.kwargs == {"mode": "clip"} and kinds.is_an_array(call.args[0]):
            out = place()
            self._call(np.ndarray.take, *call.args, None, out, "clip")
        elif function is np.take and kinds.is_gather(call):
            out = place()
            self._call(running.gather, *call.args[:2], out)
        elif function is kinds.body_of(updated):
            out = place(in_place=True, only=call.args[0])
            self._start_from(call.args[0], out)
            self._call(operator.setitem, out, call.kwargs["index"], call.args[1])
        elif function is accumulated:
            out = place(in_place=True, only=call.args[0])
            self._start_from(call.args[0], out)
            self._accumulate(out, *call.args[1:])
        elif function is combined:
            out = place(in_place=True, only=call.args[1])
            self._start_from(call.args[1], out)
            self._combine(call, out, position)
        elif function is stacked:
            out = place(in_place=call.args[0] is not None, only=call.args[0])
            self._sum_of_products(out, *call.args)
        elif function is kinds.body_of(scattered) and not call.args[0].dtype.hasobject:
            out = place()
            self._call(running.scatter, *call.args, **call.kwargs, out=out)
        else:
            return False
        self.fixed[result] = out
        return True

    def _ufunc(self, call: Call, args: Sequence[Any], out: np.ndarray[Any, Any], position: int) -> None:
        function = call.function
        casting = {} if call.dtype is None else {"casting": "same_kind"}
        if function in (np.maximum, np.minimum):  # where NumPy wants the keyword, which costs a short call a sixth
            self._call(function, *args, out=out, **casting)
        elif self._call(function, *args, out, **casting) and function in EXACT and call.elementwise and not casting:
            self._note_sweep(call, position, function, self.lines[-1].args[:-1], out)  # type: ignore[union-attr]

    def _note_sweep(
        self, call: Call, position: int, function: Any, args: Sequence[Any], out: Any, bind: Any = None
    ) -> None:
        """Note that the last step goes through whole arrays, if it may be made for one block after the other."""
        if is_large(out) and not self._careful:
            sweep = Sweep(len(self.lines) - 1, function, args, out, position, self.buffers.last[call.results[0]], bind)
            if sweep.fits():
                self._sweeps.append(sweep)

    def _with_arrays(self, call: Call, result: Value) -> Sequence[Any]:
        """The arguments of a ufunc, with arrays in the place of numbers: converting those takes as long as the sum."""
        args = call.args
        if self._boxed and not self._boxed.keys().isdisjoint(call.operands):
            args = tuple([self._boxed.get(x, x) if x.__class__ is Value else x for x in args])
        numbers = not _NUMBERS.isdisjoint(map(type, args)) and call.dtype is None and result.dtype.kind == "f"
        if not numbers or call.function not in _ON_ARRAYS or {v.dtype for v in call.operands} != {result.dtype}:
            return args
        return [self._scalar(x, result.dtype) if type(x) in _NUMBERS else x for x in args]

    def _scalar(self, number: float, dtype: np.dtype[Any]) -> Any:
        key = repr(number), dtype
        if key not in self._scalars:
            with np.errstate(over="ignore"):
                array = np.array(number, dtype)
            self._scalars[key] = array if np.isfinite(array) else number  # which NumPy warns of, or raises
        return self._scalars[key]

    def _fill(self, out: np.ndarray[Any, Any], source: Any, casting: str = "same_kind") -> None:
        """Let an array have the elements of a value; a single one is sooner assigned."""
        if out.ndim:
            self._call(np.copyto, out, source, **({} if casting == "same_kind" else {"casting": casting}))
        else:
            self._assign(out, self.argument(source))

    def _assign(self, out: np.ndarray[Any, Any], source: str) -> None:
        self.add(f"{self.array(out)}[()] = {source}")

    def _start_from(self, value: Any, out: np.ndarray[Any, Any]) -> None:
        """Let `out` have the elements of a value, which it may have already."""
        if self.fixed.get(value) is not out:
            self._fill(out, value)

    def _accumulate(self, total: np.ndarray[Any, Any], a: Any, b: Any) -> None:
        """One call of BLAS where all arrays are the same ones on every run, and lie in memory as it wants them."""
        x, y = (v if isinstance(v, np.ndarray) else self.fixed.get(v) for v in (a, b))
        if x is not None and y is not None and total.flags.c_contiguous and all(x.flags.forc for x in (x, y)):
            self.step(blas.accumulation(np.atleast_2d(total), np.atleast_2d(x), y))
        else:
            self._call(running.accumulate, total, a, b)

    def _combine(self, call: Call, out: np.ndarray[Any, Any], position: int) -> None:
        x, _, a, b = call.args
        array, factor = self.fixed.get(x), self.fixed.get(a, a)
        if array is None or isinstance(factor, Value):  # not the same array on every run
            self._call(running.combine, x, out, a, b)
            return
        bind = partial(blas.combination, a=factor, b=b)
        self.step(bind(array, out))
        single = [factor] if isinstance(factor, np.ndarray) else []
        self._note_sweep(call, position, None, [array, out, *single], out, bind)

    def _sum_of_products(self, out: np.ndarray[Any, Any], total: Any, left: Any, right: Any) -> None:
        """One product of all factors that lie as they were placed, and one for each pair of the others."""
        pairs = list(zip(left, right, strict=True))
        alike = left[0] is left[-1]
        lasting = {a for a in left if a.root in self.buffers.placed or (a.root.kind == "input" and a in self.fixed)}
        inside = [(a, b) for a, b in pairs if alike or a in lasting]
        whole = self._whole_factors(*zip(*inside, strict=True)) if inside else None
        if whole is not None:
            pairs = [whole, *((a, b) for a, b in pairs if not (alike or a in lasting))]
        if total is not None:
            self._start_from(total, out)
        else:
            self._call(np.matmul, *pairs.pop(0), out)
        for a, b in pairs:
            self._accumulate(out, a, b)

    def _whole_factors(self, left: Any, right: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
        """Factors whose product is the sum of the products, if these lie one after the other in memory."""
        columns = _joined([self.fixed.get(b) for b in right])
        if columns is None:
            return None
        if all(a is left[0] for a in left) and left[0].kind == "constant":  # as what sums over rows
            return np.concatenate([self.fixed[left[0]]] * len(left), axis=-1), columns[0]
        rows = _joined([x.T if (x := self.fixed.get(a)) is not None else None for a in left])
        return None if rows is None or rows[1] != columns[1] else (rows[0].T, columns[0])

    # The end

    def _finish(self) -> None:
        # Any of these may be an array's old content: read all before anything is written.
        self._set_gradients()
        self.add(f"result = {spelled(self.program.outputs, self._result, self._refilled)}")
        self._store()
        if self.program.updated:
            self.step(running.mark_all_updated, tuple(dict.fromkeys(self.program.updated)))
        self.add("return result")

    def _set_gradients(self) -> None:
        for leaf in self.program.folded:
            self.step(setattr, leaf, "grad", Lost(_FOLDED))
        copies: list[tuple[Leaf, Value]] = []
        for leaf, gradient in self.program.grads.items():
            if gradient is None:
                self.step(setattr, leaf, "grad", None)
            elif gradient.root in self.buffers.number_of:
                self.pending[leaf] = Pending(self.fixed[gradient])
                self.step(setattr, leaf, "grad", self.pending[leaf])
            else:
                copies.append((leaf, gradient))
        if copies:
            leaves, gradients = zip(*copies, strict=True)
            self._call(running.give_copies, leaves, gradients)

    def _store(self) -> None:
        program = self.program
        moved = [
            (target, value) for target, value in program.stores.items() if self.fixed.get(value) is not target.source
        ]
        for _, value in moved:
            if value.root.kind == "storage":  # which may be written to here
                self.add(f"s{value.number} = {self.argument(value)}.copy()")
                self.local[value] = f"s{value.number}"
                self.fixed.pop(value, None)
        for target, value in moved:
            self._fill(target.source, value)

    def _result(self, leaf: Any) -> str:
        if isinstance(leaf, Wrapped):
            return f"{self.name(Tensor)}({self._kept(leaf.value)})"
        return self._kept(leaf) if isinstance(leaf, Value) else self.name(leaf)

    def _refilled(self, container: Any, items: str) -> str:
        return f"{self.name(refilled)}({self.name(container, 'like')}, {items})"

    def _kept(self, value: Value) -> str:
        """A result that later runs leave alone."""
        named = self.argument(value)
        if value.is_array and value in self._numbers:
            return f"{self.name(np.array)}({named})"
        fresh = value in self.local and value.owner is None and value.kind == "result" and value not in self._handed_out
        self._handed_out.add(value)
        return named if fresh else f"{self.name(running.copy_of)}({named})"


def _joined(arrays: list[Any]) -> tuple[np.ndarray[Any, Any], list[int]] | None:
    """Arrays that follow one another in memory as one, along the first axis, and the order in which they do."""
    if any(x is None or not x.flags.c_contiguous for x in arrays):
        return None
    starts = [x.ctypes.data for x in arrays]
    order = sorted(range(len(arrays)), key=starts.__getitem__)
    first = arrays[order[0]]
    if [starts[i] for i in order] != [starts[order[0]] + n * first.nbytes for n in range(len(arrays))]:
        return None
    shape = (len(arrays) * first.shape[0], *first.shape[1:])
    # The arrays are parts of one buffer, which stays alive as they do.
    return np.lib.stride_tricks.as_strided(first, shape, first.strides), order


def _is_cut_up(value: Value, program: Program) -> bool:
    """Whether an argument has so many views that one copy, of which they can be made once, costs less on each run."""
    if not value.is_array or value.strides != value.packed:
        return False
    views = sum(call.results[0].root is value for call in program.calls if len(call.results) == 1)
    return views >= MANY and value.nbytes <= views * WORTH
