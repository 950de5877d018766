"""The verbs and where they live. A verb that is asked for by name is the only one imported."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer

from linnet.version import __version__

# In the order of the help. A group of verbs is a module with an `app`, a verb one with a function of its name.
GROUPS = ("data", "runs", "keys", "engine")
VERBS = (
    *("build", "data", "tune", "merge", "runs", "plan", "convert", "quantize", "evaluate", "compare", "check"),
    *("classify", "tag", "serve", "ps", "stop", "keys", "traces", "run", "pull", "import", "list", "show", "rm", "cp"),
    *("create", "export", "engine", "doctor", "settings"),
)
_MODULES = {"import": "import_", "list": "list_"}  # names that Python has itself


def app_of(verbs: tuple[str, ...] = VERBS) -> typer.Typer:
    """The command line with these verbs."""
    app = typer.Typer(
        name="linnet",
        help="From your examples to a small language model you can trust, on hardware you own.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for verb in verbs:
        name = _MODULES.get(verb, verb)
        module: Any = import_module(f"linnet.cli.{name}")
        if verb in GROUPS:
            app.add_typer(module.app, name=verb)
        else:
            app.command(verb)(getattr(module, name))
    app.callback()(_root)
    return app


def app_for(arguments: list[str]) -> typer.Typer:
    """The command line for these arguments: with one verb where they begin with it, else with all."""
    return app_of((arguments[0],)) if arguments and arguments[0] in VERBS else app_of()


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    del version
