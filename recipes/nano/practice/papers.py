"""Documents with a fixed shape: e-mails, receipts, invoices, chats, voice mails, parcel notes."""

# ruff: noqa: E501 - a template stands on one line

from __future__ import annotations

from . import made
from .core import Draw, Pool
from .documents import GAP, SIGNS, Doc, amount, fact, flagged, lines, maybe, meant, near, number, stated, today
from .kinds import clock, in_words
from .words import names, places, things

SUBJECT = Pool("""
[About|Regarding|Re:] {x}
{x}
[A question on|News about|Plans for] {x}
{x} [next week|soon]
Fwd: {x}
[Update|Reminder]: {x}
""")
MAIL_BODY = Pool(r"""
Dear {to},\n\n{day} I have to {task}, so could we meet at {time} in the {place}? {gap} {mean}\n{flag}
Hi {to},\n{mean} {gap}\nThe plan: {task} {day}. We start at {time}, {place}.\n{flag}
Hello {to},\n\n{flag} I would like to {task} {day}. Come to the {place} at {time}. {gap}\n\n{mean}
{to},\n{gap} {mean} {day} at {time} somebody must {task}. The key is in the {place}. {flag}
Good morning {to},\n\nwe meet {day}, {time}, in the {place}. The reason: we {task}. {mean} {gap} {flag}
Dear {to}\n\n{mean}\n\nBefore that, we {task} - {day}, at {time}. Room: {place}. {gap}\n\n{flag}
""")
BYE = Pool(r"""
[Best|Kind|Warm] wishes\n{from}
[Yours|Regards]\n{from}\n{more}
-- \n{from}\n{more}
[Cheers|Thanks|See you],\n{from}
Yours sincerely,\n\n{from}\n{more}
All the best\n{from} | {more}
""")


def _n(text: str) -> str:
    return text.replace("\\n", "\n")


def mail(d: Draw) -> Doc:
    day = today(d)
    sender, to, task, room = made.person(d), made.first(d), made.action(d), d.pick(places.ROOM)
    said_day, iso = near(d, day)
    said_time, exact = clock(d)
    mean, meaning = meant(d, d.of(("urgency", "topic", "sentiment")))
    flag, flagging = flagged(d, "needs_reply")
    address, phone = made.email(d), made.phone(d)
    subject = d.say(SUBJECT, x=made.thing(d))
    body = d.say(MAIL_BODY, to=to, day=said_day, task=task, time=said_time, place=room, gap=GAP, mean=mean, flag=flag)
    more, tel = maybe(d, phone, fact("phone tel telephone", phone))
    company = made.company(d)
    more = " - ".join(x for x in (company, more) if x)
    bye = _n(d.say(BYE, **{"from": sender, "more": more}))
    if more not in bye:
        tel = fact("phone", None)
    head = f"From: {sender} <{address}>\nTo: {to}\nSubject: {subject}\nDate: {stated(d, day)}\n\n"
    facts = [
        fact("sender from author", sender),
        fact("email reply_to sender_email", address),
        fact("recipient to addressee", to),
        fact("subject title", subject),
        fact("date day meeting_date", iso, "YYYY-MM-DD"),
        fact("time start at", exact, "HH:MM"),
        fact("task action todo summary", task),
        fact("room place where", room),
        meaning,
        flagging,
        tel,
    ]
    return Doc(head + _n(body) + "\n\n" + bye, facts)


THANKS = Pool("""
Thank you for your visit!
[Thanks|Danke|Merci], come again
Keep this receipt
No returns without this slip
VAT included
Open Monday to Saturday
Have a nice day
""")


def _goods(d: Draw) -> list[dict[str, float | str | int]]:
    found = []
    for name in d.some(d.of((things.FOOD, things.OBJECT)), d.num(2, 5)):
        found.append({"name": name, "quantity": d.of((1, 1, 2, 3, d.num(1, 12))), "price": number(made.price(d))})
    return found


