"""Practice in tool calls: a list of tools, a command in someone's words, the call as JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from . import calling, invented, made
from .asking import COMMAND, ERRORS, FAILED, HEAD, JOIN, LEAD, NONE, OFFTOPIC, OK, RULES, SORRY, STATEMENT, TWO
from .catalogue import daily, out, work
from .core import Draw, Message, Pool, dumps, slot_names
from .kinds import HINTS, KINDS, Value
from .noise import rough
from .words import places, things

_UNITS = [
    "km",
    "miles",
    "kg",
    "pounds",
    "litres",
    "pints",
    "metres",
    "feet",
    "grams",
    "ounces",
    "hours",
    "minutes",
    "celsius",
    "fahrenheit",
]


def _word(options: str) -> Any:
    choices = [o.strip() for o in options.split(",")]

    def kind(d: Draw) -> Value:
        said = d.of(choices)
        return said, said, said

    return kind


def _sum(d: Draw) -> Value:
    text = f"{d.num(2, 999)} {d.of('+-*/')} {d.num(2, 99)}"
    return text, text, text


def _street(d: Draw) -> Value:
    said = d.pick(places.STREET)
    return said, said, said


def _ill(d: Draw) -> Value:
    said = d.pick(things.ILL)
    return said, said, said


EXTRA = {
    "sum": _sum,
    "unit": _word(",".join(_UNITS[::2])),
    "unit2": _word(",".join(_UNITS[1::2])),
    "mode": _word("bus, car, bike, train, tram, foot"),
    "account": _word("savings, current, joint, business, holiday, shared"),
    "sport": _word("push-ups, sit-ups, squats, pull-ups, lunges, burpees, laps, planks, stretches"),
    "photo": _word("portrait, landscape, night, panorama, macro, square, group"),
    "street": _street,
    "ill": _ill,
}
ALL_KINDS = KINDS | EXTRA


@dataclass(frozen=True)
class Tool:
    name: str
    purpose: str
    args: dict[str, str]
    required: frozenset[str]
    phrases: Pool


def _read(blocks: str) -> list[Tool]:
    found = []
    for block in blocks.strip().split("\n\n"):
        head, *lines = block.split("\n")
        match = re.fullmatch(r"(\w+)\(([^)]*)\) (.+)", head)
        if not match:
            raise ValueError(f"not a tool head: {head!r}")
        args = dict(part.strip().split(":") for part in match[2].split(","))
        used = [set(slot_names(line)) for line in lines]
        required = frozenset.intersection(*(frozenset(u) for u in used))
        found.append(Tool(match[1], match[3], args, required, Pool(lines)))
    return found


TOOLS = [tool for module in (daily, out, work) for tool in _read(module.BLOCKS)]
# Tools that a command could mean just as well: one of each group at most is shown.
CLASHES = (
    {"add_item", "add_to_shopping_list", "reorder", "remove_from_list", "delete_file", "count_stock"},
    {"define", "calculate", "convert", "search_notes", "exchange_rate", "translate"},
    {"set_reminder", "create_task", "create_note", "add_event", "set_alarm", "make_flashcard"},
    {"reserve_book", "buy_tickets", "play_song"},
    {"find_contact", "call", "count_stock"},
    {"send_message", "send_email"},
    {"share_file", "send_email"},
    {"cancel_event", "stop_timer", "remove_from_list", "delete_file"},
    {"add_event", "book_room", "move_event"},
    {"get_directions", "find_nearby", "find_parking"},
    {"log_meal", "log_medicine", "log_expense"},
    {"play_music", "start_lesson"},
    {"start_lesson", "search_catalogue"},
    {"book_doctor", "book_vet", "call"},
    {"transfer_money", "invoice", "log_expense"},
    {"move_stock", "reorder"},
    {"log_walk", "log_run"},
    {"track_parcel", "ship_order", "count_stock"},
    {"set_timer", "set_alarm"},
    {"find_recipe", "scale_recipe"},
)


def draw_tools(d: Draw, count: int) -> list[Tool]:
    """Tools of which no two could be meant by one command."""
    found: list[Tool] = []
    for tool in d.rng.sample(TOOLS, min(len(TOOLS), count + 2)):
        taken = {t.name for t in found}
        if len(found) < count and not any(tool.name in group and taken & group for group in CLASHES):
            found.append(tool)
    return found


_SYNONYMS = {
    "text": ("text", "content", "message", "what", "body"),
    "time": ("time", "at", "clock", "when"),
    "day": ("day", "on", "weekday", "date"),
    "title": ("title", "name", "label"),
    "amount": ("amount", "sum", "value"),
    "person": ("person", "who", "contact"),
    "to": ("to", "recipient", "target"),
    "item": ("item", "thing", "article"),
    "quantity": ("quantity", "count", "number", "qty"),
    "city": ("city", "place", "town"),
    "file": ("file", "path", "filename"),
    "query": ("query", "q", "search", "term"),
    "people": ("people", "persons", "party_size"),
    "minutes": ("minutes", "duration", "length"),
}


def restyle(d: Draw, name: str) -> str:
    """The same name as other programs write it."""
    words = name.split("_")
    roll = d.roll()
    if roll < 0.55 or len(words) == 1:
        return name
    if roll < 0.7:
        return words[0] + "".join(w.capitalize() for w in words[1:])
    if roll < 0.8:
        return f"{'_'.join(words[1:])}.{words[0]}"
    if roll < 0.9:
        return "-".join(words)
    return "_".join([*words[1:], words[0]])


@dataclass
class Shown:
    """A tool as one system message shows it: name and argument names may differ from the catalogue's."""

    tool: Tool
    name: str
    names: dict[str, str]
    typed: bool

    def line(self, d: Draw, style: str) -> str:
        args = {}
        for arg, kind in self.tool.args.items():
            optional = arg not in self.tool.required
            args[self.names[arg]] = (HINTS.get(kind, "string") + (", optional" if optional else ""), optional)
        if style == "json":
            shown = {a: hint for a, (hint, _) in args.items()} if self.typed else list(args)
            return dumps(
                {
                    "name": self.name,
                    "description": self.tool.purpose,
                    "arguments" if d.chance(0.7) else "parameters": shown,
                }
            )
        parts = [f"{a}: {h}" if self.typed else a + ("?" if o else "") for a, (h, o) in args.items()]
        call = f"{self.name}({', '.join(parts)})"
        return call if style == "bare" else f"{call}{' - ' if style == 'dash' else ': '}{self.tool.purpose}"


