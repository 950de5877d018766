"""Kinds of arguments as a command words them: a clause, the strict value, and what the tool's description says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import made
from .core import Draw, Pool
from .documents import near
from .kinds import clock, in_words, listed
from .words import things

Now = dt.datetime
Said = tuple[str, Any]  # the words, the strict value


@dataclass(frozen=True)
class Kind:
    draw: Callable[[Draw, Now], Said]
    hint: str
    clauses: Pool
    dated: bool = False


def phrases(text: str) -> Pool:
    return Pool(text.split(" / "))


TO = phrases("to {x} / to {x} / bound for {x} / it goes to {x} / and the goal is {x} / heading to {x}")
FROM = phrases("from {x} / from {x} / starting in {x} / leaving {x} / the start is {x} / out of {x}")
IN = phrases("in {x} / in {x} / somewhere in {x} / the town is {x} / inside {x} / and that in {x}")
FOR = phrases("for {x} / for {x} / it is for {x} / meant for {x} / {x} gets it / and {x} shall have it")
WITH = phrases("with {x} / with {x} / together with {x} / and {x} takes part / including {x} / {x} should be in it")
WHEN = phrases("{x} / {x} / and that {x} / let's say {x} / preferably {x} / if possible {x} / it has to be {x}")
TIME = phrases("at {x} / at {x} / the time is {x} / {x} sharp / from {x} on / and {x} as the time / clock time {x}")
SPAN = phrases("for {x} / for {x} / it takes {x} / lasting {x} / {x} long / {x} in all / the length is {x}")
AMOUNT = phrases("with {x} / {x} / {x} of it / it is {x} / that makes {x} / the amount is {x} / make that {x}")
SHARE = phrases("to {x} / to {x} / {x} / it should be {x} / now {x} / put it {x} / going {x}")
WORDS = phrases('saying "{x}" / with the words {x} / and write {x} / the text is {x} / "{x}" as the text / note: {x}')
NAMED = phrases("called {x} / the name is {x} / named {x} / it is {x} / namely {x} / {x} by name / titled {x}")
MANY = phrases("{x} / {x} / that is {x} / I count {x} / {x} please / and {x} / make it {x}")
LIMIT = phrases("at most {x} / up to {x} / {x} is the limit / not more than {x} / under {x} / {x} or less")
PAY = phrases("over {x} / worth {x} / it was {x} / the sum is {x} / amounting to {x} / {x} altogether / of {x}")
OPTION = phrases("{x} / {x} / I want it {x} / {x} if you can / choose {x} / it ought to be {x} / rather {x}")


def date_near(ahead: bool) -> Callable[[Draw, Now], Said]:
    return lambda d, now: near(d, now.date(), ahead)


def time_of_day(d: Draw, _: Now) -> Said:
    return clock(d)


def stamp(d: Draw, now: Now) -> Said:
    """A moment counted from now: in twenty minutes, tomorrow at 7:30."""
    if d.chance(0.5):
        n = d.of((5, 10, 15, 20, 30, 45, 60, 90, 120))
        said = {60: "in an hour", 90: "in an hour and a half", 120: "in two hours", 30: "in half an hour"}.get(n)
        then = now + dt.timedelta(minutes=n)
        return said or d.of((f"in {n} minutes", f"{in_words(n)} minutes from now")), then.isoformat("T", "minutes")
    day, iso = near(d, now.date())
    said_time, exact = clock(d)
    return f"{day} at {said_time}", f"{iso}T{exact}"


def minutes(d: Draw, _: Now) -> Said:
    h = d.num(2, 9)
    return d.of(
        (
            ("an hour", 60),
            ("an hour and a half", 90),
            ("half an hour", 30),
            ("a quarter of an hour", 15),
            ("three quarters of an hour", 45),
            (f"{d.of((str(h), in_words(h)))} hours", h * 60),
            (f"{in_words(h)} and a half hours", h * 60 + 30),
            (f"{h} h 20", h * 60 + 20),
            (f"{h * 5} minutes", h * 5),
            (f"{in_words(h * 7)} minutes", h * 7),
            ("an hour and a quarter", 75),
            (f"an hour and {in_words(h * 2)} minutes", 60 + h * 2),
        )
    )


def seconds(d: Draw, now: Now) -> Said:
    n = d.num(2, 59)
    if d.chance(0.4):
        return d.of(((f"{n} seconds", n), (f"{in_words(n)} seconds", n), ("half a minute", 30), ("a minute", 60)))
    said, value = minutes(d, now)
    return said, value * 60


def percent(d: Draw, _: Now) -> Said:
    n = d.num(1, 100)
    return d.of(
        (
            ("half", 50),
            ("a quarter", 25),
            ("three quarters", 75),
            ("all the way up", 100),
            ("the full hundred", 100),
            ("a third, so 33 percent", 33),
            (f"{n} percent", n),
            (f"{n}%", n),
            (f"{in_words(n)} per cent", n),
            ("a tenth", 10),
            ("a fifth", 20),
        )
    )


def grams(d: Draw, _: Now) -> Said:
    n = d.num(2, 9)
    return d.of(
        (
            ("half a kilo", 500),
            ("a kilo", 1000),
            (f"{n} kilos", n * 1000),
            (f"{n * 50} grams", n * 50),
            (f"{n}.5 kg", n * 1000 + 500),
            ("a kilo and a half", 1500),
            (f"{in_words(n * 10)} grams", n * 10),
            ("a quarter of a kilo", 250),
        )
    )


def millilitres(d: Draw, _: Now) -> Said:
    n = d.num(2, 9)
    return d.of(
        (
            ("half a litre", 500),
            ("a litre", 1000),
            (f"{n} litres", n * 1000),
            (f"{n * 50} ml", n * 50),
            ("a litre and a half", 1500),
            (f"{n} cl", n * 10),
            ("a quarter of a litre", 250),
        )
    )


def cents(d: Draw, _: Now) -> Said:
    a, b = d.num(1, 90), d.of((5, 10, 25, 50, 80, 99))
    word = d.of(("euros", "dollars", "pounds"))
    return d.of(
        (
            (f"{a} {word}", a * 100),
            (f"{a}.{b:02d} {word}", a * 100 + b),
            (f"{in_words(a)} {word} {in_words(b)}", a * 100 + b),
            (f"{b} cents", b),
            (f"€{a}.{b:02d}", a * 100 + b),
        )
    )


def count(noun: str, high: int = 12) -> Callable[[Draw, Now], Said]:
    def draw(d: Draw, _: Now) -> Said:
        n = d.num(2, high)
        return f"{d.of((str(n), in_words(n)))} {noun}", n

    return draw


def plain(make: Callable[[Draw], str]) -> Callable[[Draw, Now], Said]:
    def draw(d: Draw, _: Now) -> Said:
        said = make(d)
        return said, said

    return draw


def people(d: Draw, _: Now) -> Said:
    found = list(dict.fromkeys(made.first(d) for _ in range(d.num(1, 3))))
    return listed(found), found


def foods(d: Draw, _: Now) -> Said:
    found = d.some(things.FOOD, d.num(1, 3))
    return listed(found), found


def from_pool(pool: Pool) -> Callable[[Draw, Now], Said]:
    return plain(lambda d: d.pick(pool))


def flag(yes: str, no: str) -> Kind:
    """A boolean: the clause itself tells, as `yes / yes` or `no / no` phrases."""
    pools = phrases(yes), phrases(no)

    def draw(d: Draw, _: Now) -> Said:
        truth = d.chance(0.5)
        return d.say(pools[0 if truth else 1]), truth

    return Kind(draw, "boolean", ALONE)


def option(text: str) -> Kind:
    """A choice: `value: other words, other words; value: ...`; half the time said by other words."""
    values = {}
    for part in text.split("; "):
        value, words = part.split(": ")
        values[value] = phrases(words.replace(", ", " / "))
    labels = tuple(values)

    def draw(d: Draw, _: Now) -> Said:
        label = d.of(labels)
        return (label.replace("_", " ") if d.chance(0.45) else d.say(values[label])), label

    return Kind(draw, "one of " + "|".join(labels), OPTION)


ALONE = phrases("{x} / {x}, that is / and {x} / {x} as well / but {x}")