def receipt(d: Draw) -> Doc:
    sign, code = d.of(SIGNS)
    shop, day, goods, street = made.company(d), today(d), _goods(d), made.address(d)
    exact = f"{d.num(7, 21):02d}:{d.num(0, 59):02d}"
    total = number(sum(float(g["price"]) for g in goods))
    slip = made.code(d)
    wide = d.chance(0.5)
    rows = []
    for g in goods:
        head = f"{g['quantity']} x {g['name']}" if g["quantity"] != 1 or d.chance(0.3) else str(g["name"])
        rows.append(f"{head:<24} {g['price']:>7.2f}" if wide else f"{head} {g['price']:.2f}")
    pay, paying = meant(d, "payment")
    pay, paying = maybe(d, pay, paying, 0.6)
    title = d.of(("TOTAL", "Total", "Sum", "TO PAY", "Amount due"))
    date = d.of((day.isoformat(), f"{day:%d.%m.%Y}", f"{day:%d %b %Y}"))
    text = lines(
        shop.upper() if d.chance(0.3) else shop,
        street,
        f"{date} {exact}",
        f"{d.of(('No.', 'Receipt', 'Slip', 'Ref'))} {slip}",
        d.of(("", "-" * 20)),
        *rows,
        f"{title} {amount(d, float(total), sign, code)}",
        pay,
        d.say(THANKS) if d.chance(0.6) else "",
    )
    keep = d.of((("name", "price"), ("name", "quantity"), ("name", "quantity", "price")))
    shop = text.split("\n", 1)[0]
    return Doc(
        f"{text}\n{GAP}",
        [
            fact("shop merchant store seller", shop),
            fact("address street", street),
            fact("date day", day.isoformat(), "YYYY-MM-DD"),
            fact("time hour", exact, "HH:MM"),
            fact("receipt_no number reference", slip),
            fact("items lines goods", [{k: g[k] for k in keep} for g in goods], f"array of {{{', '.join(keep)}}}"),
            fact("item_names articles products", [g["name"] for g in goods], "array of strings"),
            fact("total sum amount", total, "number"),
            fact("currency cur", code, "three-letter code"),
            fact("item_count positions", len(goods), "integer"),
            paying,
        ],
    )


INVOICE = Pool(r"""
INVOICE {no}\n{firm}\n{street}\n\nBill to: {client}\nDate: {date}\nDue: {due}\n\n{rows}\n\nTotal: {total}\n{iban}
{firm} - invoice no. {no}\nfor {client}\n{rows}\nSum: {total}\nissued {date}, payable by {due}\n{street}\n{iban}
To {client}\n\nInvoice {no} of {date}\n\n{rows}\n-----\nAmount: {total}\nPlease pay until {due}.\n{iban}\n{firm}, {street}
From: {firm}, {street}\nTo: {client}\nNumber: {no}\n{rows}\nTotal due {due}: {total}\nDate of issue: {date}\n{iban}
Bill {no}\n{date}\n{client}\n{rows}\nTogether {total}\n{iban}\n{firm}\n{street}\nPay before {due}
""")


def invoice(d: Draw) -> Doc:
    sign, code = d.of(SIGNS[:4])
    firm, client, no, street = made.company(d), made.person(d), made.code(d), made.address(d)
    issued = today(d)
    due = issued.replace(year=issued.year + 1, day=d.num(1, 28)) if d.chance(0.2) else issued.replace(day=28)
    goods = _goods(d)
    rows = [f"{d.of(('', '- '))}{g['quantity']} {g['name']}: {amount(d, float(g['price']), sign, code)}" for g in goods]
    total = number(sum(float(g["price"]) for g in goods))
    iban = f"{d.of(('DE', 'FR', 'NL', 'ES'))}{made.digits(d, 18)}"
    iban_line, iban_fact = maybe(d, f"IBAN {iban}", fact("iban account", iban), 0.6)
    text = d.say(
        INVOICE,
        no=no,
        firm=firm,
        street=street,
        client=client,
        date=issued.isoformat(),
        due=due.isoformat(),
        rows="\n".join(rows),
        total=amount(d, float(total), sign, code),
        iban=iban_line,
    )
    return Doc(
        f"{_n(text)}\n{GAP}",
        [
            fact("invoice_no number id", no),
            fact("issuer company from", firm),
            fact("client customer bill_to", client),
            fact("address street", street),
            fact("date issued", issued.isoformat(), "YYYY-MM-DD"),
            fact("due due_date pay_by", due.isoformat(), "YYYY-MM-DD"),
            fact("items lines", [{"item": g["name"], "qty": g["quantity"]} for g in goods], "array of {item, qty}"),
            fact("total amount", {"amount": total, "currency": code}, "{amount, currency}"),
            fact("positions line_count", len(goods), "integer"),
            iban_fact,
        ],
    )


