// Lists and calls with the official TypeScript clients as they are: `node sdk.mjs URL '{"tool": {arguments}}'`.
import { Client as First } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as FirstTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { Client as Second, StreamableHTTPClientTransport as SecondTransport } from "@modelcontextprotocol/client";

const [url, calls] = process.argv.slice(2);
const report = {};
for (const [name, Client, Transport] of [["v1", First, FirstTransport], ["v2", Second, SecondTransport]]) {
  const client = new Client({ name: "clients", version: "1" });
  const found = (report[name] = { tools: [], calls: {}, error: null });
  try {
    await client.connect(new Transport(new URL(url)));
    let cursor;
    do {
      const page = await client.listTools(cursor ? { cursor } : {});
      found.tools.push(...page.tools.map((tool) => tool.name));
      cursor = page.nextCursor;
    } while (cursor);
    for (const [tool, args] of Object.entries(JSON.parse(calls ?? "{}"))) {
      try {
        const result = await client.callTool({ name: tool, arguments: args });
        found.calls[tool] = result.isError ? `isError: ${JSON.stringify(result.content).slice(0, 300)}` : null;
      } catch (error) {
        found.calls[tool] = `throws: ${String(error.message).slice(0, 300)}`;
      }
    }
    await client.close();
  } catch (error) {
    found.error = String(error.message ?? error).slice(0, 500);
  }
}
console.log(JSON.stringify(report));
process.exit(0);
