"""Fields of records: their names, their kinds, and clauses that state them in a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from .core import Draw, Pool


@dataclass(frozen=True)
class Field:
    """A field: its names, its kind, and clauses that state it inside a sentence."""

    names: tuple[str, ...]
    kind: str
    clauses: Pool


def _field(names: str, kind: str, clauses: str) -> Field:
    return Field(tuple(names.split()), kind, Pool(clauses))


# Each clause can stand after a subject-free sentence start or as a sentence of its own.
FIELDS = [
    _field(
        "name person contact",
        "full",
        """
my name is {v}
this is {v} [speaking|writing]
the person's name is {v}
{v} [wrote|called|asked]
I am {v}
ask for {v}
signed, {v}
on behalf of {v}
    """,
    ),
    _field(
        "email mail e_mail",
        "email",
        """
[my|the] email is {v}
you can write to {v}
reach me at {v}
mail: {v}
send it to {v}
answers to {v}
the address is {v}
    """,
    ),
    _field(
        "phone telephone number tel",
        "phone",
        """
[my|the] number is {v}
call me on {v}
phone {v}
you can ring {v}
tel. {v}
reachable under {v}
the mobile is {v}
    """,
    ),
    _field(
        "city town place",
        "city",
        """
we are in {v}
I live in {v}
it should go to {v}
coming from {v}
based in {v}
at home in {v}
the town is {v}
    """,
    ),
    _field(
        "date day on",
        "date",
        """
it was on {v}
the date is {v}
on {v}
planned for {v}
dated {v}
it happened {v}
from {v} on
    """,
    ),
    _field(
        "time at hour",
        "time",
        """
at {v}
around {v}, exactly
we meet at {v}
it starts at {v}
the time is {v}
be there at {v}
from {v}
    """,
    ),
    _field(
        "item object product thing",
        "item",
        """
it is about the {v}
I would like the {v}
the {v} is what I mean
one {v}
we need a {v}
please look at the {v}
the item: {v}
    """,
    ),
    _field(
        "quantity count amount pieces",
        "count",
        """
{v} of them
we need {v}
the quantity is {v}
{v} pieces
there are {v}
make it {v}
{v} in total
    """,
    ),
    _field(
        "price cost total sum",
        "money",
        """
it costs {v}
for {v}
the price is {v}
I paid {v}
at {v}
the bill says {v}
it comes to {v}
    """,
    ),
    _field(
        "company firm shop seller",
        "company",
        """
from {v}
the company is {v}
I bought it at {v}
we work for {v}
{v} delivers it
sold by {v}
the firm is called {v}
    """,
    ),
    _field(
        "address street location",
        "address",
        """
the address is {v}
we live at {v}
deliver it to {v}
you find us at {v}
it is at {v}
bring it to {v}
    """,
    ),
    _field(
        "code reference id order_id",
        "code",
        """
the reference is {v}
quote {v}
my order number is {v}
see {v}
under the id {v}
it has the code {v}
    """,
    ),
    _field(
        "task todo action",
        "task",
        """
I have to {v}
please {v}
someone must {v}
the plan is to {v}
do not forget to {v}
we want to {v}
the job: {v}
    """,
    ),
    _field(
        "note comment remark message",
        "quote",
        """
note: {v}
the message says: {v}
remark: {v}
he wrote: {v}
there is a comment: {v}
in the margin stands: {v}
    """,
    ),
    _field(
        "colour color shade",
        "colour",
        """
in {v}
the colour is {v}
{v} would be nice
it should be {v}
painted {v}
I prefer {v}
    """,
    ),
    _field(
        "job profession role",
        "job",
        """
I work as {v}
by trade a {v}
the role is {v}
working as a {v}
employed as {v}
profession: {v}
    """,
    ),
    _field(
        "duration minutes length",
        "minutes",
        """
it takes {v}
for {v}
the whole thing lasts {v}
it went on for {v}
allow {v}
within {v}
    """,
    ),
    _field(
        "room where",
        "room",
        """
in the {v}
it is in the {v}
you find it in the {v}
the room is the {v}
bring it to the {v}
it stands in the {v}
    """,
    ),
    _field(
        "food dish order",
        "food",
        """
I would like {v}
we ordered {v}
with {v}
there was {v}
the dish is {v}
{v}, as always
    """,
    ),
    _field(
        "animal pet kind",
        "animal",
        """
we have a {v}
it is about a {v}
the animal is a {v}
my {v} is ill
a {v} was seen
someone found a {v}
    """,
    ),
    _field(
        "guests attendees people",
        "people",
        """
{v} are coming
together with {v}
invited: {v}
{v} took part
I bring {v}
{v} were there
    """,
    ),
    _field(
        "items list groceries",
        "foods",
        """
we need {v}
bring {v}
on the list: {v}
{v} are missing
there was {v}
I bought {v}
    """,
    ),
    _field(
        "discount percent rate",
        "percent",
        """
with {v} off
the rate is {v}
{v} of it
minus {v}
it rose by {v}
    """,
    ),
    _field(
        "website link url",
        "url",
        """
see {v}
the page is {v}
it was listed on {v}
link: {v}
more at {v}
    """,
    ),
    _field(
        "file document attachment",
        "path",
        """
attached: {v}
the file is {v}
I put it in {v}
see {v} for details
saved as {v}
    """,
    ),
]


def pick_fields(d: Draw, low: int = 2, high: int = 6) -> dict[str, Field]:
    """Fields under distinct names."""
    named: dict[str, Field] = {}
    for field in d.rng.sample(FIELDS, d.num(low, high)):
        named.setdefault(d.of(field.names), field)
    return named
