"use strict";
// What the page shows comes from /api/state; texts of manifests and backends are always set as text, never as HTML.

const by = (id) => document.getElementById(id);
let token = new URLSearchParams(location.hash.slice(1)).get("token") || sessionStorage.getItem("token") || "";
sessionStorage.setItem("token", token);
if (location.hash.includes("token=")) history.replaceState(null, "", location.pathname);

let state = { servers: [], findings: [], services: [], missing: [], messages: [] };
let revision = -1;
let last = 0;
let chosen = null; // {server, kind, name}
let shown = ""; // its entry, as the form was made from it

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "onclick" || name === "onsubmit" || name === "oninput") node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

async function ask(path, body) {
  const headers = { Authorization: `Bearer ${token}` };
  const options = body === undefined ? { headers } : {
    method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  const answer = await fetch(path, options);
  if (answer.status === 401) throw new Error("The token of the run is missing. Open the URL that mcp-operator dev printed.");
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

function notice(text) {
  by("notice").textContent = text;
  by("notice").hidden = !text;
}

const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const size = (bytes, tokens) => `${bytes.toLocaleString("en")} bytes, about ${tokens.toLocaleString("en")} tokens`;
const GROUPS = [["tool", "tools", "Tools"], ["prompt", "prompts", "Prompts"], ["resource", "resources", "Resources"]];
const key = (kind, entry) => (kind === "resource" ? entry.uri : entry.name);

function matches(entry, words) {
  const text = [entry.name, entry.title, entry.description, entry.uri, entry.source].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

function showServers() {
  const words = by("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  const nodes = state.servers.map((server) => {
    const groups = GROUPS.map(([kind, member, title]) => {
      const entries = server[member].filter((entry) => matches(entry, words));
      found += entries.length;
      if (!entries.length) return null;
      const items = entries.map((entry) => {
        const isCurrent = chosen && chosen.server === server.key && chosen.kind === kind && chosen.name === key(kind, entry);
        return make("li", {}, make("button", {
          type: "button", "aria-current": isCurrent ? "true" : false,
          onclick: () => choose({ server: server.key, kind, name: key(kind, entry) }, true),
        }, make("span", {}, key(kind, entry)), entry.tokens ? make("span", { class: "size" }, `${entry.tokens} tokens`) : null));
      });
      return make("div", {}, make("h4", {}, `${title} (${entries.length})`), make("ul", {}, ...items));
    });
    const url = `${location.origin}${server.path}`;
    return make("div", {},
      make("h3", {}, `MCPServer ${server.key}`),
      make("p", { class: "quiet" }, make("code", {}, url), make("br"),
        `${count(server.tools.length, "tool")}: ${size(server.bytes, server.tokens)}`,
        server.auth === "None" ? "" : `; clients authenticate by ${server.auth}`),
      ...groups.filter(Boolean));
  });
  if (!nodes.length) nodes.push(make("p", {}, "No MCPServer is served. The findings say why, or there is none in the files."));
  by("servers").replaceChildren(...nodes);
  by("matches").textContent = words.length ? `${count(found, "entry").replace("entrys", "entries")} found` : "";
}

function showFindings() {
  const errors = state.findings.filter((finding) => finding.level === "error").length;
  by("status").replaceChildren(make("a", { href: "#findings-title" },
    `${count(state.servers.length, "server")}, ${count(errors, "error")}, ${count(state.findings.length - errors, "warning")}`));
  const nodes = state.findings.map((finding) => {
    const where = finding.file ? `${finding.file}:${finding.line}:${finding.column}` : "";
    const summary = make("summary", {},
      make("strong", { class: finding.level }, finding.level), ` ${finding.reason}: `,
      finding.path ? make("code", {}, finding.path) : "", finding.path ? ": " : "", finding.message,
      where ? make("span", { class: "quiet" }, ` (${where})`) : "");
    const lines = (finding.excerpt || []).flatMap((line, index) => {
      const number = finding.firstLine + index;
      const text = `${String(number).padStart(5)}  ${line}\n`;
      return [number === finding.line ? make("mark", {}, text) : text];
    });
    const link = finding.file
      ? make("a", { href: `vscode://file${encodeURI(finding.absolute)}:${finding.line}:${finding.column}` }, `Open line ${finding.line} in the editor`)
      : null;
    return make("details", { open: finding.level === "error" }, summary, lines.length ? make("pre", {}, ...lines) : null, link);
  });
  for (const message of state.messages) nodes.push(make("p", { class: "warning" }, message));
  if (!nodes.length) nodes.push(make("p", { class: "good" }, "None."));
  by("findings").replaceChildren(...nodes);
}

function showNeeds() {
  const services = state.services.map((service) => make("li", {}, make("code", {}, service.name), " ",
    service.url ? make("span", { class: "good" }, `→ ${service.url}`)
      : service.isForwarded ? make("span", { class: "good" }, "by kubectl port-forward")
        : make("span", { class: "warning" }, `no address; start with --service ${service.name}=http://127.0.0.1:PORT`)));
  const missing = state.missing.map((item) => make("li", { class: "warning" },
    `${item.kind} ${item.name}${item.key ? ` key ${item.key}` : ""} has no value; set ${item.variable}${item.key ? "" : "CLIENT"} or use --secret-file`));
  const all = [...services, ...missing];
  by("needs").replaceChildren(all.length ? make("ul", {}, ...all) : make("p", { class: "good" }, "None are needed."));
}

function find(wanted) {
  const server = wanted && state.servers.find((each) => each.key === wanted.server);
  const group = wanted && GROUPS.find(([kind]) => kind === wanted.kind);
  const entry = server && server[group[1]].find((each) => key(wanted.kind, each) === wanted.name);
  return entry ? { server, entry } : null;
}

// A schema that says what a form can ask for; anything else is asked for as JSON.
function resolve(schema, root) {
  let steps = 0;
  while (schema && typeof schema === "object" && typeof schema.$ref === "string" && schema.$ref.startsWith("#/") && steps++ < 20) {
    schema = schema.$ref.slice(2).split("/").reduce(
      (node, step) => (node ? node[step.replaceAll("~1", "/").replaceAll("~0", "~")] : undefined), root);
  }
  return schema && typeof schema === "object" ? schema : {};
}

let fieldNumber = 0;
function field(name, given, root, isRequired, depth) {
  const schema = resolve(given, root);
  const types = Array.isArray(schema.type) ? schema.type.filter((type) => type !== "null") : [schema.type];
  const type = types.length === 1 ? types[0] : undefined;
  const text = `${schema.title || name}${isRequired ? " (required)" : ""}`;
  if (type === "object" && schema.properties && depth < 3) {
    const fields = Object.entries(schema.properties).map(([child, each]) =>
      field(child, each, root, (schema.required || []).includes(child), depth + 1));
    const node = make("fieldset", {}, make("legend", {}, text),
      schema.description ? make("p", { class: "quiet" }, schema.description) : null, ...fields.map((each) => each.node));
    return { name, node, read: () => {
      const value = readAll(fields);
      return Object.keys(value).length || isRequired ? value : undefined;
    } };
  }
  const id = `field-${++fieldNumber}`;
  const about = [schema.description, schema.format && `format ${schema.format}`, schema.pattern && `pattern ${schema.pattern}`,
    schema.minimum !== undefined && `at least ${schema.minimum}`, schema.maximum !== undefined && `at most ${schema.maximum}`,
    schema.default !== undefined && `default ${JSON.stringify(schema.default)}`].filter(Boolean).join("; ");
  const attributes = { id, name, "aria-describedby": about ? `${id}-about` : false, "aria-required": isRequired ? "true" : false };
  let input;
  let read;
  const options = schema.enum || (type === "boolean" ? [true, false] : "const" in schema ? [schema.const] : null);
  if (options) {
    input = make("select", attributes, make("option", { value: "" }, "(not given)"),
      ...options.map((value, index) => make("option", { value: index }, typeof value === "string" ? value : JSON.stringify(value))));
    read = () => (input.value === "" ? undefined : options[Number(input.value)]);
  } else if (type === "string") {
    const isLong = (schema.maxLength || 0) > 200;
    input = make(isLong ? "textarea" : "input", { ...attributes, ...(isLong ? {} : { type: "text" }), autocomplete: "off" });
    read = () => (input.value === "" ? undefined : input.value);
  } else if (type === "integer" || type === "number") {
    input = make("input", { ...attributes, type: "text", inputmode: "decimal", autocomplete: "off" });
    read = () => (input.value.trim() === "" ? undefined : parse(input, name));
  } else {
    input = make("textarea", { ...attributes, placeholder: type === "array" ? "JSON, such as [\"a\", \"b\"]" : "JSON", spellcheck: "false" });
    read = () => (input.value.trim() === "" ? undefined : parse(input, name));
  }
  const node = make("div", { class: "field" }, make("label", { for: id }, text), input,
    about ? make("div", { id: `${id}-about`, class: "quiet" }, about) : null);
  return { name, node, read };
}

function parse(input, name) {
  try {
    input.removeAttribute("aria-invalid");
    return JSON.parse(input.value);
  } catch (error) {
    input.setAttribute("aria-invalid", "true");
    input.focus();
    throw new Error(`${name} must be JSON: ${error.message}`);
  }
}

function readAll(fields) {
  const value = {};
  for (const each of fields) {
    const read = each.read();
    if (read !== undefined) value[each.name] = read;
  }
  return value;
}

function choose(wanted, moveFocus) {
  chosen = wanted;
  showServers();
  const found = find(wanted);
  shown = JSON.stringify(found && found.entry);
  const main = by("entry");
  if (!found) {
    main.replaceChildren(make("p", { class: "quiet" }, wanted ? "This entry is not served any more." : "Choose a tool, a prompt or a resource."));
    return;
  }
  const { server, entry } = found;
  const schema = entry.schema || { type: "object", properties: {} };
  const fields = wanted.kind === "resource" ? [] : Object.entries(schema.properties || {}).map(([name, each]) =>
    field(name, each, schema, (schema.required || []).includes(name), 0));
  const isTemplate = wanted.kind === "resource" && wanted.name.includes("{");
  const uri = isTemplate ? field("uri", { type: "string", title: "URI", description: `an instance of ${wanted.name}` }, {}, true, 0) : null;
  const json = make("textarea", { id: "arguments-json", spellcheck: "false" });
  const claims = make("textarea", { id: "claims-json", spellcheck: "false" });
  const output = make("div", { id: "output", "aria-live": "polite" });
  const failed = (error) => output.replaceChildren(make("p", { class: "error", role: "alert" }, error.message));
  const asked = () => ({
    server: server.key, kind: wanted.kind, name: uri ? uri.read() || "" : wanted.name,
    arguments: json.value.trim() ? parse(json, "The arguments") : readAll(fields),
    claims: claims.value.trim() ? parse(claims, "The claims") : {},
  });
  const run = (path, show) => async (event) => {
    event.preventDefault();
    try {
      const body = asked();
      output.replaceChildren(make("p", {}, "Waiting…"));
      output.replaceChildren(...show(await ask(path, body)));
    } catch (error) {
      failed(error);
    }
  };
  const verb = { tool: "Call", prompt: "Get", resource: "Read" }[wanted.kind];
  const hints = Object.entries(entry.annotations || {}).map(([name, value]) => `${name}: ${value}`).join(", ");
  main.replaceChildren(...[
    make("h2", { id: "entry-title" }, entry.title || wanted.name),
    make("p", { class: "quiet" }, `${wanted.name}, from ${entry.source}, on ${server.key}`,
      entry.bytes ? `; ${size(entry.bytes, entry.tokens)}` : "", hints ? `; ${hints}` : ""),
    entry.description ? make("p", {}, entry.description) : null,
    make("form", { "aria-labelledby": "entry-title", onsubmit: run("/api/call", showResult) },
      ...fields.map((each) => each.node), uri ? uri.node : null,
      wanted.kind === "resource" ? null : make("details", {}, make("summary", {}, "Arguments as JSON, and claims of the token"),
        make("div", { class: "field" }, make("label", { for: "arguments-json" }, "Arguments, instead of the form"), json),
        make("div", { class: "field" }, make("label", { for: "claims-json" }, "Claims of the client's token"), claims)),
      make("div", { class: "buttons" },
        make("button", { class: "main", type: "submit" }, verb),
        wanted.kind === "tool" ? make("button", { type: "button", onclick: run("/api/explain", showExplanation) }, "Explain the request") : null)),
    output,
  ].filter(Boolean));
  if (wanted.kind === "tool") {
    main.append(make("details", {}, make("summary", {}, "inputSchema"), make("pre", { tabindex: "0" }, JSON.stringify(schema, null, 2))));
  }
  if (moveFocus) main.focus();
}

const pretty = (text) => {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
};
const block = (title, text) => (text === undefined || text === null || text === "" ? [] : [make("h3", {}, title), make("pre", { tabindex: "0" }, text)]);

function showExchange(exchange) {
  const head = (exchange.headers || []).map(([name, value]) => `${name}: ${value}`).join("\n");
  const replyHead = Object.entries(exchange.replyHeaders || {}).map(([name, value]) => `${name}: ${value}`).join("\n");
  return [
    ...block("Request to the backend", `${exchange.method} ${exchange.url}${exchange.sentTo ? `\n(sent to ${exchange.sentTo})` : ""}\n${head}\n\n${exchange.body || ""}`.trim()),
    ...(exchange.error ? block("It failed", exchange.error)
      : block(`Response of the backend, after ${exchange.ms} ms`, `${exchange.status}\n${replyHead}\n\n${pretty(exchange.reply || "")}`.trim())),
  ];
}

function showResult(answer) {
  const isError = answer.error !== undefined || (answer.result && answer.result.isError);
  const texts = ((answer.result && answer.result.content) || []).filter((part) => part.type === "text").map((part) => pretty(part.text));
  return [
    make("p", { role: "status" }, make("strong", { class: isError ? "error" : "good" }, isError ? "Error" : "Result"), ` after ${answer.ms} ms`),
    ...(answer.error !== undefined ? block("Message", answer.error) : texts.length ? block("What the model reads", texts.join("\n\n")) : []),
    ...answer.exchanges.flatMap(showExchange),
    ...(answer.result ? [make("details", { open: !texts.length }, make("summary", {}, "The whole MCP result"),
      make("pre", { tabindex: "0" }, JSON.stringify(answer.result, null, 2)))] : []),
  ];
}

function showExplanation(answer) {
  if (answer.error !== undefined) return [make("p", { class: "error", role: "alert" }, `The call would be refused: ${answer.error}`)];
  const { request, parts, notes } = answer;
  const head = request.headers.map(([name, value]) => `${name}: ${value}`).join("\n");
  const rows = parts.map((part) => make("tr", {},
    make("th", { scope: "row" }, part.where), make("td", {}, part.name ? `${part.name}${part.value ? `: ${part.value}` : ""}` : part.value),
    make("td", {}, ...part.fields.flatMap((name, index) => [index ? ", " : "", make("code", {}, name)])), make("td", {}, part.source)));
  return [
    ...block("The exact request", `${request.method} ${request.url}\n${head}\n\n${request.body ?? (request.bodyBase64 ? `(base64) ${request.bodyBase64}` : "")}`.trim()),
    make("h3", {}, "Which field makes which part"),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Parts of the request" }, make("table", {},
      make("thead", {}, make("tr", {}, ...["Part", "Value", "Field", "From"].map((title) => make("th", { scope: "col" }, title)))),
      make("tbody", {}, ...rows))),
    ...notes.map((note) => make("p", { class: "quiet" }, `Note: ${note}`)),
  ];
}

