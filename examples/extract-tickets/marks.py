"""From a marked message to a row: reads `[x:...]` marks, dates and sums. Knows nothing of how messages are made."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

Row = dict[str, str]
KEYS = ("product", "order_id", "order_date", "issue", "items", "amount", "contact", "wants", "urgency")
MARKS = {"p": "product", "o": "order_id", "d": "order_date", "i": "items", "a": "amount", "c": "contact"}
MARK = re.compile(r"\[([podiac]):([^\[\]]+)\]")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]*\.?"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
DATES = (  # each with the places of year, month and day among its groups
    (re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b"), (1, 2, 3)),
    (re.compile(r"\b(\d{1,2})[./](\d{1,2})[./](\d{4}|\d{2})\b"), (3, 2, 1)),
    (re.compile(rf"\b{_DAY}(?: of)? {_MONTH},? (\d{{4}})\b", re.I), (3, 2, 1)),
    (re.compile(rf"\b{_MONTH} {_DAY},? (\d{{4}})\b", re.I), (3, 1, 2)),
)
CURRENCIES = {
    "C$": "CAD", "A$": "AUD", "€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY", "zł": "PLN", "EUR": "EUR", "USD": "USD",
    "GBP": "GBP", "CHF": "CHF", "SEK": "SEK", "NOK": "NOK", "DKK": "DKK", "PLN": "PLN", "CAD": "CAD", "AUD": "AUD",
    "JPY": "JPY", "euro": "EUR", "dollar": "USD", "buck": "USD", "pound": "GBP", "quid": "GBP", "franc": "CHF",
    "yen": "JPY", "zloty": "PLN",
}  # fmt: skip
NUMBER = re.compile(r"\d+(?:[.,' ]\d+)*")


def full_dates(text: str) -> set[str]:
    """ISO forms of all dates in `text` that give day, month and year; numbers are read day first."""
    found = set()
    for pattern, places in DATES:
        for match in pattern.finditer(text):
            year, month, day = (match.group(place) for place in places)
            number = int(month) if month.isdigit() else MONTHS.index(month[:3].lower()) + 1
            found.add(date(int(year) + (2000 if len(year) == 2 else 0), number, int(day)).isoformat())
    return found


def order_date(text: str) -> str:
    """The ISO date if `text` gives day, month and year, else `text` itself."""
    found = full_dates(text)
    return found.pop() if found else text


def number(text: str) -> int | float:
    """`1,299.00`, `1.299,00`, `1 299` and `1'299` are 1299: a lone sign before three digits parts thousands."""
    text = text.replace(" ", "").replace("'", "")
    cut = max(text.rfind("."), text.rfind(","))
    if cut >= 0 and (len(text) - cut - 1 != 3 or (text.count(".") and text.count(","))):
        text = re.sub("[.,]", "", text[:cut]) + "." + text[cut + 1 :]
    value = float(text if "." in text and len(text) - text.rfind(".") - 1 != 3 else re.sub("[.,]", "", text))
    return int(value) if value == int(value) else value


def amount(text: str) -> dict[str, int | float | str]:
    """Value and currency code of a sum as customers write it. Raises LookupError where one of them is missing."""
    numeral = NUMBER.search(text)
    code = next((code for sign, code in CURRENCIES.items() if sign.lower() in text.lower()), None)
    if numeral is None or code is None:
        raise LookupError(f"no number or no currency in the sum {text!r}")
    return {"value": number(numeral.group()), "currency": code}


def row(marked: str, issue: str, wants: str, urgency: str) -> Row:
    """The message without its marks, and its record as compact JSON in the order of `KEYS`."""
    found: dict[str, object] = {"issue": issue, "wants": wants, "urgency": urgency}
    items: list[str] = []
    for mark, text in MARK.findall(marked):
        key = MARKS[mark]
        if key == "items":
            if text not in items:
                items.append(text)
        else:
            value = amount(text) if key == "amount" else order_date(text) if key == "order_date" else text
            if found.setdefault(key, value) != value:
                raise LookupError(f"two values for {key} in {marked!r}")
    if items:
        found["items"] = items
    record = {key: found[key] for key in KEYS if key in found}
    message = MARK.sub(lambda match: match.group(2), marked).replace("\\n", "\n")
    return {"message": message, "record": json.dumps(record, ensure_ascii=False, separators=(",", ":"))}


def read_messages(path: Path) -> list[Row]:
    """Hand-written messages: `== issue` opens a section, each line is `urgency wants | marked message`."""
    rows, issue = [], ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            issue = line[3:].strip()
        elif line.strip() and not line.startswith("# "):
            head, _, marked = line.partition(" | ")
            urgency, wants = head.split()
            rows.append(row(marked.strip(), issue, wants, urgency))
    return rows
