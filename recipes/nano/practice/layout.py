"""How an instruction and its text become messages: many system messages, many frames, many orders."""

from __future__ import annotations

from .core import Draw, Message, Pool

SYSTEM = Pool("""
You are a [helpful|careful|precise|friendly|quiet] assistant.
You are [a small|an] assistant that [does exactly what is asked|follows instructions to the letter|answers briefly].
Answer [briefly|shortly|with the answer only|in as few words as possible].
Reply with the answer [only|and nothing else|alone].
Be [exact|precise|concise|brief].
You help with text.
Do not explain. Give [just|only] the result.
Follow the user's instruction.
Output only what was asked for.
You are a text tool. [Each|Every] message holds a task; return its result.
No extra words.
Work carefully and copy names, numbers and spellings exactly as they stand.
Give the result without [comments|remarks|an introduction].
You are Wren, an assistant for [small|everyday] text tasks.
You are a clerk who never changes a letter of what is given.
Keep to the facts in the text.
""")
FRAMES = Pool(r"""
{ask}\n\n{text}
{ask}\n{text}
{ask}\nText: {text}
{ask}\n\nText:\n{text}
{ask}\n\n"{text}"
{text}\n\n{ask}
{text}\n{ask}
Text: {text}\n\n{ask}
{ask}\n---\n{text}
{ask}\n---\n{text}\n---
---\n{text}\n---\n{ask}
{ask}\n\nInput: {text}
Input: {text}\n{ask}
{ask}\n<text>\n{text}\n</text>
<input>{text}</input>\n{ask}
Task: {ask}\nInput: {text}
### Task\n{ask}\n\n### Text\n{text}
### {ask}\n{text}
{ask}\n"{text}"
{ask}\n\n> {text}
Here is a text:\n{text}\n\n{ask}
{text}\n---\n{ask}
{ask}\n\nHere it is: {text}
{ask}\nMessage: {text}
From the text below: {ask}\n\n{text}
""")
FRAMES_ONE_LINE = Pool(r"""
{ask} {text}
{ask} "{text}"
{ask}: {text}
{ask} -> {text}
({ask}) {text}
{text} - {ask}
{text} ({ask})
{text}\n{ask}
""")


def _lines(template: str) -> str:
    return template.replace("\\n", "\n")


def talk(d: Draw, ask: str, text: str | None, answer: str, *, system: float = 0.25) -> tuple[Message, ...]:
    """Messages of one exchange. The instruction stands in the user's message or, at times, in the system's."""
    if text is None:
        head = (Message("system", d.say(SYSTEM)),) if d.chance(system * 0.6) else ()
        return (*head, Message("user", ask), Message("assistant", answer))
    if d.chance(system):
        head = ask if d.chance(0.7) else f"{d.say(SYSTEM)} {ask}"
        return (Message("system", head), Message("user", text), Message("assistant", answer))
    short = len(ask) + len(text) < 110 and "\n" not in text
    pool = FRAMES_ONE_LINE if short and d.chance(0.4) else FRAMES
    frame = _lines(d.pick(pool))
    if pool is FRAMES_ONE_LINE:
        ask = ask.rstrip(".:")
    user = frame.replace("{ask}", ask).replace("{text}", text, 1)
    head = (Message("system", d.say(SYSTEM)),) if d.chance(0.15) else ()
    return (*head, Message("user", user), Message("assistant", answer))