def show(d: Draw, tool: Tool, typed: bool, plain: bool) -> Shown:
    names = {a: a if plain else d.of(_SYNONYMS.get(a, (a,))) for a in tool.args}
    if len(set(names.values())) < len(names):
        names = {a: a for a in tool.args}
    return Shown(tool, tool.name if plain else restyle(d, tool.name), names, typed)


def command(d: Draw, shown: Shown, bare: bool = False) -> tuple[str, dict[str, Any]]:
    """Someone's words for one call, and its arguments."""
    template = d.pick(shown.tool.phrases)
    used = set(slot_names(template))
    values = {a: ALL_KINDS[k](d) for a, k in shown.tool.args.items() if a in used}
    if d.chance(0.12):  # names typed in small letters are copied in small letters
        values = {a: _small(v) if shown.tool.args[a] in SMALL else v for a, v in values.items()}
    core = d.fill(template.lstrip("~"), **{a: v[0] for a, v in values.items()})
    said = core if bare else d.say(STATEMENT if template.startswith("~") else COMMAND, c=core)
    arguments = {shown.names[a]: (v[2] if shown.typed else v[1]) for a, v in values.items()}
    if not bare and d.chance(0.08):
        said = f"{d.say(LEAD)} {said}"
    if not bare and d.chance(0.45):
        said = said[0].upper() + said[1:]
    return rough(d, said, [v[0] for v in values.values()]), arguments


SMALL = {"person", "full", "city", "text", "quote", "task", "name", "item", "title", "company", "venue", "street"}


def _small(value: Value) -> Value:
    said = value[0].lower()
    return said, said, said


def _braces(text: str, none: str = "") -> str:
    text = text.replace("<none>", none)
    return re.sub(r"<(name|function)>", r"\1", text).replace("<", "{").replace(">", "}")


def _system(d: Draw, shown: list[Shown], key: str, no: str | None, style: str) -> str:
    lines = [s.line(d, style) for s in shown]
    tools = "\n".join(("- " if style == "dash" else "") + line for line in lines)
    rule = _braces(d.say(RULES[key]))
    if no is not None:
        json_no = no.startswith("{")
        none = d.say(NONE["json" if json_no else "words"], no=no)
        rule += " " + (_braces(none, no) if json_no else none)
    head = d.say(HEAD).replace("\\n", "\n")
    return f"{rule}\n{head}{tools}" if d.chance(0.4) else f"{head}{tools}\n{rule}"


def make(d: Draw) -> tuple[Message, ...]:
    if d.chance(0.45):
        return calling.make(d)
    key = "tool" if d.chance(0.7) else "name"
    if d.chance(0.22):
        return invented.make(d, key, _braces(d.say(RULES[key])))
    typed, plain = d.chance(0.5), d.chance(0.5)
    style = d.of(("json", "dash", "bare", "colon"))
    tools = draw_tools(d, d.num(2, 6 if style == "json" else 8))
    shown = [show(d, tool, typed, plain) for tool in tools]
    no = None if d.chance(0.6) else (dumps({key: "none"}) if d.chance(0.6) else d.say(SORRY))
    target = d.of(shown)
    roll = d.roll()
    if no is not None and roll < 0.3 and len(shown) > 1:
        said = d.say(OFFTOPIC, x=made.thing(d)) if d.chance(0.5) else command(d, shown.pop(shown.index(target)))[0]
        return (Message("system", _system(d, shown, key, no, style)), Message("user", said), Message("assistant", no))
    system = _system(d, shown, key, no, style)
    if roll < 0.42 and len(shown) > 2:
        return _two(d, shown, key, system)
    said, arguments = command(d, target)
    call = dumps({key: target.name, "arguments": arguments})
    messages = (Message("system", system), Message("user", said), Message("assistant", call))
    return messages if d.chance(0.88) else (*messages, *_result(d, arguments))


def _two(d: Draw, shown: list[Shown], key: str, system: str) -> tuple[Message, ...]:
    first, second = d.rng.sample(shown, 2)
    (a, args_a), (b, args_b) = command(d, first, bare=True), command(d, second, bare=True)
    calls = [{key: first.name, "arguments": args_a}, {key: second.name, "arguments": args_b}]
    said = d.say(JOIN, a=a, b=b)
    return (Message("system", f"{system}\n{d.say(TWO)}"), Message("user", said), Message("assistant", dumps(calls)))


def _result(d: Draw, arguments: dict[str, Any]) -> tuple[Message, ...]:
    if d.chance(0.3):
        error = d.pick(ERRORS)
        return (Message("tool", dumps({"ok": False, "error": error})), Message("assistant", d.say(FAILED, e=error)))
    plain = [v for v in arguments.values() if isinstance(v, str)] or [str(v) for v in arguments.values()]
    spoken = ", ".join(plain)
    state = {"ok": True} if d.chance(0.5) else {"status": "done", "id": made.code(d)}
    return (Message("tool", dumps(state)), Message("assistant", d.say(OK, v=spoken)))
