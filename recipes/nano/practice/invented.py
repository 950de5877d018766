"""Tools nobody knows: made-up names and arguments, described in the system message, so that it must be read."""

from __future__ import annotations

from typing import Any

from . import made
from .core import Draw, Message, Pool, dumps, lexicon
from .kinds import HINTS, KINDS
from .noise import rough

PURPOSE = Pool("""
Use [this |]to {v} {n}
For when someone wants to {v} {n}
{v} {n}
[Handles|Serves] requests to {v} {n}
Called to {v} {n}
Will {v} {n}
The way to {v} {n}
Made for people who {v} {n}
""")
ASK = Pool("""
{v} {n}, {args}
please {v} {n} with {args}
[can|could] you {v} {n}, {args}?
I want to {v} {n}: {args}
{args}: {v} {n}
time to {v} {n}, {args}
{v} {n} ({args})
go and {v} {n}, {args}, [thanks|ok]
we have to {v} {n}, {args}
let us {v} {n} - {args}
[hey|so], {v} {n}, {args}
need to {v} {n} using {args}
""")
ARG = Pool("""
{a} {x}
{a} is {x}
{a}: {x}
{x} as {a}
{x} for the {a}
{a} = {x}
with {a} {x}
the {a} should be {x}
""")
VERBS = lexicon("""
spin, bundle, launch, trace, merge, split, bless, rotate, mark, seal, tune, hatch, weave, stack, chase, ground
dim out, flip, pin, brew, scout, groom, tally, probe, sync, fuse, rinse, dock, patch, crown, haunt, juggle, ferry
blend, thaw, etch, glaze, swap, rally, plot, shelve, draft, grind, coil, lace, mint, quell, roost, smelt, tether
vault, wring, zap, amble, bolster, comb
""")
NOUNS = lexicon("""
a beacon, a glider, the ledger, the herd, a comet, the drum kit, a raft, the archive, a burrow, the choir, a dossier
the engine, a fleet, the granary, a hive, the inkwell, a junction, the kiln, a ladder set, the mosaic, a nest
the orchard, a parade, the quarry, a relay, the sluice, a totem, the urn, a vessel, the windmill, a yacht
the zeppelin, a batch, the pipeline, a cabin, the depot, a bouquet, the turbine, a caravan, the reef, a probe unit
the cellar stock, a squad, the mural, a canopy, the forge
""")
ARG_NAMES = lexicon("""
weight, colour, level, owner, target, size, depth, tag, speed, pattern, origin, zone, height, mood, season, batch
grade, code, label, angle, pace, crew, layer, sector, theme, tone, width, phase, rank, key, slot, shape, limit, mark
path, note, mode, group
""")
_VALUES = (
    "count",
    "small",
    "item",
    "colour",
    "person",
    "code",
    "city",
    "text",
    "big",
    "decimal",
    "food",
    "company",
    "time",
)


def _name(d: Draw, verb: str, noun: str) -> str:
    if d.chance(0.5):
        return made.pseudo(d) + d.of(("", "_" + made.pseudo(d, 1, 2), str(d.num(1, 9))))
    return d.of((f"{verb}_{noun.split(' ', 1)[1]}", f"do_{noun.split()[-1]}_{d.num(1, 9)}")).replace(" ", "_")


def make(d: Draw, key: str, rule: str) -> tuple[Message, ...]:
    """One exchange with two to five made-up tools."""
    count = d.num(2, 5)
    verbs, nouns = d.some(VERBS, count), d.some(NOUNS, count)
    typed = d.chance(0.6)
    tools: list[tuple[str, str, str, dict[str, str]]] = []
    for verb, noun in zip(verbs, nouns, strict=False):
        args = {name: d.of(_VALUES) for name in d.some(ARG_NAMES, d.num(1, 3))}
        tools.append((_name(d, verb, noun), verb, noun, args))
    lines = [_line(d, *tool, typed=typed) for tool in tools]
    name, verb, noun, args = d.of(tools)
    said, arguments, words = [], {}, []
    for arg, kind in args.items():
        shown, verbatim, normal = KINDS[kind](d)
        said.append(d.say(ARG, a=arg, x=shown))
        words += [arg, shown]
        arguments[arg] = normal if typed else verbatim
    user = rough(d, d.say(ASK, v=verb, n=noun, args=", ".join(said)), words)
    system = f"{rule}\n" + "\n".join(lines) if d.chance(0.5) else "\n".join(lines) + f"\n{rule}"
    call: dict[str, Any] = {key: name, "arguments": arguments}
    return (Message("system", system), Message("user", user), Message("assistant", dumps(call)))


def _line(d: Draw, name: str, verb: str, noun: str, args: dict[str, str], *, typed: bool) -> str:
    purpose = d.say(PURPOSE, v=verb, n=noun)
    if typed and d.chance(0.5):
        return dumps(
            {"name": name, "description": purpose, "arguments": {a: HINTS.get(k, "string") for a, k in args.items()}}
        )
    inner = ", ".join(f"{a}: {HINTS.get(k, 'string')}" if typed else a for a, k in args.items())
    return f"{name}({inner}): {purpose}"
