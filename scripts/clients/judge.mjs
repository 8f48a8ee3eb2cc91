// One process judges many inputs: each line of the input is a question, each line of the output its answer.
//   {"pattern": "…"}  whether it compiles in ECMA-262 with the u flag: {"error": null | "…"}
//   {"tools": […]}    whether both generations of the TypeScript SDK list the tools: {"v1": null | "…", "v2": …}
//   {"tool": {…}, "results": […]}  whether the SDK accepts each structured result: {"v1": [true, …], "v2": …}
//   {"text": "…"}     its tokens in o200k_base: {"tokens": 3}
import { createInterface } from "node:readline";
import { AjvJsonSchemaValidator as First } from "@modelcontextprotocol/sdk/validation/ajv";
import { ListToolsResultSchema } from "@modelcontextprotocol/sdk/types.js";
import { AjvJsonSchemaValidator as Second } from "@modelcontextprotocol/client/validators/ajv";
import { countTokens } from "gpt-tokenizer/encoding/o200k_base";

console.warn = console.error = () => {}; // Ajv reports unknown formats, which it ignores

const attempt = (what) => {
  try {
    what();
    return null;
  } catch (error) {
    return String(error.message ?? error).slice(0, 500);
  }
};

// What `Client.listTools` does with a page: parse it, and compile every outputSchema with one validator.
const list = (Validator, tools) =>
  attempt(() => {
    ListToolsResultSchema.parse({ tools });
    const validator = new Validator();
    for (const tool of tools) if (tool.outputSchema) validator.getValidator(tool.outputSchema);
  });

const accept = (Validator, tool, results) => {
  try {
    const validate = new Validator().getValidator(tool.outputSchema);
    return results.map((result) => validate(result).valid);
  } catch (error) {
    return String(error.message);
  }
};

const answer = (question) => {
  if ("pattern" in question) return { error: attempt(() => new RegExp(question.pattern, "u")) };
  if ("tools" in question) return { v1: list(First, question.tools), v2: list(Second, question.tools) };
  if ("results" in question) {
    const { tool, results } = question;
    return { v1: accept(First, tool, results), v2: accept(Second, tool, results) };
  }
  return { tokens: countTokens(question.text) };
};

for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(answer(JSON.parse(line))));
