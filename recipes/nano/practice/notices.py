"""Free-standing notes: job adverts, events, parcel notes, lab notes, maintenance logs, lost and found, small ads."""

# ruff: noqa: E501 - a template stands on one line

from __future__ import annotations

import datetime as dt

from . import made
from .core import Draw, Pool
from .documents import GAP, SIGNS, Doc, amount, fact, flagged, maybe, meant, near, number, stated, today
from .kinds import clock, in_words, listed
from .words import names, places, things

JOB = Pool(r"""
{firm} is looking for a {job} in {city}.\n{mean} {flag} {gap}\nWe pay {pay} per month{skills}. Apply {until}: {mail}
Wanted: {job} ({city})\n{firm}\n{gap} {flag} {mean}\nSalary {pay} a month{skills}. Write to {mail} {until}.
Join {firm}!\nAs our {job} you earn {pay} monthly. {mean} {gap} {flag}\nOffice: {city}{skills}\nApplications {until} to {mail}
Vacancy at {firm}, {city}: {job}. {flag} {mean}{skills} {gap} {pay} every month. Closing date: {until}. {mail}
We need a {job}. {mean} {pay} a month. {flag} {gap}{skills}\n{firm}\n{city}\n{mail}\nlast day to apply: {until}
""")
EVENT = Pool(r"""
{title}\n{date}, {time}, {place}, {city}\n{mean} {flag} {gap}\nWith {people}. Contact: {mail}
Come to "{title}" on {date}! {people} will be there. Doors: {time}, at the {place} in {city}. {flag} {gap} {mean} {mail}
The {place} ({city}) invites you: {title}. {gap} {mean}\nStart {time}, {date}. On stage: {people}. {flag} Questions? {mail}
*** {title} ***\nwhen: {date} {time}\nwhere: {place}, {city}\nwho: {people}\n{mean}\n{flag}\n{gap}\n{mail}
{people} present {title}. {mean} It begins at {time} on {date}. {gap} {flag} {place}, {city}. {mail}
""")
PARCEL = Pool(r"""
Parcel {code} for {to}, {street}. {carrier} comes {day}. {weight} {flag} {gap} From {from}.
{carrier}: we tried to deliver {code} to {to} at {street}. {gap} Next try {day}. {flag} {weight} Sender {from}.
Your parcel from {from} ({code}) is on its way. {weight} {carrier} brings it {day}. {flag} {gap}\n{to}\n{street}
note for {to}: a box by {from} came with {carrier}. {weight} {gap} {flag} no. {code}\nIt goes to {street} {day}.
{code} / {carrier} / {from}\n{weight} {flag}\n{gap}\nto be brought {day} to {to}, {street}
""")
LAB = Pool(r"""
{day} - sample {code}\n{who} mixed {stuff}, heated to {temp} °C for {mins}. {mean} {gap} {note}
Log of {who}, {day}. Sample {code}: {stuff}. {gap} Temperature {temp} degrees, {mins}. {mean} {note}
Experiment {code} ({who})\nSubstances: {stuff}\nWe kept it at {temp} °C, {mins} in all.\n{gap} {mean}\n{day} {note}
{code}: after {mins} at {temp} C, {stuff} were taken out. {mean} {note} {gap} Signed {who}, {day}
{day}, {who}: {mean} It was {code}, with {stuff}, {temp} degrees, {mins}. {gap} {note}
""")
SUBSTANCES = ("salt", "copper", "ethanol", "iron", "acid", "sugar", "resin", "starch", "water", "lime", "ash", "oil")
WORK = Pool(r"""
{when} {unit} {code}: {fault}. {who} came after {mins}. {flag} {gap} Parts: {parts}.
Machine {unit} ({code}) - {when}\nfault: {fault}\n{gap} {flag}\ntechnician {who}, {mins}\nused: {parts}
{who} was called to {unit}, id {code}, {when}. {fault}. {gap} It took {mins}. {flag} Needed {parts}.
[{when}] {code} {unit} | {fault} | {who} | {mins}\n{gap} {flag} Spare parts: {parts}.
Entry by {who}: {when}, {unit}. {fault}. {parts} fitted in {mins}. {flag} {gap} Asset {code}
""")
FAULT = Pool("""
[loud|odd|grinding] noise from the motor
the belt [slips|has torn]
oil on the floor below
does not start in the morning
the [pump|valve] leaks
overheats after a while
the display stays dark
smell of burnt rubber
the gear jams
""")
UNITS = ("press", "crane", "lathe", "pump", "forklift", "mixer", "conveyor", "saw", "boiler", "lift", "drill")
LOST = Pool(r"""
[Lost|Missing]: {thing}, {day}, near the {place} in {city}. {mark} {gap} {finder}, tel. {phone}. {reward}
I have lost my {thing}. It was {day} at the {place}, {city}. {gap} {mark} {reward} {phone}, ask for {finder}
{thing} gone since {day}! Last seen: {place}, {city}. {mark} {reward} Call {finder}: {phone} {gap}
Who has seen the {thing}? {mark} {finder} misses it, {phone}. {gap} {place}, {city}, {day}. {reward}
{finder} ({phone}) is looking for the {thing} that was left in the {place}, {city}, {day}. {reward} {mark} {gap}
""")
MARK = Pool("""
There is a {x} painted on it.
It has a sticker with "{x}".
Inside stands the name {x}.
A tag says {x}.
One can read {x} on the back.
""")
REWARD = Pool("""
Reward: {x}.
Whoever brings it gets {x}.
{x} for the finder.
I will give {x} for it.
A finder's fee of {x} is paid.
""")
SALE = Pool(r"""
For sale: {thing}, {price}. {mean} {flag} {gap} Pick up in {city}. {name}, {phone}
{name} sells {n} {thing} for {price}. {flag} {gap} {mean} {city}. {phone}
{thing}, {city}, asking {price}. {mean} {gap}\n{flag}\nRing {phone} ({name}).
Selling my {thing}. {mean} I want {price}. {flag} {gap} {phone} or come to {city}. {name}
{city}: {thing} to give away for {price} - {mean} {gap} {flag} Write to {name}, {phone}
""")


