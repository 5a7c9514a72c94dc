// The official JavaScript SDK of Ollama, as its users write it.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Ollama } from "ollama";
import { CITY, PICTURE, RESULT, WEATHER, assert, breaks, run } from "./cells.mjs";

const tools = [{ type: "function", function: { name: "get_weather", description: "Tells it", parameters: WEATHER } }];
const client = (cell) => new Ollama({ host: cell.url });
const user = (content, more = {}) => ({ role: "user", content, ...more });
const chat = (cell, words, more = {}) =>
  client(cell).chat({ model: cell.model, messages: [user(cell.says(words))], ...more });

function called(cell, calls) {
  assert.equal(calls?.length, 1);
  cell.called(calls[0].function.name, calls[0].function.arguments);
}

const features = {
  async plain(cell) {
    const reply = await chat(cell, "Say hello");
    cell.said(reply.message.content);
    assert.deepEqual([reply.done, reply.done_reason], [true, "stop"]);
    cell.used(reply.prompt_eval_count, reply.eval_count);
  },

  async streamed(cell) {
    let [text, last] = ["", null];
    for await (const chunk of await chat(cell, "Say hello", { stream: true }))
      [text, last] = [text + (chunk.message.content ?? ""), chunk];
    cell.said(text);
    assert.deepEqual([last.done, last.done_reason], [true, "stop"]);
    cell.used(last.prompt_eval_count, last.eval_count);
  },

  async tools(cell) {
    const messages = [user(cell.says("What is the weather in Paris"))];
    const { message } = await client(cell).chat({ model: cell.model, messages, tools });
    called(cell, message.tool_calls);
    messages.push(message, { role: "tool", tool_name: "get_weather", content: RESULT });
    const reply = await client(cell).chat({ model: cell.model, messages, tools });
    cell.said(reply.message.content, `It is ${RESULT}`);
  },

  async "tools streamed"(cell) {
    const calls = [];
    for await (const chunk of await chat(cell, "What is the weather in Paris", { tools, stream: true }))
      calls.push(...(chunk.message.tool_calls ?? []));
    called(cell, calls);
  },

  // A JavaScript function takes any field; what the SDK has is what its types declare.
  async "forced tool"() {
    const types = join(dirname(createRequire(import.meta.url).resolve("ollama")), "browser.d.ts");
    const declared = readFileSync(types, "utf8");
    assert(declared.includes("interface ChatRequest"), "the types have moved");
    if (!declared.includes("tool_choice")) throw new TypeError("ChatRequest has no tool_choice");
  },

  async image(cell) {
    const messages = [user(cell.says("What is in the picture"), { images: [cell.image64] })];
    cell.said((await client(cell).chat({ model: cell.model, messages })).message.content, PICTURE);
  },

  async structured(cell) {
    cell.described(JSON.parse((await chat(cell, "Describe the city", { format: CITY })).message.content));
  },

  async embeddings(cell) {
    cell.embedded((await client(cell).embed({ model: cell.model, input: ["one", cell.says("two")] })).embeddings);
  },

  async models(cell) {
    const listed = (await client(cell).list()).models.map((model) => model.name);
    assert(listed.includes(cell.model), `listed ${listed}`);
    const { capabilities } = await client(cell).show({ model: cell.model });
    assert(capabilities.includes("completion"), `${capabilities}`);
  },

  // In the middle of a stream this SDK throws a plain Error with the text.
  async cut(cell) {
    const { message } = await breaks(chat(cell, "Say much", { stream: true }), "Error");
    assert(/broke off|the route allows/.test(message), message);
  },
};

// The SDK does not export the class: it is known by its name.
await run(features, Object.fromEntries([400, 404, 429, 500, 502].map((status) => [status, "ResponseError"])));
