// Listens with the official TypeScript clients as they are: `node listen.mjs URL`, until standard input closes. It writes
//   {"client": "v1", "listens": true} for each client that is connected, and
//   {"client": "v1", "tools": ["name", …], "error": null} whenever a client has listed its tools again.
import { Client as First } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as FirstTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { Client as Second, StreamableHTTPClientTransport as SecondTransport } from "@modelcontextprotocol/client";

const say = (client, more) => process.stdout.write(`${JSON.stringify({ client, ...more })}\n`);

const listen = async (name, Client, Transport, options) => {
  const onChanged = (error, tools) =>
    say(name, { error: error ? String(error.message) : null, tools: (tools ?? []).map((tool) => tool.name) });
  const client = new Client({ name, version: "1" }, { ...options, listChanged: { tools: { onChanged } } });
  await client.connect(new Transport(new URL(process.argv[2])));
  say(name, { listens: true });
};

await listen("v1", First, FirstTransport, {});
await listen("v2", Second, SecondTransport, {});
await listen("v2 stateless", Second, SecondTransport, { versionNegotiation: { mode: "auto" } });
process.stdin.on("end", () => process.exit(0)).resume();
