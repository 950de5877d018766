"""The error tree: its drawing, its exit codes, and that the operating system's errors become part of it."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from linnet.core import errors
from linnet.core.errors import (
    DiskFull,
    Interrupted,
    LinnetError,
    NotFound,
    ResourceMissing,
    StoreError,
    did_you_mean,
    os_errors,
    require,
)

CODES = {
    "LinnetError": 1,
    "InputError": 2,
    "TaskError": 2,
    "DataError": 2,
    "NameInvalid": 2,
    "NotFound": 2,
    "ContextExceeded": 2,
    "GuardStopped": 3,
    "ResourceMissing": 4,
    "DiskFull": 4,
    "StoreError": 1,
    "CorruptFile": 1,
    "StoreBusy": 1,
    "GateFailed": 1,
    "EngineError": 1,
    "ModelBusy": 1,
    "HubError": 1,
    "ModelFileError": 1,
    "Interrupted": 1,  # of the class; each one carries its own
}


def tree() -> dict[str, type[LinnetError]]:
    return {n: c for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, LinnetError)}


def test_every_class_has_its_code() -> None:
    assert {name: found.exit_code for name, found in tree().items()} == CODES


def test_the_drawing_is_the_tree() -> None:
    drawn: list[tuple[int, str]] = [
        (len(lead) // 4, name) for lead, name in re.findall(r"^([│├└─ ]*)([A-Z]\w+)\b", errors.__doc__ or "", re.M)
    ]
    drawn = [(depth, name) for depth, name in drawn if name in CODES]
    assert {name for _, name in drawn} == set(CODES)
    above: list[str] = []
    for depth, name in drawn:
        above[depth:] = [name]
        if depth:
            assert tree()[name].__base__ is tree()[above[depth - 1]]


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)])
def test_a_signal_gives_its_exit_code(number: int, code: int) -> None:
    assert Interrupted("stopped", number).exit_code == code


def test_the_text_is_the_message_and_the_next_step() -> None:
    assert str(LinnetError("what failed")) == "what failed"
    assert str(LinnetError("what failed", "what to do")) == "what failed\nwhat to do"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EACCES, ResourceMissing),
        (errno.EPERM, ResourceMissing),
        (errno.EROFS, ResourceMissing),
        (errno.ENOENT, NotFound),
        (errno.EIO, StoreError),
        (errno.ENOTDIR, StoreError),
    ],
)
def test_the_systems_errors_become_ours(number: int, expected: type[LinnetError]) -> None:
    with pytest.raises(LinnetError, match="Writing /some/file: ") as caught, os_errors(Path("/some/file"), "Writing"):
        raise OSError(number, "the system says so")
    assert type(caught.value) is expected
    assert isinstance(caught.value.__cause__, OSError)


def test_errors_of_the_tree_pass_unchanged() -> None:
    error = StoreError("mine")
    with pytest.raises(StoreError) as caught, os_errors(Path("/some/file"), "Writing"):
        raise error
    assert caught.value is error


def test_did_you_mean() -> None:
    assert did_you_mean("suport", ["billing", "support"]) == ' Did you mean "support"?'
    assert did_you_mean("xyz", ["support"]) == did_you_mean("xyz", []) == ""


def test_a_missing_library_names_the_extra() -> None:
    require("json", "train")
    with pytest.raises(ResourceMissing, match=r"pip install 'linnet\[train\]'"):
        require("a_library_that_nobody_has", "train")
