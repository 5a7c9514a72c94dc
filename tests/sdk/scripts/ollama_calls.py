"""The official Python SDK of Ollama, as its users write it."""

import functools

import ollama
from cells import PICTURE, RESULT, WEATHER, breaks, run
from pydantic import BaseModel

TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Tells it", "parameters": WEATHER}}]


@functools.cache
def client_of(url):
    return ollama.Client(host=url, timeout=30)


def client(cell):
    return client_of(cell.url)


def user(content, **more):
    return {"role": "user", "content": content, **more}


def chat(cell, words, **more):
    return client(cell).chat(model=cell.model, messages=[user(cell.says(words))], **more)


def plain(cell):
    reply = chat(cell, "Say hello")
    cell.said(reply.message.content)
    assert reply.done and reply.done_reason == "stop"
    cell.used(reply.prompt_eval_count, reply.eval_count)


def streamed(cell):
    text, last = "", None
    for chunk in chat(cell, "Say hello", stream=True):
        text, last = text + (chunk.message.content or ""), chunk
    cell.said(text)
    assert last.done and last.done_reason == "stop"
    cell.used(last.prompt_eval_count, last.eval_count)


def tools(cell):
    asked = user(cell.says("What is the weather in Paris"))
    reply = client(cell).chat(model=cell.model, messages=[asked], tools=TOOLS).message
    [call] = reply.tool_calls
    cell.called(call.function.name, call.function.arguments)
    result = {"role": "tool", "tool_name": call.function.name, "content": RESULT}
    reply = client(cell).chat(model=cell.model, messages=[asked, reply, result], tools=TOOLS)
    cell.said(reply.message.content, "It is " + RESULT)


def tools_streamed(cell):
    calls = []
    for chunk in chat(cell, "What is the weather in Paris", tools=TOOLS, stream=True):
        calls += chunk.message.tool_calls or []
    [call] = calls
    cell.called(call.function.name, call.function.arguments)


def forced_tool(cell):
    chat(cell, "Call what you must", tools=TOOLS, tool_choice="required")


def image(cell):
    asked = user(cell.says("What is in the picture"), images=[cell.image])
    cell.said(client(cell).chat(model=cell.model, messages=[asked]).message.content, PICTURE)


class City(BaseModel):
    city: str
    population: int


def structured(cell):
    reply = chat(cell, "Describe the city", format=City.model_json_schema())
    cell.described(City.model_validate_json(reply.message.content).model_dump())


def embeddings(cell):
    reply = client(cell).embed(model=cell.model, input=["one", cell.says("two")])
    cell.embedded(reply.embeddings)


def models(cell):
    listed = [model.model for model in client(cell).list().models]
    assert cell.model in listed, f"listed {listed}"
    assert "completion" in client(cell).show(cell.model).capabilities


def cut(cell):
    breaks(chat(cell, "Say much", stream=True), ollama.ResponseError)


ERRORS = dict.fromkeys((400, 404, 429, 500, 502), ollama.ResponseError)
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
