"""The backward walk: carry cotangents from outputs to inputs through a recorded graph, newest call first.

What never reached the output must not reach the gradient. In ``np.where(x > 0, np.log(x), 0)`` the logarithm at x = 0
gets a zero cotangent, and zero times its infinite derivative is NaN. So where the cotangent is zero the gradient is cut
off, but only after the functions that can make such a NaN, since it costs a pass over the array: always after those
that `has_pole`; and after others that multiply with an array (`reads_values`) only if what they made was `masked`, that
is, if a function that `selects` some elements and ignores others, such as np.where, comes after them.

The walk runs each call's rules on plain arrays. Where the gradients themselves have to be differentiated, it is given
`wrap`, and runs the same rules on Tensors, whose NumPy calls are recorded like any others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from operator import attrgetter
from typing import Any

import numpy as np

from tinygrad_np.errors import FreedGraphError, MissingRuleError, RuleError, StaleGraphError
from tinygrad_np.graph import Leaf, Node, Pick, Rule, Spec
from tinygrad_np.memory import keep_some_freed_memory, row_of
from tinygrad_np.signatures import rule_name

__all__ = ["PLAIN", "Wrap", "cut_off", "reachable", "summed_to", "walk", "zero"]

Array = Any  # an ndarray, a NumPy scalar, or a Tensor where rules are being recorded
Wrap = Callable[[Any, Node], Any]  # makes a Tensor of an array and its node

PLAIN: set[Any] = {np.ndarray, np.float64, np.float32}
"""The kinds of arrays of which shape and dtype say whether they are what a rule should return."""


def zero(*_: Any, **__: Any) -> Any:
    """The rule of an argument whose derivative is zero everywhere. The walk knows it and never calls it."""
    raise AssertionError("the walk skips zero gradients")


def walk(
    cotangents: dict[Any, Any],
    targets: Collection[Node] | None,
    *,
    retain: bool,
    wrap: Wrap | None,
    boundary: int = 0,
    masked_ends: bool = False,
) -> dict[Node, Array]:
    """Gradients of the leaves, or of other targets, given the cotangents of the outputs.

    A node's number exceeds that of everything it was computed from, so descending numbers are a topological order:
    when a node's turn comes, all calls that used its output have added their share to its cotangent. Nodes wait in a
    heap, so that nothing has to be known of the graph beforehand; the one that is likely to be next waits beside it.

    Parameters
    ----------
    cotangents : dict
        The cotangent of each output node; emptied.
    targets : collection of Node, or None
        The nodes whose gradients are wanted; None for all leaves.
    retain : bool
        Keep the nodes' arrays, rather than let go of each node's as it is passed.
    wrap : callable, optional
        Run the rules on Tensors made with it, so that what they compute can be differentiated again.
    boundary : int
        Go no further than nodes with this number or a smaller one.
    masked_ends : bool
        Only some elements of the outputs were used, as by np.where.
    """
    keep_some_freed_memory()  # where there is one gradient, more arrays of the same sizes will follow
    found: dict[Node, Array] = {}
    sums: set[Node] = set()  # nodes whose cotangent is a sum made here, which may be added to in place
    masked = set(cotangents if masked_ends else ())  # nodes of which np.where or the like used only some elements
    last_update, updated = Leaf.last_update, None
    # The nodes that lead to a target. Without targets, all of them do.
    useful = set() if targets is None else _leading(reachable(cotangents, boundary), targets, boundary)
    waiting = {-node.number: node for node in cotangents if targets is None or node in useful}
    turns = list(waiting)  # a heap of their negative numbers, so that the newest node comes next
    heapify(turns)
    ahead: Node | None = None
    errors = None  # NumPy's own error handling, while it is switched off
    try:
        while turns or ahead is not None:
            if ahead is None:
                node = waiting.pop(heappop(turns))
            elif turns and turns[0] < -ahead.number:
                waiting[-ahead.number] = ahead
                node = waiting.pop(heapreplace(turns, -ahead.number))
                ahead = None
            else:
                node, ahead = ahead, None
            g = cotangents.pop(node)
            kind: type = node.__class__
            if targets is None:
                if kind is Leaf:
                    found[node] = g
                    continue
            else:
                if node in targets:
                    found[node] = g
                if useful.isdisjoint(node.parents):
                    continue
            if node.number <= boundary:
                continue
            if kind is Pick:
                # One output of a call with several: put its cotangent beside those of the others. A rule that was
                # recorded picks the same output again, so there may be one already.
                pick: Any = node
                call, index = pick.parents[0], pick.index
                if call not in cotangents:
                    cotangents[call] = {}
                    waiting[-call.number] = call
                    heappush(turns, -call.number)
                picked = cotangents[call]
                picked[index] = picked[index] + g if index in picked else g
                if node in masked:
                    masked.add(call)
                continue
            function, inputs = node.function, node.inputs
            if inputs is None:
                raise _freed(node)
            if last_update > node.number:
                if updated is None:
                    older = reachable([node, *cotangents], boundary)
                    updated = [leaf for leaf in older if leaf.__class__ is Leaf and leaf.updated]
                _check_current(node, updated)
            output = node.output
            if g.__class__ is dict:
                g = tuple(map(g.get, range(len(output))))
            plain = (g, node if output is None else output, *inputs)
            arguments = plain if wrap is None else _wrapped(node, g, wrap)
            if errors is None and not function.quiet:
                # A rule may divide by zero where its cotangent is zero. What comes of it is cut off: no need to warn.
                errors = np.seterr(divide="ignore", over="ignore", invalid="ignore")
            static = node.static
            is_masked = guarded = spreads = False
            rules = function.rules
            if masked or static or function.special:
                is_masked = node in masked
                spreads = is_masked or function.selects or "where" in static
                guarded = function.has_pole or (is_masked and function.elementwise and function.reads_values)
                if function.variadic:
                    rules = function.rules_for(node, wrap, is_masked)
            for rule, parent in zip(rules, node.parents):  # noqa: B905 (equally long, and hot)
                if parent is None or rule is zero or (targets is not None and parent not in useful):
                    continue
                if rule is None:
                    raise _missing_rule(node, rules, parent)
                gradient: Any = rule(*arguments, **static) if static else rule(*arguments)
                if guarded and gradient is not g:
                    gradient = cut_off(g, gradient)
                if type(gradient) not in PLAIN or gradient.shape != parent.shape or gradient.dtype is not parent.dtype:
                    gradient = _fitted(gradient, node, parent, rule)
                if spreads:
                    masked.add(parent)
                if targets is None and parent.__class__ is Leaf:  # where this ends, so that it need not wait its turn
                    if parent not in found:
                        found[parent] = _unshared(gradient, arguments)
                        continue
                    so_far = found
                elif parent not in cotangents:
                    if targets is not None and parent in targets:
                        gradient = _unshared(gradient, arguments)
                    cotangents[parent] = gradient
                    if ahead is None:
                        ahead = parent
                    else:
                        waiting[-parent.number] = parent
                        heappush(turns, -parent.number)
                    continue
                else:
                    so_far = cotangents
                if parent in sums and gradient.__class__ is np.ndarray:
                    np.add(so_far[parent], gradient, out=so_far[parent])
                else:
                    so_far[parent] = total = so_far[parent] + gradient
                    if total.__class__ is np.ndarray:
                        sums.add(parent)
            if not retain:
                node.parents, node.inputs, node.output = (), None, None
    finally:
        if errors is not None:
            np.seterr(**errors)
    return found


def reachable(roots: Iterable[Node], boundary: int) -> list[Node]:
    """What the roots were computed from, and the roots themselves, newest first."""
    order = list(roots)
    seen = set(order)
    for node in order:  # grows as it goes
        for parent in node.parents if node.number > boundary else ():
            if parent is not None and parent not in seen:
                seen.add(parent)
                order.append(parent)
    order.sort(key=attrgetter("number"), reverse=True)
    return order


def _leading(order: Sequence[Node], targets: Collection[Node], boundary: int) -> set[Node]:
    """The nodes that are targets, or were computed from one.

    Of a node that an earlier backward has passed, nobody knows any more what it was computed from, but it was
    something older. If that may have been a target, it is an error rather than a gradient without its share.
    """
    useful: set[Node] = set()
    oldest = min((target.number for target in targets), default=0)
    for node in reversed(order):
        if node in targets or not useful.isdisjoint(node.parents):
            useful.add(node)
        if node.number > max(oldest, boundary) and node.__class__ is not Leaf and node.inputs is None:
            raise _freed(node)
    return useful


def _wrapped(node: Node, g: Any, wrap: Wrap) -> tuple[Any, ...]:
    """What the node's rules are called with to be recorded: cotangent, output and inputs, as Tensors."""
    output = node.output
    inputs = tuple(
        x if parent is None or isinstance(x, Spec) else wrap(x, parent)
        for x, parent in zip(node.inputs or (), node.parents, strict=True)
    )
    if isinstance(output, tuple):
        output = tuple(v if isinstance(v, Spec) else wrap(v, Pick(node, i, v)) for i, v in enumerate(output))
    elif output is not None:
        output = wrap(output, node)
    return (g, node if output is None else output, *inputs)


