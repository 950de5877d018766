"""task.toml: what is accepted, and for everything else an error that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import InputError, NameInvalid, NotFound, TaskError
from linnet.core.task import Task, fill_template, parse_size, parse_task, read_task, template_columns

WHOLE = """
[task]
name = "support"
kind = "classify"
input = "message"
output = "intent"
labels = ["refund", "delivery", "other"]
out_of_scope = "other"

[data]
train = "train.csv"
test = "test.csv"
group = "customer"
leakage = "drop"
seed = 7

[candidates]
models = ["builtin:minilm"]
methods = ["lora"]
quantizations = ["int8"]

[budget]
memory = "2 GiB"
size = "100 MB"
latency_p95_ms = 20

[quality]
metric = "accuracy"
floor = 0.8
max_loss = 0.02
"""
SMALL: dict[str, Any] = {
    "task": {"name": "support", "kind": "classify", "input": "message", "output": "intent"},
    "data": {"train": "train.csv"},
}


def changed(part: str, **values: Any) -> dict[str, Any]:
    content = {name: dict(section) for name, section in SMALL.items()}
    content[part] = {**content.get(part, {}), **values}
    return {name: {k: v for k, v in section.items() if v is not None} for name, section in content.items()}


def test_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_bytes(b"\xef\xbb\xbf" + WHOLE.encode())
    task = read_task(path)
    assert task == read_task(tmp_path)
    assert (task.budget.memory, task.budget.size, task.budget.latency_p95_ms) == (2 * 2**30, 10**8, 20)
    assert task.task.labels == ["refund", "delivery", "other"]
    assert task.data_path("train.csv") == tmp_path / "train.csv"
    assert task.data_path("/elsewhere/train.csv") == Path("/elsewhere/train.csv")
    assert Task.model_validate(task.to_json()) == task


def test_defaults() -> None:
    task = parse_task(SMALL)
    assert task.candidates.methods == ["full", "lora"]
    assert task.quality.max_loss == 0.01
    assert (task.budget.memory, task.data.test, task.task.out_of_scope) == (None, None, None)
    with pytest.raises(ValueError, match="frozen"):
        task.folder = "x"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({**SMALL, "taks": {}}, r'unknown section \[taks\]\. Did you mean "task"\?\nKnown: task, data'),
    ({**SMALL, "zzz": {}}, r"unknown section \[zzz\]\.\nKnown: "),
    ({**SMALL, "budget": 3}, r"budget must be a section, written \[budget\]"),
    ({**SMALL, "task": "classify"}, r"task must be a section"),
    (changed("task", lables=["a", "b"]), r'unknown key "lables" in \[task\]\. Did you mean "labels"\?\nKnown keys'),
    (changed("quality", flor=0.5), r'unknown key "flor" in \[quality\]\. Did you mean "floor"'),
    (changed("budget", zzz=0.5), r'unknown key "zzz" in \[budget\]\.\nKnown keys of \[budget\]: memory, size'),
    (changed("data", unlabeled="more.jsonl"), r"\[data\] unlabeled is not supported by this version yet"),
    (changed("budget", energy_wh=3), r"\[budget\] energy_wh is not supported by this version yet"),
    (changed("task", style="x"), r"\[task\] style is not supported by this version yet"),
    (changed("task", schema="x"), r'\[task\] schema has no meaning with kind "classify"'),
    (changed("data", licence="all mine"), r"\[data\] licence"),
    (changed("task", kind="tag", input="{a} {b}"), r"\[task\] input: spans lie in one column, not in a template"),
    (changed("task", kind="tag", out_of_scope="x"), r'out_of_scope has no meaning with kind "tag"'),
    (changed("task", kind="tag", instruction="x"), r'instruction has no meaning with kind "tag"'),
    (changed("task", kind="tag", labels=["a", "a"]), r"labels must be different labels, at least one"),
    (changed("task", kind="tag") | {"quality": {"metric": "macro_f1"}}, r'"macro_f1" does not judge kind "tag"'),
    (changed("task", kind="tag") | {"report": {"reference": "x", "endpoint": "y"}}, r"no reference is asked"),
    (changed("task", kind="clasify"), r"\[task\] kind: .*'classify'.*, not 'clasify'"),
    (changed("task", kind=["classify"]), r"\[task\] kind: "),
    (changed("task", kind=None), r"\[task\] kind is missing"),
    (changed("task", name=None), r"\[task\] name is missing\.\nSee docs/guide/build\.md"),
    (changed("task", name=7), r"\[task\] name: .*, not 7"),
    (changed("data", train=None), r"\[data\] train is missing"),
    ({"task": SMALL["task"]}, r"\[data\] is missing"),
    ({}, r"\[task\] is missing"),
    (changed("task", output="message"), r"output 'message' is also the input"),
    (changed("task", input="{subject}: {body}", output="body"), r"output 'body' is also the input"),
    (changed("task", labels=["a"]), r"labels must be at least two different labels"),
    (changed("task", labels=["a", "b", "a"]), r"labels must be at least two different labels"),
    (changed("task", labels="a"), r"\[task\] labels: "),
    (changed("task", labels=["a", "b"], out_of_scope="c"), r"out_of_scope 'c' is not among labels"),
    (changed("data", leakage="ignore"), r"\[data\] leakage: .*'refuse' or 'drop', not 'ignore'"),
    (changed("data", seed=-1), r"\[data\] seed: .*not -1"),
    (changed("candidates", models=[]), r"\[candidates\] models: "),
    (changed("candidates", methods=["lora", "qlora"]), r"\[candidates\] methods\.1: .*, not 'qlora'"),
    (changed("candidates", quantizations=["int4"]), r"\[candidates\] quantizations\.0: "),
    (changed("budget", memory="a lot"), r"\[budget\] memory: a size is a number of bytes, .*, not \'a lot\'"),
    (changed("budget", size=0), r"\[budget\] size: .*greater than 0, not 0"),
    (changed("budget", size=True), r"\[budget\] size: a size is"),
    (changed("budget", size="9" * 400), r"\[budget\] size: a size is"),
    (changed("budget", latency_p95_ms=0), r"\[budget\] latency_p95_ms: "),
    (changed("budget", latency_p95_ms=float("inf")), r"\[budget\] latency_p95_ms: "),
    (changed("quality", floor=1.5), r"\[quality\] floor: .*not 1\.5"),
    (changed("quality", floor=float("nan")), r"\[quality\] floor: "),
    (changed("quality", max_loss=-0.1), r"\[quality\] max_loss: "),
    (changed("budget", tokens_per_second=9), r"\[budget\] tokens_per_second has no meaning"),
    (changed("budget", train_minutes=0), r"\[budget\] train_minutes: .*greater than 0"),
    (changed("candidates", methods=["distill"]), r'methods: "distill" is not supported by this version yet'),
    (changed("candidates", methods=["few_shot"]), r'methods: "few_shot" is for kinds that write text'),
    (changed("search", strategy="random"), r"\[search\] strategy: .*'halving' or 'exhaustive', not 'random'"),
    (changed("quality", metric="f1"), r'\[quality\] metric "f1" does not judge kind "classify"'),
]


@pytest.mark.parametrize(("content", "message"), WRONG)
def test_every_error_names_the_key(content: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message) as caught:
        parse_task(content, where="my/task.toml")
    assert caught.value.message.startswith("my/task.toml: ")
    assert caught.value.exit_code == 2
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize("name", ["../x", "Support", "a b", "", "a" * 65, "con"])
def test_abuse_13_the_name_of_a_task(name: str) -> None:
    with pytest.raises(NameInvalid, match="task name"):
        parse_task(changed("task", name=name))


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (5, 5),
        ("5", 5),
        ("5 B", 5),
        ("1.5 kb", 1500),
        ("100 MB", 10**8),
        (" 2GiB ", 2 * 2**30),
        ("1 mib", 2**20),
        ("1 GB", 10**9),
        ("1 KiB", 1024),
        (None, None),
    ],
)
def test_sizes(value: Any, size: int | None) -> None:
    assert parse_size(value) == size


@pytest.mark.parametrize("value", ["", "MB", "1 TB", "-1 MB", "1e9", "1 M B", 1.5, True, [1], "٣٣ XB"])
def test_what_is_no_size(value: Any) -> None:
    with pytest.raises(ValueError, match="a size is a number of bytes"):
        parse_size(value)


@pytest.mark.parametrize(
    "data",
    [b"[task", b"a = ", b"\xff\xfe[\x00t\x00", b"[task]\nname = 'a'\nname = 'b'", b"a = " + b"[" * 20_000, b"a = \x00"],
)
def test_what_is_no_toml(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "task.toml"
    path.write_bytes(data)
    with pytest.raises(TaskError, match="not valid TOML"):
        read_task(path)


def test_the_line_of_bad_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_text("[task]\nname = \n")
    with pytest.raises(TaskError, match=r"task\.toml: .*line 2"):
        read_task(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"task\.toml"):
        read_task(tmp_path / "task.toml")
    with pytest.raises(InputError, match=r"task\.toml"):
        read_task(tmp_path)


def test_templates() -> None:
    assert template_columns("message") == ["message"]
    assert template_columns("{subject}\n{body}") == ["subject", "body"]
    row = {"subject": "{body} \\1", "body": "text"}
    assert fill_template("{subject}: {body}", row) == "{body} \\1: text"
    assert fill_template("body", row) == "text"