CHAT = Pool(r"""
{a}: does {day} still suit you?\n{b}: yes, {time}\n{a}: where?\n{b}: the {place}\n{gap}{b}: I bring {food}\n{a}: {mean}
{a}: we should {task} {day}\n{b}: fine, {time}?\n{a}: ok\n{gap}{b}: meet you at the {place}, with {food}\n{b}: {mean}
{a}: hey, {mean}\n{b}: :)\n{gap}{a}: so, {day}, {time}, {place}\n{b}: great, shall I get {food}?\n{a}: yes please
{a}: I need someone to {task}\n{b}: when?\n{a}: {day}, {time}\n{gap}{b}: at the {place}?\n{a}: yes, and {food}\n{b}: {mean}
{a}: {day} then\n{b}: I can't before {time}\n{a}: {time} it is, at the {place}\n{gap}{a}: bring {food}\n{b}: {mean}
""")


def chat(d: Draw) -> Doc:
    day = today(d)
    a, b = d.some(names.FIRST, 2)
    said_day, iso = near(d, day)
    said_time, exact = clock(d)
    place, task = d.pick(places.VENUE), made.action(d)
    foods = d.some(things.FOOD, d.num(2, 4))
    mean, meaning = meant(d, d.of(("sentiment", "urgency")))
    text = _n(
        d.say(
            CHAT,
            a=a,
            b=b,
            day=said_day,
            time=said_time,
            place=place,
            task=task,
            food=", ".join(foods),
            mean=mean,
            gap=GAP,
        )
    )
    if d.chance(0.4):
        text = "\n".join(
            (f"[{9 + i // 6:02d}:{10 + i * 3 % 50:02d}] " if not row.startswith(GAP) else GAP) + row.lstrip(GAP)
            for i, row in enumerate(text.split("\n"))
        )
    return Doc(
        text,
        [
            fact("people participants speakers", list(dict.fromkeys((a, b))), "array of strings"),
            fact("date day", iso, "YYYY-MM-DD"),
            fact("time at", exact, "HH:MM"),
            fact("place location where", place),
            fact("task plan todo", task if task in text else None),
            fact("food items bring", foods, "array of strings"),
            fact("item_count", len(foods), "integer"),
            fact("first_speaker started_by", a),
            meaning,
        ],
        wrap=lambda d, s: f"{d.of((a, b))}: {s}\n",
        today=stated(d, day),
    )


VOICE = Pool("""
[um|uh|hello], hi {to}, this is {name} from {firm}, {gap} I'm calling because {task} {day}, er, around {time}. {mean} My number is {phone}. {bye}
Hello, {name} here. {mean} {gap} It's about this: {task}, {day} at {time}, uh, can you tell {to}? I'm with {firm}. Call me on {phone}. {bye}
Yes, good day, this is a message for {to}. {firm}, {name} speaking. {day} at, let me see, {time}: {task}. {gap} You can reach me under {phone}. {mean} {bye}
Hey {to}, it's {name}, you know, {firm}. So {gap} {task}, and {day} please, say {time}. {mean} Right, {phone} is the number. {bye}
Erm, am I speaking already? {name}, {firm}. For {to}: {task} {day}, {time}. {mean} {gap} Ring back, the number's {phone}. {bye}
""")
BYE_VOICE = Pool("""
[Bye|Bye now|Goodbye].
[Thanks, bye|Thank you, goodbye].
[Speak soon|Talk to you later].
That's all, um, thanks.
Over and out.
""")


def voice(d: Draw) -> Doc:
    day = today(d)
    to, name, firm, task = made.first(d), made.person(d), made.company(d), made.action(d)
    said_day, iso = near(d, day)
    said_time, exact = clock(d)
    mean, meaning = meant(d, d.of(("urgency", "sentiment")))
    digits = made.digits(d, d.num(7, 10))
    phone = spoken_digits(d, digits) if d.chance(0.6) else digits
    text = d.say(
        VOICE,
        to=to,
        name=name,
        firm=firm,
        task=task,
        day=said_day,
        time=said_time,
        mean=mean,
        phone=phone,
        gap=GAP,
        bye=d.say(BYE_VOICE),
    )
    return Doc(
        text,
        [
            fact("caller from name", name),
            fact("for recipient to", to),
            fact("company firm", firm),
            fact("task summary request", task),
            fact("date day", iso, "YYYY-MM-DD"),
            fact("time at", exact, "HH:MM"),
            fact("phone callback number", digits, "digits only"),
            meaning,
        ],
        today=stated(d, day),
    )


def spoken_digits(d: Draw, digits: str) -> str:
    """Digits as someone reads them out: oh for zero at times, double for a pair."""
    zero = d.of(("oh", "zero"))
    said, at = [], 0
    while at < len(digits):
        word = zero if digits[at] == "0" else in_words(int(digits[at]))
        pair = digits[at : at + 2] == digits[at] * 2
        said.append(f"double {word}" if pair else word)
        at += 2 if pair else 1
    return " ".join(said)
