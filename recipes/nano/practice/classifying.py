"""Practice in choosing a label from a list for a short made-up text."""

from __future__ import annotations

from . import made
from .core import Draw, Message, Pool, dumps
from .layout import talk
from .words import places, things

ASK = Pool("""
[Choose|Pick] one [label|of these labels]: {l}.
Labels: {l}. Which [one |]fits?
[Classify|Label|Tag] the [text|message] as one of: {l}
{l}? [One word|Answer with the label].
[Is|Would you call] this {o}?
Which of {l} describes it best?
Possible [classes|answers]: {l}. Answer with exactly one.
[Decide|Say] whether it is {o}.
Your options are {l}. [Reply|Answer] with the option only.
[Sort|Put] [it|the message] into one of these groups: {l}
Category ({l})?
Give the {k}: {l}.
What is the {k}? Choose from {l}.
{k}: {l}?
Determine the {k}. Allowed: {l}.
Text classification. {k}, one of {l}.
Return the matching {k} out of {l}.
""")
AS_JSON = Pool("""
Answer as JSON with the key "{k}".
JSON: one key, "{k}".
Reply with a JSON object whose only key is "{k}".
Put it in JSON under "{k}".
""")
# What is asked for -> label -> templates. Slots: {x} thing, {p} person, {c} place, {f} food, {n} number, {s} subject.
THEMES: dict[str, dict[str, Pool]] = {
    "sentiment": {
        "positive": Pool("""
I [love|adore] this {x}.
the {x} [works|looks] [wonderful|perfect|great]
what a [lovely|splendid|beautiful] day at the {c}
best {f} I have had [in years|this year]
{p} was so kind to us
[very|really] happy with the {x}, would buy again
the {c} is [clean and bright|a joy|worth the trip]
thank you {p}, that was [perfect|a great help]
nothing to complain about, the {f} was excellent
a pleasure from start to end
        """),
        "negative": Pool("""
I [hate|dislike] this {x}.
the {x} broke [at once|after {n} days]
what a [dreadful|boring|wasted] day at the {c}
worst {f} I have ever tasted
{p} was rude to us
[very|really] unhappy with the {x}, never again
the {c} is [dirty and dark|a disgrace|not worth the trip]
no help from {p} at all, [terrible|shameful]
the {f} was cold and the bill was wrong
a disappointment from start to end
        """),
        "neutral": Pool("""
the {x} is [in|by] the {c}
the {c} opens at {n}
I bought {f} and a {x}
{p} went to the {c}
the box holds {n} pieces
there are {n} chairs in the {c}
the {x} was delivered on Monday
{p} has a {x}
        """),
    },
    "topic": {
        "food": Pool("""
how long should I cook {f}
the {f} needs more salt
a recipe for {f} with {n} eggs
we ate {f} and drank tea
this bakery sells fresh {f}
bake the {f} for {n} minutes
        """),
        "travel": Pool("""
our train to {t} leaves at {n}
we fly to {t} in June
pack the passports for {t}
a week in {t} by the sea
the hotel in {t} has {n} rooms
we missed the boat to {t}
        """),
        "sport": Pool("""
we won the match by {n} goals
{p} ran {n} kilometres
the team trains on Fridays
{p} scored in the last minute
the race starts at the stadium
a new record in the long jump
        """),
        "money": Pool("""
the bank charged me {n} euros
{p} still owes me {n} pounds
prices rose by {n} percent
how do I open a savings account
the rent is due on the first
{p} paid the bill with a card
        """),
        "weather": Pool("""
it will rain in {t} [all day|tomorrow]
{n} degrees and sunny in {t}
a storm is coming from the west
thick fog over {t} this morning
snow fell on the hills last night
the wind tore down the fence
        """),
        "health": Pool("""
{p} has a fever and a cough
take {n} drops before meals
the doctor told {p} to rest
my back hurts after work
{p} broke an arm at the {c}
the wound has healed well
        """),
        "music": Pool("""
{p} plays the violin
the choir sings at the {c}
a concert with {n} drummers
the new song by {p} is out
tune the guitar before you start
we danced to the old band
        """),
        "school": Pool("""
{p} failed the test in {s}
homework in {s} is due Monday
the teacher explained {s} again
{n} pupils passed the exam
my essay on {s} is too long
the term ends in {n} weeks
        """),
        "animals": Pool("""
the {a} hid under the bed
we saw a {a} at the river
feed the {a} {n} times a day
a {a} crossed the road
{p} found a young {a}
the {a} sleeps all winter
        """),
        "garden": Pool("""
the roses need water
{p} planted {n} trees
cut the hedge in autumn
the soil is too dry for tulips
weeds grow between the stones
sow the seeds in rows
        """),
    },
    "urgency": {
        "urgent": Pool("""
[help|come quickly], water is running into the {c}
I need the {x} [right now|within the hour]
the {c} is on fire
{p} cannot wait, [call back at once|it is an emergency]
this must be fixed today, everything has stopped
drop everything, the {x} is leaking
        """),
        "not urgent": Pool("""
no hurry about the {x}
whenever you have time, look at the {x}
some day we could paint the {c}
it can wait until next [month|year]
just an idea for later: a new {x}
take your time with the {f}
        """),
    },
    "intent": {
        "question": Pool("""
where is the {c}[?|]
do you sell {f}[?|]
how much is the {x}[?|]
what time does the {c} open[?|]
who is {p}[?|]
can one learn {s} here[?|]
        """),
        "request": Pool("""
please send me the {x}
could you bring {f}
I would like a {x}
tell {p} to call me
put {n} {f} aside for me
please book the {c} for us
        """),
        "complaint": Pool("""
the {x} arrived broken
nobody answered my letter about the {x}
I waited {n} hours at the {c}
the {f} was rotten
you sent the wrong {x} again
the {c} was closed without notice
        """),
        "thanks": Pool("""
thank you for the {x}
many thanks to {p} for the help
that was kind of you
we are grateful for the {f}
thanks a lot, it works now
I owe you one, {p}
        """),
        "greeting": Pool("""
hello {p}
good morning everyone
hi there, how are you
good evening from {t}
hey {p}, nice to see you
welcome back, {p}
        """),
        "farewell": Pool("""
goodbye {p}
see you at the {c}
bye for now
good night, all
until next week, {p}
take care, {p}
        """),
    },
    "place": {
        "indoors": Pool("""
{p} sat by the stove
the {x} stands in the bedroom
we played cards at the kitchen table
the carpet needs a wash
{p} took a bath
it is warm behind these windows
        """),
        "outdoors": Pool("""
{p} slept in a tent
we swam in the lake
the path leads over the hill
a {a} ran across the field
they sat around the camp fire
the wind blew off my hat on the bridge
        """),
    },
    "speaker": {
        "guest": Pool("""
I would like to see the menu
do you have a free room
the soup is cold
may I have the bill
we booked a table for {n}
is breakfast included
        """),
        "host": Pool("""
your table is ready
how was your stay with us
may I take your order
the kitchen closes at {n}
here is the key to your room
we have no free rooms tonight
        """),
    },
}
_NAMES = {
    "sentiment": ("sentiment", "tone", "mood"),
    "topic": ("topic", "subject", "theme"),
    "urgency": ("urgency", "priority"),
}


