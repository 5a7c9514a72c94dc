// The official JavaScript SDKs, made without arguments; the variables come as NAME=VALUE.

const [model, ...variables] = process.argv.slice(2);
for (const variable of variables) {
  const [name, ...value] = variable.split("=");
  process.env[name] = value.join("=");
}

const { default: OpenAI } = await import("openai");
const { default: Anthropic } = await import("@anthropic-ai/sdk");
const { GoogleGenAI } = await import("@google/genai");

const messages = [{ role: "user", content: "Say hello" }];
const openai = await new OpenAI().chat.completions.create({ model, messages });
console.log("openai:", openai.choices[0].message.content);
const anthropic = await new Anthropic().messages.create({ model, max_tokens: 100, messages });
console.log("anthropic:", anthropic.content[0].text);
const google = await new GoogleGenAI({}).models.generateContent({ model, contents: "Say hello" });
console.log("google-genai:", google.text);
