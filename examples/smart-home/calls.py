"""The tool calls of the smart home: their short form, their full form, their schema.

The short form is what a person writes behind `=>` in our data files: `light kitchen; 40%` stands for
`{"tool": "set_light", "arguments": {"target": {"room": "kitchen"}, "brightness": {"percent": 40}}}`.
This file knows neither how commands are worded nor how rows are chosen.
"""

import json
import re
from collections.abc import Callable
from typing import Any

ROOMS = ("kitchen", "living room", "dining room", "bedroom", "kids room", "guest room", "bathroom", "office",
         "hallway", "garage", "garden", "house")  # fmt: skip
LAMPS = ("ceiling light", "floor lamp", "table lamp", "bedside lamp", "desk lamp", "reading lamp", "fairy lights",
         "night light", "porch light", "mirror light")  # fmt: skip
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "warm white", "cool white")
MODES = ("heat", "cool", "auto", "eco", "off")
GENRES = ("jazz", "classical", "rock", "pop", "blues", "folk", "reggae", "techno", "hip hop", "country")
CONTROLS = ("pause", "resume", "stop", "next", "previous")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
COVERS = ("blinds", "curtains", "shutters", "awning", "garage door")
DOORS = ("front door", "back door", "patio door", "garage door", "garden gate", "all")
SCENES = ("morning", "night", "home", "away", "movie", "dinner", "party", "reading", "focus", "relax")
FACTS = ("temperature", "humidity", "air quality", "energy", "light", "thermostat", "cover", "door", "vacuum", "media",
         "timer", "alarm", "reminder", "shopping list")  # fmt: skip
REASONS = ("unsupported", "unclear", "unsafe")

Read = Callable[[str], Any]


def one_of(*names: str) -> Read:
    return lambda part: part if part in names else None


def named(key: str) -> Read:
    """`key=free text`; the text is kept as it is."""
    return lambda part: part.removeprefix(f"{key}=") if part.startswith(f"{key}=") else None


def matching(pattern: str, make: Callable[[re.Match[str]], Any]) -> Read:
    def read(part: str) -> Any:
        match = re.fullmatch(pattern, part)
        return make(match) if match else None

    return read


def number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() else value


def level(part: str) -> Any:
    """`40%` is absolute, `+20` and `-20` are changes."""
    if match := re.fullmatch(r"(\d+)%", part):
        return {"percent": int(match[1])}
    return {"change": int(part)} if re.fullmatch(r"[+-]\d+", part) else None


def degrees(part: str) -> Any:
    """`21.5C`, `70F`, `+2C`, `-3F`."""
    match = re.fullmatch(r"([+-]?)([\d.]+)([CF])", part)
    if not match:
        return None
    if match[1]:
        return {"change": number(match[1] + match[2]), "unit": match[3]}
    return {"value": number(match[2]), "unit": match[3]}


def seconds(part: str) -> int | None:
    """`1h 20m 30s`, each piece optional."""
    match = re.fullmatch(r"(?:(\d+)h)? ?(?:(\d+)m)? ?(?:(\d+)s)?", part)
    if not part or not match:
        return None
    return sum(int(count or 0) * size for count, size in zip(match.groups(), (3600, 60, 1), strict=True))


def days(part: str) -> list[str] | None:
    """`mon-fri`, `tue sat`, `tomorrow`."""
    if part == "mon-fri":
        return list(DAYS[:5])
    if part == "sat-sun":
        return list(DAYS[5:])
    if part == "mon-sun":
        return list(DAYS)
    names = part.split()
    return names if names and all(name in (*DAYS, "today", "tomorrow") for name in names) else None


def several(*names: str) -> Read:
    """`a | b`; any text, or only the given names."""

    def read(part: str) -> list[str] | None:
        found = [piece.strip() for piece in part.split("|")]
        return found if not names or all(piece in names for piece in found) else None

    return read


room = one_of(*ROOMS)
clock = matching(r"([01]\d|2[0-3]):[0-5]\d", lambda match: match[0])

# word -> (tool, arguments in their fixed order; "outer.inner" is a nested one)
FORMS: dict[str, tuple[str, dict[str, Read]]] = {
    "light": ("set_light", {"target.room": room, "target.device": one_of(*LAMPS), "state": one_of("on", "off"),
              "brightness": level, "color": one_of(*COLORS), "kelvin": matching(r"(\d+)K", lambda m: int(m[1]))}),
    "thermo": ("set_thermostat", {"room": room, "temperature": degrees, "mode": one_of(*MODES)}),
    "play": ("play_media", {"media.title": named("title"), "media.artist": named("artist"),
             "media.playlist": named("playlist"), "media.genre": one_of(*GENRES), "control": one_of(*CONTROLS),
             "room": room, "volume": level}),
    "timer": ("set_timer", {"seconds": seconds, "label": named("label")}),
    "alarm": ("set_alarm", {"time": clock, "days": days, "label": named("label")}),
    "remind": ("add_reminder", {"text": named("text"), "when.day": one_of("today", "tomorrow", *DAYS),
               "when.time": clock, "when.in_minutes": matching(r"in (\d+)m", lambda m: int(m[1]))}),
    "list": ("shopping_list", {"action": one_of("add", "remove"), "items": several()}),
    "cover": ("set_cover", {"device": one_of(*COVERS), "room": room,
              "position": matching(r"(\d+)%", lambda m: int(m[1]))}),
    "lock": ("lock_door", {"door": one_of(*DOORS), "state": one_of("locked", "unlocked")}),
    "vac": ("vacuum", {"action": one_of("start", "stop", "pause", "resume", "dock"), "rooms": several(*ROOMS[:-1])}),
    "scene": ("set_scene", {"name": one_of(*SCENES), "room": room}),
    "ask": ("query_device", {"what": one_of(*FACTS), "room": room, "door": one_of(*DOORS)}),
}  # fmt: skip
TOOLS = tuple(tool for tool, _ in FORMS.values())
COPIED = {"label", "text", "title", "artist", "playlist", "items"}  # arguments that repeat words of the command


