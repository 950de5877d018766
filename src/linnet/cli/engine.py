"""`linnet engine`: the engine that runs GGUF models. Parses, calls, prints; decides nothing."""

from __future__ import annotations

import typer

app = typer.Typer(help="The engine that runs models which write text.", no_args_is_help=True)


@app.callback()
def _engine() -> None:
    """The engine that runs models which write text."""


@app.command("status")
def status(as_json: bool = typer.Option(False, "--json", help="Print one JSON line.")) -> None:
    """Show the engine: version, instruction sets used and unused, GPU, scoring, isolation. Loads no model."""
    from linnet.cli.printing import plain, print_json
    from linnet.engines.engine_status import engine_status

    found = engine_status()
    if as_json:
        print_json(found.to_json())
        return
    gpu = ", ".join(found.gpus_used) or ("not used by this build" if found.gpus_found else "none found")
    rows = {
        "engine": f"{found.engine} {found.version}",
        "built for": ", ".join(found.built_for) or "unknown",
        "machine has": ", ".join(found.machine_has) or "unknown",
        "left unused": ", ".join(found.unused) or "nothing",
        "gpu": gpu + (f" (this machine has {', '.join(found.gpus_found)})" if found.gpus_found else ""),
        "scoring": "works: the self-test passed" if found.scoring_works else found.scoring,
    }
    for name, value in rows.items():
        print(f"{name:<12} {plain(value)}")
    print("\nisolation of a worker")
    for line in found.isolation:
        print(f"  {plain(line)}")