def make(d: Draw) -> tuple[Message, ...]:
    theme = d.of(("topic", "topic", "topic", *THEMES))
    labels = THEMES[theme]
    chosen = d.rng.sample(tuple(labels), d.num(2, min(6, len(labels))))
    target = d.of(chosen)
    text = _text(d, labels[target])
    shout = d.chance(0.08)
    shown = [label.upper() if shout else label for label in chosen]
    answer = shown[chosen.index(target)]
    sep = d.of((", ", ", ", " / ", " | ", "; "))
    listed = dumps(shown) if d.chance(0.12) else sep.join(shown)
    key = d.of(_NAMES.get(theme, (theme, "label", "class", "category")))
    either = ", ".join(shown[:-1]) + " or " + shown[-1]
    ask = d.say(ASK, l=listed, o=either, k=key)
    if d.chance(0.2):
        ask = f"{ask.rstrip('.')}. {d.say(AS_JSON, k=key)}"
        answer = dumps({key: answer})
    return talk(d, ask, text, answer, system=0.4)


def _text(d: Draw, pool: Pool) -> str:
    lines = [d.say(pool, **_slots(d))]
    if d.chance(0.25):
        lines.append(d.say(pool, **_slots(d)))
    text = d.of((". ", ", ")).join(made.fix_articles(x.rstrip(".")) for x in dict.fromkeys(lines))
    if d.chance(0.6):
        text = text[0].upper() + text[1:] + ("" if text.endswith("?") else d.of((".", ".", "", "!")))
    return text


def _slots(d: Draw) -> dict[str, object]:
    return {
        "x": made.thing(d),
        "p": made.first(d),
        "c": d.pick(places.VENUE),
        "t": d.pick(places.CITY),
        "f": d.pick(things.FOOD),
        "a": d.pick(things.ANIMAL),
        "s": d.pick(things.SUBJECT),
        "n": d.num(2, 12),
    }
