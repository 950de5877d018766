"""The command line. One file a verb: parse, call, print. Nothing heavy is imported before a verb runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


def main() -> None:
    """Run `linnet`. Errors of the tree become one message and their exit code; a pipe that closes ends quietly."""
    arguments = sys.argv[1:]
    with _engine_started(arguments):
        from linnet.cli.app import app_for
        from linnet.cli.printing import plain
        from linnet.core.errors import LinnetError

        try:
            app_for(arguments)()
        except LinnetError as error:
            print(f"error: {plain(error.message)}", file=sys.stderr)
            if error.hint:
                print(f"       {plain(error.hint)}", file=sys.stderr)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(0)


@contextmanager
def _engine_started(arguments: list[str]) -> Iterator[None]:
    """For `linnet run`, start the engine's process now, so that it is there when the command line was read."""
    if arguments[:1] != ["run"] or {"-h", "--help", "torch", "--engine=torch"} & set(arguments):
        yield
        return
    from linnet.core import settings
    from linnet.core.errors import LinnetError
    from linnet.core.names import ENGINES
    from linnet.engines.worker.spawn import end_early, start_early

    try:
        wanted, is_built = settings.get("LINNET_ENGINE"), (settings.home() / ENGINES).is_dir()
        start_early(warm=wanted == "wheel" or (wanted == "auto" and not is_built))
    except (LinnetError, OSError):  # it is told where it matters
        pass
    try:
        yield
    finally:
        end_early()
