"""`linnet doctor`: what this machine is, and what fits it."""

from __future__ import annotations

import typer


def doctor(as_json: bool = typer.Option(False, "--json", help="Print one JSON line.")) -> None:
    """Show this machine: cores, instruction sets, memory, GPU, disk, installed parts, and what will fit."""
    from linnet.cli.printing import print_json
    from linnet.core.settings import home
    from linnet.engines.hardware import installed, machine, what_fits

    here, parts = machine(home()), installed()
    fits = what_fits(here)
    if as_json:
        print_json(here.to_json() | {"installed": parts, "fits": fits, "store": str(home())})
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
