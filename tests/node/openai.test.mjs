// The official Node SDK drives our agents (OAI-71). BASE_URL, API_KEY and WEATHER_SCRIPT come from tests/wire/test_openai_node.py.
import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";

const { BASE_URL: baseURL, API_KEY: apiKey, WEATHER_SCRIPT, BROKEN_SCRIPT } = process.env;
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const HELLO = "Hello! How can I help?";
const messages = [{ role: "user", content: "Hello" }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const tools = [{ type: "function", function: { name: "get_weather", parameters, strict: true } }];

test("models are listed and retrieved", async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.ok(ids.includes("root"));
  assert.deepEqual(ids, [...ids].sort());
  assert.equal((await client.models.retrieve("root")).id, "root");
});

test("create", async () => {
  const answer = await client.chat.completions.create({ model: "root", messages });
  assert.equal(answer.choices[0].message.content, HELLO);
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.equal(answer.usage.total_tokens, 421);
});

test("create streams with usage", async () => {
  const stream = await client.chat.completions.create({ model: "root", messages, stream: true, stream_options: { include_usage: true } });
  let text = "";
  let last;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    last = chunk;
  }
  assert.equal(text, HELLO);
  assert.equal(last.usage.total_tokens, 421);
});

test("the stream helper with text", async () => {
  const stream = client.chat.completions.stream({ model: "root", messages });
  let text = "";
  stream.on("content", (delta) => (text += delta));
  assert.equal(await stream.finalContent(), HELLO);
  assert.equal(text, HELLO);
});

test("the stream helper with client tools", async () => {
  const stream = client.chat.completions.stream({ model: "root", messages: [{ role: "user", content: WEATHER_SCRIPT }], tools });
  const done = [];
  stream.on("tool_calls.function.arguments.done", (event) => done.push(event.arguments));
  const final = await stream.finalChatCompletion();
  assert.deepEqual(done, ['{"city":"Oslo"}', '{"city":"Rome"}']);
  assert.equal(final.choices[0].finish_reason, "tool_calls");
  assert.deepEqual(final.choices[0].message.tool_calls.map((call) => call.function.parsed_arguments.city), ["Oslo", "Rome"]);
});

test("client tools are run by the SDK's own loop", async () => {
  const cities = [];
  const weather = { name: "get_weather", description: "Weather", parameters, parse: JSON.parse, function: ({ city }) => (cities.push(city), "-3") };
  const runner = client.chat.completions.runTools({
    model: "root",
    messages: [{ role: "user", content: WEATHER_SCRIPT }],
    tools: [{ type: "function", function: weather }],
  });
  assert.equal(await runner.finalContent(), "It is cold.");
  assert.deepEqual(cities, ["Oslo", "Rome"]);
});

test("parse with a schema", async () => {
  const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
  const response_format = { type: "json_schema", json_schema: { name: "answer", schema, strict: true } };
  const answer = await client.chat.completions.parse({ model: "oai-fast", messages: [{ role: "user", content: "/demo json" }], response_format });
  assert.equal(typeof answer.choices[0].message.parsed.city, "string");
});

test("an error in the stream is thrown", async () => {
  const stream = await client.chat.completions.create({ model: "root", messages: [{ role: "user", content: BROKEN_SCRIPT }], stream: true });
  let text = "";
  await assert.rejects(
    async () => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    },
    (error) => error instanceof OpenAI.APIError && error.code === "provider_unavailable",
  );
  assert.equal(text, "tok tok tok ");
});

test("401 and 404 throw their classes with our message", async () => {
  const nobody = new OpenAI({ baseURL, apiKey: "sk-nobody", maxRetries: 0 });
  await assert.rejects(nobody.models.list(), (error) => error instanceof OpenAI.AuthenticationError && /missing or invalid bearer token/.test(error.message));
  await assert.rejects(
    client.chat.completions.create({ model: "gpt-4", messages }),
    (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found" && /does not exist/.test(error.message),
  );
});

test("leaving a stream ends it", async () => {
  const stream = await client.chat.completions.create({ model: "root", messages, stream: true });
  for await (const _ of stream) break;
  assert.ok(stream.controller.signal.aborted);
});