def _n(text: str) -> str:
    return text.replace("\\n", "\n")


def job(d: Draw) -> Doc:
    sign, code = d.of(SIGNS[:4])
    role, firm, city, address = d.pick(things.JOB), made.company(d), d.pick(places.CITY), made.email(d)
    pay = d.num(12, 90) * 100
    day = today(d)
    until, iso = near(d, day)
    mean, meaning = meant(d, "contract")
    flag, flagging = flagged(d, "remote")
    known = d.some(things.SUBJECT, d.num(2, 3))
    skills, skill = maybe(d, f". Useful: {listed(known)}.", fact("skills knowledge wanted", known, "array of strings"))
    text = d.say(JOB, firm=firm, job=role, city=city, mean=mean, flag=flag, gap=GAP, mail=address, until=until,
                 pay=amount(d, pay, sign, code), skills=skills)  # fmt: skip
    return Doc(
        _n(text).replace("..", "."),
        [
            fact("title job position role", role),
            fact("company employer firm", firm),
            fact("city place location", city),
            fact("salary pay monthly", {"amount": pay, "currency": code}, "{amount, currency}"),
            fact("email contact apply_to", address),
            fact("deadline apply_by until", iso, "YYYY-MM-DD"),
            skill,
            meaning,
            flagging,
        ],
        today=stated(d, day),
    )


def event(d: Draw) -> Doc:
    day = today(d)
    said_time, exact = clock(d)
    title = f"{d.pick(things.GENRE)} {d.of(('evening', 'night', 'fair', 'talk', 'workshop', 'walk'))}".capitalize()
    people = list(dict.fromkeys(made.person(d) for _ in range(d.num(1, 3))))
    place, city, address = d.pick(places.VENUE), d.pick(places.CITY), made.email(d)
    contact, mailing = maybe(d, address, fact("email contact", address), 0.6)
    mean, meaning = meant(d, "audience")
    flag, flagging = flagged(d, "free_entry")
    date = f"{made.DAYS[day.weekday()]} {day.day} {made.MONTHS[day.month - 1]} {day.year}"
    text = d.say(EVENT, title=title, date=date, time=said_time, place=place, city=city, people=listed(people),
                 mail=contact or "no further news", mean=mean, flag=flag, gap=GAP)  # fmt: skip
    return Doc(
        _n(text),
        [
            fact("title event name", title),
            fact("date day", day.isoformat(), "YYYY-MM-DD"),
            fact("weekday day_name", made.DAYS[day.weekday()].lower(), "weekday in small letters"),
            fact("time start", exact, "HH:MM"),
            fact("venue place", place),
            fact("city town", city),
            fact("speakers artists guests", people, "array of strings"),
            meaning,
            flagging,
            mailing,
        ],
    )


def parcel(d: Draw) -> Doc:
    day = today(d)
    said_day, iso = near(d, day)
    code, to, sender, street, carrier = (
        made.code(d), made.person(d), made.company(d), made.address(d), made.company(d)
    )  # fmt: skip
    kg = d.num(1, 300) / 10
    unit = d.of(("kg", "kg", "pounds"))
    weight, weighing = maybe(
        d, f"It weighs {number(kg)} {unit}.", fact("weight", {"value": number(kg), "unit": unit}, "{value, unit}"), 0.7
    )
    flag, flagging = flagged(d, "signed")
    slots = {"to": to, "from": sender, "code": code, "street": street, "carrier": carrier, "day": said_day}
    text = d.say(PARCEL, weight=weight, flag=flag, gap=GAP, **slots)
    return Doc(
        _n(text),
        [
            fact("tracking code parcel_id number", code),
            fact("recipient to addressee", to),
            fact("sender from", sender),
            fact("address street deliver_to", street),
            fact("carrier courier", carrier),
            fact("date delivery day", iso, "YYYY-MM-DD"),
            weighing,
            fact("signature_required", flagging.value, "boolean"),
        ],
        today=stated(d, day),
    )


