"""Abuse cases 28 to 32 and the fault row of truncated GGUFs: hostile model files meet the validator.

A mutant is either refused with the name of its field, or it is a file that keeps every rule. LINNET_SEED and
LINNET_NIGHTLY choose which and how many; a failure prints what makes it happen again.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import ModelFileError
from linnet.formats.chat_template import check_template
from linnet.formats.gguf_adapter import check_adapter
from linnet.formats.model_check import check_model, check_text_model, require_template
from tests.formats.test_gguf_rules import adapter
from tests.formats.test_hf_folder import folder
from tests.formats.test_safetensors import file, tensor
from tests.gguf_files import STRING, honest, places, split, stories, tiny, tiny_keys, tiny_tensors, written

NIGHTLY = os.environ.get("LINNET_NIGHTLY") == "1"
SEED = int(os.environ.get("LINNET_SEED", "7"))
MUTANTS = 1000 if NIGHTLY else 150
CUTS = 500 if NIGHTLY else 60
# The contract's, in time of this process, so that a busy machine fails nobody; a check takes a hundredth of it.
DEADLINE_SECONDS = 5.0


def mutant(data: bytes, spots: list[tuple[str, int, int]], chance: random.Random) -> tuple[str, bytes]:
    """One file with one number changed, or with a few bits of its header flipped."""
    out = bytearray(data)
    if chance.random() < 0.15:
        end = spots[-1][1]
        flips = [chance.randrange(8 * end) for _ in range(chance.randint(1, 4))]
        for bit in flips:
            out[bit // 8] ^= 1 << bit % 8
        return f"bits {flips}", bytes(out)
    what, at, width = chance.choice(spots)
    old = int.from_bytes(data[at : at + width], "little")
    most = (1 << 8 * width) - 1
    choices = [0, 1, most, most - 1, most >> 1, (most >> 1) + 1, old + 1, old - 1, old * 2, old + 32, len(data)]
    choices += [old ^ 1 << chance.randrange(8 * width), chance.randrange(most + 1), chance.randrange(1 << 20)]
    new = chance.choice(choices) & most
    out[at : at + width] = new.to_bytes(width, "little")
    return f"{what}: {old} became {new}", bytes(out)


def judged(path: Path, what: str) -> str:
    """The field that was refused, or an empty string when the file passes."""
    begun = time.process_time()
    error: ModelFileError | None = None
    try:
        json.dumps(check_model(path).to_json(), allow_nan=False)
    except ModelFileError as caught:
        error = caught
    assert time.process_time() - begun < DEADLINE_SECONDS, what
    if error is None:
        return ""
    assert error.field, what
    assert error.hint, what
    assert str(path) in error.message, what
    return error.field


@pytest.mark.parametrize("base", ["tiny", "honest", "stories"])
def test_abuse_28_mutated_ggufs(tmp_path: Path, base: str) -> None:
    made: dict[str, Callable[[], Path]] = {
        "tiny": lambda: tiny(tmp_path / "base.gguf"),
        "honest": lambda: honest(tmp_path / "base.gguf"),
        "stories": stories,
    }
    data = made[base]().read_bytes()
    spots = list(places(data))
    # The weights are not read: a file that ends after them in zeros is as good, and quicker to write.
    path = tmp_path / "mutant.gguf"
    fields = set()
    for number in range(MUTANTS // 3 + 1):
        chance = random.Random(f"{SEED} {base} {number}")
        what, bad = mutant(data, spots, chance)
        path.write_bytes(bad)
        fields.add(judged(path, f"LINNET_SEED={SEED}, {base}, mutant {number}: {what}"))
    assert len(fields) > 10, "the mutants are refused for many reasons"


def test_abuse_28_every_number_of_a_file_set_to_its_most(tmp_path: Path) -> None:
    """No place is forgotten by chance: each one once, with the value that overflows most easily."""
    data = tiny(tmp_path / "base.gguf").read_bytes()
    path = tmp_path / "mutant.gguf"
    spots = list(places(data))
    for what, at, width in spots if NIGHTLY else spots[::3]:
        bad = bytearray(data)
        bad[at : at + width] = b"\xff" * width
        path.write_bytes(bad)
        found = judged(path, what)
        harmless = what in ("general.file_type value", "llama.attention.key_length value")
        assert found or harmless, f"{what} of all ones passes"


def test_abuse_28_truncated_ggufs(tmp_path: Path) -> None:
    data = stories().read_bytes()
    header = next(at for what, at, _ in reversed(list(places(data))) if what.endswith("offset"))
    chance = random.Random(SEED)
    cuts = {0, 1, 23, 24, header, len(data) - 1}
    while len(cuts) < CUTS:
        # As many in the header as in the weights, where a cut is always the same.
        cuts.add(chance.randrange(header if chance.random() < 0.7 else len(data)))
    path = tmp_path / "cut.gguf"
    for cut in sorted(cuts):
        path.write_bytes(data[:cut])
        field = judged(path, f"cut at {cut}")
        assert field, f"a file cut at {cut} passes"
    path.write_bytes(data[: len(data) - 1])
    with pytest.raises(ModelFileError, match=r"needs \d+ bytes at offset \d+, the file has \d+") as caught:
        check_model(path)
    assert caught.value.field.endswith(".weight")


HOSTILE = {
    "20,000 nested brackets": "{{ " + "[" * 20_000 + "]" * 20_000 + " }}",
    "a macro that calls itself": "{% macro a(x) %}{{ a(x + 1) }}{% endmacro %}{{ a(0) }}",
    "two macros that call each other": (
        "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}"
    ),
    "a huge range": "{% for i in range(10**9) %}x{% endfor %}",
    "a huge text": "{{ 'a' * 10**9 }}",
    "nested ranges": "{% for i in range(9999) %}" * 3 + "x" + "{% endfor %}" * 3,
    "20,000 nested ifs": "{% if a %}" * 20_000 + "{% endif %}" * 20_000,
    "a huge text by a filter": "{{ 'a'|center(1000000000) }}",
    "the attributes of Python": "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ raise_exception.__globals__ }}",
    "another file": "{% include '/etc/passwd' %}{% import 'x' as y %}",
    "a loop that calls itself": "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_abuse_29_hostile_templates(tmp_path: Path, name: str) -> None:
    begun = time.process_time()
    report = check_model(tiny(tmp_path / "t.gguf", tokenizer__chat_template=(STRING, HOSTILE[name])))
    assert time.process_time() - begun < DEADLINE_SECONDS
    assert report.template is not None
    assert not report.template.ok
    assert report.template.refusal
    with pytest.raises(ModelFileError, match="The chat template "):
        require_template(report, "t")
    # The next model loads.
    require_template(check_model(tiny(tmp_path / "next.gguf")), "next")


def test_abuse_29_an_unknown_filter_is_listed() -> None:
    report = check_template("{{ messages|os_system }}")
    assert (report.ok, report.unknown_filters) == (True, ("os_system",))


def test_abuse_29_the_longest_template_ends_in_time() -> None:
    for unit in ("{{a}}", "{%set a=b%}", "{{a*1*1*1}}", "{{a|b|c|d}}", "{% raw %}", "{{'", "'", "{", "{%", "{#"):
        begun = time.process_time()
        check_template(unit * (250_000 // len(unit)))
        check_template(unit * (60_000 // len(unit)))
        assert time.process_time() - begun < 2 * DEADLINE_SECONDS, unit


# 30: parts, adapters and projectors that do not belong.


def refused(path: Path) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        check_model(path)
    assert caught.value.exit_code == 1
    assert caught.value.hint
    return caught.value


def test_abuse_30_a_part_is_missing(tmp_path: Path) -> None:
    first, second = split(tmp_path / "set")
    second.unlink()
    error = refused(first)
    assert error.field == "split.count"
    assert f"{second.name} is missing" in error.message


def test_abuse_30_a_part_twice(tmp_path: Path) -> None:
    first, second = split(tmp_path / "set")
    second.write_bytes(first.read_bytes())
    assert refused(first).field == "split.no"


def test_abuse_30_a_part_of_another_model(tmp_path: Path) -> None:
    first, second = split(tmp_path / "set")
    total = len(tiny_tensors())
    mine: dict[str, Any] = {"split.no": (2, 1), "split.count": (2, 2), "split.tensors.count": (5, total)}
    for keys, tensors, field in (
        (mine | {"split.tensors.count": (5, total + 1)}, tiny_tensors(1, 2), "split.tensors.count"),
        (mine | {"split.count": (2, 3)}, tiny_tensors(1, 2), "split.count"),
        (mine, tiny_tensors(1, 2)[:-1], "split.tensors.count"),
        (mine, tiny_tensors(0, 1)[2:], "blk.0.attn_norm.weight"),
        (mine, tiny_tensors(2, 3), "blk.1"),
        (mine | {"general.architecture": (STRING, "qwen3")}, tiny_tensors(1, 2), "general.architecture"),
        ({}, tiny_tensors(1, 2), "split.no"),
    ):
        second.write_bytes(written(keys, tensors))
        assert refused(first).field == field
    wide = [(name, (shape[0] * 2, *shape[1:]), kind) for name, shape, kind in tiny_tensors(1, 2)]
    second.write_bytes(written(mine, wide))
    assert refused(first).field == "blk.1.attn_norm.weight"


def test_abuse_30_a_part_that_is_cut(tmp_path: Path) -> None:
    first, second = split(tmp_path / "set")
    second.write_bytes(second.read_bytes()[:-1])
    error = refused(first)
    assert second.name in error.message


def test_abuse_30_a_lora_of_another_architecture(tmp_path: Path) -> None:
    base = tiny(tmp_path / "base.gguf")
    pairs = [("blk.0.attn_q.weight.lora_a", (32, 4), 0), ("blk.0.attn_q.weight.lora_b", (4, 32), 0)]
    for name, changes, field in (
        ("architecture", {"architecture": "qwen3"}, "general.architecture"),
        (
            "tensor",
            {"tensors": [(n.replace("blk.0", "blk.9"), s, k) for n, s, k in pairs]},
            "blk.9.attn_q.weight.lora_a",
        ),
        ("width", {"tensors": [(pairs[0][0], (64, 4), 0), pairs[1]]}, "blk.0.attn_q.weight.lora_a"),
        ("rows", {"tensors": [pairs[0], (pairs[1][0], (4, 64), 0)]}, "blk.0.attn_q.weight.lora_b"),
    ):
        with pytest.raises(ModelFileError) as caught:
            check_adapter(adapter(tmp_path / f"{name}.gguf", **changes), base)
        assert (caught.value.field, caught.value.exit_code) == (field, 1)
    with pytest.raises(ModelFileError, match="this is no adapter"):
        check_adapter(base, base)


def test_abuse_30_a_projector_instead_of_a_text_model(tmp_path: Path) -> None:
    path = tmp_path / "mmproj.gguf"
    path.write_bytes(written({"general.architecture": (STRING, "clip")}, [("v.patch_embd.weight", (8,), 0)]))
    for other, word in ((path, "projector"), (adapter(tmp_path / "lora.gguf"), "adapter")):
        with pytest.raises(ModelFileError, match=f"need a text model, have: {word}") as caught:
            check_text_model(other)
        assert (caught.value.field, caught.value.exit_code) == ("general.type", 1)


# 31: safetensors.


class Canary:
    """Unpickled, it touches a file; nothing here may ever do that."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["model.safetensors", "model.gguf", "pytorch_model.bin"])
