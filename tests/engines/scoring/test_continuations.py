"""Which tokens are decoded, and where each prediction lies."""

from __future__ import annotations

from linnet.engines.scoring.continuations import forest, plan, tree, waves


def test_common_starts_are_one_node() -> None:
    grown = tree([[1, 2, 3], [1, 2, 4], [1, 5, 6], [7], [8, 9]])
    assert grown.tokens == [1, 2, 5, 8]
    assert grown.depths == [1, 2, 2, 1]
    assert grown.leaves == [[0, 1], [0], [1], [2]]
    assert grown.sources == [[-1, 0, 1], [-1, 0, 1], [-1, 0, 2], [-1], [-1, 3]]
    assert grown.sequences == 3


def test_single_tokens_need_no_node_and_one_sequence() -> None:
    grown = tree([[1], [2], [3]])
    assert (grown.tokens, grown.sequences) == ([], 1)


def test_a_plan_places_prompts_side_by_side() -> None:
    made = plan([[10, 11], [12]], tree([[1, 2], [1, 3], [4, 5]]), start=7)
    assert made.run.tokens == [10, 11, 1, 4, 12, 1, 4]
    assert made.run.positions == [7, 8, 9, 9, 7, 8, 8]
    assert made.run.sequences == [(1, 2), (1, 2), (1,), (2,), (3, 4), (3,), (4,)]
    assert made.run.wanted == [False, True, True, True, True, True, True]
    assert made.rows == [[[0, 1], [0, 1], [0, 2]], [[3, 4], [3, 4], [3, 5]]]


def test_forests_and_waves_keep_to_their_limits() -> None:
    many = [[place, place, 0] for place in range(50)]
    covered: list[int] = []
    for where, grown in forest(many, sequences=8, tokens=12):
        assert grown.sequences <= 8
        assert len(grown.tokens) <= 12
        covered += range(where.start, where.stop)
    assert covered == list(range(50))
    grown = tree(many[:3])
    parts = list(waves([[1] * 4] * 10, grown, sequences=12, tokens=25))
    assert [len(part) for part in parts] == [2] * 5  # 4 + 6 tokens each
    assert [len(part) for part in waves([[1] * 100] * 2, grown, sequences=12, tokens=25)] == [1, 1]
