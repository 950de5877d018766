"""Weigh the syntax tree of a chat template: forbidden names, recursion, and how much work its constants ask for.

Loops over messages count as one turn: their length is the caller's, and bounded elsewhere. What cannot be weighed
here is left to the deadline of the process that renders it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from jinja2 import nodes
from jinja2.filters import FILTERS

from linnet.formats.chat_template import MAX_TREE, Refused

MAX_CONSTANT = 10_000
HUGE = 10**30
_WIDTH = re.compile(r"[0-9]{5}")
_READS_ATTRIBUTES = ("attr", "map", "selectattr", "rejectattr", "groupby", "sort", "unique", "min", "max", "sum")
_REFUSED_NODES: dict[type[nodes.Node], str] = {
    nodes.Include: "includes another file",
    nodes.Import: "imports another file",
    nodes.FromImport: "imports another file",
    nodes.Extends: "extends another file",
    nodes.Block: "defines a block, which can call itself",
}


def weigh(tree: nodes.Template) -> tuple[str, ...]:
    """The filters nobody knows, sorted. Raises Refused."""
    every: list[nodes.Node] = []
    for node, depth in walk(tree):
        # Chains that are flat for jinja2 nest for other parsers.
        links = node.nodes if isinstance(node, nodes.Concat) else node.elif_ if isinstance(node, nodes.If) else ()
        if max(depth, len(links)) > MAX_TREE:
            raise Refused(f"nests expressions deeper than {MAX_TREE}{_line(node)}")
        every.append(node)
    macros: dict[str, nodes.Macro] = {}
    for node in every:
        if type(node) in _REFUSED_NODES:
            raise Refused(f"{_REFUSED_NODES[type(node)]}{_line(node)}")
        if isinstance(node, nodes.Macro):
            if node.name in macros:
                raise Refused(f"defines the macro {node.name[:80]!r} twice{_line(node)}")
            macros[node.name] = node
    parameters = {argument.name for macro in macros.values() for argument in macro.args}
    for node in every:
        _check_names(node)
        _check_calls(node, set(macros), parameters)
    sizes = Sizes(every)
    for node in every:
        _check_sizes(node, sizes)
    _check_widths(every)
    _Work(macros, sizes).of_tree(tree)
    return tuple(sorted({node.name for node in every if isinstance(node, nodes.Filter)} - set(FILTERS)))


def walk(root: nodes.Node) -> Iterator[tuple[nodes.Node, int]]:
    """Every node with its depth, in the order of the text, without recursion."""
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting += [(child, depth + 1) for child in reversed(list(node.iter_child_nodes()))]


def _line(node: nodes.Node) -> str:
    return f" in line {node.lineno}"


def _check_names(node: nodes.Node) -> None:
    """No way to Python's own attributes."""
    names: list[str | None] = []
    if isinstance(node, nodes.Getattr):
        names = [node.attr]
    elif isinstance(node, nodes.Getitem):
        names = [_text(node.arg)]
    elif isinstance(node, nodes.Name):
        names = [node.name]
        if node.name == "self":
            raise Refused(f"uses 'self', which can call itself{_line(node)}")
    elif isinstance(node, nodes.Filter) and node.name in _READS_ATTRIBUTES:
        values = [_text(value) for value in [*node.args, *(keyword.value for keyword in node.kwargs)]]
        if node.name == "attr" and (not values or None in values):
            raise Refused(f"reads an attribute whose name cannot be seen{_line(node)}")
        names = [part for value in values if value for part in value.split(".")]
    for name in names:
        if name and name.startswith("__"):
            raise Refused(f"reads the attribute {name[:80]!r}{_line(node)}")


def _check_calls(node: nodes.Node, macros: set[str], parameters: set[str]) -> None:
    """No call whose target cannot be seen: a macro handed on as a value could call itself."""
    if isinstance(node, nodes.For) and node.recursive:
        raise Refused(f"has a loop that calls itself{_line(node)}")
    target = node.node if isinstance(node, nodes.Call) else None
    if isinstance(target, nodes.Name):
        if target.name in parameters - macros:
            raise Refused(f"calls what it was given as {target.name[:80]!r}{_line(node)}")
    elif target is not None and not isinstance(target, nodes.Getattr):
        raise Refused(f"calls something that cannot be seen{_line(node)}")
    if isinstance(node, nodes.Test):
        return  # {% if name is defined %} hands on nothing
    for child in node.iter_child_nodes():
        if child is not target and isinstance(child, nodes.Name) and child.ctx == "load" and child.name in macros:
            raise Refused(f"hands on the macro {child.name[:80]!r} as a value{_line(child)}")


