// Makes src/lastbit/report/templates/plotly.min.js.gz: plotly.js with the kinds of trace that reports draw, and no other.
//
//   node --expose-internals --stack-size=4000 tools/plotly_bundle.js PLOTLY.MIN.JS TARGET.GZ     (or: make plotly)
//
// The Python package holds the whole library alone, 4.8 MB. It is one function of some 2,500 statements, nearly all of
// which define a module that runs when it is first asked for; the last one registers the kinds of trace. This keeps
// that one with fewer kinds, and whatever it names, directly or not. Every identifier counts as a name, so too much may
// stay, never too little; the browser tests draw every figure with the outcome.
"use strict";
const { readFileSync, writeFileSync } = require("fs");
const { gzipSync } = require("zlib");
// The JavaScript parser that node itself is shipped with: nothing needs to be installed.
const acorn = require("internal/deps/acorn/acorn/dist/acorn");

const TRACES = ["scatter", "bar", "heatmap"]; // scatter is in the core, which registers it by itself
const [source, target] = process.argv.slice(2);
const code = readFileSync(source, "utf8");
const text = (node) => code.slice(node.start, node.end);

function fail(why) {
  throw new Error(`${source} is not built as this script expects: ${why}`);
}

// The body of `var Plotly = (() => { ... })()`.
function library(node) {
  if (!node || typeof node !== "object") return null;
  if (node.type === "VariableDeclarator" && node.id.name === "Plotly") return node.init.callee.body;
  for (const child of Object.values(node)) {
    const found = library(child);
    if (found) return found;
  }
  return null;
}

// Every identifier below a node but for names of properties.
function names(node, found = new Set()) {
  if (!node || typeof node !== "object") return found;
  if (node.type === "Identifier") return found.add(node.name);
  for (const [key, child] of Object.entries(node)) {
    const plain = (key === "property" && node.type === "MemberExpression") || (key === "key" && !node.shorthand);
    if (!(plain && !node.computed)) names(child, found);
  }
  return found;
}

const body = library(acorn.parse(code, { ecmaVersion: "latest" })) || fail("there is no Plotly");
const parts = [], owner = new Map();
function add(name, code, node, root = false) {
  const part = { code, uses: names(node), root };
  parts.push(part);
  if (name) owner.set(name, part);
}
for (const statement of body.body) {
  if (statement.type === "VariableDeclaration") {
    for (const one of statement.declarations) add(one.id.name, `${statement.kind} ${text(one)};`, one.init);
  } else if (statement.type === "FunctionDeclaration") add(statement.id.name, text(statement), statement);
  else if (statement.type === "ReturnStatement") add(null, text(statement), statement, true);
  else if (statement.type === "ExpressionStatement") {
    // `exports(object, {...})` belongs to the object that it fills.
    const name = statement.expression.arguments?.[0]?.name || fail("a statement that fills nothing");
    const part = owner.get(name) || fail(`${name} is filled before it is there`);
    part.code += text(statement).replace(/;?$/, ";");
    names(statement, part.uses);
  } else fail(`a ${statement.type}`);
}

// A map's style sheet, which the core asks for although no map is drawn.
for (const part of parts) {
  const wrapper = /^var ([\w$]+)=([\w$]+)\(\(\)=>\{.*\.maplibregl-map/s.exec(part.code);
  if (wrapper && part.code.includes("createElement(\"style\")")) {
    part.code = `var ${wrapper[1]}=${wrapper[2]}(()=>{});`;
    part.uses = new Set([wrapper[2]]);
  }
}

const entry = parts.find((part) => /\.register\(\[(?:[\w$]+\(\),){20,}/.test(part.code)) || fail("no list of traces");
const kept = /\.register\(\[([^\]]*)\]/.exec(entry.code)[1].split(",").filter((call) => {
  const module = owner.get(call.slice(0, -2)) || fail(`${call} is nowhere`);
  const inner = /exports=([\w$]+)\(\)/.exec(module.code);
  const name = /moduleType:"trace",name:"(\w+)"/.exec((inner ? owner.get(inner[1]) : module).code);
  return name && TRACES.includes(name[1]);
});
if (kept.length !== TRACES.length - 1) fail(`found ${kept.length} of the kinds of trace`);
entry.code = entry.code.replace(/\.register\(\[[^\]]*\]/, `.register([${kept}]`);
entry.uses = names(acorn.parse(entry.code, { ecmaVersion: "latest" }));

const reached = new Set(parts.filter((part) => part.root));
for (const part of reached) {
  for (const name of part.uses) if (owner.has(name)) reached.add(owner.get(name));
}
const rest = parts.filter((part) => reached.has(part)).map((part) => part.code).join("");
const bundle = code.slice(0, body.start + 1) + rest + code.slice(body.end - 1);
acorn.parse(bundle, { ecmaVersion: "latest" });
writeFileSync(target, gzipSync(bundle, { level: 9 }));
console.log(`${target}: ${gzipSync(bundle, { level: 9 }).length} bytes, ${bundle.length} unpacked`);
