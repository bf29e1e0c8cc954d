// Has AsyncAPI's own parser judge a document. Prints as JSON the types of events that it names, and its examples.
//
//   node asyncapi.mjs ../../docs/asyncapi.yaml

import { Parser, fromFile } from "@asyncapi/parser";

const parser = new Parser();
const { document, diagnostics } = await fromFile(parser, process.argv[2]).parse();
const faults = diagnostics.filter((it) => it.severity <= 1);
for (const { path, message } of faults) console.error(`${path.join(".")}: ${message}`);
if (!document || faults.length > 0) process.exit(1);

const types = document.channels().get("events").parameters().get("type").json().enum;
const examples = document.messages().all().flatMap((message) =>
  message.examples().all().map((it) => ({ message: message.id(), payload: it.payload() })));
console.log(JSON.stringify({ types, examples }));
