"""`linnet engine`: the engine that runs GGUF models. Parses, calls, prints; decides nothing."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="The engine that runs models which write text.", no_args_is_help=True)


@app.callback()
def _engine() -> None:
    """The engine that runs models which write text."""


@app.command("build")
def build(
    jobs: int = typer.Option(0, "--jobs", help="Compilers at once. 0: as many as cores and memory allow."),
    source: Path | None = typer.Option(None, "--source", help="Archive of the sources, instead of downloading it."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line on standard output, and no progress."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show no progress."),
) -> None:
    """Compile llama.cpp for this processor, from the sources of the pinned wheel. Takes minutes to an hour, once."""
    from linnet.cli.printing import listener, plain, print_json
    from linnet.core.store import Store
    from linnet.engines.native.choice import choose_engine
    from linnet.engines.native.native_build import BuildOptions, build_engine
    from linnet.hub.sources import fetch_sdist

    on_event = listener(quiet or as_json)
    record, folder, reused = build_engine(
        Store(),
        BuildOptions(source=source, jobs=jobs),
        lambda wanted, into: fetch_sdist(wanted.name, wanted.version, wanted.sha256, into, on_event),
        on_event,
    )
    chosen = choose_engine(again=True)
    used = chosen.native is not None and chosen.native.id == record.id and chosen.kind == "native"
    if as_json:
        print_json(record.to_json() | {"folder": str(folder), "reused": reused, "used": used, "why": chosen.why})
        return
    print(f"{'built' if not reused else 'was built':<12} {plain(record.id)} ({record.seconds:.0f} s)")
    print(f"{'folder':<12} {plain(str(folder))}")
    print(f"{'used':<12} {'yes' if used else 'no'}: {plain(chosen.why)}")


@app.command("status")
def status(as_json: bool = typer.Option(False, "--json", help="Print one JSON line.")) -> None:
    """Show the engine: which, version, instruction sets used and unused, GPU, scoring, isolation. Loads no model."""
    from linnet.cli.printing import plain, print_json
    from linnet.engines.native.engine_status import engine_status

    found = engine_status()
    if as_json:
        print_json(found.to_json())
        return
    gpu = ", ".join(found.gpus_used) or ("not used by this build" if found.gpus_found else "none found")
    rows = {
        "engine": f"{found.engine} {found.version}",
        "chosen": found.why,
        "built for": ", ".join(found.built_for) or "unknown",
        "machine has": ", ".join(found.machine_has) or "unknown",
        "left unused": ", ".join(found.unused) or "nothing",
        "gpu": gpu + (f" (this machine has {', '.join(found.gpus_found)})" if found.gpus_found else ""),
        "scoring": f"works, with the {found.scoring_engine}: the self-test passed"
        if found.scoring_works
        else found.scoring,
    }
    for name, value in rows.items():
        print(f"{name:<12} {plain(value)}")
    print("\nisolation of a worker")
    for line in found.isolation:
        print(f"  {plain(line)}")