def _text(node: nodes.Node) -> str | None:
    """A text put together from constants, or None."""
    if isinstance(node, nodes.Const):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, nodes.Concat | nodes.Add):
        parts = [_text(part) for part in node.iter_child_nodes()]
        return None if None in parts else "".join(part for part in parts if part is not None)
    return None


def _target(node: nodes.Node) -> str:
    """The name that is set; of a namespace its attribute; empty for several at once."""
    if isinstance(node, nodes.NSRef):
        return node.attr
    return node.name if isinstance(node, nodes.Name) else ""


class Sizes:
    """The largest whole number that an expression can be, as far as constants say. Never computes a huge one."""

    def __init__(self, every: list[nodes.Node]) -> None:
        self.names: dict[str, int] = {}
        self._seen: dict[int, int | None] = {}
        assigned = [(_target(node.target), node.node) for node in every if isinstance(node, nodes.Assign)]
        # In the order of the text one round settles all but loops; a few more show what a loop lets grow.
        for _ in range(10):
            before = dict(self.names)
            self._seen.clear()
            for name, value in assigned:
                number = self.of(value)
                if name and number is not None:
                    self.names[name] = max(self.names.get(name, 0), number)
            if self.names == before:
                break
        self._seen.clear()

    def of(self, node: nodes.Node) -> int | None:
        """Its size without the sign, or None for what is not constant."""
        if id(node) not in self._seen:
            self._seen[id(node)] = self._of(node)
        return self._seen[id(node)]

    def _of(self, node: nodes.Node) -> int | None:
        if isinstance(node, nodes.Const):
            number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
            return int(min(abs(node.value), HUGE)) if number else None
        if isinstance(node, nodes.Name):
            return self.names.get(node.name)
        if isinstance(node, nodes.Getattr):
            return self.names.get(node.attr)
        if isinstance(node, nodes.Neg | nodes.Pos):
            return self.of(node.node)
        if isinstance(node, nodes.Filter) and node.name in ("int", "float", "abs", "round") and node.node is not None:
            return self.of(node.node)
        if isinstance(node, nodes.CondExpr):
            sides = [self.of(side) for side in (node.expr1, node.expr2) if side is not None]
            return max((side for side in sides if side is not None), default=None)
        if isinstance(node, nodes.BinExpr):
            left, right = self.of(node.left), self.of(node.right)
            return None if left is None or right is None else self._joined(node, left, right)
        return None

    @staticmethod
    def _joined(node: nodes.BinExpr, left: int, right: int) -> int:
        if isinstance(node, nodes.Pow):
            return left if right <= 1 or left <= 1 else min(left ** min(right, 100), HUGE)
        if isinstance(node, nodes.Mul):
            return min(left * right, HUGE)
        return min(left + right, HUGE) if isinstance(node, nodes.Add | nodes.Sub) else left


def _check_sizes(node: nodes.Node, sizes: Sizes) -> None:
    """No constant above 10,000 where it could be a count: in a product, a call, a filter or a format."""
    counts: list[nodes.Node] = []
    if isinstance(node, nodes.Mul | nodes.Pow):
        counts = [node, node.left, node.right]
    elif isinstance(node, nodes.Mod):
        counts = list(node.right.items) if isinstance(node.right, nodes.Tuple) else []
    elif isinstance(node, nodes.Call | nodes.Filter):
        counts = [*node.args, *(keyword.value for keyword in node.kwargs)]
    for count in counts:
        number = sizes.of(count)
        if number is not None and number > MAX_CONSTANT:
            shown = str(number) if number < 10**12 else "a huge number"
            raise Refused(f"asks for {shown} of something, at most {MAX_CONSTANT} are allowed{_line(node)}")
    if isinstance(node, nodes.Pow) and sizes.of(node) is None:
        raise Refused(f"raises to a power that cannot be seen{_line(node)}")
    if isinstance(node, nodes.Mul) and any(isinstance(side, nodes.Mul) for side in (node.left, node.right)):
        _check_product(node, sizes)
    if isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name | nodes.NSRef):
        _check_doubling(node, node.target)


