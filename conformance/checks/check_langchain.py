"""langchain-openai: an answer, a stream, structured output, a tool, embeddings."""

from __future__ import annotations

import os

from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

URL = os.environ["BASE_URL"] + "/v1"
CHAT = ChatOpenAI(base_url=URL, api_key="none", model="nano", temperature=0, max_tokens=60, max_retries=0)


class Weather(BaseModel):
    """The weather of a city."""

    rain: bool


def test_invoke_and_stream_say_the_same():
    answer = CHAT.invoke("Say hello.")
    assert answer.usage_metadata["total_tokens"] > 0
    assert "".join(chunk.content for chunk in CHAT.stream("Say hello.")) == answer.content


def test_structured_output():
    found = CHAT.with_structured_output(Weather, method="json_schema").invoke("Does it rain?")
    assert isinstance(found, Weather)


def test_tool():
    answer = CHAT.bind_tools([Weather], tool_choice="any").invoke("Does it rain?")
    assert answer.tool_calls[0]["name"] == "Weather"


def test_embeddings_of_texts():
    vectors = OpenAIEmbeddings(base_url=URL, api_key="none", model="nano", check_embedding_ctx_length=False)
    assert len(vectors.embed_documents(["a", "b"])) == 2
