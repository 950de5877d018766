"""The practice data: the same for a seed, train and test apart, answers that parse, sane lengths."""

import json
import random
import re
from itertools import islice

import pytest

from recipes.nano.practice import SENTENCES, SKILLS, reading, stream
from recipes.nano.practice.core import Draw, Pool, _parse
from recipes.nano.practice.noise import rough
from recipes.nano.practice.tools import TOOLS

HELD_BACK = {"light", "lights", "lamp", "thermostat", "heating", "blind", "blinds", "lock", "unlock", "door", "vacuum"}


def samples(name, split="train", count=200):
    rng = random.Random(7)
    return [SKILLS[name](rng, split, SENTENCES) for _ in range(count)]


def expansions(parts):
    """Every wording of a template; slots stay as they are."""
    found = [""]
    for part in parts:
        if type(part) is str:
            options = [part]
        elif isinstance(part, str):
            options = ["{" + part + "}"]
        else:
            options = [text for choice in part for text in expansions(choice)]
        found = [head + tail for head in found for tail in options]
    return found


def test_the_same_seed_gives_the_same_samples():
    first, again, other = (list(islice(stream(seed, "train", SENTENCES), 200)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_no_wording_of_a_train_template_is_one_of_test():
    sides = []
    for split in ("train", "test"):
        templates = (line for pool in Pool.every if not pool.words for line in pool.side(split))
        sides.append({text.strip().lower() for line in templates for text in expansions(_parse(line))})
    assert sorted(sides[0] & sides[1]) == []


def test_no_word_of_train_is_one_of_test():
    train, test = ({w.lower() for p in Pool.every if p.words for w in p.side(split)} for split in ("train", "test"))
    assert not train & test
    assert len(test) > 0.15 * len(train)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", sorted(SKILLS))
def test_samples_are_sound(name, split):
    for sample in samples(name, split):
        assert sample.skill == name
        assert [m.role for m in sample.messages][-1] == "assistant"
        assert all(m.content and re.search(r"\S", m.content) for m in sample.messages)
        assert all(m.content == m.content.strip() for m in sample.messages if m.role == "assistant")
        assert 5 < sum(len(m.content) for m in sample.messages) < 2600


@pytest.mark.parametrize("name", ["extract", "schema", "turns"])
def test_json_answers_parse(name):
    for sample in samples(name):
        answer = sample.messages[-1].content
        assert json.dumps(json.loads(answer), ensure_ascii=False) == answer


def test_calls_name_a_tool_of_the_system_message():
    for sample in samples("tools"):
        first = next(at for at, m in enumerate(sample.messages) if m.role == "assistant")
        answer, before = sample.messages[first].content, sample.messages[0].content
        if answer[0] not in "{[" or ("\n" not in before and "tool" not in before):
            continue  # a refusal in words, or tools shown by earlier turns
        calls = json.loads(answer)
        for call in calls if isinstance(calls, list) else [calls]:
            assert (call.get("tool") or call.get("name") or "") in before


def test_slips_leave_the_values_alone():
    draw = Draw(random.Random(3), "train", SENTENCES)
    told = [
        rough(draw, "Please remind Wanda Ng about the blue kettle, now.", ["Wanda Ng", "blue kettle"])
        for _ in range(300)
    ]
    assert all("Wanda Ng" in text and "blue kettle" in text for text in told)
    assert 0.3 < sum("Please remind" not in text for text in told) / len(told) < 0.7


def test_one_in_five_documents_is_long():
    draw = Draw(random.Random(3), "train", SENTENCES)
    lengths = [len(reading.document(draw)[1]) for _ in range(400)]
    assert 0.12 < sum(length > 900 for length in lengths) / len(lengths) < 0.28
    assert max(lengths) < 1700


def test_the_tools_held_back_are_absent():
    assert len(TOOLS) >= 60
    assert not {word for tool in TOOLS for word in tool.name.split("_")} & HELD_BACK