def test_abuse_31_a_pickle_under_another_name(tmp_path: Path, name: str, protocol: int) -> None:
    canary = tmp_path / "canary"
    (tmp_path / name).write_bytes(pickle.dumps(Canary(canary), protocol))
    refused(tmp_path / name)
    assert not canary.exists()


def test_abuse_31_a_pickle_among_the_weights(tmp_path: Path) -> None:
    path, canary = folder(tmp_path / "model"), tmp_path / "canary"
    (path / "model.safetensors").write_bytes(pickle.dumps(Canary(canary)))
    refused(path)
    assert not canary.exists()


def test_abuse_31_safetensors_that_lie(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 63) + b"{}" + bytes(100))
    assert refused(path).field == "header length"
    assert refused(file(path, {"a": tensor(0, 8), "b": tensor(4, 12)}, 12)).field == "b (data_offsets)"
    one = json.dumps(tensor(0, 4))
    assert refused(file(path, f'{{"a": {one}, "a": {one}}}'.encode(), 4)).field == "header"


BODIES = [b'"a":[' + b"0," * 500, b"{" * 1000, b'"a":"' + b"x" * 1000, b'"a":{},' * 99, b" " * 1000]


@pytest.mark.parametrize("body", BODIES if NIGHTLY else BODIES[:2])
def test_abuse_31_a_header_of_100_mb(tmp_path: Path, body: bytes) -> None:
    length = 100_000_000
    path = tmp_path / "long.safetensors"
    path.write_bytes(struct.pack("<Q", length) + (b"{" + body * (length // len(body))).ljust(length)[:length])
    begun = time.process_time()
    assert refused(path).field == "header"
    assert time.process_time() - begun < DEADLINE_SECONDS


# 32: folders.


def test_abuse_32_a_folder_with_code_and_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary, secret = tmp_path / "canary", tmp_path / ".ssh"
    secret.mkdir()
    (secret / "id_ed25519").write_text("secret")
    path = folder(
        tmp_path / "model",
        auto_map={"AutoModelForCausalLM": "modeling_x.Model"},
        trust_remote_code=True,
        _attn_implementation_internal="os/system",
    )
    (path / "modeling_x.py").write_text(f"open({str(canary)!r}, 'w')")
    (path / "conftest.py").write_text(f"open({str(canary)!r}, 'w')")
    (path / "keys").symlink_to(secret)
    monkeypatch.chdir(path)
    report = check_model(path)
    assert not canary.exists()
    told = "\n".join(report.suspicious)
    for word in (
        "auto_map",
        "trust_remote_code",
        "_attn_implementation_internal",
        "modeling_x.py",
        "conftest.py",
        "keys",
    ):
        assert word in told
    assert "keys (a link that leaves the folder)" in report.ignored
    assert "secret" not in report.model_dump_json()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "README.md", "1_Pooling"])
def test_abuse_32_a_needed_file_that_is_a_link_elsewhere(tmp_path: Path, name: str) -> None:
    path, secret = folder(tmp_path / "model"), tmp_path / "secret"
    secret.write_text("{}")
    (path / name).unlink(missing_ok=True)
    (path / name).symlink_to(secret)
    assert refused(path).field == name


def test_the_other_formats_of_a_tiny_model_are_whole(tmp_path: Path) -> None:
    """The fixtures themselves pass; otherwise a refusal above would prove nothing."""
    path = tmp_path / "t.gguf"
    path.write_bytes(written(tiny_keys(), tiny_tensors()))
    assert judged(path, "tiny") == judged(honest(tmp_path / "h.gguf"), "honest") == ""
    assert judged(split(tmp_path / "set")[0], "split") == judged(folder(tmp_path / "model"), "folder") == ""
