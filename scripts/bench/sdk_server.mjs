// The tool of scripts/bench/runtime.py with the official TypeScript SDK: node sdk_server.mjs BACKEND_PORT; prints its port.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { z } from "zod";

const backend = process.argv[2];

function make() {
  const server = new McpServer({ name: "bench", version: "1" });
  const inputSchema = {
    order: z.string().regex(/^[0-9]{1,10}$/),
    expand: z.enum(["lines", "customer"]).optional(),
    limit: z.number().int().min(1).max(100).default(20),
  };
  server.registerTool("get_order_0", { description: "One order", inputSchema }, async ({ order, expand, limit }) => {
    const query = new URLSearchParams({ ...(expand && { expand }), limit: String(limit) });
    const reply = await fetch(`http://127.0.0.1:${backend}/orders/${order}?${query}`);
    return { content: [{ type: "text", text: await reply.text() }] };
  });
  return server;
}

// One session, which all calls share: a server for each request costs several times as much.
const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, enableJsonResponse: true });
await make().connect(transport);
const listener = createServer((request, response) => transport.handleRequest(request, response));
listener.listen(0, "127.0.0.1", () => console.log(listener.address().port));
