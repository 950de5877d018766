"""ollama: one test or more for each method of the client, which is each route."""

from __future__ import annotations

import os

import ollama
import pytest

CLIENT = ollama.Client(host=os.environ["BASE_URL"])
MESSAGES = [{"role": "user", "content": "Say hello."}]
OPTIONS = {"num_predict": 8, "temperature": 0}
SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}


def test_generate():
    answer = CLIENT.generate("nano", "Say hello.", options=OPTIONS)
    assert answer.done
    assert answer.eval_count > 0
    parts = list(CLIENT.generate("nano", "Say hello.", options=OPTIONS, stream=True))
    assert "".join(part.response for part in parts) == answer.response
    assert parts[-1].done_reason in ("stop", "length")


def test_generate_raw_with_a_system_text_and_format():
    assert CLIENT.generate("nano", "def f(", raw=True, options=OPTIONS).response
    assert CLIENT.generate("nano", "hi", system="Be brief.", format=SCHEMA, options=OPTIONS).response[0] == "{"


def test_generate_loads_and_unloads():
    assert CLIENT.generate("nano").done_reason == "load"
    assert "nano:latest" in [model.model for model in CLIENT.ps().models]
    assert CLIENT.generate("nano", keep_alive=0).done_reason == "unload"
    assert "nano:latest" not in [model.model for model in CLIENT.ps().models]


def test_chat():
    answer = CLIENT.chat("nano", MESSAGES, options=OPTIONS)
    assert answer.message.role == "assistant"
    parts = list(CLIENT.chat("nano", MESSAGES, options=OPTIONS, stream=True))
    assert "".join(part.message.content for part in parts) == answer.message.content


def test_chat_with_tools():
    def weather(city: str) -> str:
        """The weather.

        Args:
          city: where
        """
        return city

    assert CLIENT.chat("nano", MESSAGES, tools=[weather], options=OPTIONS).message


def test_chat_with_a_format_and_logprobs():
    assert CLIENT.chat("nano", MESSAGES, format="json", options=OPTIONS).message.content[0] == "{"
    assert CLIENT.chat("nano", MESSAGES, logprobs=True, top_logprobs=2, options=OPTIONS).logprobs


def test_embed():
    answer = CLIENT.embed("nano", ["a", "b"], truncate=False)
    assert len(answer.embeddings) == 2
    assert len(CLIENT.embed("nano", "a").embeddings) == 1


def test_embeddings():
    assert len(CLIENT.embeddings("nano", "a").embedding) > 0


def test_list():
    assert "nano:latest" in [model.model for model in CLIENT.list().models]


def test_show():
    found = CLIENT.show("nano")
    assert found.template
    assert "completion" in found.capabilities
    assert found.modelinfo["general.architecture"]


def test_ps():
    CLIENT.generate("nano", keep_alive="5m")
    assert next(model for model in CLIENT.ps().models if model.model == "nano:latest").expires_at


def test_create_copy_show_delete():
    parts = list(CLIENT.create("made", from_="nano", system="Be brief.", parameters={"temperature": 0}, stream=True))
    assert parts[-1].status == "success"
    assert CLIENT.copy("made", "made-too").status == "success"
    assert CLIENT.show("made-too")
    assert CLIENT.chat("made-too", MESSAGES, options={"num_predict": 4}).done
    assert CLIENT.delete("made").status == "success"
    with pytest.raises(ollama.ResponseError) as caught:
        CLIENT.show("made")
    assert caught.value.status_code == 404
    assert CLIENT.delete("made-too").status == "success"


def test_blob_and_create_from_it(tmp_path):
    path = tmp_path / "blob"
    path.write_bytes(b"GGUF, but not really")
    digest = CLIENT.create_blob(path)
    assert digest.startswith("sha256:")
    assert CLIENT.create_blob(path) == digest
    with pytest.raises(ollama.ResponseError):
        CLIENT.create("broken", files={"model.gguf": digest})


@pytest.mark.parametrize("method", ["delete", "show", "pull"])
def test_what_is_not_there(method):
    with pytest.raises(ollama.ResponseError) as caught:
        getattr(CLIENT, method)("nothing-of-this-name")
    assert caught.value.error


def test_copy_of_what_is_not_there():
    with pytest.raises(ollama.ResponseError) as caught:
        CLIENT.copy("nothing-of-this-name", "x")
    assert caught.value.status_code == 404


def test_push():
    with pytest.raises(ollama.ResponseError) as caught:
        CLIENT.push("nano")
    assert caught.value.status_code != 404


def test_errors():
    with pytest.raises(ollama.ResponseError) as caught:
        CLIENT.chat("nothing-of-this-name", MESSAGES)
    assert caught.value.status_code == 404
    with pytest.raises(ollama.ResponseError) as caught:
        CLIENT.generate("nano", "x " * 5000)
    assert "1024" in caught.value.error
