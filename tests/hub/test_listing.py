"""What a hub says of a repository is looked at before it is believed; and which of its files are meant."""

from __future__ import annotations

from typing import Any

import pytest

from linnet.core.errors import HubError, InputError, LinnetError, NotFound
from linnet.core.names import parse_hub_name
from linnet.hub.choice import PREFERRED, choose_files
from linnet.hub.client import Hub
from linnet.hub.listing import HubFile, Listing, list_repo
from tests.hub_imitation import COMMIT, FakeHub

NAME = parse_hub_name("hf:org/tiny")
BAD_DIGESTS = ["../../etc/passwd", "A" * 64, "a" * 63, "a" * 65, "md5:" + "a" * 32, "", None, 3, "sha256:" + "a" * 64]


def test_a_listing(hub: Hub, fake: FakeHub) -> None:
    found = list_repo(hub, NAME)
    assert (found.repo, found.commit, found.licence) == ("org/tiny", COMMIT, "apache-2.0")
    assert {file.name: file.size_bytes for file in found.files} == {n: len(d) for n, d in fake.files.items()}
    assert [bool(file.sha256) for file in found.files] == [True, False, True]


@pytest.mark.parametrize("revision", ["", "@main", "@v1", f"@{COMMIT}"])
def test_a_revision_is_pinned_to_its_commit(hub: Hub, revision: str) -> None:
    assert list_repo(hub, parse_hub_name(f"hf:org/tiny{revision}")).commit == COMMIT


def test_a_revision_that_is_not_there(hub: Hub) -> None:
    with pytest.raises(NotFound):
        list_repo(hub, parse_hub_name("hf:org/tiny@v2"))


def test_another_commit_than_asked_for(hub: Hub, fake: FakeHub) -> None:
    fake.listing_changes = {"sha": "d" * 40}
    with pytest.raises(HubError, match="answers with commit"):
        list_repo(hub, parse_hub_name(f"hf:org/tiny@{COMMIT}"))


@pytest.mark.parametrize("digest", BAD_DIGESTS)
def test_abuse_14_a_digest_outside_the_grammar(hub: Hub, fake: FakeHub, digest: Any) -> None:
    fake.file_changes = {"sha256": digest}
    with pytest.raises(HubError, match=r"as the sha256 of blob\.gguf"):
        list_repo(hub, NAME)


@pytest.mark.parametrize(
    "changes",
    [
        {"sha": None}, {"sha": "main"}, {"sha": "../x"}, {"siblings": None}, {"siblings": {}}, {"siblings": [3]},
        {"siblings": [{"rfilename": 3}]}, {"siblings": [{"rfilename": "a.json", "size": 3, "blobId": "../x"}]},
        {"siblings": [{"rfilename": "a.json", "size": -3, "blobId": "a" * 40}]},
        {"siblings": [{"rfilename": "a.json", "size": True, "blobId": "a" * 40}]},
        {"siblings": [{"rfilename": "a.gguf", "lfs": {"size": 1 << 60, "sha256": "a" * 64}}]},
    ],
)  # fmt: skip
def test_a_senseless_listing_is_refused(hub: Hub, fake: FakeHub, changes: dict[str, Any]) -> None:
    fake.listing_changes = changes
    with pytest.raises(HubError):
        list_repo(hub, NAME)


@pytest.mark.parametrize(
    "name", ["../x.gguf", "/etc/x.gguf", "a/../../x.gguf", "a\\b.gguf", "a/b/c.gguf", "x\n.gguf", "🐦.gguf"]
)
def test_abuse_13_a_file_whose_name_no_model_has_is_passed_over(hub: Hub, fake: FakeHub, name: str) -> None:
    fake.listing_changes = {"siblings": [{"rfilename": name, "size": 1, "lfs": {"size": 1, "sha256": "a" * 64}}]}
    assert list_repo(hub, NAME).files == ()


@pytest.mark.parametrize(
    ("changes", "licence"),
    [
        ({"cardData": {"license": "other", "license_name": "llama3"}}, "llama3"),
        ({"cardData": None, "tags": ["license:mit"]}, "mit"),
        ({"cardData": {"license": ["x"]}, "tags": None}, "unknown"),
        ({"cardData": {"license": "\x1b[31m"}, "tags": []}, "unknown"),
    ],
)
def test_the_licence(hub: Hub, fake: FakeHub, changes: dict[str, Any], licence: str) -> None:
    fake.listing_changes = changes
    assert list_repo(hub, NAME).licence == licence


