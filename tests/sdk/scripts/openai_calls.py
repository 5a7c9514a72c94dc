"""The official Python SDK of OpenAI, as its users write it."""

import functools
import json

import openai
from cells import PICTURE, RESULT, WEATHER, breaks, run
from pydantic import BaseModel

TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}]


@functools.cache
def client_of(url):
    return openai.OpenAI(base_url=url + "/v1", api_key="unused", max_retries=0, timeout=30)


def client(cell):
    return client_of(cell.url)


def user(content):
    return {"role": "user", "content": content}


def create(cell, words, **more):
    return client(cell).chat.completions.create(model=cell.model, messages=[user(cell.says(words))], **more)


def plain(cell):
    reply = create(cell, "Say hello")
    cell.said(reply.choices[0].message.content)
    assert reply.choices[0].finish_reason == "stop"
    cell.used(reply.usage.prompt_tokens, reply.usage.completion_tokens)


def streamed(cell):
    text, usage, finish = "", None, None
    for chunk in create(cell, "Say hello", stream=True, stream_options={"include_usage": True}):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        finish = chunk.choices[0].finish_reason or finish if chunk.choices else finish
        usage = chunk.usage or usage
    cell.said(text)
    assert finish == "stop"
    cell.used(usage.prompt_tokens, usage.completion_tokens)


def tools(cell):
    asked = user(cell.says("What is the weather in Paris"))
    reply = client(cell).chat.completions.create(model=cell.model, messages=[asked], tools=TOOLS).choices[0]
    [call] = reply.message.tool_calls
    cell.called(call.function.name, json.loads(call.function.arguments))
    assert reply.finish_reason == "tool_calls" and call.id
    result = {"role": "tool", "tool_call_id": call.id, "content": RESULT}
    reply = client(cell).chat.completions.create(model=cell.model, messages=[asked, reply.message, result], tools=TOOLS)
    cell.said(reply.choices[0].message.content, "It is " + RESULT)


def tools_streamed(cell):
    name, arguments, finish = "", "", None
    for chunk in create(cell, "What is the weather in Paris", tools=TOOLS, stream=True):
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or []:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    cell.called(name, json.loads(arguments))
    assert finish == "tool_calls"


def forced_tool(cell):
    choice = {"type": "function", "function": {"name": "get_weather"}}
    reply = create(cell, "Call what you must", tools=TOOLS, tool_choice=choice)
    [call] = reply.choices[0].message.tool_calls
    cell.called(call.function.name, json.loads(call.function.arguments))


def image(cell):
    url = "data:image/png;base64," + cell.image64
    question = {"type": "text", "text": cell.says("What is in the picture")}
    content = [question, {"type": "image_url", "image_url": {"url": url}}]
    reply = client(cell).chat.completions.create(model=cell.model, messages=[user(content)])
    cell.said(reply.choices[0].message.content, PICTURE)


class City(BaseModel):
    city: str
    population: int


def structured(cell):
    asked = [user(cell.says("Describe the city"))]
    reply = client(cell).chat.completions.parse(model=cell.model, messages=asked, response_format=City)
    cell.described(reply.choices[0].message.parsed.model_dump())


def embeddings(cell):
    reply = client(cell).embeddings.create(model=cell.model, input=["one", cell.says("two")])
    cell.embedded([item.embedding for item in reply.data])


def models(cell):
    listed = [model.id for model in client(cell).models.list()]
    assert cell.model in listed, f"listed {listed}"
    assert client(cell).models.retrieve(cell.model).id == cell.model


def cut(cell):
    error = breaks(create(cell, "Say much", stream=True), openai.APIError)
    assert error.code == "stream_broken" if cell.exact else error.code == "stream_deadline", error.code


def unknown_model(cell):
    try:
        plain(cell)
    except openai.NotFoundError as error:
        assert (error.code, error.param) == ("model_not_found", "model"), (error.code, error.param)
        raise


ERRORS = {
    400: openai.BadRequestError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    502: openai.InternalServerError,
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
    "unknown model": unknown_model,
}
run(FEATURES, ERRORS, lambda error: error.status_code)
