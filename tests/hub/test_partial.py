"""What a killed download leaves: never more claimed than written."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.hub.partial import Closed, Partial


def test_parts_are_kept_between_runs(tmp_path: Path) -> None:
    first = Partial(tmp_path / "p", 10, 4)
    first.write(0, b"ab")
    first.write(2, b"ij")
    first.close()
    second = Partial(tmp_path / "p", 10, 4)
    assert (second.done, second.resumed_bytes) == ([2, 0, 2], 4)
    assert [second.missing(part) for part in range(3)] == [(2, 3), (4, 7), (10, 9)]
    assert second.is_whole(2)
    second.close()
    assert (tmp_path / "p").read_bytes() == b"ab" + bytes(6) + b"ij"
    assert (tmp_path / "p").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("size", "part"), [(11, 4), (10, 5)])
def test_another_size_begins_again(tmp_path: Path, size: int, part: int) -> None:
    first = Partial(tmp_path / "p", 10, 4)
    first.write(0, b"abcd")
    first.close()
    second = Partial(tmp_path / "p", size, part)
    assert second.resumed_bytes == 0
    second.close()


def test_nothing_is_written_after_the_end(tmp_path: Path) -> None:
    partial = Partial(tmp_path / "p", 10, 4)
    partial.close()
    partial.close()
    with pytest.raises(Closed):
        partial.write(0, b"a")
