"""Calls of tools with richer arguments: nested, chosen, counted; missing ones asked for; several at once; by example."""

# ruff: noqa: E501 - a template stands on one line

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from . import made
from .asked import Kind
from .asked_kinds import KINDS
from .asking import COMMAND, HEAD, JOIN, LEAD, OFFTOPIC, SORRY, TWO
from .catalogue.shaped import BLOCKS
from .core import Draw, Message, Pool, by_weight, dumps
from .documents import stated
from .noise import rough


@dataclass(frozen=True)
class Shape:
    """A tool: what it does, how people start the command, and its arguments as (path, kind, optional)."""

    name: str
    purpose: str
    heads: Pool
    args: tuple[tuple[str, Kind, bool], ...]


def _read() -> list[Shape]:
    found = []
    for block in BLOCKS.strip().split("\n\n"):
        head, heads, *lines = block.split("\n")
        name, purpose = head.split(" ", 1)
        pairs = [line.split(" ") for line in lines]
        args = tuple((path, KINDS[kind.rstrip("?")], kind.endswith("?")) for path, kind in pairs)
        found.append(Shape(name, purpose, Pool(heads.removeprefix("= ").split(" / ")), args))
    return found


SHAPES = _read()
ALIKE = (
    {"remind_in", "countdown"},
    {"pay_bill", "add_expense"},
    {"log_drink", "weigh_in"},
    {"buy_ticket", "plan_trip"},
)
SHORT = Pool("""
[Answer|Reply] with one JSON tool call.
One JSON [tool |]call [per message|as the answer].
Tool call as JSON, no words.
JSON <"tool", "arguments"> only.
Call a tool. JSON.
Pick a tool, fill its arguments, write JSON.
""")
LONG = Pool("""
You [translate|turn] what people [say|type] into calls of the tools below. The answer is one JSON object <"tool": name, "arguments": <...>> and nothing else. Keep names and texts as they were written, bring times, dates and amounts into the stated form, and leave out optional arguments that were not mentioned.
You are the [ear|front desk] of an app. Read the message, decide which tool is meant, and write <"tool": "...", "arguments": <...>> as JSON. No greeting, no explanation. [Units must be those of the description.|Convert units where the description asks for it.]
The user speaks to an app. Your whole answer must be JSON with the keys "tool" and "arguments". Use only arguments that are described; optional ones appear only when they were given. [Choices must be one of the listed values.|]
Messages may hold slips and fillers; look past them. Write a single call <"tool": ..., "arguments": ...>. Values follow the types of the tool's description, e.g. minutes as whole numbers.
A program will run whatever you write, so write JSON only: the tool's name under "tool", its arguments under "arguments" (nested where the description nests them).
""")
NOW = Pool("""
Now: {t}, {c}.
It is {t}, {c}.
[Current time|Clock]: {t} {c}
The message comes in on {t} at {c}.
Count from {t}, {c}.
""")
NONE = Pool("""
If nothing fits: {no}
[Nothing suitable|No tool for it]? Then {no}
For anything else answer {no}
When the tools cannot do it, write {no}
Out of scope -> {no}
""")
MISSING = Pool("""
If a required argument is missing: {ask}
A required value was not given? Answer {ask}
Never guess a required argument; write {ask} instead.
Incomplete command -> {ask}
Lacking something that is not optional? {ask}
""")
BY_EXAMPLE = Pool("""
[Continue|Go on] like in the examples.
Same kind of answer as [here|below].
Some calls, as examples:
Do as these show:
Message and call, by example.
Learn the calls from these lines.
""")


