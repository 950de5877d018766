"""How people wrap a command, and how system messages state the rules of tool calls."""

from __future__ import annotations

from .core import Pool

COMMAND = Pool("""
{c}
{c}
{c}
{c}.
{c}!
please {c}
{c}, please
[can|could|would] you {c}?
[could|would] you please {c}?
hey, {c}
ok {c}
[um|so|right|well], {c}
I need you to {c}
I'd like you to {c}
go ahead and {c}
[kindly|quickly|just] {c}
[can|could] you {c} for me
when you get a chance, {c}
{c} [thanks|thank you|cheers]
{c}, [it's urgent|no rush|if you can]
Hello, {c}.
listen, {c}
one more thing: {c}
let's {c}
do me a favour and {c}
I was wondering if you could {c}
[now|then|next], {c}
[my hands are full|I'm driving|I'm in a hurry], {c}
we should {c}
be so kind and {c}
umm, {c}
uh, {c} [please|thanks]
hey, could you please {c}?
so um, {c}, thanks
hiya, {c}
{c}, thanks a lot
could you maybe {c}
""")
STATEMENT = Pool("""
{c}
{c}
{c} ...
hey there: {c}
[erm|oh|yes|yeah|okay], {c}
{c} [many thanks|please and thanks]
Hi. {c}
another thing, {c}
[I'm in a hurry|quick one]: {c}
[look here|you know], {c}
by the way, {c}
{c} [if you can|now]
""")
LEAD = Pool("""
The children are asleep at last.
What a day it was.
It is pouring outside.
I just got home.
We had a long talk about it.
I keep forgetting things.
My sister reminded me.
The bus was late again.
I found my glasses.
Good morning!
Good evening.
Not sure how this works.
First time I use this.
I hope you can hear me.
Back again.
Me again.
Thanks for the last one.
That worked well.
Perfect so far.
Great.
It is getting late.
I have little time.
My phone is nearly empty.
We are leaving soon.
""")
OFFTOPIC = Pool("""
[why is the sky blue|who wrote this song|how old is the moon]?
tell me a [joke|story|riddle][ about {x}|]
what do you think [of|about] {x}?
{x}
how are you [today|]?
sing [something|a song about {x}]
I don't feel like doing anything
what is your favourite {x}?
do you like {x}?
never mind, I was thinking aloud about {x}
write a poem about {x}
is it true what they say about {x}?
{x} is [nice|awful|odd], isn't it
""")
RULES = {
    "tool": Pool("""
Answer with JSON: <"tool": name, "arguments": <...>>.
[Choose|Pick] [the right|one] tool and [answer|reply] as <"tool": "...", "arguments": <...>>.
Turn the command into a tool call: <"tool": ..., "arguments": ...>.
Reply only with a JSON object with "tool" and "arguments".
You map [commands|requests] to tools. Output: <"tool": "name", "arguments": <>>.
Output one JSON object holding the keys tool and arguments.
[Call|Use] a tool by writing <"tool": "<name>", "arguments": <"arg": value>>.
For each message, write the call as JSON with the keys "tool" and "arguments", nothing else.
    """),
    "name": Pool("""
Answer with JSON: <"name": name, "arguments": <...>>.
[Choose|Pick] a function and reply as <"name": "...", "arguments": <...>>.
Function calls look like <"name": ..., "arguments": ...>.
Reply only with a JSON object with "name" and "arguments".
Output one JSON object holding the keys name and arguments.
[Call|Use] a function by writing <"name": "<function>", "arguments": <>>.
    """),
}
NONE = {
    "json": Pool("""
If no tool fits, answer <none>.
When nothing fits: <none>.
Use <none> if no tool can help.
No matching tool? Write <none>.
Otherwise <none>.
    """),
    "words": Pool("""
If no tool fits, say "{no}"
When nothing fits, reply: {no}
No matching tool? Answer with the sentence "{no}"
Otherwise write "{no}"
    """),
}
SORRY = Pool("""
I cannot do that.
No tool for that.
Sorry, I can't help with this.
That is not something I can do.
There is no tool for this.
I have no tool that fits.
Not possible with my tools.
none
""")
HEAD = Pool(r"""
Tools:\n
You have these tools:\n
Available [tools|functions]:\n
[Functions|Tools] you [can|may] [call|use]:\n
You are an assistant with tools.\n
You control [an app|a phone|a program] through these [calls|tools]:\n
# Tools\n
Commands:\n
The following [tools|functions] exist:\n
""")
TWO = Pool("""
[Write|Give] a JSON list if there are [two|several] calls.
[Several|Two] calls go in a JSON list.
More than one call: use an array.
A list of calls is allowed[ when needed|].
Put many calls in an array, in order.
""")
JOIN = Pool("""
{a} and {b}
{a}, then {b}
{a}. Also, {b}
{a} and also {b}
{a}; {b}
first {a}, after that {b}
{a}, and while you are at it {b}
{a}. And {b}
""")
OK = Pool("""
Done[, {v}|: {v}|].
[All set|That is set|Saved|Noted]: {v}.
OK, {v}.
I have taken care of {v}.
Finished with {v}.
{v}: done.
""")
FAILED = Pool("""
That did not work: {e}.
Sorry, {e}.
It failed, {e}.
No luck: {e}.
I could not do it: {e}.
""")
ERRORS = Pool("""
not found
no connection
already taken
access denied
the service is closed
nothing matches
too many requests
the account is locked
out of range
""")
