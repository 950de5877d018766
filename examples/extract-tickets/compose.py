"""Composed training messages: sentence variants with slots, drawn and ordered by a seed. Syntax: README.md."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import marks
import values

WANTS = {  # how often each wish goes with an issue
    "late": {"information": 40, "refund": 18, "cancel": 15, "callback": 8, "replacement": 5, "none": 14},
    "damaged": {"replacement": 42, "refund": 30, "callback": 7, "information": 7, "none": 14},
    "defective": {"repair": 38, "replacement": 24, "refund": 18, "information": 8, "callback": 5, "none": 7},
    "wrong_item": {"replacement": 50, "refund": 25, "information": 10, "callback": 5, "none": 10},
    "missing_parts": {"replacement": 60, "refund": 12, "information": 10, "callback": 5, "none": 13},
    "billing": {"refund": 55, "information": 20, "callback": 10, "none": 15},
    "unwanted": {"refund": 52, "replacement": 14, "information": 16, "callback": 5, "none": 13},
    "order_change": {"cancel": 45, "none": 35, "information": 12, "callback": 8},
    "account": {"none": 45, "information": 28, "cancel": 15, "callback": 12},
    "question": {"information": 86, "callback": 14},
}
BUSY = {"billing": {"a"}, "order_change": {"o"}}  # slots that the sentences of an issue need themselves
PRICES = {"billing": (3, 180), "furniture": (39, 2400), "electric": (19, 450), "": (9, 150)}
GOODS = ("late", "damaged", "defective", "wrong_item", "missing_parts", "unwanted")
SLOT = re.compile(r"(?:\b([Aa]) )?\{(\w+)( d)?\}")


@dataclass(frozen=True)
class Line:
    """One sentence variant: its template, the kinds or issues it suits, a wish it states or never meets, two signs."""

    text: str
    suits: frozenset[str] = frozenset()
    wants: str = ""
    never: str = ""
    danger: bool = False
    alone: bool = False

    def slots(self) -> set[str]:
        """Slots that may be filled once in a message; `{ap}` is the product, `{on d}` the date."""
        names = {match.group(2).lower() for match in SLOT.finditer(self.text)}
        renamed = {"ap": "p", "on": "d", "phone": "c", "mail": "c"}
        return {renamed.get(name, name) for name in names} & {"p", "o", "d", "a", "c"}


def read_lines(path: Path) -> dict[str, list[Line]]:
    """Sections of sentence variants. Signs before the text: `+kind`, `=wish`, `~wish`, `!` danger, `*` no product."""
    sections: dict[str, list[Line]] = {}
    for raw in path.read_text(encoding="utf-8").splitlines():
        if raw.startswith("== "):
            section = sections.setdefault(raw[3:].strip(), [])
        elif raw.strip() and not raw.startswith("# "):
            suits, wants, never, danger, alone, rest = set(), "", "", False, False, raw
            while match := re.match(r"(?:\+(\w+) |=(\w+) |(!) ?(?=[+=*\w])|(\*) |~(\w+) )", rest):
                if match.group(1):
                    suits.add(match.group(1))
                wants = match.group(2) or wants
                never = match.group(5) or never
                danger, alone = danger or bool(match.group(3)), alone or bool(match.group(4))
                rest = rest[match.end() :]
            section.append(Line(rest, frozenset(suits), wants, never, danger, alone))
    return sections


def read_slots(path: Path) -> dict[str, list[str]]:
    """Sections of slot values: a line of values parted by commas, or for products one a line."""
    sections: dict[str, list[str]] = {}
    for raw in path.read_text(encoding="utf-8").splitlines():
        if raw.startswith("== "):
            name = raw[3:].strip()
            sections[name] = []
        elif raw.strip() and not raw.startswith("# "):
            sections[name] += [raw] if name == "product" else [value.strip() for value in raw.split(",")]
    return sections


@dataclass
class Composer:
    """Draws messages; all chance comes from `rng`."""

    lines: dict[str, list[Line]]
    slots: dict[str, list[str]]
    rng: random.Random
    kinds: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    tones: set[str] = field(default_factory=set)
    day: date = date(2025, 1, 1)

    def message(self, issue: str) -> marks.Row:
        """One row for `issue`: a plan of sections, a line from each, slots filled, loosely typed or not."""
        rng = self.rng
        wants = rng.choices(list(WANTS[issue]), list(WANTS[issue].values()))[0]
        urgency = rng.choices(("normal", "high", "low"), (78, 12, 10))[0]
        self.fresh_values(issue)
        self.used = set()
        self.tones = {"goods"} if issue in GOODS else set()
        if issue not in ("question", "account", "order_change") and urgency != "low":
            self.tones.add("cross")
        body: list[Line] = []
        named = issue not in ("account", "question") and rng.random() < 0.45
        if named:
            body.append(self.pick("context", lambda line: not line.slots() & BUSY.get(issue, set()), issue))
        stated = wants if wants != "callback" or issue != "question" else "information"
        first = self.pick(
            issue,
            lambda line: (
                line.wants in ("", stated)
                and line.never != wants
                and (line.alone or named or bool(line.slots() & {"p", "o"}))
                and not (line.danger and urgency == "low")
            ),
        )
        body.append(first)
        if first.danger:
            urgency = "high"
        extra = self.extras(issue)
        rng.shuffle(extra)
        wish = self.wish(issue, wants, first)
        if wish and rng.random() < 0.12 and not body[0].slots():
            body.insert(0, wish)
        else:
            extra += [wish] if wish else []
        body += extra
        if urgency != "normal" and not first.danger:
            body.insert(rng.choice((len(body), len(body) - 1, 1)), self.pick(f"urgency.{urgency}"))
        if "c" not in self.used and rng.random() < (0.6 if wants == "callback" else 0.17):
            phone = wants == "callback"
            body.append(self.pick("contact", lambda line: not phone or "{phone}" in line.text))
        opening = [self.pick("opening", issue=issue)] if rng.random() < 0.55 else []
        closing = [self.pick("closing", issue=issue)] if rng.random() < 0.55 else []
        return marks.row(self.write(opening, body, closing), issue, wants, urgency)

    def extras(self, issue: str) -> list[Line]:
        """Order id, date, price and an aside, where they are still free and the issue bears them."""
        rng, extra = self.rng, []
        if issue in (*GOODS, "billing", "order_change"):
            if "o" not in self.used and rng.random() < 0.88:
                extra.append(self.pick("order", issue=issue))
            if "d" not in self.used and rng.random() < 0.25:
                extra.append(self.pick("date", issue=issue))
            if issue in (*GOODS, "order_change") and "p" in self.used and "a" not in self.used and rng.random() < 0.16:
                extra.append(self.pick("amount"))
        if issue != "question" and rng.random() < 0.33:
            extra.append(self.pick("aside", issue=issue))
        return extra

    def wish(self, issue: str, wants: str, first: Line) -> Line | None:
        """The line that states the wish, unless there is none or the issue's own line has said it."""
        if wants == "none" or (first.wants == wants and wants != "callback"):
            return None
        special = f"wants.{wants}.{issue}"
        return self.pick(special if special in self.lines else f"wants.{wants}", lambda _: True, issue)

    def pick(self, section: str, suits: Callable[[Line], bool] = bool, issue: str = "") -> Line:
        """A line of the section that fits the product and fills no slot twice."""
        here = self.kinds | self.tones | {issue}
        fit = [
            line
            for line in self.lines[section]
            if suits(line) and (not line.suits or line.suits & here) and not line.slots() & self.used
        ]
        line = self.rng.choice(fit)
        self.used |= line.slots()
        return line

    def write(self, opening: list[Line], body: list[Line], closing: list[Line]) -> str:
        """The marked message. A loose writer drops capitals, marks or letters, never inside a slot."""
        rng = self.rng
        texts = [line.text for line in (*opening, *body)]
        style = rng.choices(("clean", "lower", "typos", "shout"), (64, 16, 17, 3))[0]
        if style == "lower":
            texts = [re.sub(r"\b[A-Z](?=[a-z' ])", lambda m: m.group().lower(), text) for text in texts]
            texts = [re.sub(r"'", "", text) if rng.random() < 0.6 else text for text in texts]
            texts = [text.rstrip(".") if rng.random() < 0.3 else text for text in texts]
        elif style == "typos":
            texts = [self.typos(text) for text in texts]
        elif style == "shout":
            place = rng.randrange(len(texts))
            texts[place] = re.sub(
                r"\\n|\{[^}]*\}|[a-z]+",
                lambda m: m.group().upper() if m.group()[0].isalpha() else m.group(),
                texts[place],
            )
        parts = [self.fill(text) for text in texts]
        joined = ""
        for part in parts:
            gap = "" if not joined or joined.endswith("\\n") else " "
            if gap and joined[-1] not in '.,!?:)"' and style != "lower":
                gap = ". "
            elif gap and joined[-1] not in ".,!?:)" and rng.random() < 0.8:
                gap = rng.choice((", ", ". ", "\\n"))
            joined += gap + part
        for line in closing:
            joined += ("\\n" if rng.random() < 0.6 else " ") + self.fill(line.text)
        return joined.replace("\\n ", "\\n").strip()

    def typos(self, text: str) -> str:
        """One word in nine loses, doubles or swaps a letter; slots stay whole."""

        def spoil(match: re.Match[str]) -> str:
            word = match.group()
            if word.startswith(("{", "\\")) or len(word) < 5 or self.rng.random() > 0.11:
                return word
            place = self.rng.randrange(1, len(word) - 2)
            kind = self.rng.randrange(3)
            if kind == 0:
                return word[:place] + word[place + 1 :]
            if kind == 1:
                return word[:place] + word[place] + word[place:]
            return word[:place] + word[place + 1] + word[place] + word[place + 2 :]

        return re.sub(r"\{[^}]*\}|\\n|[A-Za-z]+", spoil, text)

    def fill(self, text: str) -> str:
        """The line with its slots filled; `a {w}` becomes `an {w}` where the value asks for it."""

        def value(match: re.Match[str]) -> str:
            article, name, _ = match.groups()
            filled = self.value(name)
            if article:
                bare = filled[3:] if filled.startswith("[") else filled
                article = article + ("n" if bare[0].lower() in "aeiou" else "")
                return f"{article} {filled}"
            return filled

        return SLOT.sub(value, text)

    def value(self, name: str) -> str:
        if name.lower() == "on":
            words = self.values["d"]
            led = words if self.values["lead"] == "" else f"{self.values['lead']} {words}"
            return led[0].upper() + led[1:] if name == "On" else led
        if name == "ap":
            bare = self.values["p"][3:]
            return ("an " if bare[0].lower() in "aeiou" else "a ") + self.values["p"]
        if name == "num":
            return str(self.rng.randint(3, 28))
        if name == "od":  # in the weeks after the order: of a mail, a delivery, a promise
            self.day += timedelta(days=self.rng.randint(2, 20))
            return values.other_date(self.rng, self.day)
        return self.values[name]

    def fresh_values(self, issue: str) -> None:
        """Draws one value for each slot of a message."""
        rng, slots = self.rng, self.slots
        kinds, noun, parts = (cell.strip() for cell in rng.choice(slots["product"]).split("|"))
        self.kinds = set(kinds.split())
        self.day = date(2024, 6, 1) + timedelta(days=rng.randrange(900))
        lead, words = values.order_date(rng, self.day)
        price = PRICES["billing"] if issue == "billing" else next(PRICES[k] for k in PRICES if k in self.kinds | {""})
        first, last = rng.choice(slots["first"]), rng.choice(slots["last"])
        marked = {
            "p": values.product(rng, slots, noun, "furniture" in self.kinds),
            "o": values.code(rng, rng.choice(slots["order"])),
            "d": words,
            "a": values.money(rng, *price),
        }
        self.values = {name: f"[{name}:{value}]" for name, value in marked.items()}
        for name, item in zip(("i", "i2"), rng.sample(parts.split(", "), 2), strict=True):
            self.values[name] = f"[i:{item}]"
        for name, section in (("o2", "order"), ("inv", "invoice"), ("t", "tracking"), ("s", "serial")):
            self.values[name] = values.code(rng, rng.choice(slots[section]))
        for name, colour in zip(("colour", "colour2"), rng.sample(slots["colour"], 2), strict=True):
            self.values[name] = colour
        hosts = slots["mail"]
        self.values |= {
            "lead": lead,
            "price": values.money(rng, *price),
            "w": rng.choice([row for row in slots["product"] if f"| {noun} |" not in row]).split("|")[1].strip(),
            "cust": str(rng.randint(10000, 9999999)),
            "case": str(rng.randint(1000, 999999)),
            "mail": f"[c:{values.mail(rng, first, last, rng.choice(hosts))}]",
            "mail2": values.mail(rng, rng.choice(slots["first"]), last, rng.choice(hosts)),
            "phone": f"[c:{values.phone(rng)}]",
            "name": f"{first} {last}",
            "first": first,
            "city": rng.choice(slots["city"]),
            "addr": f"{rng.randint(1, 140)} {rng.choice(slots['street'])}",
            "day": rng.choice(values.WEEKDAYS),
        }
