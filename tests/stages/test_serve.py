"""Specialists in memory: answers, limits, one load, least recently used out first, newest version in."""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import CorruptFile, EngineError, InputError, NameInvalid, NotFound
from linnet.core.files import write_json
from linnet.core.store import RECORD, Store, scan_files
from linnet.stages.serve import MAX_CHARACTERS, MAX_TEXTS, Specialists, TextTooLong
from tests.tiny import MAX_TOKENS, tiny_engine, tiny_specialist

LABELS = ["refund", "delivery", "other"]


class Reads:
    """How often a file of some name is opened by this process."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]).endswith("model.onnx"):
            self.paths.append(str(arguments[0]))


@pytest.fixture(scope="module")
def all_reads() -> Reads:
    return Reads()


@pytest.fixture
def reads(all_reads: Reads) -> Reads:
    all_reads.paths.clear()
    return all_reads


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "home")
    tiny_specialist(made, "support", LABELS)
    return made


def test_answers_in_the_order_of_the_texts(store: Store) -> None:
    texts = ["my delivery", "i want a refund please", "delivery", "refund"]
    found = Specialists(store).classify("support", texts)
    assert [answer.label for answer in found.answers] == ["delivery", "refund", "delivery", "refund"]
    assert found.tokens == [4, 7, 3, 3]
    assert found.truncated == []
    assert found.specialist.full_name == "support:1"
    assert next(iter(found.answers[0].probabilities)) == "delivery"


def test_out_of_scope(store: Store) -> None:
    tiny_specialist(store, "open", LABELS, out_of_scope="other")
    found = Specialists(store).classify("open", ["refund", "please"])
    assert [answer.label for answer in found.answers] == ["refund", "other"]


def test_too_long_is_refused_or_cut_and_said(store: Store) -> None:
    specialists = Specialists(store)
    fits, long = "refund " * (MAX_TOKENS - 2), "refund " * (MAX_TOKENS - 1)
    assert specialists.classify("support", [fits]).tokens == [MAX_TOKENS]
    with pytest.raises(TextTooLong) as caught:
        specialists.classify("support", ["a", fits, long])
    assert (caught.value.index, caught.value.tokens, caught.value.limit) == (2, MAX_TOKENS + 1, MAX_TOKENS)
    assert caught.value.exit_code == 2
    found = specialists.classify("support", ["a", fits, long, "refund " * 400], truncate=True)
    assert found.truncated == [2, 3]
    assert found.tokens == [3, MAX_TOKENS, MAX_TOKENS, MAX_TOKENS]


@pytest.mark.parametrize(
    "texts", [[], [""], ["a", " \n"], ["a"] * (MAX_TEXTS + 1), ["a" * (MAX_CHARACTERS + 1)], ["a", "\ud800"]]
)
def test_texts_that_no_specialist_takes(store: Store, texts: list[str]) -> None:
    with pytest.raises(InputError):
        Specialists(store).classify("support", texts, truncate=True)


def test_limits_are_reached(store: Store) -> None:
    specialists = Specialists(store)
    assert len(specialists.classify("support", ["refund"] * MAX_TEXTS).answers) == MAX_TEXTS
    assert specialists.classify("support", ["a" * MAX_CHARACTERS]).tokens == [3]


def test_names_and_unknown_names(store: Store) -> None:
    tiny_specialist(store, "billing", LABELS)
    tiny_specialist(store, "support", LABELS)
    specialists = Specialists(store)
    assert specialists.names() == ["billing:1", "support:1", "support:2"]
    with pytest.raises(NotFound, match="billing"):
        specialists.classify("biling", ["a"])
    with pytest.raises(NotFound):
        specialists.classify("support:3", ["a"])
    with pytest.raises(NameInvalid):
        specialists.classify("../support", ["a"])


def test_newer_version_is_picked_up(store: Store) -> None:
    specialists = Specialists(store)
    assert specialists.classify("support", ["refund"]).specialist.version == 1
    tiny_specialist(store, "support", ["refund", "parcel"])
    found = specialists.classify("support", ["parcel"])
    assert (found.specialist.version, found.answers[0].label) == (2, "parcel")
    assert specialists.classify("support:1", ["refund"]).specialist.version == 1
    store.remove("support:2")
    assert specialists.classify("support", ["refund"]).specialist.version == 1


def test_version_made_again_is_not_the_old_one(store: Store) -> None:
    specialists = Specialists(store)
    specialists.classify("support", ["refund"])
    store.remove("support")
    with pytest.raises(NotFound):
        specialists.classify("support", ["refund"])
    tiny_specialist(store, "support", ["cat", "dog"])
    assert specialists.classify("support:1", ["the dog"]).answers[0].label == "dog"


def test_least_recently_used_goes_first(store: Store, reads: Reads) -> None:
    for name in ("a", "b", "c"):
        tiny_specialist(store, name, LABELS)
    specialists = Specialists(store, limit=2)
    reads.paths.clear()
    for name in ("a", "b", "a", "c", "a"):
        specialists.classify(name, ["refund"])
    assert specialists.loaded() == ["c:1", "a:1"]
    assert len(reads.paths) == 3
    specialists.classify("b", ["refund"])
    assert len(reads.paths) == 4


def test_limit_comes_from_the_setting(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_LOADED", "7")
    assert Specialists(store).limit == 7
    for wrong in ("0", "-1", "many"):
        monkeypatch.setenv("LINNET_LOADED", wrong)
        with pytest.raises(InputError):
            Specialists(store)


def test_many_first_requests_are_one_load(store: Store, reads: Reads) -> None:
    specialists = Specialists(store)
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(lambda _: specialists.classify("support", ["refund"]).answers[0].label, range(50)))
    assert found == ["refund"] * 50
    assert len(reads.paths) == 1  # every file is hashed once, at the load


def test_swapping_under_traffic_fails_nobody(store: Store) -> None:
    tiny_specialist(store, "a", ["refund", "delivery"])
    tiny_specialist(store, "b", ["delivery", "refund"])
    specialists = Specialists(store, limit=1)
    names = ["a", "b"] * 50
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: specialists.classify(name, ["my delivery"]).answers[0].label, names))
    assert found == ["delivery"] * 100
    assert len(specialists.loaded()) == 1


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "engine.json"])
def test_changed_file_is_refused_and_heals(store: Store, name: str) -> None:
    specialists = Specialists(store)
    path = store.path("specialists", "support", "1", "engine") / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    for _ in range(2):
        with pytest.raises(CorruptFile, match=name):
            specialists.classify("support", ["refund"])
    assert specialists.loaded() == []
    path.unlink()
    with pytest.raises(CorruptFile, match="missing"):
        specialists.classify("support", ["refund"])
    path.write_bytes(whole)
    assert specialists.classify("support", ["refund"]).answers[0].label == "refund"


def test_file_that_nobody_recorded_is_refused(store: Store) -> None:
    (store.path("specialists", "support", "1", "engine") / "weights.bin").write_bytes(b"x")
    with pytest.raises(CorruptFile, match="not in the record"):
        Specialists(store).classify("support", ["refund"])


def test_bundle_whose_model_does_not_fit_its_labels(store: Store) -> None:
    specialist = tiny_specialist(store, "odd", LABELS)
    folder = store.path("specialists", "odd", "1")
    shutil.rmtree(folder / "engine")
    tiny_engine(folder / "engine", ["one", "two"])
    write_json(folder / RECORD, specialist.model_copy(update={"files": scan_files(folder)}).to_json())
    with pytest.raises(EngineError, match="for 3 labels"):
        Specialists(store).classify("odd", ["refund"])