def listing(*names: str) -> Listing:
    files = tuple(HubFile(name=name, size_bytes=1, sha256="a" * 64) for name in names)
    return Listing(repo="org/tiny", commit=COMMIT, licence="mit", files=files)


def chosen(name: str, *files: str) -> tuple[list[str], str, str]:
    found = choose_files(listing(*files), parse_hub_name(name))
    return [file.name for file in found.files], found.entry, found.tag


QUANTS = [
    "m-Q8_0.gguf",
    "m-Q4_K_M.gguf",
    "m-IQ4_XS.gguf",
    "m-F16.gguf",
    "mmproj-m-F16.gguf",
    "imatrix.gguf",
    "README.md",
]


@pytest.mark.parametrize(
    ("name", "files", "entry"),
    [
        ("hf:org/tiny", QUANTS, "m-Q4_K_M.gguf"),
        ("hf:org/tiny:q8_0", QUANTS, "m-Q8_0.gguf"),
        ("hf:org/tiny:F16", QUANTS, "m-F16.gguf"),
        ("hf:org/tiny", ["m-Q8_0.gguf", "m-F16.gguf"], "m-Q8_0.gguf"),
        ("hf:org/tiny", ["only.gguf"], "only.gguf"),
        ("hf:org/tiny:m-q4_k_m.gguf", ["m-q4_k_m.gguf", "n-q4_k_m.gguf"], "m-q4_k_m.gguf"),
        ("hf:org/tiny:Q4_K_XL", ["m-UD-Q4_K_XL.gguf", "m-Q4_0.gguf"], "m-UD-Q4_K_XL.gguf"),
        ("hf:org/tiny:fp16", ["m.fp16.gguf"], ""),
    ],
)
def test_which_quantisation(name: str, files: list[str], entry: str) -> None:
    if entry:
        assert chosen(name, *files)[:2] == ([entry], entry)
    else:
        with pytest.raises(NotFound, match="It has: F16"):
            chosen(name, *files)


def test_the_order_of_preference_is_a_list_without_doubles() -> None:
    assert len(set(PREFERRED)) == len(PREFERRED)
    assert PREFERRED[0] == "Q4_K_M"


def test_split_files_come_together() -> None:
    parts = [f"Q8_0/m-Q8_0-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    assert chosen("hf:org/tiny:Q8_0", *parts, "m-F16.gguf") == (parts, parts[0], "Q8_0")
    with pytest.raises(NotFound, match="has 2 of the 3 parts"):
        chosen("hf:org/tiny:Q8_0", *parts[:2])


def test_what_the_repository_does_not_have() -> None:
    with pytest.raises(NotFound, match=r'has no Q4_K_N. Did you mean "Q4_K_M"\?\nIt has: F16, IQ4_XS, Q4_K_M, Q8_0'):
        chosen("hf:org/tiny:Q4_K_N", *QUANTS)
    with pytest.raises(InputError, match=r"means 2 files.*\nSay which: hf:org/tiny:a-Q8_0.gguf"):
        chosen("hf:org/tiny:Q8_0", "a-Q8_0.gguf", "b-Q8_0.gguf")
    with pytest.raises(NotFound, match="has no GGUF file"):
        chosen("hf:org/tiny:Q8_0", "config.json", "model.safetensors")


FOLDER = ["config.json", "tokenizer.json", "README.md", "model.safetensors"]
STRAY = ["pytorch_model.bin", "modeling_x.py", "training_args.bin", "consolidated.safetensors", "onnx/model.onnx"]


def test_a_folder_is_its_known_files() -> None:
    files, entry, tag = chosen("hf:org/tiny", *FOLDER, *STRAY, "1_Pooling/config.json")
    assert (files, entry, tag) == (sorted([*FOLDER, "1_Pooling/config.json"]), "", "safetensors")
    assert chosen("hf:org/tiny:safetensors", *FOLDER, "m-Q8_0.gguf")[0] == sorted(FOLDER)
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    assert chosen("hf:org/tiny", "config.json", *shards)[0] == sorted(["config.json", *shards])


@pytest.mark.parametrize("files", [[], ["README.md"], ["config.json"], ["config.json", "pytorch_model.bin"]])
def test_a_repository_without_a_model(files: list[str]) -> None:
    with pytest.raises(LinnetError):
        chosen("hf:org/tiny", *files)