def call(short: str) -> dict[str, Any]:
    """The full call of one short form. Raises ValueError with the part that could not be read."""
    word, _, rest = short.strip().partition(" ")
    if word == "none":
        if rest not in REASONS:
            raise ValueError(f"unknown reason {rest!r}")
        return {"tool": "none", "reason": rest}
    tool, readers = FORMS[word]
    found: dict[str, Any] = {}
    for part in (piece.strip() for piece in rest.split(";")):
        for key, read in readers.items():
            if key not in found and (value := read(part)) is not None:
                found[key] = value
                break
        else:
            raise ValueError(f"{short!r}: cannot read {part!r}")
    arguments: dict[str, Any] = {}
    for key in readers:
        if key in found:
            outer, _, inner = key.partition(".")
            if inner:
                arguments.setdefault(outer, {})[inner] = found[key]
            else:
                arguments[outer] = found[key]
    return {"tool": tool, "arguments": arguments}


def as_text(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def copied_texts(value: Any, key: str = "") -> list[str]:
    """Every text in a call that must occur in the command, letter for letter."""
    if isinstance(value, dict):
        return [text for name, inner in value.items() for text in copied_texts(inner, name)]
    if isinstance(value, list):
        return [text for inner in value for text in copied_texts(inner, key)]
    return [value] if key in COPIED else []


def record(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


def schema() -> dict[str, Any]:
    """JSON Schema of every right answer; the order of the properties is the order of the keys."""
    rooms, words = {"enum": list(ROOMS)}, {"type": "string", "minLength": 1}
    text = {**words, "x-copied": True}
    percent = {"type": "integer", "minimum": 0, "maximum": 100}
    change = {"type": "integer", "minimum": -100, "maximum": 100}
    amount = {"anyOf": [record("percent", percent=percent), record("change", change=change)]}
    unit, time = {"enum": ["C", "F"]}, {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}
    degree = {"anyOf": [record("value unit", value={"type": "number"}, unit=unit),
                        record("change unit", change={"type": "number"}, unit=unit)]}  # fmt: skip
    media = {"anyOf": [record("title", title=text, artist=text), record("artist", artist=text),
                       record("playlist", playlist=text), record("genre", genre={"enum": list(GENRES)})]}  # fmt: skip
    when = {"anyOf": [record("day", day={"enum": ["today", "tomorrow", *DAYS]}, time=time), record("time", time=time),
                      record("in_minutes", in_minutes={"type": "integer", "minimum": 1})]}  # fmt: skip
    target = {"anyOf": [record("room", room=rooms, device={"enum": list(LAMPS)}),
                        record("device", device={"enum": list(LAMPS)})]}  # fmt: skip
    day_list = {"type": "array", "items": {"enum": [*DAYS, "today", "tomorrow"]}, "minItems": 1}
    room_list = {"type": "array", "items": {"enum": list(ROOMS[:-1])}, "minItems": 1}
    arguments = {
        "set_light": record("", target=target, state={"enum": ["on", "off"]}, brightness=amount,
                            color={"enum": list(COLORS)}, kelvin={"type": "integer", "minimum": 1000}),
        "set_thermostat": record("", room=rooms, temperature=degree, mode={"enum": list(MODES)}),
        "play_media": record("", media=media, control={"enum": list(CONTROLS)}, room=rooms, volume=amount),
        "set_timer": record("seconds", seconds={"type": "integer", "minimum": 1}, label=text),
        "set_alarm": record("time", time=time, days=day_list, label=text),
        "add_reminder": record("text", text=text, when=when),
        "shopping_list": record("action items", action={"enum": ["add", "remove"]},
                                items={"type": "array", "items": words, "minItems": 1, "x-copied": True}),
        "set_cover": record("device position", device={"enum": list(COVERS)}, room=rooms, position=percent),
        "lock_door": record("door state", door={"enum": list(DOORS)}, state={"enum": ["locked", "unlocked"]}),
        "vacuum": record("action", action={"enum": ["start", "stop", "pause", "resume", "dock"]}, rooms=room_list),
        "set_scene": record("name", name={"enum": list(SCENES)}, room=rooms),
        "query_device": record("what", what={"enum": list(FACTS)}, room=rooms, door={"enum": list(DOORS)}),
    }  # fmt: skip
    answers = [record("tool arguments", tool={"const": tool}, arguments=arguments[tool]) for tool in TOOLS]
    answers.append(record("tool reason", tool={"const": "none"}, reason={"enum": list(REASONS)}))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "smart home tool call",
            "anyOf": answers}  # fmt: skip
