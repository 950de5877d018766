"""Splits that hold still: stratified, whole groups, and unmoved by edits of other rows."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.core.records import Example
from linnet.text.splits import hold_out, make_units, members


def examples(counts: dict[str, int], groups: int = 0) -> list[Example]:
    labels = [label for label, count in counts.items() for _ in range(count)]
    return [
        Example(text=f"{label} text {row}", label=label, row=row, group=f"g{row % groups}" if groups else "")
        for row, label in enumerate(labels, 2)
    ]


def held_texts(rows: list[Example], percent: int = 15, salt: str = "0:validation") -> set[str]:
    return {rows[index].text for index in members(hold_out(make_units(rows), percent, salt, keep_units=1).out)}


def test_each_label_gives_its_share_and_at_least_one() -> None:
    rows = examples({"a": 100, "b": 20, "c": 3, "d": 2, "e": 1})
    held = hold_out(make_units(rows), 15, "0:validation", keep_units=1)
    assert Counter(rows[index].label for index in members(held.out)) == {"a": 15, "b": 3, "c": 1, "d": 1}
    assert held.missing == ["e"]
    assert sorted(members(held.out) + members(held.rest)) == list(range(len(rows)))


def test_another_seed_is_another_split() -> None:
    rows = examples({"a": 100, "b": 100})
    assert held_texts(rows) == held_texts(rows)
    assert held_texts(rows) != held_texts(rows, salt="1:validation")


def test_editing_removing_or_adding_a_row_moves_at_most_a_row_at_the_border() -> None:
    rows = examples({"a": 100, "b": 60})
    before = held_texts(rows)
    for place in (0, 40, 99, 120):
        edited = list(rows)
        edited[place] = rows[place].model_copy(update={"text": f"edited {place}"})
        others = {row.text for row in rows} - {rows[place].text}
        assert len((held_texts(edited) ^ before) & others) <= 1
        removed = rows[:place] + rows[place + 1 :]
        assert len((held_texts(removed) ^ before) & others) <= 1
    added = [*rows, Example(text="one more", label="a", row=999)]
    assert len((held_texts(added) ^ before) - {"one more"}) <= 1


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = examples({"a": 50, "b": 50}, groups=9)
    assert held_texts(rows) == held_texts(rows[::-1])


def test_pairs_that_belong_together_stay_together() -> None:
    rows = examples({"a": 40, "b": 40})
    pairs = [(index, index + 40) for index in range(40)]
    held = set(members(hold_out(make_units(rows, pairs), 20, "0:test", keep_units=2).out))
    assert all((left in held) == (right in held) for left, right in pairs)
    assert len(held) == 16


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), min_size=1, max_size=60),
    st.integers(0, 1000),
)
def test_no_group_straddles_and_no_label_leaves_training(shape: list[tuple[str, int]], seed: int) -> None:
    rows = [
        Example(text=f"text {row}", label=label, row=row, group=f"g{group}" if group else "")
        for row, (label, group) in enumerate(shape)
    ]
    held = hold_out(make_units(rows), 15, f"{seed}:validation", keep_units=1)
    out = [rows[index] for index in members(held.out)]
    rest = [rows[index] for index in members(held.rest)]
    assert not {row.group for row in out if row.group} & {row.group for row in rest}
    assert {row.label for row in rest} == {row.label for row in rows}
    assert {row.label for row in out} | set(held.missing) == {row.label for row in rows}
