"""Make train.jsonl and test.jsonl: messages with the places of personal data in them. The same bytes every time.

python examples/redact/make_data.py            # writes both
python examples/redact/make_data.py --check    # form, spans, and that the two share no phrasing and no name
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
ROWS = {"train": 900, "test": 240}
LABELS = {
    "name": "PERSON", "first": "PERSON", "last": "PERSON", "email": "EMAIL", "phone": "PHONE", "address": "ADDRESS",
    "iban": "IBAN", "card": "CARD", "passport": "PASSPORT", "born": "BIRTH_DATE",
}  # fmt: skip
QUARTERS = ("00", "15", "30")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def lists() -> dict[str, list[str]]:
    lines = (HERE / "values.txt").read_text().splitlines()
    parts = (line.split(": ", 1) for line in lines if not line.startswith("#"))
    return {name: values.split("; ") for name, values in parts}


LISTS = lists()


def digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(count))


class Values:
    """Made-up values of one split. Numbers are of ranges kept free for fiction, or of no country's form."""

    def __init__(self, rng: random.Random, split: str) -> None:
        self.rng, self.half = rng, 0 if split == "train" else 1

    def pick(self, name: str) -> str:
        """A value that the other split does not use."""
        return self.rng.choice(LISTS[name][self.half :: 2])

    def first(self) -> str:
        return self.pick("first")

    def last(self) -> str:
        return self.pick("last")

    def name(self) -> str:
        middle = f" {self.rng.choice('ABCDEFGHJKLMNPRSTVW')}." if self.rng.random() < 0.1 else ""
        return f"{self.first()}{middle} {self.last()}"

    def email(self) -> str:
        first, last = self.first().lower(), self.last().lower()
        forms = (f"{first}.{last}", f"{first[0]}{last}", f"{last}{digits(self.rng, 2)}", f"{first}_{last}", first)
        return f"{self.rng.choice(forms)}@{self.pick('host')}"

    def phone(self) -> str:
        end = digits(self.rng, 3)
        forms = (
            f"+44 7700 900{end}",
            f"07700 900{end}",
            f"(020) 7946 0{end}",
            f"555-01{end[:2]}",
            f"+1 202 555 01{end[:2]}",
            f"0049 30 23125 {end}",
            f"01632960{end}",
        )
        return self.rng.choice(forms)

    def address(self) -> str:
        street, number, city = self.pick("street"), self.rng.randint(1, 240), self.pick("city")
        code = (
            f"{self.rng.choice('ABDGHL')}{self.rng.choice('ABDGHL')}{self.rng.randint(1, 20)} {digits(self.rng, 1)}XX"
        )
        forms = (
            f"{number} {street}, {city}",
            f"{number} {street}, {city} {code}",
            f"{street} {number}, {digits(self.rng, 5)} {city}",
            f"Flat {self.rng.randint(1, 30)}, {number} {street}, {city}",
            f"{number} {street}",
        )
        return self.rng.choice(forms)

    def iban(self) -> str:
        body = f"XX{digits(self.rng, 2)}{''.join(self.rng.choice('ABKLNT') for _ in range(4))}{digits(self.rng, 14)}"
        grouped = " ".join(body[at : at + 4] for at in range(0, len(body), 4))
        return body if self.rng.random() < 0.4 else grouped

    def card(self) -> str:
        body = "9999" + digits(self.rng, 12)
        return self.rng.choice((body, " ".join(body[at : at + 4] for at in range(0, 16, 4)), "-".join(
            body[at : at + 4] for at in range(0, 16, 4))))  # fmt: skip

    def passport(self) -> str:
        return f"{self.rng.choice('CFGXZ')}{digits(self.rng, 2)}{self.rng.choice('HJKLM')}{digits(self.rng, 5)}"

    def born(self) -> str:
        return self._date(self.rng.randint(1935, 2006))

    def day(self) -> str:
        plain = (
            "Monday",
            "last Friday",
            "the 3rd",
            f"{self.rng.choice(MONTHS)} {self.rng.randint(1, 28)}",
            "yesterday",
        )
        return self.rng.choice((*plain, self._date(self.rng.randint(2024, 2026))))

    def _date(self, year: int) -> str:
        month, day = self.rng.randint(1, 12), self.rng.randint(1, 28)
        return self.rng.choice(
            (
                f"{day:02}.{month:02}.{year}",
                f"{year}-{month:02}-{day:02}",
                f"{day} {MONTHS[month - 1]} {year}",
                f"{day}/{month}/{year}",
            )
        )

    def other(self, slot: str) -> str:
        """A value that is nobody's."""
        rng = self.rng
        made: dict[str, Callable[[], str]] = {
            "order": lambda: f"{rng.choice(('#', 'A-', 'NO', ''))}{digits(rng, rng.randint(5, 8))}",
            "parcel": lambda: f"{rng.choice(('JD', 'RR', '1Z'))}{digits(rng, 14)}",
            "invoice": lambda: f"INV-{digits(rng, 4)}-{digits(rng, 3)}",
            "customer": lambda: digits(rng, 6),
            "serial": lambda: f"{rng.choice('KQSW')}{rng.choice('KQSW')}-{digits(rng, 7)}",
            "version": lambda: f"{rng.randint(1, 9)}.{rng.randint(0, 20)}.{rng.randint(0, 9)}",
            "price": lambda: rng.choice(
                (
                    f"{rng.randint(5, 900)}.{digits(rng, 2)} EUR",
                    f"£{rng.randint(5, 900)}",
                    f"{rng.randint(5, 900)} dollars",
                )
            ),
            "count": lambda: str(rng.randint(2, 30)),
            "time": lambda: rng.choice((f"{rng.randint(1, 12)} pm", f"{rng.randint(0, 23)}:{rng.choice(QUARTERS)}")),
            "year": lambda: str(rng.randint(1998, 2026)),
            "thing": lambda: rng.choice(LISTS["thing"]),
            "company": lambda: self.pick("company"),
            "city": lambda: self.pick("city"),
        }
        return made[slot]()

    def of(self, slot: str) -> str:
        return str(getattr(self, slot)()) if slot in (*LABELS, "day") else self.other(slot)


