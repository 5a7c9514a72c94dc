// The official JavaScript SDK of OpenAI, as its users write it.

import OpenAI from "openai";
import { CITY, PICTURE, RESULT, WEATHER, assert, breaks, run } from "./cells.mjs";

const tools = [{ type: "function", function: { name: "get_weather", parameters: WEATHER } }];
const client = (cell) => new OpenAI({ baseURL: `${cell.url}/v1`, apiKey: "unused", maxRetries: 0, timeout: 30_000 });
const user = (content) => ({ role: "user", content });

function create(cell, words, more = {}) {
  const messages = [user(cell.says(words))];
  return client(cell).chat.completions.create({ model: cell.model, messages, ...more });
}

function called(cell, calls) {
  assert.equal(calls.length, 1);
  cell.called(calls[0].function.name, JSON.parse(calls[0].function.arguments));
}

const features = {
  async plain(cell) {
    const reply = await create(cell, "Say hello");
    cell.said(reply.choices[0].message.content);
    assert.equal(reply.choices[0].finish_reason, "stop");
    cell.used(reply.usage.prompt_tokens, reply.usage.completion_tokens);
  },

  async streamed(cell) {
    const [texts, finishes] = [[], []];
    let usage;
    const wanted = { stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await create(cell, "Say hello", wanted)) {
      texts.push(...chunk.choices.map((choice) => choice.delta.content ?? ""));
      finishes.push(...chunk.choices.map((choice) => choice.finish_reason).filter(Boolean));
      usage = chunk.usage ?? usage;
    }
    cell.said(texts.join(""));
    assert.deepEqual(finishes, ["stop"]);
    cell.used(usage.prompt_tokens, usage.completion_tokens);
  },

  async tools(cell) {
    const messages = [user(cell.says("What is the weather in Paris"))];
    const { message, finish_reason } = (
      await client(cell).chat.completions.create({ model: cell.model, messages, tools })
    ).choices[0];
    called(cell, message.tool_calls);
    assert.equal(finish_reason, "tool_calls");
    messages.push(message, { role: "tool", tool_call_id: message.tool_calls[0].id, content: RESULT });
    const reply = await client(cell).chat.completions.create({ model: cell.model, messages, tools });
    cell.said(reply.choices[0].message.content, `It is ${RESULT}`);
  },

  async "tools streamed"(cell) {
    const messages = [user(cell.says("What is the weather in Paris"))];
    const { message, finish_reason } = (
      await client(cell).chat.completions.stream({ model: cell.model, messages, tools }).finalChatCompletion()
    ).choices[0];
    called(cell, message.tool_calls);
    assert.equal(finish_reason, "tool_calls");
  },

  async "forced tool"(cell) {
    const tool_choice = { type: "function", function: { name: "get_weather" } };
    const reply = await create(cell, "Call what you must", { tools, tool_choice });
    called(cell, reply.choices[0].message.tool_calls);
  },

  async image(cell) {
    const messages = [
      user([
        { type: "text", text: cell.says("What is in the picture") },
        { type: "image_url", image_url: { url: `data:image/png;base64,${cell.image64}` } },
      ]),
    ];
    const reply = await client(cell).chat.completions.create({ model: cell.model, messages });
    cell.said(reply.choices[0].message.content, PICTURE);
  },

  async structured(cell) {
    const response_format = { type: "json_schema", json_schema: { name: "city", schema: CITY, strict: true } };
    const reply = await create(cell, "Describe the city", { response_format });
    cell.described(JSON.parse(reply.choices[0].message.content));
  },

  async embeddings(cell) {
    const reply = await client(cell).embeddings.create({ model: cell.model, input: ["one", cell.says("two")] });
    cell.embedded(reply.data.map((item) => [...item.embedding]));
  },

  async models(cell) {
    const listed = [];
    for await (const model of client(cell).models.list()) listed.push(model.id);
    assert(listed.includes(cell.model), `listed ${listed}`);
    assert.equal((await client(cell).models.retrieve(cell.model)).id, cell.model);
  },

  async cut(cell) {
    const error = await breaks(create(cell, "Say much", { stream: true }), OpenAI.APIError);
    assert.equal(error.code, cell.exact ? "stream_broken" : "stream_deadline");
  },

  async "unknown model"(cell) {
    try {
      await features.plain(cell);
    } catch (error) {
      assert.deepEqual([error.code, error.param], ["model_not_found", "model"]);
      throw error;
    }
  },
};

await run(features, {
  400: OpenAI.BadRequestError,
  404: OpenAI.NotFoundError,
  429: OpenAI.RateLimitError,
  500: OpenAI.InternalServerError,
  502: OpenAI.InternalServerError,
});
