// Lays out openapi.json for people. Everything is set as text, never as HTML: names come from users' workflows.
"use strict";

const make = (tag, text = "", parent = null, className = "") => {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  if (parent) parent.append(element);
  return element;
};

const resolve = (schema, all) => (schema && schema.$ref ? all[schema.$ref.split("/").pop()] : schema);

const typeOf = (schema, all) => {
  if (!schema) return "any";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map((each) => typeOf(each, all)).join(" | ");
  if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(" | ");
  if (schema.type === "array") return `list of ${typeOf(schema.items, all)}`;
  return schema.type || "any";
};

const addFields = (schema, all, parent) => {
  const resolved = resolve(schema, all) || {};
  const table = make("table", "", parent);
  for (const [name, field] of Object.entries(resolved.properties || {})) {
    const row = make("tr", "", table);
    make("code", name, make("td", "", row));
    make("code", typeOf(field, all), make("td", "", row));
    const notes = [field.description || resolve(field, all)?.description || ""];
    if ("default" in field && field.default !== null) notes.push(`default ${JSON.stringify(field.default)}`);
    if ((resolved.required || []).includes(name)) notes.push("required");
    make("td", notes.filter(Boolean).join(" · "), row);
  }
};

const addOperation = (path, method, operation, all, parent) => {
  const box = make("details", "", parent);
  const head = make("summary", "", box);
  make("code", method.toUpperCase(), head, "method");
  make("code", path, head);
  make("span", operation.summary, head, "what");
  if (operation.description) make("p", operation.description, box);
  for (const parameter of operation.parameters || []) {
    const line = make("p", "", box);
    make("code", `${parameter.name}`, line);
    line.append(` in ${parameter.in}: ${typeOf(parameter.schema, all)}${parameter.required ? ", required" : ""}`);
  }
  const content = Object.entries(operation.requestBody?.content || {});
  for (const [type, { schema }] of content) {
    make("h4", `Body: ${type}`, box);
    addFields(schema, all, box);
  }
  make("h4", "Answers", box);
  for (const [status, answer] of Object.entries(operation.responses)) {
    const schema = Object.values(answer.content || {})[0]?.schema;
    make("p", `${status} ${answer.description}${schema ? `: ${typeOf(schema, all)}` : ""}`, box);
    if (status < "300" && schema) addFields(schema, all, box);
  }
};

fetch("openapi.json")
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`status ${answer.status}`))))
  .then((document_) => {
    document.getElementById("about").textContent = `${document_.info.description} Version ${document_.info.version}.`;
    const all = document_.components.schemas;
    const sections = {};
    for (const [path, methods] of Object.entries(document_.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        (sections[operation.tags[0]] ||= []).push([path, method, operation]);
      }
    }
    const main = document.getElementById("operations");
    for (const [tag, operations] of Object.entries(sections)) {
      make("h2", tag, main);
      for (const [path, method, operation] of operations) addOperation(path, method, operation, all, main);
    }
  })
  .catch((error) => {
    document.getElementById("about").textContent = `The description could not be loaded: ${error.message}`;
  });
