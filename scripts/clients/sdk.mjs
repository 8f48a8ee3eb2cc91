// Uses servers with the official TypeScript clients as they are: `node sdk.mjs < plans`, where plans is a JSON list of
//   {"url": "…", "headers": {…}, "tools": [["name", {arguments}], …], "prompts": [["name", {arguments}], …],
//    "resources": ["uri", …]}
// For each plan it writes what both generations listed, by name or URI, and what failed:
//   {"v1": {"tools": […], "prompts": […], "resources": […], "templates": […], "failures": […], "error": null}, "v2": …}
import { Client as First } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as FirstTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { Client as Second, StreamableHTTPClientTransport as SecondTransport } from "@modelcontextprotocol/client";

const all = async (list, member, name) => {
  const found = [];
  let cursor;
  do {
    const page = await list(cursor ? { cursor } : {});
    found.push(...page[member].map((each) => each[name]));
    cursor = page.nextCursor;
  } while (cursor);
  return found;
};

const use = async (Client, Transport, plan) => {
  const report = { tools: [], prompts: [], resources: [], templates: [], failures: [], error: null };
  const attempt = async (what, action) => {
    try {
      const result = await action();
      if (result.isError) report.failures.push(`${what}: ${JSON.stringify(result.content).slice(0, 300)}`);
    } catch (error) {
      report.failures.push(`${what} throws: ${String(error.message).slice(0, 300)}`);
    }
  };
  const client = new Client({ name: "clients", version: "1" });
  try {
    await client.connect(new Transport(new URL(plan.url), { requestInit: { headers: plan.headers ?? {} } }));
    report.tools = await all((params) => client.listTools(params), "tools", "name");
    report.prompts = await all((params) => client.listPrompts(params), "prompts", "name");
    report.resources = await all((params) => client.listResources(params), "resources", "uri");
    report.templates = await all((params) => client.listResourceTemplates(params), "resourceTemplates", "uriTemplate");
    for (const [name, args] of plan.tools ?? [])
      await attempt(`tool ${name} ${JSON.stringify(args)}`, () => client.callTool({ name, arguments: args }));
    for (const [name, args] of plan.prompts ?? [])
      await attempt(`prompt ${name}`, () => client.getPrompt({ name, arguments: args }));
    for (const uri of plan.resources ?? []) await attempt(`resource ${uri}`, () => client.readResource({ uri }));
    await client.close();
  } catch (error) {
    report.error = String(error.message ?? error).slice(0, 500);
  }
  return report;
};

let input = "";
for await (const chunk of process.stdin) input += chunk;
const reports = [];
for (const plan of JSON.parse(input))
  reports.push({ v1: await use(First, FirstTransport, plan), v2: await use(Second, SecondTransport, plan) });
process.stdout.write(JSON.stringify(reports), () => process.exit(0));
