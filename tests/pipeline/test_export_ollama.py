"""A Modelfile says what the model's own template says, or it says nothing of it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from linnet.core.errors import InputError
from linnet.core.records import Preset
from linnet.formats.builtin import RUNNABLE, our_model
from linnet.formats.gguf import STRING
from linnet.formats.modelfile import read_modelfile
from linnet.formats.named_templates import CHATML, PLAIN
from linnet.formats.template_render import ChatTemplate
from linnet.pipeline.export_ollama import Ask, keeps_spaces, modelfile, pieces_of
from tests.gguf_files import tiny

BOS = (
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
TRIMMED = CHATML.replace("{{- message['content'] }}", "{{- message['content'] | trim }}")
INST = (
    "{% if messages[0]['role'] == 'system' %}{% set told = '<<SYS>>' + messages[0]['content'] + '<</SYS>>' %}"
    "{% else %}{% set told = '' %}{% endif %}{% for m in messages %}{% if m['role'] == 'user' %}"
    "{{ '[INST] ' + (told if loop.first else '') + m['content'] + ' [/INST]' }}{% elif m['role'] == 'assistant' %}"
    "{{ m['content'] + '</s>' }}{% endif %}{% endfor %}"
)
DEFAULT = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are helpful.<|im_end|>\n' }}{% endif %}"
    + CHATML
)
NO_SYSTEM = "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('none') }}{% endif %}" + (
    "{{ '<' + m['role'] + '>' + m['content'] }}{% endfor %}{{ '<assistant>' }}"
)
UPPER = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] | upper + '\n' }}{% endfor %}{{ 'assistant: ' }}"
FORGETS = CHATML.replace("{%- for message in messages %}", "{%- for message in messages[-2:] %}")
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def chats(count: int) -> list[list[tuple[str, str]]]:
    """Chats of several lengths, with and without a system text, with marks of every kind in them."""
    chance, made = random.Random(4), []
    for _ in range(count):
        said = ["".join(chance.choice('ab é\n{}"<|>') for _ in range(chance.randint(1, 30))) for _ in range(8)]
        said = [f"x{one}x" for one in said]
        turns = [("user" if n % 2 == 0 else "assistant", one) for n, one in enumerate(said[: chance.choice([1, 3, 5])])]
        made.append([("system", said[-1]), *turns] if chance.random() < 0.5 else turns)
    return made


def rendered(template: str, chat: Sequence[tuple[str, str]]) -> str:
    """What Go's text/template makes of the few actions that are written here."""
    parts = re.findall(r'\{\{ ((?:"(?:[^"\\]|\\.)*"|[^"}])*) \}\}', template)
    assert re.sub(r'\{\{ ((?:"(?:[^"\\]|\\.)*"|[^"}])*) \}\}', "", template) == ""  # nothing else stands there
    begin, end = parts.index("range .Messages"), len(parts) - 1 - parts[::-1].index("end")

    def plain(found: Sequence[str]) -> str:
        return "".join(json.loads(one) for one in found)

    out = plain(parts[:begin])
    for role, content in chat:
        taken = False
        for one in parts[begin + 1 : end - 1]:
            if "if eq .Role" in one:
                taken = one.endswith(f'"{role}"')
            elif taken:
                out += content if one == ".Content" else json.loads(one)
    return out + plain(parts[end + 1 :])


@pytest.mark.parametrize("source", [CHATML, PLAIN, BOS, TRIMMED], ids=["chatml", "plain", "bos", "trimmed"])
def test_a_template_that_is_written_says_the_same(source: str) -> None:
    template = ChatTemplate(source, TOKENS)
    pieces = pieces_of(template)
    assert pieces is not None
    for chat in chats(40):
        asked = template.render(chat, add_generation_prompt=True)
        assert pieces.render(chat) == asked
        assert rendered(pieces.template(pieces.start), chat) == asked
    assert keeps_spaces(template, pieces) == (source != TRIMMED)


@pytest.mark.parametrize(
    "source", [INST, DEFAULT, NO_SYSTEM, UPPER, FORGETS], ids=["inst", "default", "no system", "upper", "forgets"]
)
def test_a_template_that_does_more_is_not_written(source: str) -> None:
    assert pieces_of(ChatTemplate(source, TOKENS)) is None


def gguf(path: Path, source: str, **keys: object) -> Path:
    return tiny(path, **{"tokenizer.chat_template": (STRING, source), **keys})


def test_the_modelfile_of_a_model_of_ours() -> None:
    said, notes = modelfile(
        Path(our_model(RUNNABLE["builtin:nano"]).path), "model.gguf", "", Ask(system="Be brief.", greedy=True)
    )
    found = read_modelfile(said)
    assert notes == []
    assert (found.base, found.system) == ("./model.gguf", "Be brief.")
    assert found.parameters["stop"] == ("<|im_end|>",)
    assert found.parameters["temperature"] == 0
    assert rendered(found.template or "", [("user", "hi")]) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_what_cannot_be_said_is_a_note_and_no_template(tmp_path: Path) -> None:
    said, notes = modelfile(gguf(tmp_path / "m.gguf", UPPER), "m.gguf", "", Ask())
    assert read_modelfile(said).template is None
    assert any("compare answers" in note for note in notes)


def test_a_beginning_that_the_tokenizer_adds_is_not_written_twice(tmp_path: Path) -> None:
    """The tiny model's tokenizer is of the kind that adds its BOS."""
    path = gguf(tmp_path / "m.gguf", BOS)
    found = read_modelfile(modelfile(path, "m.gguf", "", Ask())[0])
    assert "<s>" not in rendered(found.template or "", [("user", "hi")])
    assert rendered(found.template or "", [("user", "hi")]).startswith("<|user|>\nhi")


def test_schema_shots_and_preset_are_told(tmp_path: Path) -> None:
    preset = Preset(
        base="x", system="Old.", parameters={"stop": ("END",), "temperature": 0.5}, messages=(("user", "q"),)
    )
    schema = json.dumps({"type": "object", "title": 'line\n"""END'})
    ask = Ask(system="New.", shots=(("user", "a"), ("assistant", "b")), schema=schema, max_tokens=9, preset=preset)
    said, notes = modelfile(gguf(tmp_path / "m.gguf", CHATML), "m.gguf", "adapter.gguf", ask)
    found = read_modelfile(said)
    assert (found.system, found.adapter) == ("New.", "./adapter.gguf")
    assert found.messages == (("user", "a"), ("assistant", "b"), ("user", "q"))
    assert found.parameters["stop"][-1] == "END"
    assert (found.parameters["temperature"], found.parameters["num_predict"]) == (0.5, 9)
    comment = said.splitlines()[-1]
    assert json.loads(comment.removeprefix("# ")) == json.loads(schema)
    assert any("format" in note for note in notes)


def test_a_text_that_would_end_its_quotes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can not stand"):
        modelfile(gguf(tmp_path / "m.gguf", CHATML), "m.gguf", "", Ask(system='x """\nPARAMETER num_ctx 1'))
