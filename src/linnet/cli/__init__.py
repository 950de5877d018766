"""The command line. One file a verb: parse, call, print. Nothing heavy is imported before a verb runs."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `linnet`. Errors of the tree become one message and their exit code; a pipe that closes ends quietly."""
    from linnet.cli.app import app
    from linnet.cli.printing import plain
    from linnet.core.errors import LinnetError

    try:
        app()
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
