"""The door: what a file is by its first bytes, whatever its name says."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest

from linnet.core.errors import ModelFileError, NotFound
from linnet.formats.model_check import check_model
from tests.formats.test_safetensors import file, tensor
from tests.gguf_files import tiny


def archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as out:
        out.writestr("archive/data.pkl", b"x")
    return made.getvalue()


REFUSED = {
    "empty": (b"", "the file is empty"),
    "zip": (archive(), "ZIP archive, as torch.save writes it"),
    "pickle 2": (pickle.dumps({"a": [1]}, 2), "a pickle"),
    "pickle 4": (pickle.dumps({"a": [1]}, 4), "a pickle"),
    "pickle 5": (pickle.dumps({"a": [1]}, 5), "a pickle"),
    "pickle 0": (b"cos\nsystem\n(S'touch /tmp/canary'\ntR.", "a pickle of the oldest kind"),
    "pickle 0 of a dict": (pickle.dumps({"a": 1}, 0), "a pickle of the oldest kind"),
    "old torch": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "an old torch file"),
    "ggml": (b"lmgg" + bytes(60), "a GGML file of before GGUF"),
    "ggjt": (b"tjgg\x03" + bytes(60), "a GGML file of before GGUF"),
    "big endian magic": (b"FUGG" + bytes(60), "a big-endian GGUF"),
    "html": (b"\n <!DOCTYPE html><html>Not found</html>", "an HTML or XML page"),
    "html without doctype": (b"<HTML><body>502</body>", "an HTML or XML page"),
    "git-LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "a git-LFS pointer"),
    "gzip": (b"\x1f\x8b\x08" + bytes(60), "a compressed archive"),
    "tar": (bytes(257) + b"ustar" + bytes(250), "a tar archive"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(60), "an HDF5 file"),
    "onnx": (b"\x08\x07\x12\x07pytorch" + bytes(60), "an ONNX file"),
    "text": (b"hello, this is a text file of some length", "neither GGUF nor safetensors"),
    "short": (b"abc", "neither GGUF nor safetensors"),
    "json": (b'{"error": "not found"}', "a JSON file with the keys 'error'"),
    "json list": (b'[{"a": 1}]', "neither GGUF nor safetensors"),
}


@pytest.mark.parametrize("name", ["model.gguf", "model.safetensors", "model.bin", "model"])
@pytest.mark.parametrize("kind", REFUSED)
def test_what_it_is_instead_is_named(tmp_path: Path, kind: str, name: str) -> None:
    data, words = REFUSED[kind]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ModelFileError) as caught:
        check_model(tmp_path / name)
    assert words in caught.value.message
    assert caught.value.field == "magic"
    assert caught.value.hint
    assert caught.value.exit_code == 1


def test_the_name_is_not_asked(tmp_path: Path) -> None:
    assert check_model(tiny(tmp_path / "model.safetensors")).format == "gguf"
    assert check_model(file(tmp_path / "model.gguf", {"a": tensor(0, 4)}, 4)).format == "safetensors"


@pytest.mark.parametrize("length", [9, 10, 13, 32, 34, 60, 91, 123, 128, 256 + 123])
def test_a_length_that_looks_like_a_letter(tmp_path: Path, length: int) -> None:
    path = file(tmp_path / "model.safetensors", b"{}".ljust(length))
    assert check_model(path).format == "safetensors"


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        check_model(tmp_path / "none.gguf")


def test_the_report_is_json(tmp_path: Path) -> None:
    report = check_model(tiny(tmp_path / "t.gguf"))
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["architecture"] == "llama"