def lab(d: Draw) -> Doc:
    day = today(d)
    said_day, iso = near(d, day, ahead=False)
    who, code, temp, mins = made.someone(d), made.code(d), d.num(20, 400), d.num(2, 90)
    stuff = d.rng.sample(SUBSTANCES, d.num(2, 4))
    mean, meaning = meant(d, "outcome")
    remark = d.piece(3, 8)
    note, noting = maybe(d, f"Note: {remark}.", fact("note remark comment", remark), 0.6)
    said_mins = d.of((f"{mins} min", f"{in_words(mins)} minutes", f"{mins} minutes"))
    text = d.say(LAB, day=said_day, code=code, who=who, stuff=listed(stuff), temp=temp, mins=said_mins, mean=mean,
                 gap=GAP, note=note)  # fmt: skip
    return Doc(
        _n(text),
        [
            fact("sample sample_id id", code),
            fact("date day", iso, "YYYY-MM-DD"),
            fact("person operator author", who),
            fact("substances ingredients materials", stuff, "array of strings"),
            fact("temperature", {"value": temp, "unit": "C"}, '{value, unit "C"}'),
            fact("minutes duration", mins, "integer, minutes"),
            fact("seconds duration_s", mins * 60, "integer, seconds"),
            meaning,
            noting,
        ],
        today=stated(d, day),
    )


def work(d: Draw) -> Doc:
    start = dt.datetime(d.num(2022, 2030), d.num(1, 12), d.num(1, 28), d.num(0, 23), d.num(0, 59))
    unit, code, who = d.of(UNITS), made.code(d), d.of((made.person, made.first))(d)
    fault, mins = d.say(FAULT), d.num(5, 240)
    flag, flagging = flagged(d, "repaired")
    parts = [{"part": p, "count": d.num(1, 6)} for p in d.some(things.OBJECT, d.num(1, 3))]
    said_mins = f"{mins} min" if mins < 60 or d.chance(0.4) else f"{mins // 60} h {mins % 60:02d} min"
    text = d.say(WORK, when=start.isoformat(" ", "minutes"), unit=unit, code=code, who=who, fault=fault, mins=said_mins,
                 flag=flag, gap=GAP, parts=", ".join(f"{p['count']} {p['part']}" for p in parts))  # fmt: skip
    return Doc(
        _n(text),
        [
            fact("machine unit device", unit),
            fact("id asset code", code),
            fact("date day", start.date().isoformat(), "YYYY-MM-DD"),
            fact("time at", f"{start:%H:%M}", "HH:MM"),
            fact("technician person by", who),
            fact("fault problem summary", fault),
            fact("minutes duration", mins, "integer, minutes"),
            fact("parts spare_parts used", parts, "array of {part, count}"),
            flagging,
        ],
    )


def lost(d: Draw) -> Doc:
    sign, code = d.of(SIGNS)
    day = today(d)
    said_day, iso = near(d, day, ahead=False)
    thing, place, city = made.thing(d), d.pick(places.VENUE), d.pick(places.CITY)
    finder, phone, tag = made.first(d), made.phone(d), made.first(d)
    mark, marking = maybe(d, d.say(MARK, x=tag), fact("label mark inscription", tag), 0.6)
    fee = d.num(1, 40) * 5
    reward, rewarding = maybe(
        d,
        d.say(REWARD, x=amount(d, fee, sign, code)),
        fact("reward fee", {"amount": fee, "currency": code}, "{amount, currency}"),
        0.6,
    )
    text = d.say(LOST, thing=thing, day=said_day, place=place, city=city, mark=mark, gap=GAP, finder=finder,
                 phone=phone, reward=reward)  # fmt: skip
    return Doc(
        _n(text),
        [
            fact("item object thing", thing),
            fact("date lost_on day", iso, "YYYY-MM-DD"),
            fact("place last_seen location", place),
            fact("city town", city),
            fact("contact owner name", finder),
            fact("phone tel", phone),
            marking,
            rewarding,
        ],
        today=stated(d, day),
    )


def sale(d: Draw) -> Doc:
    sign, code = d.of(SIGNS)
    thing, price = made.thing(d), number(made.price(d))
    name, phone, city = d.pick(names.FIRST), made.phone(d), d.pick(places.CITY)
    mean, meaning = meant(d, "condition")
    flag, flagging = flagged(d, "negotiable")
    text = d.say(SALE, thing=thing, n="one", price=amount(d, float(price), sign, code), mean=mean, flag=flag, gap=GAP,
                 city=city, name=name, phone=phone)  # fmt: skip
    return Doc(
        _n(text),
        [
            fact("item article object", thing),
            fact("price asking", price, "number"),
            fact("currency cur", code, "three-letter code"),
            fact("city location place", city),
            fact("seller name contact", name),
            fact("phone tel number", phone),
            meaning,
            flagging,
        ],
    )
