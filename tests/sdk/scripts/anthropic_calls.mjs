// The official JavaScript SDK of Anthropic, as its users write it.

import Anthropic from "@anthropic-ai/sdk";
import { jsonSchemaOutputFormat } from "@anthropic-ai/sdk/helpers/json-schema";
import { CITY, PICTURE, RESULT, WEATHER, assert, breaks, run } from "./cells.mjs";

const tools = [{ name: "get_weather", input_schema: WEATHER }];
const client = (cell) => new Anthropic({ baseURL: cell.url, apiKey: "unused", maxRetries: 0, timeout: 30_000 });
const user = (content) => ({ role: "user", content });
const asks = (cell, messages, more = {}) => ({ model: cell.model, max_tokens: 500, messages, ...more });

function create(cell, words, more) {
  return client(cell).messages.create(asks(cell, [user(cell.says(words))], more));
}

function stream(cell, words, more) {
  return client(cell).messages.stream(asks(cell, [user(cell.says(words))], more));
}

function called(cell, reply) {
  const calls = reply.content.filter((block) => block.type === "tool_use");
  assert.equal(calls.length, 1);
  cell.called(calls[0].name, calls[0].input);
  return calls[0].id;
}

const features = {
  async plain(cell) {
    const reply = await create(cell, "Say hello");
    cell.said(reply.content[0].text);
    assert.equal(reply.stop_reason, "end_turn");
    cell.used(reply.usage.input_tokens, reply.usage.output_tokens);
  },

  async streamed(cell) {
    const events = stream(cell, "Say hello");
    const texts = [];
    events.on("text", (text) => texts.push(text));
    const reply = await events.finalMessage();
    cell.said(texts.join(""));
    cell.said(reply.content[0].text);
    assert.equal(reply.stop_reason, "end_turn");
    cell.used(reply.usage.input_tokens, reply.usage.output_tokens);
  },

  async tools(cell) {
    const messages = [user(cell.says("What is the weather in Paris"))];
    const asked = await client(cell).messages.create(asks(cell, messages, { tools }));
    const tool_use_id = called(cell, asked);
    assert.equal(asked.stop_reason, "tool_use");
    messages.push({ role: "assistant", content: asked.content });
    messages.push(user([{ type: "tool_result", tool_use_id, content: RESULT }]));
    const reply = await client(cell).messages.create(asks(cell, messages, { tools }));
    cell.said(reply.content[0].text, `It is ${RESULT}`);
  },

  async "tools streamed"(cell) {
    const reply = await stream(cell, "What is the weather in Paris", { tools }).finalMessage();
    called(cell, reply);
    assert.equal(reply.stop_reason, "tool_use");
  },

  async "forced tool"(cell) {
    const tool_choice = { type: "tool", name: "get_weather" };
    called(cell, await create(cell, "Call what you must", { tools, tool_choice }));
  },

  async image(cell) {
    const source = { type: "base64", media_type: "image/png", data: cell.image64 };
    const content = [{ type: "image", source }, { type: "text", text: cell.says("What is in the picture") }];
    const reply = await client(cell).messages.create(asks(cell, [user(content)]));
    cell.said(reply.content[0].text, PICTURE);
  },

  async structured(cell) {
    const output_config = { format: jsonSchemaOutputFormat(CITY) };
    const messages = [user(cell.says("Describe the city"))];
    cell.described((await client(cell).messages.parse(asks(cell, messages, { output_config }))).parsed_output);
  },

  async embeddings(cell) {
    await client(cell).embeddings.create({ model: cell.model, input: ["one", "two"] });
  },

  async models(cell) {
    const listed = [];
    for await (const model of client(cell).models.list()) listed.push(model.id);
    assert(listed.includes(cell.model), `listed ${listed}`);
    assert.equal((await client(cell).models.retrieve(cell.model)).id, cell.model);
  },

  async cut(cell) {
    await breaks(create(cell, "Say much", { stream: true }), Anthropic.APIError);
  },
};

await run(features, {
  400: Anthropic.BadRequestError,
  404: Anthropic.NotFoundError,
  429: Anthropic.RateLimitError,
  500: Anthropic.InternalServerError,
  502: Anthropic.InternalServerError,
});
