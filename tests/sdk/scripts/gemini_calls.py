"""The official Python SDK of Gemini, as its users write it."""

import functools

from cells import PICTURE, RESULT, WEATHER, breaks, run
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

TOOL = types.Tool(function_declarations=[types.FunctionDeclaration(name="get_weather", parameters=WEATHER)])


@functools.cache
def client_of(url):
    options = types.HttpOptions(base_url=url, timeout=30_000)
    return genai.Client(api_key="unused", http_options=options)


def client(cell):
    return client_of(cell.url)


def generate(cell, contents, **config):
    return client(cell).models.generate_content(
        model=cell.model, contents=contents, config=types.GenerateContentConfig(**config)
    )


def stream(cell, words, **config):
    return client(cell).models.generate_content_stream(
        model=cell.model, contents=cell.says(words), config=types.GenerateContentConfig(**config)
    )


def used(cell, usage):
    cell.used(usage.prompt_token_count, usage.candidates_token_count)


def plain(cell):
    reply = generate(cell, cell.says("Say hello"))
    cell.said(reply.text)
    assert reply.candidates[0].finish_reason == types.FinishReason.STOP
    used(cell, reply.usage_metadata)


def streamed(cell):
    text, last, usage = "", None, None
    for chunk in stream(cell, "Say hello"):
        text += chunk.text or ""
        last, usage = chunk, chunk.usage_metadata or usage
    cell.said(text)
    assert last.candidates[0].finish_reason == types.FinishReason.STOP
    used(cell, usage)


def tools(cell):
    asked = types.UserContent(cell.says("What is the weather in Paris"))
    reply = generate(cell, [asked], tools=[TOOL])
    [call] = reply.function_calls
    cell.called(call.name, call.args)
    result = types.Part.from_function_response(name=call.name, response={"result": RESULT})
    result.function_response.id = call.id
    turns = [asked, reply.candidates[0].content, types.UserContent(result)]
    cell.said(generate(cell, turns, tools=[TOOL]).text, "It is " + RESULT)


def tools_streamed(cell):
    calls = []
    for chunk in stream(cell, "What is the weather in Paris", tools=[TOOL]):
        calls += chunk.function_calls or []
    [call] = calls
    cell.called(call.name, call.args)


def forced_tool(cell):
    force = types.FunctionCallingConfig(mode="ANY", allowed_function_names=["get_weather"])
    config = types.ToolConfig(function_calling_config=force)
    [call] = generate(cell, cell.says("Call what you must"), tools=[TOOL], tool_config=config).function_calls
    cell.called(call.name, call.args)


def image(cell):
    picture = types.Part.from_bytes(data=cell.image, mime_type="image/png")
    cell.said(generate(cell, [cell.says("What is in the picture"), picture]).text, PICTURE)


class City(BaseModel):
    city: str
    population: int


def structured(cell):
    wanted = {"response_mime_type": "application/json", "response_schema": City}
    cell.described(generate(cell, cell.says("Describe the city"), **wanted).parsed.model_dump())


def embeddings(cell):
    # Strings beside each other would become one content, where the name of the model has `gemini` in it.
    texts = [types.UserContent("one"), types.UserContent(cell.says("two"))]
    reply = client(cell).models.embed_content(model=cell.model, contents=texts)
    cell.embedded([item.values for item in reply.embeddings])


def models(cell):
    listed = [model.name for model in client(cell).models.list()]
    assert "models/" + cell.model in listed, f"listed {listed}"
    assert client(cell).models.get(model=cell.model).name == "models/" + cell.model


def cut(cell):
    breaks(stream(cell, "Say much"), errors.APIError)


ERRORS = {status: errors.ServerError if status >= 500 else errors.ClientError for status in (400, 404, 429, 500, 502)}
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
run(FEATURES, ERRORS, lambda error: error.code)
