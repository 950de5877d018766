"""Choices that a text only implies: the label sets a system may use, and sentences that mean each label."""

# ruff: noqa: E501 - a template stands on one line

from __future__ import annotations

from dataclasses import dataclass

from .core import Draw, Pool


@dataclass(frozen=True)
class Meaning:
    names: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    pools: tuple[Pool, ...]


def _meaning(names: str, labels: str, *pools: str) -> Meaning:
    sets = tuple(tuple(s.split()) for s in labels.split("/"))
    return Meaning(tuple(names.split()), sets, tuple(Pool(p.strip().split(" / ")) for p in pools))


MEANINGS = {
    "urgency": _meaning(
        "urgency priority importance",
        "low normal high/can_wait soon now/minor medium urgent/P3 P2 P1/later this_week today",
        "There is no hurry at all. / Whenever you find the time. / It can wait for weeks. / Take as long as you like. "
        "/ Not pressing, any month will do. / Let it rest as long as you want.",
        "Some time this week would be good. / Please see to it in the next few days. / Within the week is fine. "
        "/ By the end of the week, if you can. / A few days from now is early enough. / Try to get it done this week.",
        "This cannot wait. / We need it today. / Please drop everything else. / Every minute counts. "
        "/ It has to happen right away. / Act at once, please. / As soon as humanly possible!",
    ),
    "sentiment": _meaning(
        "sentiment mood tone feeling",
        "negative neutral positive/bad mixed good/unhappy neutral happy/- 0 +",
        "I am quite disappointed. / That was a sad affair. / Honestly, it was awful. / We will not do it again. "
        "/ Nobody was pleased with it. / What a waste of an afternoon. / It left me angry.",
        "It went as expected. / Nothing special to report. / It was neither good nor bad. / So far so ordinary. "
        "/ No opinion either way. / It was all right, I suppose.",
        "I am delighted with it. / It could not have gone better. / What a joy. / We loved every bit of it. "
        "/ Everybody left with a smile. / Really well done. / I would do it again at once.",
    ),
    "condition": _meaning(
        "condition state wear",
        "new used damaged/mint worn broken/A B C/unused second_hand defective",
        "It is still in its wrapping. / Never taken out of the box. / Nobody has used it yet. / The seal is unbroken. "
        "/ Bought last week and not opened.",
        "It has a few scratches but does its work. / It served us for years. / Some signs of age, all in order. "
        "/ Had plenty of use, still fine. / It shows a little wear.",
        "A part has come off. / It has a crack down the side. / It does not work any more. / One corner is smashed. "
        "/ It fell and is bent now.",
    ),
    "payment": _meaning(
        "payment paid_by method",
        "cash card transfer/notes_and_coins plastic bank/CASH CARD WIRE",
        "I counted out the notes at the counter. / The coins were handed over on the spot. / Paid with banknotes. "
        "/ The money went from hand to hand. / Notes and a little change were given.",
        "I tapped my plastic on the reader. / The chip and PIN worked. / Charged to a Visa. / Swiped at the terminal. "
        "/ It went on the Mastercard.",
        "The sum was wired to the account. / I sent it from my bank. / The IBAN was used. / A bank order has gone out. "
        "/ It was moved from account to account.",
    ),
    "audience": _meaning(
        "audience for_whom group",
        "children adults everyone/kids grown_ups all/under_12 over_18 any_age",
        "For our youngest, up to the age of ten. / Only little ones are admitted. / School pupils come and play. "
        "/ Boys and girls of primary school. / Toddlers and their toys are welcome.",
        "Nobody under eighteen is let in. / Over-18s only. / A night out without the kids. / Strictly for grown people. "
        "/ Bring proof that you are of age.",
        "From babies to grandparents. / Old and young are welcome. / Any age may come. / The whole family can join. "
        "/ Open to all, from one to a hundred.",
    ),
    "contract": _meaning(
        "contract employment hours type",
        "full_time part_time temporary/full part fixed_term/FT PT TEMP",
        "Forty hours a week, without a time limit. / All five days, permanent. / A whole position for good. "
        "/ Monday to Friday, nine to five, unlimited. / You work the full week.",
        "Three mornings a week. / Half the usual hours. / Twenty hours each week, permanent. / Only on two days a week. "
        "/ A half position, every afternoon.",
        "It ends after six months. / Just for the summer. / Cover for one year only. / Until the project is over. "
        "/ For the season, not longer.",
    ),
    "outcome": _meaning(
        "outcome result status",
        "success failure unclear/ok failed unknown/passed rejected open",
        "It came out just as we hoped. / All checks were fine. / The method works. / Everything ran to the end. "
        "/ We got what we looked for.",
        "Nothing worked. / It had to be stopped halfway. / The sample was ruined. / It broke down before the end. "
        "/ We did not get there.",
        "We cannot tell yet. / The figures point both ways. / It must be repeated to be sure. / Too early to say. "
        "/ The readings contradict each other.",
    ),
    "topic": _meaning(
        "topic category subject_area kind",
        "travel food sport money/trip meal exercise finance/T F S M",
        "It is about our train and the hotel. / The suitcases are packed already. / We still lack the flight seats. "
        "/ The passports must be renewed before. / Two nights near the sea are planned.",
        "The soup needs more salt. / We are cooking for twelve. / The oven dish was a success. "
        "/ Dessert is still open. / The bread has to rise overnight.",
        "We train for the half marathon. / The match was called off. / Our team lost by two goals. "
        "/ New running laces are needed. / The pool is closed, so no laps.",
        "The interest has gone up again. / Our savings need a better place. / The rent rises by ten. "
        "/ The tax form is due. / We spend more than we earn.",
    ),
}
# name, sentences for true, sentences for false
FLAGS = {
    "needs_reply": (
        "Please write back. / Tell me what you think. / I wait for your answer. / Could you confirm this? "
        "/ What do you say?",
        "No answer needed. / You need not write back. / Just so that you know. / This is only for your "
        "information. / Nothing to confirm here.",
    ),
    "signed": (
        "A signature is needed. / Someone has to sign for it. / Please have a pen ready to sign. "
        "/ It is handed over against a signature. / The driver asks for your name and hand.",
        "Nobody has to sign. / It may be left without a signature. / No pen needed. / Just take it in. "
        "/ It is left without any receipt.",
    ),
    "remote": (
        "You may work from home. / All of it can be done from your own desk at home. / Where you live does not "
        "matter. / We meet online only. / No office, we work over the net.",
        "You must be on site. / The work is done in our rooms. / Home office is not possible. "
        "/ We expect you at the bench every day. / It cannot be done from home.",
    ),
    "free_entry": (
        "Nobody pays at the door. / It costs nothing to come. / Admission is free. / You need no ticket. "
        "/ There is no charge.",
        "There is a charge at the door. / Tickets are sold at the box. / Entry has its price. "
        "/ Please bring money for the ticket. / It is not free of charge.",
    ),
    "negotiable": (
        "Make me an offer. / The price can be talked about. / I am open to less. / We will agree on a sum. "
        "/ Haggling welcome.",
        "The price is final. / No haggling. / Not a penny less. / Do not ask for a discount. / The sum is fixed.",
    ),
    "repaired": (
        "It runs again. / The fault is gone. / All is in working order once more. / Put right on the spot. "
        "/ Mended and tested.",
        "It still does not run. / The fault is not found yet. / We wait for a spare part. "
        "/ It stays out of order. / Not mended so far.",
    ),
}
FLAG_POOLS = {name: tuple(Pool(side.split(" / ")) for side in sides) for name, sides in FLAGS.items()}


def implied(d: Draw, name: str) -> tuple[str, str, tuple[str, ...]]:
    """A sentence, the label it means, and all labels in mixed order."""
    meaning = MEANINGS[name]
    labels = d.of(meaning.labels)
    at = d.num(0, len(labels) - 1)
    return d.say(meaning.pools[at]), labels[at], tuple(d.shuffled(labels) if d.chance(0.4) else labels)


def flag(d: Draw, name: str) -> tuple[str, bool]:
    truth = d.chance(0.5)
    return d.say(FLAG_POOLS[name][0 if truth else 1]), truth
