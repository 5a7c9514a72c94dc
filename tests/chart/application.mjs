// An application as its team writes it: the SDKs of OpenAI and Anthropic, told nothing but by the variables that
// injection sets. It calls all the time until it is asked to end, then for a little longer, as one that works off a
// queue, and finishes what it has begun.
//
//   node application.mjs once        one call of each form; prints what came of them
//   node application.mjs URL         calls until SIGTERM; tells URL, each second and at its end, what came of them

import Anthropic from "@anthropic-ai/sdk";
import { hostname } from "node:os";
import { setTimeout } from "node:timers/promises";
import OpenAI from "openai";

// A second try would hide that the first has failed.
const openai = new OpenAI({ maxRetries: 0 });
const anthropic = new Anthropic({ maxRetries: 0 });
const messages = [{ role: "user", content: "Tell me a long story." }];
// How long it goes on when it is asked to end.
const lingers = 3000;

const forms = {
  async plain() {
    const reply = await openai.chat.completions.create({ model: "demo", max_tokens: 5, messages });
    return reply.choices[0].finish_reason;
  },
  async streamed() {
    let reason;
    for await (const event of await openai.chat.completions.create({ model: "demo", stream: true, messages })) {
      reason = event.choices[0]?.finish_reason ?? reason;
    }
    return reason;
  },
  async messages() {
    const reply = await anthropic.messages.create({ model: "demo", max_tokens: 5, messages });
    return reply.stop_reason;
  },
  async messages_streamed() {
    const stream = anthropic.messages.stream({ model: "slow", max_tokens: 500, messages });
    return (await stream.finalMessage()).stop_reason;
  },
};

const seen = { pod: hostname(), answered: {}, failed: [], ended: false };
for (const form in forms) seen.answered[form] = 0;

async function call(form) {
  try {
    const reason = await forms[form]();
    if (!reason) throw new Error("the reply has no end");
    seen.answered[form] += 1;
  } catch (error) {
    seen.failed.push(`${form}: ${error} (${error.cause ?? "no cause"})`);
  }
}

async function tell(url) {
  await fetch(url, { method: "POST", body: JSON.stringify(seen) });
}

const [mode] = process.argv.slice(2);
if (mode === "once") {
  for (const form in forms) await call(form);
  console.log(JSON.stringify(seen));
  process.exit(seen.failed.length === 0 ? 0 : 1);
}

let ending = false;
process.on("SIGTERM", () => setTimeout(lingers).then(() => (ending = true)));
const workers = Object.keys(forms).map(async (form) => {
  while (!ending) await call(form);
});
const telling = (async () => {
  // One after the other: an older count must not come last.
  while (!ending) {
    await tell(mode);
    await setTimeout(1000);
  }
})();
await Promise.all([...workers, telling]);
seen.ended = true;
await tell(mode);
process.exit(0);