function showCalls(calls) {
  for (const call of calls) {
    const time = new Date(call.at * 1000).toLocaleTimeString("en-GB");
    const item = make("li", {}, make("details", {},
      make("summary", {}, `${time} ${call.server} ${call.operation} `,
        make("span", { class: call.status < 400 ? "good" : "error" }, `${call.status}`), ` ${call.ms} ms`),
      ...call.exchanges.flatMap(showExchange), ...block("Answer to the client", pretty(call.response))));
    by("log").prepend(item);
  }
  while (by("log").children.length > 200) by("log").lastChild.remove();
}

async function load() {
  state = await ask("/api/state");
  revision = state.revision;
  showServers();
  showFindings();
  showNeeds();
  // A form that somebody fills in stays, unless its entry has changed.
  const found = find(chosen);
  if (chosen && JSON.stringify(found && found.entry) !== shown) choose(chosen, false);
}

async function follow() {
  for (;;) {
    try {
      if (revision < 0) await load();
      const news = await ask("/api/changes", { after: last, revision });
      notice("");
      if (news.last < last) last = 0;
      showCalls(news.calls);
      last = news.last;
      if (news.revision !== revision) await load();
    } catch (error) {
      notice(error instanceof TypeError ? "mcp-operator dev does not answer. It may have ended." : error.message);
      if (error.message.startsWith("The token")) return;
      revision = -1;
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

by("search").addEventListener("input", showServers);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) {
    event.preventDefault();
    by("search").focus();
  }
});
follow();