def _freed(node: Node) -> FreedGraphError:
    return FreedGraphError(
        f"an earlier backward has let go of the arrays that {node.function.name} recorded: compute the output "
        "again, or pass retain_graph=True to the earlier backward"
    )


def _check_current(node: Node, updated: Sequence[Leaf]) -> None:
    """Raise if a rule would see a leaf's new values in the place of those that the call was made with.

    What was kept may be a view of the leaf, as its transpose is.
    """
    kept = [x for x in (*(node.inputs or ()), node.output) if isinstance(x, np.ndarray)]
    for leaf in updated:
        array = leaf.array()
        if leaf.updated > node.number and array is not None and any(np.may_share_memory(x, array) for x in kept):
            raise StaleGraphError(
                f"a leaf of {leaf.dtype}{leaf.shape} was updated in place after {node.function.name} had recorded it: "
                "its old values are gone, so compute the output again before calling backward"
            )


def _missing_rule(node: Node, rules: Sequence[Rule | None], parent: Node) -> MissingRuleError:
    position = next(i for i, rule in enumerate(rules) if rule is None and node.parents[i] is parent)
    return MissingRuleError(
        f"{node.function.name} has no rule for argument {position} (counted from 0), whose gradient "
        "is needed: give it one with tg.defvjp, or tg.zero if the derivative is zero, or detach the argument"
    )


