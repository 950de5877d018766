"""Find left recursion in a GBNF grammar: a rule that can begin with itself never ends. Knows no engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from linnet.core.errors import InputError

Token = tuple[str, str]  # kind and text, as schema_limits reads them
Begins = tuple[set[str], bool]  # the rules that a sequence can begin with, and whether it can be empty


def left_recursive(rules: Mapping[str, Sequence[Token]]) -> str:
    """The name of a rule that can begin with itself, or an empty string. Raises InputError for unbalanced brackets."""
    empty = dict.fromkeys(rules, False)
    begins: dict[str, set[str]] = {}
    for _ in range(len(rules) + 1):  # until nothing more turns out to be possibly empty
        found = {name: _alternatives(list(tokens), empty) for name, tokens in rules.items()}
        begins = {name: names for name, (names, _) in found.items()}
        now = {name: can_be for name, (_, can_be) in found.items()}
        if now == empty:
            break
        empty = now
    return _cycle(begins)


def _alternatives(tokens: list[Token], empty: Mapping[str, bool]) -> Begins:
    """Read `a b | c`, with brackets inside, from a list that is used up from the front."""
    stack: list[tuple[Begins, Begins]] = []
    whole: Begins = (set(), False)
    branch: Begins = (set(), True)
    for index, (kind, text) in enumerate(tokens):
        optional = tokens[index + 1 : index + 2] and _is_optional(tokens[index + 1])
        if kind == "open":
            stack.append((whole, branch))
            whole, branch = (set(), False), (set(), True)
        elif kind == "close":
            if not stack:
                raise InputError("grammar: a bracket is closed that was not opened in its rule.")
            inner = _either(whole, branch)
            whole, branch = stack.pop()
            branch = _then(branch, (inner[0], inner[1] or bool(optional)))
        elif kind == "or":
            whole, branch = _either(whole, branch), (set(), True)
        elif kind == "name":
            branch = _then(branch, ({text}, empty.get(text, False) or bool(optional)))
        elif kind in ("text", "token"):
            branch = _then(branch, (set(), bool(optional) or text == '""'))
    if stack:
        raise InputError("grammar: a bracket is not closed in its rule.")
    return _either(whole, branch)


def _is_optional(token: Token) -> bool:
    return token[0] == "repeat" and (token[1] in "*?" or token[1].lstrip("{ \t")[:1] == "0")


def _then(first: Begins, second: Begins) -> Begins:
    return (first[0] | second[0], second[1]) if first[1] else first


def _either(one: Begins, other: Begins) -> Begins:
    return one[0] | other[0], one[1] or other[1]


def _cycle(begins: Mapping[str, set[str]]) -> str:
    """A name on a cycle of `begins`, by removing what begins with nothing that is left."""
    left = {name: set(found) for name, found in begins.items()}
    while free := [name for name, found in left.items() if not found & left.keys()]:
        for name in free:
            del left[name]
    # What is left leads into a cycle: walk until a name comes twice.
    name, seen = next(iter(left), ""), set[str]()
    while name and name not in seen:
        seen.add(name)
        name = min(left[name] & left.keys())
    return name
