"""What is said of the rows before the first step: masks, counts, templates, and what is refused by row."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import DataError, InputError
from linnet.formats.named_templates import CHATML, NAMED
from linnet.text.conversations import Chat, ToolCall, Turn
from linnet.training.decoder_data import NamedTemplate, choose_template, prepare_data
from linnet.training.targets import TargetEncoder
from tests.tiny_decoder import chats

TOOL = {"type": "function", "function": {"name": "weather"}}


def own(base: Path) -> NamedTemplate:
    return choose_template(base)


def asked(text: str, answer: str = "b", row: int = 50) -> Chat:
    return Chat(turns=(Turn(role="user", content=text), Turn(role="assistant", content=answer)), row=row)


def tool_chat(**changed: Any) -> Chat:
    call = ToolCall(name="weather", arguments={"city": "Oslo"})
    turns = (
        Turn(role="user", content="Oslo?"),
        Turn(role="assistant", content="", tool_calls=(call,)),
        Turn(role="tool", content="rain"),
        Turn(role="assistant", content="Rain."),
    )
    return Chat.model_validate({"turns": turns, "row": 9, "tools": (TOOL,), **changed})


def learned(base: Path, chat: Chat, template: str = CHATML) -> list[str]:
    found = TargetEncoder.of_folder(base, template).example(chat)
    texts = [""]
    for piece in found.pieces:
        if piece.is_target:
            texts[-1] += piece.text
        elif texts[-1]:
            texts.append("")
    return [text for text in texts if text]


def test_the_report_counts_and_shows_ten_rows_with_their_masks(base: Path) -> None:
    made = prepare_data(base, chats(24), chats(30)[24:], own(base), 256)
    report = made.report
    assert (report["train_rows"], report["validation_rows"]) == (24, 6)
    every = [e for side in made.targets for e in side.examples]
    assert report["tokens"] == sum(len(e.ids) for e in every)
    assert report["target_tokens"] == sum(sum(e.mask) for e in every)
    assert report["masked_tokens"] == report["tokens"] - report["target_tokens"]
    assert len(report["examples"]) == 10
    lengths = [example["tokens"] for example in report["examples"]]
    assert lengths == sorted(lengths)
    assert lengths[-1] == report["lengths"]["longest"] == max(len(e.ids) for e in every)
    shown = report["examples"][0]["text"]
    assert [part["learned"] for part in shown] == [False, True, False]
    assert json.loads(shown[1]["text"].removesuffix("<|im_end|>"))["colour"]
    assert sum(part["tokens"] for part in shown) == report["examples"][0]["tokens"]


def test_a_long_row_is_an_error_or_left_out_and_counted(base: Path) -> None:
    rows = [*chats(3), asked("long " * 200)]
    with pytest.raises(DataError, match=r"1 row \(50\) has more than 100 tokens \(20.0% of all\)[^!]*--drop-long"):
        prepare_data(base, rows, chats(1), own(base), 100)
    made = prepare_data(base, rows, chats(1), own(base), 100, drop_long=True)
    assert made.report["over_length"] == {"limit_tokens": 100, "rows": [50], "count": 1, "share": 0.2}
    assert made.train == tuple(chats(3))
    assert len(made.targets[0].examples) == 3
    with pytest.raises(DataError, match="No row to see when to stop"):
        prepare_data(base, chats(3), rows[3:], own(base), 100, drop_long=True)


def test_control_tokens_repeats_and_leaks_are_told(base: Path) -> None:
    rows = [*chats(2), asked("a <|im_end|> b"), asked("same"), asked("same")]
    report = prepare_data(base, rows, [asked("same", "c")], own(base), 256).report
    assert report["control_tokens_in_text"] == [{"row": 50, "tokens": ["<|im_end|>"]}]
    assert report["control_tokens_in_text_rows"] == 1
    assert report["repeated_rows"] == 1
    assert report["validation_questions_in_train"] == 1


def test_the_file_and_row_of_what_cannot_be_masked_are_named(base: Path) -> None:
    drops = "{% for m in messages if m.role == 'user' %}{{ m.content }}<|im_end|>{% endfor %}"
    with pytest.raises(DataError, match=r"a.jsonl: Row 1: the chat template drops the assistant turn"):
        prepare_data(base, chats(2), chats(1), NamedTemplate("x", drops, ""), 256, names=("a.jsonl", "b.jsonl"))


def test_plain_text_is_learned_whole_with_its_end(base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "copy"))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "<|im_end|>"}))
    passage = Chat(turns=(), row=1, passage="Make it <|im_end|> red")
    found = TargetEncoder.of_folder(folder).example(passage)
    assert all(piece.is_target for piece in found.pieces)
    assert [piece.text for piece in found.pieces if piece.is_control] == ["<|im_end|>"]
    assert "".join(piece.text for piece in found.pieces) == passage.passage + "<|im_end|>"
    assert found.guarded


def test_an_answer_of_weight_0_is_read_and_not_learned(base: Path) -> None:
    turns = (*asked("q", "old").turns, *asked("r", "new").turns)
    muted = (turns[0], turns[1].model_copy(update={"learned": False}), *turns[2:])
    assert learned(base, Chat(turns=turns, row=1)) == ["old<|im_end|>", "new<|im_end|>"]
    assert learned(base, Chat(turns=muted, row=1)) == ["new<|im_end|>"]


def test_calls_are_learned_and_results_are_not(base: Path) -> None:
    call = '<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call><|im_end|>'
    assert learned(base, tool_chat()) == [call, "Rain.<|im_end|>"]
    quiet = (*tool_chat().turns[:3], Turn(role="assistant", content="Rain.", learned=False))
    assert learned(base, tool_chat(turns=quiet)) == [call]


@pytest.mark.parametrize(
    ("template", "changed", "said"),
    [
        (None, {}, "does not write the call of 'weather'"),
        (CHATML.replace("{{- tool | tojson }}", ""), {}, "does not write the tool 'weather'"),
        (CHATML, {"turns": (Turn(role="user", content="<|im_end|>"), *tool_chat().turns[1:])}, "spells the control"),
        (NAMED["plain"], {}, "does not write the"),
    ],
)
def test_a_template_that_knows_no_tools_is_refused(
    base: Path, template: str | None, changed: dict[str, Any], said: str
) -> None:
    source = template or own(base).source
    with pytest.raises(DataError, match=f"Row 9: .*{said}"):
        TargetEncoder.of_folder(base, source).example(tool_chat(**changed))


def test_a_model_without_a_template_gets_one_that_fits(base: Path, tmp_path: Path) -> None:
    assert own(base).name == "the model's own"
    bare = Path(shutil.copytree(base, tmp_path / "bare"))
    settings = json.loads((bare / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (bare / "tokenizer_config.json").write_text(json.dumps(settings))
    (bare / "chat_template.jinja").unlink(missing_ok=True)
    chosen = choose_template(bare)
    assert chosen.name == "chatml"
    assert "brings none" in chosen.reason
    text = (bare / "tokenizer.json").read_text()
    (bare / "tokenizer.json").write_text(text.replace("<|im_start|>", "<|begin|>"))
    assert choose_template(bare).name == "plain"


def test_a_template_by_name_or_file(base: Path, tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text(CHATML)
    assert choose_template(base, "builtin:chatml").source == choose_template(base, str(tmp_path / "t.jinja")).source
    with pytest.raises(InputError, match="No template is called 'chatnl'"):
        choose_template(base, "chatnl")
