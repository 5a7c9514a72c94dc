// The official JavaScript SDK of Gemini, as its users write it.

import { ApiError, FunctionCallingConfigMode, GoogleGenAI, createUserContent } from "@google/genai";
import { CITY, PICTURE, RESULT, WEATHER, assert, breaks, run } from "./cells.mjs";

const tools = [{ functionDeclarations: [{ name: "get_weather", parametersJsonSchema: WEATHER }] }];
const client = (cell) => new GoogleGenAI({ apiKey: "unused", httpOptions: { baseUrl: cell.url, timeout: 30_000 } });
const generate = (cell, contents, config = {}) =>
  client(cell).models.generateContent({ model: cell.model, contents, config });
const stream = (cell, words, config = {}) =>
  client(cell).models.generateContentStream({ model: cell.model, contents: cell.says(words), config });

function called(cell, calls) {
  assert.equal(calls?.length, 1);
  cell.called(calls[0].name, calls[0].args);
}

const features = {
  async plain(cell) {
    const reply = await generate(cell, cell.says("Say hello"));
    cell.said(reply.text);
    assert.equal(reply.candidates[0].finishReason, "STOP");
    cell.used(reply.usageMetadata.promptTokenCount, reply.usageMetadata.candidatesTokenCount);
  },

  async streamed(cell) {
    let [text, last, usage] = ["", null, null];
    for await (const chunk of await stream(cell, "Say hello")) {
      text += chunk.text ?? "";
      [last, usage] = [chunk, chunk.usageMetadata ?? usage];
    }
    cell.said(text);
    assert.equal(last.candidates[0].finishReason, "STOP");
    cell.used(usage.promptTokenCount, usage.candidatesTokenCount);
  },

  async tools(cell) {
    const contents = [createUserContent(cell.says("What is the weather in Paris"))];
    const asked = await generate(cell, contents, { tools });
    called(cell, asked.functionCalls);
    const [{ id, name }] = asked.functionCalls;
    contents.push(asked.candidates[0].content);
    contents.push(createUserContent({ functionResponse: { id, name, response: { result: RESULT } } }));
    cell.said((await generate(cell, contents, { tools })).text, `It is ${RESULT}`);
  },

  async "tools streamed"(cell) {
    const calls = [];
    for await (const chunk of await stream(cell, "What is the weather in Paris", { tools }))
      calls.push(...(chunk.functionCalls ?? []));
    called(cell, calls);
  },

  async "forced tool"(cell) {
    const force = { mode: FunctionCallingConfigMode.ANY, allowedFunctionNames: ["get_weather"] };
    const config = { tools, toolConfig: { functionCallingConfig: force } };
    called(cell, (await generate(cell, cell.says("Call what you must"), config)).functionCalls);
  },

  async image(cell) {
    const picture = { inlineData: { mimeType: "image/png", data: cell.image64 } };
    const contents = createUserContent([cell.says("What is in the picture"), picture]);
    cell.said((await generate(cell, contents)).text, PICTURE);
  },

  async structured(cell) {
    const config = { responseMimeType: "application/json", responseJsonSchema: CITY };
    cell.described(JSON.parse((await generate(cell, cell.says("Describe the city"), config)).text));
  },

  async embeddings(cell) {
    const contents = ["one", cell.says("two")];
    const reply = await client(cell).models.embedContent({ model: cell.model, contents });
    cell.embedded(reply.embeddings.map((item) => item.values));
  },

  async models(cell) {
    const listed = [];
    for await (const model of await client(cell).models.list()) listed.push(model.name);
    assert(listed.includes(`models/${cell.model}`), `listed ${listed}`);
    assert.equal((await client(cell).models.get({ model: cell.model })).name, `models/${cell.model}`);
  },

  async cut(cell) {
    await breaks(stream(cell, "Say much"), ApiError);
  },
};

await run(features, { 400: ApiError, 404: ApiError, 429: ApiError, 500: ApiError, 502: ApiError });
