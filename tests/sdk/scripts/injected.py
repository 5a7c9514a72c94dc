"""The official Python SDKs, made without arguments."""

import sys

import anthropic
import ollama
import openai
from google import genai

model = sys.argv[1]
says = [{"role": "user", "content": "Say hello"}]

# A client of Google's that nothing holds closes itself in the middle of a call.
gemini = genai.Client()

print("openai:", openai.OpenAI().chat.completions.create(model=model, messages=says).choices[0].message.content)
print("anthropic:", anthropic.Anthropic().messages.create(model=model, max_tokens=100, messages=says).content[0].text)
print("google-genai:", gemini.models.generate_content(model=model, contents="Say hello").text)
print("ollama:", ollama.Client().chat(model=model, messages=says).message.content)
