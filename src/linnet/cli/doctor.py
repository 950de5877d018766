"""`linnet doctor`: what this machine is, and what fits it."""

from __future__ import annotations

import typer


def doctor(
    measure: bool = typer.Option(False, "--measure", help="Measure how fast this machine is, now (some seconds)."),
    rate: float = typer.Option(10.0, min=0.1, help="Tokens per second of an answer that a size must reach."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON line."),
) -> None:
    """Show this machine: cores, instruction sets, memory, GPU, disk, installed parts, and what will fit.

    Once it was measured, also which sizes of models in which types it holds and runs fast enough.
    """
    from linnet.cli.printing import print_json
    from linnet.core.settings import home
    from linnet.core.store import Store
    from linnet.engines.planning.advice import sizes_that_suit
    from linnet.engines.planning.hardware import installed, machine, what_fits
    from linnet.engines.planning.machine_speed import kept_speed, machine_speed

    here, parts = machine(home()), installed()
    speed = machine_speed(Store(), again=True) if measure else kept_speed(Store()) if home().is_dir() else None
    sizes = sizes_that_suit(speed, rate) if speed else []
    fits = what_fits(here)
    if as_json:
        print_json(here.to_json() | {"installed": parts, "fits": fits, "store": str(home()),
                   "speed": speed.to_json() if speed else None, "sizes": [one.to_json() for one in sizes]})  # fmt: skip
        return
    gib = 2**30
    print(f"processor    {here.processor} ({here.architecture}), {here.usable_cores} of {here.cores} cores usable")
    print(f"instructions {', '.join(here.instruction_sets) or 'unknown'}")
    print(f"memory       {here.memory_free_bytes / gib:.1f} of {here.memory_bytes / gib:.1f} GiB free")
    print(f"disk         {here.disk_free_bytes / gib:.1f} GiB free at {home()}")
    print(f"gpu          {', '.join(here.gpus) or 'none found'}")
    print(f"energy       {'processor counter readable' if here.energy_meter else 'no readable counter (RAPL)'}")
    print(f"system       {here.system}, Python {here.python}")
    print("installed    " + ", ".join(f"{name} {version or '(missing)'}" for name, version in parts.items()))
    print("\nwhat fits")
    for line in fits:
        print(f"  {line}")
    print(f"\nsizes of models, at {rate:g} tokens/s or more")
    if not speed:
        print("  not measured yet: linnet doctor --measure")
    for one in sizes:
        print(f"  {one.in_words()}")
