"""The official Python SDK of Anthropic, as its users write it."""

import functools

import anthropic
from cells import PICTURE, RESULT, WEATHER, breaks, run
from pydantic import BaseModel

TOOLS = [{"name": "get_weather", "input_schema": WEATHER}]


@functools.cache
def client_of(url):
    return anthropic.Anthropic(base_url=url, api_key="unused", max_retries=0, timeout=30)


def client(cell):
    return client_of(cell.url)


def user(content):
    return {"role": "user", "content": content}


def create(cell, words, **more):
    return client(cell).messages.create(model=cell.model, max_tokens=500, messages=[user(cell.says(words))], **more)


def stream(cell, words, **more):
    return client(cell).messages.stream(model=cell.model, max_tokens=500, messages=[user(cell.says(words))], **more)


def plain(cell):
    reply = create(cell, "Say hello")
    [block] = reply.content
    cell.said(block.text)
    assert reply.stop_reason == "end_turn"
    cell.used(reply.usage.input_tokens, reply.usage.output_tokens)


def streamed(cell):
    with stream(cell, "Say hello") as events:
        cell.said("".join(events.text_stream))
        reply = events.get_final_message()
    assert reply.stop_reason == "end_turn"
    cell.used(reply.usage.input_tokens, reply.usage.output_tokens)


def tools(cell):
    asked = user(cell.says("What is the weather in Paris"))
    reply = client(cell).messages.create(model=cell.model, max_tokens=500, messages=[asked], tools=TOOLS)
    [call] = [block for block in reply.content if block.type == "tool_use"]
    cell.called(call.name, call.input)
    assert reply.stop_reason == "tool_use"
    result = user([{"type": "tool_result", "tool_use_id": call.id, "content": RESULT}])
    turns = [asked, {"role": "assistant", "content": reply.content}, result]
    reply = client(cell).messages.create(model=cell.model, max_tokens=500, messages=turns, tools=TOOLS)
    cell.said(reply.content[0].text, "It is " + RESULT)


def tools_streamed(cell):
    with stream(cell, "What is the weather in Paris", tools=TOOLS) as events:
        reply = events.get_final_message()
    [call] = [block for block in reply.content if block.type == "tool_use"]
    cell.called(call.name, call.input)
    assert reply.stop_reason == "tool_use"


def forced_tool(cell):
    reply = create(cell, "Call what you must", tools=TOOLS, tool_choice={"type": "tool", "name": "get_weather"})
    [call] = [block for block in reply.content if block.type == "tool_use"]
    cell.called(call.name, call.input)


def image(cell):
    source = {"type": "base64", "media_type": "image/png", "data": cell.image64}
    content = [{"type": "image", "source": source}, {"type": "text", "text": cell.says("What is in the picture")}]
    reply = client(cell).messages.create(model=cell.model, max_tokens=500, messages=[user(content)])
    cell.said(reply.content[0].text, PICTURE)


class City(BaseModel):
    city: str
    population: int


def structured(cell):
    asked = [user(cell.says("Describe the city"))]
    reply = client(cell).messages.parse(model=cell.model, max_tokens=500, messages=asked, output_format=City)
    cell.described(reply.parsed_output.model_dump())


def embeddings(cell):
    client(cell).embeddings.create(model=cell.model, input=["one", "two"])


def models(cell):
    listed = [model.id for model in client(cell).models.list()]
    assert cell.model in listed, f"listed {listed}"
    assert client(cell).models.retrieve(cell.model).id == cell.model


def cut(cell):
    with stream(cell, "Say much") as events:
        breaks(events, anthropic.APIStatusError)


ERRORS = {
    400: anthropic.BadRequestError,
    404: anthropic.NotFoundError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    502: anthropic.InternalServerError,
}
FEATURES = {
    "plain": plain,
    "streamed": streamed,
    "tools": tools,
    "tools streamed": tools_streamed,
    "forced tool": forced_tool,
    "image": image,
    "structured": structured,
    "embeddings": embeddings,
    "models": models,
    "cut": cut,
}
run(FEATURES, ERRORS, lambda error: error.status_code)