def _nest(flat: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        outer, _, inner = path.rpartition(".")
        (tree.setdefault(outer, {}) if outer else tree)[inner] = value
    return tree


def _line(tool: Shape, style: str) -> str:
    hints = _nest({path: kind.hint + (", optional" if optional else "") for path, kind, optional in tool.args})
    if style == "json":
        return dumps({"name": tool.name, "description": tool.purpose, "arguments": hints})
    if style == "lines":
        return f"{tool.name}: {tool.purpose}\n" + "\n".join(f"  {k}: {v}" for k, v in _flat_text(hints))
    inner = dumps(hints).replace('"', "")[1:-1]
    return f"{tool.name}({inner})" + ("" if style == "bare" else f" - {tool.purpose}")


def _flat_text(hints: dict[str, Any]) -> list[tuple[str, str]]:
    return [(k, dumps(v).replace('"', "") if isinstance(v, dict) else v) for k, v in hints.items()]


def _now(d: Draw) -> dt.datetime:
    return dt.datetime(d.num(2023, 2030), d.num(1, 12), d.num(1, 28), d.num(6, 20), d.of((0, 15, 30, 45, d.num(0, 59))))


def _words(
    d: Draw, tool: Shape, now: dt.datetime, keep: set[str] | None = None, drop: str = ""
) -> tuple[str, dict[str, Any], list[str]]:
    """The bare command, its arguments, and the words its values were said in."""
    flat, clauses, values = {}, [], []
    for path, kind, optional in tool.args:
        wanted = path in keep if keep is not None else not optional or d.chance(0.55)
        if not wanted or path == drop:
            continue
        said, flat[path] = kind.draw(d, now)
        clauses.append(d.say(kind.clauses, x=said))
        values.append(said)
    text = d.say(tool.heads)
    for clause in d.shuffled(clauses):
        text += d.of((", ", ", ", " ")) + clause
    return text, _nest(flat), values


def _polish(d: Draw, text: str, values: list[str]) -> str:
    said = d.say(COMMAND, c=text)
    if d.chance(0.08):
        said = f"{d.say(LEAD)} {said}"
    if d.chance(0.4):
        said = said[0].upper() + said[1:]
    return rough(d, said, values)


def _pick(d: Draw, count: int) -> list[Shape]:
    tools = d.rng.sample(SHAPES, count)
    kept: list[Shape] = []
    for tool in tools:
        taken = {t.name for t in kept}
        if not any(tool.name in group and taken & group for group in ALIKE):
            kept.append(tool)
    return kept


def _no(d: Draw) -> str:
    """The stated answer when nothing fits."""
    return d.of(
        ('{"tool": "none"}', '{"tool": null}', '{"error": "no_tool"}', '{"tool": "none", "arguments": {}}', "null", "")
    ) or d.say(SORRY)


def _ask_form(d: Draw) -> str:
    return d.of(
        (
            '{"tool": "ask", "missing": "%"}',
            '{"tool": "ask", "missing": "%"}',
            '{"missing": "%"}',
            '{"tool": "ask", "arguments": {"missing": "%"}}',
            '{"error": "missing", "argument": "%"}',
        )
    )


def _system(d: Draw, tools: list[Shape], extra: list[str]) -> str:
    style = d.of(("json", "lines", "dash", "bare"))
    listing = "\n".join(_line(t, style) for t in tools)
    rule = by_weight(d, [(2, d.say(SHORT)), (1, d.say(LONG))]).replace("<", "{").replace(">", "}")
    rule = " ".join([rule, *extra])
    head = d.say(HEAD).replace("\\n", "\n") if d.chance(0.6) else ""
    return f"{rule}\n{head}{listing}" if d.chance(0.65) else f"{head}{listing}\n{rule}"


def _clock(d: Draw, now: dt.datetime) -> str:
    return d.say(NOW, t=stated(d, now.date()), c=f"{now:%H:%M}")


def make(d: Draw) -> tuple[Message, ...]:
    return by_weight(d, [(50, _one), (12, _missing), (12, _nothing), (13, _several), (13, _by_example)])(d)


def _dated(tools: list[Shape]) -> bool:
    return any(kind.dated for tool in tools for _, kind, _ in tool.args)


def _stage(d: Draw, low: int = 1, high: int = 4) -> tuple[list[Shape], dt.datetime, list[str]]:
    """Tools, the present moment, and the sentence that tells it where it matters."""
    tools, now = _pick(d, d.num(low, high)), _now(d)
    return tools, now, [_clock(d, now)] if _dated(tools) else []


def _talk(system: str, user: str, answer: str) -> tuple[Message, ...]:
    return (Message("system", system), Message("user", user), Message("assistant", answer))


def _one(d: Draw) -> tuple[Message, ...]:
    tools, now, extra = _stage(d)
    if d.chance(0.35):
        extra.append(d.say(NONE, no=_no(d)))
    if d.chance(0.25):
        extra.append(d.say(MISSING, ask=_ask_form(d).replace("%", "...")))
    tool = d.of(tools)
    text, arguments, values = _words(d, tool, now)
    return _talk(_system(d, tools, extra), _polish(d, text, values), dumps({"tool": tool.name, "arguments": arguments}))


def _missing(d: Draw) -> tuple[Message, ...]:
    tools, now, extra = _stage(d)
    tool, form = d.of(tools), _ask_form(d)
    lacking = d.of([path for path, _, optional in tool.args if not optional])
    shown = form.replace("%", d.of(("...", "argument", "name of the argument")))
    system = _system(d, tools, [*extra, d.say(MISSING, ask=shown)])
    text, _, values = _words(d, tool, now, drop=lacking)
    return _talk(system, _polish(d, text, values), form.replace("%", lacking))


def _nothing(d: Draw) -> tuple[Message, ...]:
    tools, now, extra = _stage(d, 2, 5)
    no = _no(d)
    if len(tools) > 1 and d.chance(0.6):
        text, _, values = _words(d, tools.pop(), now)
        said = _polish(d, text, values)
    else:
        said = d.say(OFFTOPIC, x=made.thing(d))
    return _talk(_system(d, tools, [*extra, d.say(NONE, no=no)]), said, no)


def _several(d: Draw) -> tuple[Message, ...]:
    tools, now, extra = _stage(d, 2, 4)
    calls, parts, values = [], [], []
    for tool in d.rng.sample(tools, min(len(tools), d.num(2, 3))):
        text, arguments, said = _words(d, tool, now)
        calls.append({"tool": tool.name, "arguments": arguments})
        parts.append(text)
        values += said
    spoken = parts[0]
    for part in parts[1:]:
        spoken = d.say(JOIN, a=spoken, b=part)
    return _talk(_system(d, tools, [*extra, d.say(TWO)]), rough(d, spoken, values), dumps(calls))


def _by_example(d: Draw) -> tuple[Message, ...]:
    """No list of tools: two or three examples show their names and arguments."""
    tools, now, extra = _stage(d, 2, 3)
    kept = [{path for path, _, optional in t.args if not optional or d.chance(0.5)} for t in tools]
    shown = []
    for tool, keep in zip(tools, kept, strict=True):
        text, arguments, values = _words(d, tool, now, keep)
        shown.append((_polish(d, text, values), dumps({"tool": tool.name, "arguments": arguments})))
    at = d.num(0, len(tools) - 1)
    text, arguments, values = _words(d, tools[at], now, kept[at])
    answer, said = dumps({"tool": tools[at].name, "arguments": arguments}), _polish(d, text, values)
    head = " ".join([d.say(BY_EXAMPLE), *extra])
    if d.chance(0.3):
        turns = [m for user, call in shown for m in (Message("user", user), Message("assistant", call))]
        return (Message("system", head), *turns, Message("user", said), Message("assistant", answer))
    join = d.of((" => ", "\n", " -> ", "\nCall: "))
    examples = d.of(("\n", "\n\n")).join(f"{user}{join}{call}" for user, call in shown)
    return _talk(f"{head}\n{examples}", said, answer)
