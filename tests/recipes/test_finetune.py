"""The fine-tuning experiment: scores by their numbers, greedy answers, and one whole run on a tiny model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from linnet.training import decoder_folder  # noqa: E402 - after the check that torch is there
from linnet.training.targets import TargetEncoder  # noqa: E402
from recipes.nano import finetune  # noqa: E402
from tests.tiny_decoder import chats, tiny_decoder  # noqa: E402


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_decoder(tmp_path_factory.mktemp("decoder"))


def test_scores_by_hand() -> None:
    right = ['{"a": 1, "b": ["x", "y"]}', '{"a": 2}', '{"c": {"d": true}}', '{"a": 3}']
    said = ['{"b": ["x", "y"], "a": 1}', '{"a": 1}', "{", '{"a": 3, "b": ["x"]}']
    # pairs: right 3 + 1 + 1 + 1, said 3 + 1 + 0 + 2, hits 3 + 0 + 0 + 1
    assert finetune.scores(said, right) == {"exact_match": 0.25, "valid_json": 0.75, "field_f1": round(8 / 12, 4)}
    assert finetune.scores([" yes", "no"], ["yes", "yes"])["exact_match"] == 0.5
    assert finetune.scores(['{"a": 1.0}', "NaN"], ['{"a": 1}', "NaN"])["exact_match"] == 0.5


def test_fewer_examples_are_the_first_of_more() -> None:
    rows = chats(100)
    few, many = finetune.split(rows, 20, 1), finetune.split(rows, 60, 1)
    assert (len(few[0]), len(few[1])) == (18, 2)
    ids = [{chat.row for part in made for chat in part} for made in (few, many)]
    assert ids[0] < ids[1]
    assert not {c.row for c in few[0]} & {c.row for c in few[1]}


def test_answers_side_by_side_are_those_of_one_at_a_time(base: Path) -> None:
    model, encoder = decoder_folder.load(base), TargetEncoder.of_folder(base)
    prompts = [encoder.prompt_ids(chat.turns[:1]) for chat in chats(6)]
    together = finetune.greedy(model, prompts, {3}, 12)
    assert together == [finetune.greedy(model, [prompt], {3}, 12)[0] for prompt in prompts]
    assert max(map(len, together)) <= 12


@pytest.mark.parametrize("start", [[], ["--random"]])
def test_a_whole_run(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], start: list[str]
) -> None:
    monkeypatch.setenv("LINNET_THREADS", "1")
    for name, count in (("train", 40), ("test", 8)):
        rows = [{"command": c.turns[0].content, "call": c.turns[1].content} for c in chats(count)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.toml").write_text('[task]\ninstruction = "Write JSON."\n')
    given = ["--model", base, "--train", tmp_path / "train.jsonl", "--test", tmp_path / "test.jsonl"]
    given += ["--input", "command", "--output", "call", "--task", tmp_path / "task.toml", "--examples", 30]
    given += ["--epochs", 2, "--metric", "field_f1", "--json", tmp_path / "out.json", "--to", tmp_path / "tuned"]
    monkeypatch.setattr(sys, "argv", ["finetune", *map(str, given), *start])
    finetune.main()
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["random"] == bool(start)
    assert (found["examples"], found["test_rows"], len(found["epochs"])) == (30, 8, 2)
    assert found["value"] == found["field_f1"]
    assert found["epochs"][1]["validation_loss"] < found["epochs"][0]["validation_loss"]
    assert '"exact_match"' in capsys.readouterr().out
    assert (tmp_path / "tuned" / "model.safetensors").is_file()
