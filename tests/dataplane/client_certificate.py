# A call by the SDK of OpenAI, with a client of HTTP that shows a certificate.
import ssl
import sys

import httpx
import openai

url, ca, certificate, key = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(certificate, key)
client = openai.OpenAI(base_url=url + '/v1', api_key='none', http_client=httpx.Client(verify=context))
messages = [{'role': 'user', 'content': 'Hello'}]
print(client.chat.completions.create(model='large', messages=messages).choices[0].message.content)
