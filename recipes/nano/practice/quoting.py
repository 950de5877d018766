"""Copying into JSON where it hurts: quotes to escape, backslashes, apostrophes, accents, addresses, ids."""

from __future__ import annotations

from collections.abc import Callable

from . import made
from .core import Draw, Message, Pool, dumps, lexicon
from .layout import talk
from .words import names, things

ASK = Pool("""
Put the values into JSON, every character kept: {keys}
JSON with {keys}; [mind|watch] the escapes.
[Copy|Carry] {keys} over into a JSON object[, exactly|].
{keys} as valid JSON. Escape quotes and backslashes.
Exact copy as JSON, keys {keys}.
Which {keys}? One JSON object, spelling untouched.
""")
LINE = Pool("""
{k}: {v}
you read {v} as the {k}
{k} - {v}
{v} is the {k}
{k} = {v}
as {k} we have {v}
""")
ACCENTED = lexicon("""
Zoë, François, Łukasz, Günther, Núñez, Søren, Dvořák, Chloé, İbrahim, Ólafur, Jürgen, Béatrice, Peña, Åsa, Škoda
Tomáš, Müller, Gómez, Renée, Björk, Façade, Crème brûlée, São Paulo, Zürich, Malmö, Kraków, Reykjavík, Besançon
""")


def _quoted(d: Draw) -> str:
    word = d.of((made.thing, made.first, lambda d: d.piece(1, 3)))(d)
    return d.of(('The "{}" story', 'a so-called "{}"', '"{}" he said', 'room "{}", left', 'sign: "{}"')).format(word)


def _slashed(d: Draw) -> str:
    drive = d.of(("C:", "D:", "\\\\server"))
    return f"{drive}\\{made.pseudo(d)}\\{made.path(d).replace('/', chr(92))}"


def _owned(d: Draw) -> str:
    return f"{d.pick(names.FIRST)}'s {d.pick(things.OBJECT)}" + d.of(("", "", " isn't here", ", don't touch"))


def _inches(d: Draw) -> str:
    return f'{d.num(2, 60)}" {d.pick(things.OBJECT)}'


def _foreign(d: Draw) -> str:
    return f"{d.pick(ACCENTED)}{d.of(('', ' ' + d.pick(names.LAST), ' & ' + d.pick(ACCENTED)))}"


def _link(d: Draw) -> str:
    return f"{made.url(d)}?{made.pseudo(d)}={made.code(d)}&{d.of('abcxyz')}={d.num(1, 99)}"


MAKERS: dict[str, Callable[[Draw], str]] = {
    "title": _quoted,
    "path": _slashed,
    "label": _owned,
    "size": _inches,
    "name": _foreign,
    "link": _link,
    "email": made.email,
    "id": lambda d: f"{made.pseudo(d)}_{made.code(d)}/{d.num(1, 99)}",
    "pattern": lambda d: f"{d.of(('^', ''))}{made.pseudo(d)}\\{d.of('dws')}+{d.of(('$', ''))}",
}


def make(d: Draw) -> tuple[Message, ...]:
    keys = d.rng.sample(sorted(MAKERS), d.num(2, 5))
    values = {k: MAKERS[k](d) for k in keys}
    told = [d.say(LINE, k=k, v=values[k]) for k in d.shuffled(keys)]
    text = d.of(("\n", "\n", "; ")).join(told)
    return talk(d, d.say(ASK, keys=", ".join(keys)), text, dumps(values), system=0.4)
