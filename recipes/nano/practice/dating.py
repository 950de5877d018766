"""Practice with dates, times and durations."""

from __future__ import annotations

import datetime as dt

from . import made
from .core import Draw, Message, Pool
from .kinds import clock, in_words, ordinal
from .layout import talk

CLOCK = Pool("""
[Write|Give] the time as HH:MM.
[What|Which] time is [meant|that] on a 24-hour clock?
[Convert|Turn|Change] to 24-hour time.
Time as HH:MM, please.
24 h format:
[Normalise|Put] the time [as|into] HH:MM.
On a digital clock this reads:
HH:MM?
[Find|Extract] the time and write it as HH:MM.
How would a station clock show this?
""")
CLOCK_TEXT = Pool("""
{t}
{t}
at {t}
let's meet at {t}
the train leaves at {t}
dinner is at {t}
{t}, by the gate
be there at {t}
it closes at {t}
wake me at {t}
the film starts at {t}
""")
ISO = Pool("""
[Write|Give] the date as YYYY-MM-DD.
[Convert|Turn|Change] to [an ISO date|ISO form].
ISO 8601 date, please.
[Normalise|Standardise] the date[ to YYYY-MM-DD|].
YYYY-MM-DD?
Date in the form year-month-day, digits only:
[Find|Extract] the date and write it as YYYY-MM-DD.
How does a computer sort this date?
""")
SPELL = Pool("""
[Write|Give] the date in words[ like 3 May 2020|].
Write this date with the month's name[, day first|].
[Turn|Convert] the ISO date into day, month name, year.
Day Month Year, month spelled out:
Long form of the date?
""")
RELATIVE = Pool("""
Today is {today}. [What|Which] date is {x}?
If today is {today}, [give|write] the date of {x} as YYYY-MM-DD.
Today: {today}. Date of "{x}"?
It is {today}. {x} is which date?
Given that today is {today}, resolve "{x}" to YYYY-MM-DD.
Current date {today}. Turn "{x}" into a date.
reference day: {today}; phrase: {x}; ISO date?
On {today} someone says "{x}". Which date do they mean?
""")
WEEKDAY = Pool("""
Today is {a}. [What|Which] day is it in {n} days?
If it is {a} now, what day comes {n} days later?
{a} plus {n} days?
Count {n} days on from {a}.
{n} days after {a} is a what?
Which weekday is {n} days from {a}?
""")
WEEKDAY_BACK = Pool("""
Today is {a}. [What|Which] day was it {n} days ago?
If it is {a} now, what day was {n} days earlier?
{a} minus {n} days?
Count {n} days back from {a}.
{n} days before {a} is a what?
""")
LATER = Pool("""
It is {t}. What time is it in {x}?
[Now|The time now] is {t}; in {x} it will be?
{t} plus {x}?
Start: {t}. Length: {x}. End?
A talk starts at {t} and lasts {x}. When does it end?
[Add|Count] {x} to {t}.
The train leaves at {t} and takes {x}. When does it arrive?
If the clock shows {t}, what will it show {x} later?
""")
EARLIER = Pool("""
It is {t}. What time was it {x} ago?
{t} minus {x}?
We must be there at {t}; the way takes {x}. When do we leave?
Go back {x} from {t}.
What time is {x} before {t}?
""")
SECONDS = Pool("""
[How many seconds are in|Seconds in] {x}?
[Convert|Turn|Change] {x} [to|into] seconds.
{x} in seconds?
Write {x} as a number of seconds.
Duration in seconds: {x}
{x} = ? s
Count the seconds of {x}.
""")
MINUTES = Pool("""
[How many minutes are in|Minutes in] {x}?
[Convert|Turn|Change] {x} [to|into] minutes.
{x} in minutes?
Write {x} as a number of minutes.
Duration in minutes: {x}
{x} = ? min
""")
PERIOD = Pool("""
[Write|Give] {x} as an ISO 8601 duration.
ISO duration for {x}?
{x} in the form PT1H30M[?|, please.]
[Convert|Turn] {x} into an ISO period.
How is "{x}" written in ISO 8601?
""")
BETWEEN = Pool("""
How long is it from {a} to {b}[, in minutes|, minutes only]?
Minutes between {a} and {b}?
From {a} until {b}: how many minutes?
A lesson runs from {a} to {b}. How many minutes is that?
Number of minutes from {a} till {b}:
""")


def make(d: Draw) -> tuple[Message, ...]:
    return d.of((_clock, _clock, _iso, _spell, _relative, _relative, _weekday, _shift, _length, _between))(d)


def _clock(d: Draw) -> tuple[Message, ...]:
    said, exact = clock(d)
    return talk(d, d.say(CLOCK), d.say(CLOCK_TEXT, t=said), exact)


