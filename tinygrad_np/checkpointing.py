"""Recompute instead of store: `checkpoint` trades time for the memory of a function's intermediate arrays."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from tinygrad_np.backward import reachable, walk
from tinygrad_np.core import Tensor
from tinygrad_np.errors import GradientError, StaleGraphError
from tinygrad_np.graph import Leaf, Node, Pick, Rule, Spec, enable_grad, next_number, recording
from tinygrad_np.random import generator
from tinygrad_np.signatures import function_name
from tinygrad_np.trees import leaves, map_leaves, rebuild

__all__ = ["checkpoint"]

F = TypeVar("F", bound=Callable[..., Any])

_SAMPLE = 64
"""About how many elements of each output are remembered, to tell whether they are the same again."""


def checkpoint(fn: F) -> F:
    """Keep none of a function's intermediate arrays for backward, and run it again when backward gets there.

    The arrays of one checkpointed call exist only while its own part of backward runs, for the price of a second
    forward pass. Random draws from the library's generator are repeated, so values and gradients are the same; only the
    order in which shares of a gradient are added up may differ.

    Parameters
    ----------
    fn : callable
        Returns an array or nested arrays. It may use recorded Tensors other than its arguments, such as the parameters
        of a model; their gradients are right too. It must do the same each time it is called.

    Returns
    -------
    callable
        The same function, checkpointed.

    Raises
    ------
    GradientError
        During backward, if the function used other Tensors than the first time, or gave other values.
    StaleGraphError
        During backward, if a parameter was updated in place since.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> w = tg.tensor(np.ones((3, 3)), requires_grad=True)
    >>> block = tg.checkpoint(lambda x: np.tanh(np.tanh(x @ w) @ w))
    >>> np.sum(block(block(np.ones((2, 3))))).backward()
    >>> w.grad.shape
    (3, 3)
    """

    @functools.wraps(fn)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        if not recording.get():
            return fn(*args, **kwargs)
        given = map_leaves(_own_handle, (args, kwargs))
        draws = generator().bit_generator.state
        begin = next_number()
        output = _call(fn, given)
        ends = _ends(output, begin)
        if not ends:
            return output

        def run_again() -> Any:
            after = generator().bit_generator.state
            generator().bit_generator.state = draws
            try:
                return _call(fn, given)
            finally:
                generator().bit_generator.state = after

        parents = tuple(_sources(ends.values(), begin))
        values = [end._value for end in ends.values()]
        call = _Recomputed(fn, run_again, ends)
        node = Node(call, parents, parents, tuple(Spec(v.shape, v.dtype) for v in values), {}, values[0])
        picked = {i: Tensor(value, Pick(node, k, value)) for k, (i, value) in enumerate(zip(ends, values, strict=True))}
        return rebuild(output, [picked.get(i, leaf) for i, leaf in enumerate(leaves(output))])

    return cast(F, checkpointed)


def _call(fn: Callable[..., Any], given: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
    """Call with handles of its own: the function may rebind them, as in ``x += 1``, and so may its caller."""
    args, kwargs = map_leaves(_own_handle, given)
    return fn(*args, **kwargs)


def _own_handle(leaf: Any) -> Any:
    return copy.copy(leaf) if isinstance(leaf, Tensor) else leaf


def _ends(output: Any, begin: int) -> dict[int, Tensor]:
    """Which of the outputs were recorded since, by position."""
    return {
        i: leaf
        for i, leaf in enumerate(leaves(output))
        if isinstance(leaf, Tensor) and leaf._node is not None and leaf._node.number > begin
    }


def _sources(ends: Collection[Tensor], begin: int) -> list[Node]:
    """The older nodes that the outputs depend on."""
    nodes = {cast(Node, end._node) for end in ends}
    return [node for node in reachable(nodes, begin) if node.number <= begin]


class _Recomputed:
    """What a checkpointed call is to the backward walk: a call of as many inputs as it has sources."""

    has_pole = broadcasts = elementwise = reads_values = quiet = False
    selects = special = variadic = True
    rules: tuple[Rule | None, ...] = ()

    def __init__(self, fn: Callable[..., Any], run_again: Callable[[], Any], ends: dict[int, Tensor]) -> None:
        self.name = f"checkpoint({function_name(fn)})"
        self.run_again = run_again
        self.samples = {i: _sample(end._value) for i, end in ends.items()}

    def rules_for(self, node: Node, wrap: Any, is_masked: bool) -> Sequence[Rule]:
        """One rule for each source; the first that is called does the work for all of them."""
        gradients: dict[Node, Any] = {}

        def of(parent: Node) -> Rule:
            def rule(g: tuple[Any, ...], *_: Any) -> Any:
                if not gradients:
                    gradients.update(self._gradients(node, g, wrap, is_masked))
                return gradients[parent]

            return rule

        return [of(cast(Node, parent)) for parent in node.parents]

    def _gradients(self, node: Node, g: tuple[Any, ...], wrap: Any, is_masked: bool) -> dict[Node, Any]:
        self._check_current(node)
        with enable_grad():
            begin = next_number()
            ends = _ends(self.run_again(), begin)
            self._check_same(node, ends, begin)
            start: dict[Node, Any] = {}
            for end, cotangent in zip(ends.values(), g, strict=True):
                if cotangent is not None:
                    found = cast(Node, end._node)
                    start[found] = start[found] + cotangent if found in start else cotangent
            targets = {parent for parent in node.parents if parent is not None}
            retain = wrap is not None
            gradients = walk(start, targets, retain=retain, wrap=wrap, boundary=begin, masked_ends=is_masked)
        return {p: gradients[p] if p in gradients else np.zeros(p.shape, p.dtype) for p in targets}

    def _check_current(self, node: Node) -> None:
        for parent in node.parents:
            if isinstance(parent, Leaf) and parent.updated > node.number:
                raise StaleGraphError(
                    f"a leaf of {parent.dtype}{parent.shape} was updated in place after {self.name} was called, so "
                    "calling it again would give something else: call backward before updating"
                )

    def _check_same(self, node: Node, ends: dict[int, Tensor], begin: int) -> None:
        """Raise if the second call did not do what the first one did: its gradients would be those of another call."""
        if ends.keys() != self.samples.keys() or set(_sources(ends.values(), begin)) != set(node.parents):
            what = "used other tensors"
        elif not all(_agree(_sample(end._value), self.samples[i]) for i, end in ends.items()):
            what = "gave other values"
        else:
            return
        raise GradientError(
            f"{self.name} {what} when it was called again for backward: a checkpointed function must do the same each "
            "time, with random draws from tg.random.generator() only, and arrays that are not written to in between"
        )


def _sample(value: Any) -> Any:
    """Shape and dtype of an array and some of its elements; nothing of what stands in for one."""
    if not isinstance(value, np.ndarray | np.generic):
        return None
    value = np.asarray(value)
    return value.shape, value.dtype, value.flat[:: max(1, value.size // _SAMPLE)]


def _agree(again: Any, before: Any) -> bool:
    """Whether two samples are the same, but for what threads may change by adding up in another order."""
    if again is None or before is None or again[:2] != before[:2]:
        return again is before
    if (again[2] == before[2]).all():
        return True
    precision = float(np.finfo(before[1]).eps) ** 0.5
    size = np.max(np.abs(before[2]), initial=0, where=np.isfinite(before[2]))
    return np.allclose(again[2], before[2], rtol=precision, atol=precision * size, equal_nan=True)
