"""The error tree. Every failure a caller can meet is one of these; nothing of a third party passes the door.

LinnetError                 exit 1   the operation failed
├── InputError              exit 2   bad input or configuration
│   ├── TaskError                    task.toml is wrong
│   ├── DataError                    the examples are wrong
│   ├── NameInvalid                  a name breaks the grammar
│   ├── ContextExceeded              a prompt has more tokens than the context
│   └── NotFound                     no such model, dataset, specialist
├── GuardStopped            exit 3   training stopped by a guard (NaN, divergence)
├── ResourceMissing         exit 4   memory, disk, library or device is missing
│   └── DiskFull
├── StoreError              exit 1   the store is damaged or held
│   ├── CorruptFile                  a file's hash is not the one in its record
│   └── StoreBusy                    somebody else holds the lock
├── HubError                exit 1   a hub cannot be reached, or broke a rule of pulling
├── ModelFileError          exit 1   a model file breaks a rule of its format, or is not safe to open
├── GateFailed              exit 1   a parity gate between two stages failed
├── EngineError             exit 1   a model could not be loaded or run
│   └── ModelBusy                    requests are running on it
└── Interrupted             exit 130 or 143
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path


class LinnetError(Exception):
    """What failed, with the values, and the next step to take.

    `message` says what failed. `hint` says what to do about it; it may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class InputError(LinnetError):
    exit_code = 2


class TaskError(InputError):
    pass


class DataError(InputError):
    pass


class NameInvalid(InputError):
    pass


class NotFound(InputError):
    pass


class ContextExceeded(InputError):
    """A prompt that does not fit. `prompt_tokens` is what it has (or `at_least` has), `limit` the whole context."""

    def __init__(self, prompt_tokens: int, limit: int, *, at_least: bool = False) -> None:
        count = f"at least {prompt_tokens}" if at_least else str(prompt_tokens)
        super().__init__(
            f"The prompt has {count} tokens; the context is {limit} and must also hold the answer.",
            "Shorten the prompt, or load the model with a larger context. Nothing was cut.",
        )
        self.prompt_tokens = prompt_tokens
        self.limit = limit


class GuardStopped(LinnetError):
    exit_code = 3


class ResourceMissing(LinnetError):
    exit_code = 4


class DiskFull(ResourceMissing):
    pass


class StoreError(LinnetError):
    pass


class CorruptFile(StoreError):
    pass


class StoreBusy(StoreError):
    pass


class HubError(LinnetError):
    pass


class ModelFileError(LinnetError):
    """A model file that will not be opened. `field` names the header field, tensor or file at fault."""

    def __init__(self, field: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.field = field


class GateFailed(LinnetError):
    pass


class EngineError(LinnetError):
    pass


class ModelBusy(EngineError):
    pass


class Interrupted(LinnetError):
    """Stopped by a signal after state was saved. `exit_code` is 128 plus the signal's number."""

    def __init__(self, message: str, signal_number: int, hint: str = "") -> None:
        super().__init__(message, hint)
        self.exit_code = 128 + signal_number


def did_you_mean(word: str, known: list[str]) -> str:
    """' Did you mean "x"?' for the nearest known word, or an empty string."""
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return f' Did you mean "{near[0]}"?' if near else ""


@contextmanager
def os_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn the operating system's refusals into errors of the tree.

    Raises DiskFull for a full disk or quota, ResourceMissing for missing permission, StoreError otherwise.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"{doing} {path}: no such file or folder.") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"{doing} {path}: the disk is full.",
                "Free some space and run the same command again: finished stages are kept.",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ResourceMissing(
                f"{doing} {path}: permission denied.",
                "Choose another place with LINNET_HOME, or give yourself the right to write there.",
            ) from error
        raise StoreError(f"{doing} {path}: {error.strerror or error}.") from error


def require(module: str, extra: str) -> None:
    """Raise ResourceMissing, naming the extra to install, when a library is absent."""
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise ResourceMissing(
            f"This needs the library {module!r}, which is not installed.",
            f"Install it with: pip install 'linnet[{extra}]'",
        )
