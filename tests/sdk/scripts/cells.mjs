// What the scripts of JavaScript's SDKs share: the counterpart of cells.py, which says what is told and printed.

import assert from "node:assert/strict";

export const PICTURE = "A single red dot";
export const RESULT = "18 degrees";
export const WEATHER = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
export const CITY = {
  type: "object",
  properties: { city: { type: "string" }, population: { type: "integer" } },
  required: ["city", "population"],
  additionalProperties: false,
};
const HELLO = "Good day to you";

class Cell {
  constructor(told, plan) {
    Object.assign(this, told, { url: plan.url, image64: plan.image });
  }

  says(words) {
    return `${words} (${this.tag})`;
  }

  // The provider mock says what it was told to; the simulated provider makes something up.
  said(text, expected = HELLO) {
    if (this.exact) assert.equal(text, expected);
    else assert(text.length > 10, `said '${text}'`);
  }

  // Tokens in and out; the mock's Ollama counts none.
  used(taken, given) {
    assert(Number.isInteger(taken) && Number.isInteger(given), `usage ${taken}, ${given}`);
    if (this.counted) assert(taken > 0 && given > 0, `usage ${taken}, ${given}`);
  }

  called(name, { city }) {
    assert.equal(name, "get_weather");
    if (this.exact) assert.equal(city, "Paris");
    else assert.equal(typeof city, "string");
  }

  described(city) {
    assert.deepEqual(Object.keys(city).sort(), ["city", "population"]);
    assert(Number.isInteger(city.population));
    if (this.exact) assert.deepEqual(city, { city: "Paris", population: 2100000 });
  }

  embedded(vectors) {
    assert.equal(vectors.length, 2);
    for (const vector of vectors) assert(vector.length > 2 && vector.every((x) => typeof x === "number"), `${vector}`);
  }
}

// `features`: a function for each; `errors`: the class of each status, which plain and streamed calls raise.
export async function run(features, errors) {
  const plan = JSON.parse(process.argv[2]);
  for (const told of plan.cells) {
    const cell = new Cell(told, plan);
    const line = { kind: cell.kind, feature: cell.feature, ok: true };
    try {
      Object.assign(line, await attempt(cell, features, errors));
    } catch (error) {
      Object.assign(line, { ok: false, why: `${error.name}: ${error.message}` });
    }
    console.log(JSON.stringify(line));
  }
}

async function attempt(cell, features, errors) {
  const call = () => features[cell.feature](cell);
  if (cell.expect === "absent") return { refusal: (await thrown(call, TypeError)).message };
  if (cell.expect === "refused") return { refusal: (await raised(call, errors[400], 400)).message };
  const status = cell.feature === "refused key" ? 502 : Number(cell.feature);
  if (status) {
    for (const call of [features.plain, features.streamed]) await raised(() => call(cell), errors[status], status);
  } else if (cell.feature === "unknown model") {
    const { message } = await raised(() => (features[cell.feature] ?? features.plain)(cell), errors[404], 404);
    assert(message.includes(`Did you mean ${cell.model.slice(0, -1)}`), message);
  } else await call();
}

async function raised(call, expected, status) {
  const error = await thrown(call, expected);
  assert.equal(error.status ?? error.status_code, status);
  return error;
}

// What is thrown, which must be of the class; a class that its SDK does not export is given by its name.
async function thrown(call, expected) {
  try {
    await call();
  } catch (error) {
    const named = typeof expected === "string" ? error.name === expected : error instanceof expected;
    if (!named) throw error;
    return error;
  }
  throw new assert.AssertionError({ message: "nothing was raised" });
}

// Reads a stream that is cut off; answers the error.
export async function breaks(stream, expected) {
  let pieces = 0;
  const read = async () => {
    for await (const _ of await stream) pieces += 1;
  };
  const error = await thrown(read, expected);
  assert(pieces > 0, `cut before anything came: ${error.message}`);
  return error;
}

export { assert };