def _date(d: Draw) -> dt.date:
    return dt.date(d.num(2018, 2032), d.num(1, 12), d.num(1, 28))


def _said(d: Draw, day: dt.date) -> str:
    name = made.MONTHS[day.month - 1]
    return d.of(
        (
            f"{day.day} {name} {day.year}",
            f"{name} {day.day}, {day.year}",
            f"the {ordinal(day.day)} of {name} {day.year}",
            f"{name[:3]} {day.day} {day.year}",
            f"{day.day:02d}.{day.month:02d}.{day.year}",
            f"{name} the {ordinal(day.day)}, {day.year}",
            f"{day.day}-{name[:3]}-{day.year}",
        )
    )


def _iso(d: Draw) -> tuple[Message, ...]:
    day = _date(d)
    said = _said(d, day)
    text = (
        said
        if d.chance(0.6)
        else d.of(("It was on {}.", "Due {}", "born {}", "We left on {}.", "{}, in the evening")).format(said)
    )
    return talk(d, d.say(ISO), text, day.isoformat())


def _spell(d: Draw) -> tuple[Message, ...]:
    day = _date(d)
    return talk(d, d.say(SPELL), day.isoformat(), f"{day.day} {made.MONTHS[day.month - 1]} {day.year}")


def _relative(d: Draw) -> tuple[Message, ...]:
    today = _date(d)
    name = made.DAYS[today.weekday()]
    shown = d.of((f"{name}, {_said(d, today)}", f"{name} {today.isoformat()}", f"{today.isoformat()} ({name})"))
    n = d.num(2, 9)
    target = d.num(0, 6)
    ahead = (target - today.weekday() - 1) % 7 + 1
    phrase, days = d.of(
        (
            ("tomorrow", 1),
            ("yesterday", -1),
            ("today", 0),
            ("the day after tomorrow", 2),
            ("the day before yesterday", -2),
            (f"in {d.of((str(n), in_words(n)))} days", n),
            (f"{d.of((str(n), in_words(n)))} days ago", -n),
            ("in a week", 7),
            ("a week ago", -7),
            ("in two weeks", 14),
            (f"next {made.DAYS[target]}", ahead),
            (f"this coming {made.DAYS[target]}", ahead),
            (f"last {made.DAYS[target]}", -((today.weekday() - target - 1) % 7 + 1)),
        )
    )
    answer = today + dt.timedelta(days=days)
    return talk(d, d.say(RELATIVE, today=shown, x=phrase), None, answer.isoformat())


def _weekday(d: Draw) -> tuple[Message, ...]:
    at, n = d.num(0, 6), d.num(1, 12)
    back = d.chance(0.4)
    ask = d.say(WEEKDAY_BACK if back else WEEKDAY, a=made.DAYS[at], n=d.of((str(n), in_words(n))))
    return talk(d, ask.replace("1 days", "1 day") if n == 1 else ask, None, made.DAYS[(at + (-n if back else n)) % 7])


def _span(d: Draw) -> tuple[str, int]:
    hours, mins = d.of(((0, d.num(2, 59)), (d.num(1, 5), 0), (d.num(1, 3), d.of((10, 15, 20, 30, 45)))))
    number = in_words if d.chance(0.4) else str
    parts = []
    if hours:
        parts.append(f"{number(hours)} hour{'s' if hours > 1 else ''}")
    if mins:
        parts.append(f"{number(mins)} minutes")
    return " and ".join(parts), hours * 60 + mins


def _hhmm(total: int) -> str:
    total %= 1440
    return f"{total // 60:02d}:{total % 60:02d}"


def _shift(d: Draw) -> tuple[Message, ...]:
    start = d.num(0, 287) * 5
    said, length = _span(d)
    back = d.chance(0.35)
    return talk(
        d,
        d.say(EARLIER if back else LATER, t=_hhmm(start), x=said),
        None,
        _hhmm(start - length if back else start + length),
    )


def _length(d: Draw) -> tuple[Message, ...]:
    said, length = _span(d)
    roll = d.roll()
    if roll < 0.4:
        return talk(d, d.say(MINUTES, x=said), None, str(length))
    if roll < 0.7:
        return talk(d, d.say(SECONDS, x=said), None, str(length * 60))
    hours, mins = divmod(length, 60)
    return talk(d, d.say(PERIOD, x=said), None, "PT" + (f"{hours}H" if hours else "") + (f"{mins}M" if mins else ""))


def _between(d: Draw) -> tuple[Message, ...]:
    start, length = d.num(0, 200) * 5, d.num(1, 36) * 5
    return talk(d, d.say(BETWEEN, a=_hhmm(start), b=_hhmm(start + length)), None, str(length))