def _check_product(node: nodes.Mul, sizes: Sizes) -> None:
    """All constant factors of a product together, whatever stands between them."""
    product, factors, waiting = 1, 0, [node.left, node.right]
    while waiting:
        factor = waiting.pop()
        factors += 1
        if isinstance(factor, nodes.Mul):
            waiting += [factor.left, factor.right]
        else:
            product *= max(1, sizes.of(factor) or 1)
        if product > MAX_CONSTANT or factors > 20:
            raise Refused(f"repeats something more than {MAX_CONSTANT} times{_line(node)}")


def _check_doubling(node: nodes.Assign, target: nodes.Name | nodes.NSRef) -> None:
    """`x = x + x` in a loop of forty turns fills any memory."""
    same, waiting = 0, [node.node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, nodes.Add | nodes.Concat):
            waiting += list(part.iter_child_nodes())
        elif isinstance(target, nodes.Name):
            same += isinstance(part, nodes.Name) and part.name == target.name
        elif isinstance(part, nodes.Getattr) and isinstance(part.node, nodes.Name):
            same += (part.node.name, part.attr) == (target.name, target.attr)
    if same > 1:
        raise Refused(f"doubles a value again and again{_line(node)}")


def _check_widths(every: list[nodes.Node]) -> None:
    """No '%99999999d' and no '{:>99999999}' in a template that formats."""
    formats = any(
        isinstance(node, nodes.Mod)
        or (isinstance(node, nodes.Filter) and node.name == "format")
        or (isinstance(node, nodes.Getattr) and node.attr in ("format", "format_map"))
        for node in every
    )
    for node in every if formats else []:
        text = node.value if isinstance(node, nodes.Const) and isinstance(node.value, str) else ""
        if ("%" in text or "{" in text) and _WIDTH.search(text):
            raise Refused(f"formats to a width of five digits or more{_line(node)}")


class _Work:
    """Counts turns: what a constant loop holds counts as often as it runs, and a macro as often as it is called."""

    def __init__(self, macros: dict[str, nodes.Macro], sizes: Sizes) -> None:
        self.macros = macros
        self.sizes = sizes
        self.weights: dict[str, int] = {}
        self.active: list[str] = []

    def of_tree(self, tree: nodes.Template) -> int:
        for name in self.macros:
            self.of_macro(name)
        return self._below(tree)

    def of_macro(self, name: str) -> int:
        if name in self.active:
            raise Refused(f"has the macro {name[:80]!r} that calls itself{_line(self.macros[name])}")
        if name not in self.weights:
            self.active.append(name)
            self.weights[name] = self._below(self.macros[name])
            self.active.pop()
        return self.weights[name]

    def _below(self, root: nodes.Node) -> int:
        turns = 1
        for child in root.iter_child_nodes():
            if not isinstance(child, nodes.Macro):
                turns += self._of(child) - 1
        return self._limited(turns, root)

    def _of(self, node: nodes.Node) -> int:
        turns = self._below(node)
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name in self.macros:
            turns += self.of_macro(node.node.name)
        if isinstance(node, nodes.For):
            turns *= self._length(node.iter)
        return self._limited(turns, node)

    def _length(self, node: nodes.Node) -> int:
        """How often a loop over this runs, as far as constants say."""
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name == "range":
            return max([1, *(self.sizes.of(count) or 1 for count in node.args)])
        if isinstance(node, nodes.Mul):
            return max(1, *(self.sizes.of(side) or self._length(side) for side in (node.left, node.right)))
        if isinstance(node, nodes.List | nodes.Tuple):
            return max(1, len(node.items))
        if isinstance(node, nodes.Const) and isinstance(node.value, str):
            return max(1, len(node.value))
        if isinstance(node, nodes.Filter) and node.node is not None:
            return self._length(node.node)
        return 1

    def _limited(self, turns: int, node: nodes.Node) -> int:
        if turns > MAX_CONSTANT:
            raise Refused(f"loops more than {MAX_CONSTANT} times{_line(node)}")
        return turns
