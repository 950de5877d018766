"""Practice over several turns: values given one by one, corrected, and written down at the end."""

from __future__ import annotations

from typing import Any

from .core import Draw, Message, Pool, dumps
from .extracting import keys_text
from .fields import Field, pick_fields
from .tools import ALL_KINDS

RULE = Pool("""
Collect {keys}. Ask for what is missing; then [answer|reply] with JSON.
You fill [in |]a record with {keys}. When all are known, give the JSON.
Needed: {keys}. Ask until complete, then write the JSON object.
Gather {keys} from the user, one question at a time. Last message: JSON.
Take down {keys}. Once you have them all, output JSON.
The form has {keys}. Ask for open fields, end with JSON.
""")
START = Pool("""
[Hello there|Hi there|Good day], {c}
{c}
[I want to|Let me] tell you something: {c}
[A new entry|New record], {c}
[Please|Kindly] take this down: {c}
for the record, {c}
[So then|Well then]: {c}
""")
NEED = Pool("""
[What is|And] the {k}?
[Which|What] {k}?
{k}?
Please tell me the {k}.
I still need the {k}.
May I have the {k}?
[Thanks|Noted]. The {k}?
[Good|Fine]. And the {k}?
""")
GIVE = Pool("""
{v}
{v}
{v}, please
[it is|that is|it's] {v}
{v}.
[oh|ah|right], {v}
I'd say {v}
[let me see|one moment], {v}
make that {v}
the {k} is {v}
""")
FIX = Pool("""
[no|sorry|wait|oh], make [the {k}|that] {v}
[actually|correction], {k} {v}
[I was wrong|my mistake], the {k} is {v}
change the {k} to {v}
not that, {v} as the {k}
[hold on|stop], {v} for the {k}
{k} should be {v} [instead|after all]
let's have {v} as the {k} [instead|]
on second thoughts, {k}: {v}
""")
DROP = Pool("""
leave out the {k}
forget the {k}
no {k} after all
drop the {k}
the {k} is not needed any more
""")


def make(d: Draw) -> tuple[Message, ...]:
    fields: dict[str, Field] = pick_fields(d, 2, 4)
    values = {k: ALL_KINDS[f.kind](d) for k, f in fields.items()}
    keys = list(fields)
    messages = [Message("system", d.say(RULE, keys=keys_text(d, keys)))]
    given = d.num(1, max(1, len(keys) - 1))
    told = d.shuffled(keys)[:given]
    clauses = [d.say(fields[k].clauses, v=values[k][0]) for k in told]
    messages.append(Message("user", d.say(START, c=d.of((", ", " and ", ". ")).join(clauses))))
    for key in (k for k in keys if k not in told):
        messages.append(Message("assistant", _cap(d.say(NEED, k=_spoken(key)))))
        messages.append(Message("user", d.say(GIVE, k=_spoken(key), v=values[key][0])))
    record: dict[str, Any] = {k: values[k][1] for k in keys}
    messages.append(Message("assistant", dumps(record)))
    for _ in range(d.of((0, 1, 1, 2))):
        key = d.of(tuple(record))
        if d.chance(0.15) and len(record) > 1:
            record = {k: v for k, v in record.items() if k != key}
            messages.append(Message("user", d.say(DROP, k=_spoken(key))))
        else:
            said, value, _ = ALL_KINDS[fields[key].kind](d)
            record = record | {key: value}
            messages.append(Message("user", d.say(FIX, k=_spoken(key), v=said)))
        messages.append(Message("assistant", dumps(record)))
    return tuple(messages)


def _spoken(key: str) -> str:
    return key.replace("_", " ")


def _cap(text: str) -> str:
    return text[0].upper() + text[1:]
