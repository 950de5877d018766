"""Stop texts in a stream: found wherever the pieces are cut, and nothing else is held back or lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from linnet.engines.requests.stop_texts import StopTexts


@given(
    st.text("abc", max_size=30),
    st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(1, 4)),
)
def test_the_cut_does_not_matter(text: str, stops: list[str], sizes: list[int]) -> None:
    found = StopTexts(stops)
    shown, at = "", 0
    for size in [*sizes, len(text)]:
        if found.found:
            break
        shown += found.feed(text[at : at + size])
        at += size
    if not found.found:
        shown += found.rest()
    hits = [text.find(stop) for stop in stops if stop in text]
    if found.found:
        # A longer text that begins earlier may still be incomplete when a shorter one is found.
        assert text.startswith(shown)
        assert any(text.startswith(stop, len(shown)) for stop in stops)
    else:
        assert not hits
        assert shown == text


def test_nothing_is_held_without_need() -> None:
    found = StopTexts(["###"])
    assert [found.feed("a"), found.feed("#"), found.feed("b"), found.rest()] == ["a", "", "#b", ""]
