"""Recompute instead of store: `checkpoint` trades time for the memory of a function's intermediate arrays."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from tinygrad_np.backward import walk
from tinygrad_np.core import Tensor
from tinygrad_np.errors import GradientError, StaleGraphError
from tinygrad_np.graph import Leaf, Node, Pick, Rule, Spec, enable_grad, next_number, recording
from tinygrad_np.random import generator
from tinygrad_np.signatures import function_name
from tinygrad_np.trees import leaves, map_leaves, rebuild

__all__ = ["checkpoint"]

F = TypeVar("F", bound=Callable[..., Any])


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
        During backward, if the function used other Tensors than the first time.
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
        # Handles of its own: the caller may rebind his, as in ``x += 1``.
        args, kwargs = map_leaves(_own_handle, (args, kwargs))
        draws = generator().bit_generator.state
        begin = next_number()
        output = fn(*args, **kwargs)
        ends = _ends(output, begin)
        if not ends:
            return output

        def run_again() -> Any:
            after = generator().bit_generator.state
            generator().bit_generator.state = draws
            try:
                return fn(*args, **kwargs)
            finally:
                generator().bit_generator.state = after

        parents = tuple(_sources(ends.values(), begin))
        values = [leaf._value for leaf in (leaves(output)[i] for i in ends)]
        call = _Recomputed(fn, run_again, list(ends))
        node = Node(call, parents, parents, tuple(Spec(v.shape, v.dtype) for v in values), {}, values[0])
        picked = [Tensor(value, Pick(node, i, value)) for i, value in enumerate(values)]
        found = dict(zip(ends, picked, strict=True))
        return rebuild(output, [found.get(i, leaf) for i, leaf in enumerate(leaves(output))])

    return cast(F, checkpointed)


def _own_handle(leaf: Any) -> Any:
    return copy.copy(leaf) if isinstance(leaf, Tensor) else leaf


def _ends(output: Any, begin: int) -> dict[int, Node]:
    """Which of the outputs were recorded since, by position."""
    nodes = {i: leaf._node for i, leaf in enumerate(leaves(output)) if isinstance(leaf, Tensor)}
    return {i: node for i, node in nodes.items() if node is not None and node.number > begin}


def _sources(ends: Any, begin: int) -> list[Node]:
    """The older nodes that the outputs depend on, in the order in which they are met."""
    pending, seen, sources = list(ends), set(ends), []
    for node in pending:  # grows as it goes
        if node.number <= begin:
            sources.append(node)
            continue
        for parent in node.parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                pending.append(parent)
    return sources


class _Recomputed:
    """What a checkpointed call is to the backward walk: a call of as many inputs as it has sources."""

    has_pole = broadcasts = elementwise = reads_values = False
    selects = variadic = True
    rules: tuple[Rule | None, ...] = ()

    def __init__(self, fn: Callable[..., Any], run_again: Callable[[], Any], ends: list[int]) -> None:
        self.name = f"checkpoint({function_name(fn)})"
        self.run_again = run_again
        self.ends = ends

    def rules_for(self, node: Node, wrap: Any) -> Sequence[Rule]:
        """One rule for each source; the first that is called does the work for all of them."""
        gradients: dict[Node, Any] = {}

        def of(parent: Node) -> Rule:
            def rule(g: tuple[Any, ...], *_: Any) -> Any:
                if not gradients:
                    gradients.update(self._gradients(node, g, wrap))
                return gradients[parent]

            return rule

        return [of(cast(Node, parent)) for parent in node.parents]

    def _gradients(self, node: Node, g: tuple[Any, ...], wrap: Any) -> dict[Node, Any]:
        for parent in node.parents:
            if isinstance(parent, Leaf) and parent.updated > node.number:
                raise StaleGraphError(
                    f"a leaf of {parent.dtype}{parent.shape} was updated in place after {self.name} was called, so "
                    "calling it again would give something else: call backward before updating"
                )
        with enable_grad():
            begin = next_number()
            ends = _ends(self.run_again(), begin)
            if list(ends) != self.ends or set(_sources(ends.values(), begin)) != set(node.parents):
                raise GradientError(
                    f"{self.name} used other tensors when it was called again for backward: a checkpointed function "
                    "must do the same each time"
                )
            start: dict[Node, Any] = {}
            for end, cotangent in zip(ends.values(), g, strict=True):
                if cotangent is not None:
                    start[end] = start[end] + cotangent if end in start else cotangent
            targets = {parent for parent in node.parents if parent is not None}
            found = walk(start, targets, retain=wrap is not None, wrap=wrap, boundary=begin)
        return {p: found[p] if p in found else np.zeros(p.shape, p.dtype) for p in targets}