def phrasings(split: str) -> list[str]:
    lines = (HERE / "phrasings" / f"{split}.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def filled(phrasing: str, values: Values) -> tuple[str, list[dict[str, object]]]:
    """The text of a phrasing, and its spans. Now and then all small letters."""
    text, spans = "", []
    for part in re.split(r"(\{\w+\})", phrasing):
        slot = part[1:-1] if part.startswith("{") else ""
        words = values.of(slot) if slot else part
        if slot in LABELS:
            spans.append({"start": len(text), "end": len(text) + len(words), "label": LABELS[slot]})
        text += words
    return (text.lower() if values.rng.random() < 0.1 else text), spans


def make(split: str) -> str:
    rng = random.Random(f"redact {split}")  # noqa: S311
    values, lines, seen = Values(rng, split), [], set[str]()
    forms = phrasings(split)
    while len(lines) < ROWS[split]:
        number = len(lines) % len(forms)
        text, spans = filled(forms[number], values)
        if text in seen:
            continue
        seen.add(text)
        row = {"text": text, "spans": spans, "form": f"{split} {number + 1}"}
        lines.append(json.dumps(row, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def check() -> list[str]:
    """What is wrong with the files; nothing when all is well."""
    wrong, names = [], dict[str, set[str]]()
    for split, count in ROWS.items():
        rows = [json.loads(line) for line in (HERE / f"{split}.jsonl").read_text().splitlines()]
        wrong += [f"{split}: {len(rows)} rows, not {count}"] if len(rows) != count else []
        wrong += [f"{split}: a text twice"] if len({row["text"] for row in rows}) != len(rows) else []
        for place, row in enumerate(rows, 1):
            ends = [0, *(end for span in row["spans"] for end in (span["start"], span["end"]))]
            if ends != sorted(ends) or ends[-1] > len(row["text"]):
                wrong.append(f"{split} line {place}: spans out of order")
        people = (
            row["text"][s["start"] : s["end"]].lower() for row in rows for s in row["spans"] if s["label"] == "PERSON"
        )
        names[split] = {word for name in people for word in name.split() if len(word) > 2}
    if both := names["train"] & names["test"]:
        wrong.append(f"names in both: {sorted(both)}")
    if both := set(phrasings("train")) & set(phrasings("test")):
        wrong.append(f"phrasings in both: {sorted(both)}")
    return wrong


if __name__ == "__main__":
    if "--check" in sys.argv:
        problems = check()
        print("\n".join(problems) or "train.jsonl and test.jsonl are as they should be")
        sys.exit(bool(problems))
    for name in ROWS:
        (HERE / f"{name}.jsonl").write_text(make(name))