def cut_off(g: Array, gradient: Array) -> Array:
    """Zero where the cotangent is zero, even if the rule made inf or NaN there by dividing by zero.

    ``np.where(x > 0, np.log(x), 0)`` sends a zero cotangent to the logarithm at x = 0, and no derivative, however
    large, turns that into anything but zero.
    """
    if getattr(gradient, "shape", None) != getattr(g, "shape", None):
        return gradient  # what it should have been, `_fitted` says
    if not hasattr(gradient, "requires_grad"):
        return np.where(g, gradient, gradient.dtype.type(0))
    # The derivative with respect to g must survive where g is zero, so only what is not finite is cut.
    finite = np.isfinite(gradient.data)
    if isinstance(finite, np.ndarray | np.generic) and finite.all():
        return gradient  # nothing to cut, nothing to record
    values = g if isinstance(g, np.ndarray | np.generic) else g.data
    return np.where((values != 0) | finite, gradient, 0)


def _fitted(gradient: Any, node: Node, parent: Node, rule: Rule) -> Array:
    """A rule's result in its input's shape and dtype: broadcast axes summed, or an error that names the rule."""

    def returned(what: str) -> RuleError:
        return RuleError(f"the rule {rule_name(rule)} of {node.function.name} returned {what}")

    if gradient is None:
        raise returned("None: a rule returns the gradient, and tg.zero stands for zero everywhere")
    if not hasattr(gradient, "astype"):
        gradient = np.asarray(gradient)
    if gradient.shape != parent.shape:
        if not _summable(gradient.shape, node, parent):
            raise returned(f"shape {gradient.shape} for an input of shape {parent.shape}")
        gradient = summed_to(gradient, parent.shape)
    if gradient.dtype != parent.dtype:
        if gradient.dtype.kind not in "fc":
            raise returned(f"dtype {gradient.dtype} for an input of dtype {parent.dtype}")
        if parent.dtype.kind == "f" and gradient.dtype.kind == "c":
            gradient = gradient.real
        gradient = gradient.astype(parent.dtype)
    return gradient


def summed_to(g: Array, shape: tuple[int, ...]) -> Array:
    """The cotangent of what was broadcast from `shape`: the sum of the cotangents of all the copies."""
    extra = g.ndim - len(shape)
    if extra and shape and shape == g.shape[extra:] and g.dtype.char in "fdFD":
        # BLAS adds up rows several times as fast as np.sum does.
        rows = g if extra == len(shape) == 1 else g.reshape(math.prod(g.shape[:extra]), math.prod(shape))
        total = row_of(1, rows.shape[0], g.dtype) @ rows
        return total if len(shape) == 1 else total.reshape(shape)
    stretched = [i + extra for i, length in enumerate(shape) if length == 1 != g.shape[i + extra]]
    return np.sum(g, axis=(*range(extra), *stretched)).reshape(shape)


def _summable(shape: tuple[int, ...], node: Node, parent: Node) -> bool:
    """Whether the call broadcast its input, and a gradient of this shape still has the broadcast axes."""
    function = node.function
    if function.elementwise:
        return shape == node.shape  # which is what the input was broadcast to
    if not function.broadcasts or len(parent.shape) > len(shape):
        return False
    return all(a in (1, b) for a, b in zip(reversed(parent.shape), reversed(shape), strict=False))


def _unshared(gradient: Array, arguments: tuple[Any, ...]) -> Array:
    """A gradient that nobody else holds: rules may pass on their cotangent, a view of it, or one of their inputs."""
    if gradient.__class__ is np.ndarray:
        if gradient.base is not None:
            return gradient.copy()
        for x in arguments:
            if x is gradient or (x.__class__ is tuple and any(part is gradient for part in x)):
                return gradient.copy()
    return gradient
