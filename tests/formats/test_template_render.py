"""What a template writes is what transformers lets it write; and no way out of the sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.core.errors import InputError, ModelFileError
from linnet.formats.template_render import ChatTemplate, folder_template
from tests.tiny_decoder import tiny_decoder

TALK = [("system", "Be <short> & 'exact'."), ("user", "naïve 🙂"), ("assistant", "ok")]
SOURCES = [
    "{% for m in messages %}\n    {% if m.role == 'user' %}\n{{ m | tojson }}\n    {% continue %}\n{% endif %}"
    "{{ m.content }}{% endfor %}",
    "{{ bos_token }}{% for m in messages %}{% generation %}{{ m['content'] | trim }}{% endgeneration %}{% endfor %}",
    "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}"
    "{% if tools is defined and tools %}t{% endif %}{{ add_generation_prompt }}",
]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("asks", [True, False])
def test_the_text_is_that_of_transformers(source: str, asks: bool) -> None:
    pytest.importorskip("torch")
    from transformers.utils.chat_template_utils import render_jinja_template

    messages = [{"role": role, "content": content} for role, content in TALK]
    expected = render_jinja_template([messages], chat_template=source, add_generation_prompt=asks, bos_token="<s>")
    ours = ChatTemplate(source, {"bos_token": "<s>"}).render(TALK, add_generation_prompt=asks)
    assert [ours] == expected[0]


def test_the_day_does_not_change() -> None:
    assert ChatTemplate("{{ strftime_now('%d %b %Y') }}").render([]) == "26 Jul 2024"


@pytest.mark.parametrize(
    "source", ["{{ messages.append(1) }}", "{{ messages[0].content.nothing.at_all }}", "{{ 1 / 0 }}"]
)
def test_what_a_template_may_not_do_is_an_error_of_the_tree(source: str) -> None:
    with pytest.raises(InputError, match="the chat template refuses these messages"):
        ChatTemplate(source).render(TALK)


def test_a_folder_gives_its_template_or_says_that_it_has_none(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    base = tiny_decoder(tmp_path / "base")
    found = folder_template(base)
    assert found.tokens == {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>", "pad_token": "<|pad|>"}
    assert found.render(TALK[1:2]) == "<|im_start|>user\nnaïve 🙂<|im_end|>\n"
    (base / "chat_template.jinja").unlink()
    with pytest.raises(ModelFileError, match="has no chat template"):
        folder_template(base)
