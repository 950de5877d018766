"""Which tokens to decode to score many continuations of many prompts at once. Pure values: it runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from linnet.engines.scoring.llama_context import Run
from linnet.metrics.likelihood import log_normalizers

Ids = Sequence[int]
Followed = tuple[float, bool]  # natural log-probability of a token, and whether none was likelier


@dataclass(slots=True)
class Tree:
    """Continuations with their common starts merged: a node is a token to decode, and sees its ancestors.

    tokens, depths, leaves: of each node, its token, its distance from the prompt's last token (1 is next to it), and
    the leaves below it; a leaf becomes a sequence. sources[i][t]: the node whose logits predict token t of
    continuation i, -1 for the prompt's last token. The last token of a continuation is predicted, never decoded.
    """

    tokens: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    leaves: list[list[int]] = field(default_factory=list)
    sources: list[list[int]] = field(default_factory=list)

    @property
    def sequences(self) -> int:
        """How many sequences it takes; a tree without nodes still needs one for its prompt."""
        return max(1, len({leaf for members in self.leaves for leaf in members}))


def tree(continuations: Sequence[Ids]) -> Tree:
    """Merge the common starts of `continuations`, none of them empty."""
    grown = Tree()
    children: list[dict[int, int]] = [{}]  # of the prompt's end, then of each node
    for ids in continuations:
        node, path = -1, [-1]
        for token in ids[:-1]:
            found = children[node + 1].get(token)
            if found is None:
                found = len(grown.tokens)
                children[node + 1][token] = found
                children.append({})
                grown.tokens.append(token)
                grown.depths.append(len(path))
                grown.leaves.append([])
            node = found
            path.append(node)
        grown.sources.append(path)
    _number_leaves(grown, children)
    return grown


def _number_leaves(grown: Tree, children: list[dict[int, int]]) -> None:
    parents = {child: node - 1 for node, below in enumerate(children) for child in below.values()}
    ends = [node for node in range(len(grown.tokens)) if not children[node + 1]]
    for leaf, end in enumerate(ends):
        node = end
        while node >= 0:
            grown.leaves[node].append(leaf)
            node = parents[node]


def forest(continuations: Sequence[Ids], sequences: int, tokens: int) -> Iterator[tuple[slice, Tree]]:
    """The continuations in few trees of at most `sequences` and `tokens` each, with the slice that each covers.

    A tree of one continuation is given in any case.
    """
    start = 0
    while start < len(continuations):
        stop, grown = start + 1, tree(continuations[start : start + 1])
        # Doubling finds most of what fits without trying every length.
        while stop < len(continuations):
            further = min(start + 2 * (stop - start), len(continuations))
            wider = tree(continuations[start:further])
            if wider.sequences > sequences or len(wider.tokens) > tokens:
                break
            stop, grown = further, wider
        yield slice(start, stop), grown
        start = stop


@dataclass(frozen=True, slots=True)
class Plan:
    """One run for several prompts, and where among its wanted tokens each answer lies.

    rows[p][i][t]: the number of the wanted token whose logits predict token t of continuation i of prompt p.
    """

    run: Run
    rows: list[list[list[int]]]


def plan(ends: Sequence[Ids], grown: Tree, start: int) -> Plan:
    """Decode each prompt's own tokens (`ends`, after a shared trunk of `start` tokens), then its tree.

    Sequence 0 holds the trunk; the prompts borrow those from 1 on, `grown.sequences` each.
    """
    tokens: list[int] = []
    positions: list[int] = []
    sequences: list[tuple[int, ...]] = []
    wanted: list[bool] = []
    rows, asked = [], 0
    for number, own in enumerate(ends):
        first = 1 + number * grown.sequences
        everyone = tuple(range(first, first + grown.sequences))
        tokens += own
        positions += range(start, start + len(own))
        sequences += [everyone] * len(own)
        wanted += [False] * (len(own) - 1) + [True]
        tokens += grown.tokens
        positions += [start + len(own) - 1 + depth for depth in grown.depths]
        sequences += [tuple(first + leaf for leaf in members) for members in grown.leaves]
        wanted += [True] * len(grown.tokens)
        rows.append([[asked + 1 + node for node in path] for path in grown.sources])
        asked += 1 + len(grown.tokens)
    return Plan(Run(tokens, positions, sequences, wanted), rows)


def waves(ends: Sequence[Ids], grown: Tree, sequences: int, tokens: int) -> Iterator[range]:
    """Prompts to decode side by side: as many as `sequences` and `tokens` allow, one at least."""
    start = 0
    while start < len(ends):
        stop, used = start, 0
        while stop < len(ends) and (stop - start + 1) * grown.sequences <= sequences:
            used += len(ends[stop]) + len(grown.tokens)
            if used > tokens and stop > start:
                break
            stop += 1
        yield range(start, stop)
        start = stop


def collect(
    plan: Plan, pieces: Iterable[tuple[int, NDArray[np.float32]]], continuations: Sequence[Ids]
) -> list[list[list[Followed]]]:
    """What was found, [prompt][continuation][token], picked out of the plan's rows of logits as they come."""
    asked = np.array([row for prompt in plan.rows for path in prompt for row in path])
    tokens = np.array([token for _ in plan.rows for ids in continuations for token in ids])
    values, likeliest = np.empty(len(asked), dtype=np.float64), np.empty(len(asked), dtype=bool)
    for first, rows in pieces:
        here = (asked >= first) & (asked < first + len(rows))
        places = asked[here] - first
        chosen = rows[places, tokens[here]]
        values[here] = chosen - log_normalizers(rows)[places]
        likeliest[here] = chosen >= rows.max(axis=1)[places]
    given = zip(values.tolist(), likeliest.tolist(), strict=True)
    return [[[next(given) for _ in ids] for ids in continuations] for _ in plan.rows]
