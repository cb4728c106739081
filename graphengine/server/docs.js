// Lays out openapi.json for people. Everything is set as text, never as HTML: names come from users' workflows.
"use strict";

const make = (tag, text, parent, className = "") => {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  parent.append(element);
  return element;
};

/** Add a text in which ``code`` is marked as such. */
const addText = (text, parent) => {
  text.split("``").forEach((part, index) => (index % 2 ? make("code", part, parent) : parent.append(part)));
  return parent;
};

const nameOf = (reference) => reference.split("/").pop();

/** Add what type a schema describes; those with a name lead to their fields. */
const addType = (schema, parent) => {
  if (schema?.$ref) {
    make("a", nameOf(schema.$ref), parent).href = `#${nameOf(schema.$ref)}`;
  } else if (schema?.anyOf) {
    schema.anyOf.forEach((each, index) => {
      if (index) parent.append(" | ");
      addType(each, parent);
    });
  } else if (schema?.type === "array") {
    parent.append("list of ");
    addType(schema.items, parent);
  } else if (schema?.enum || schema?.const !== undefined) {
    parent.append((schema.enum ?? [schema.const]).map((each) => JSON.stringify(each)).join(" | "));
  } else {
    parent.append(schema?.type ?? "any");
  }
};

const limitsOf = (field) => {
  const limits = [];
  if ("minimum" in field || "exclusiveMinimum" in field) limits.push(`from ${field.minimum ?? field.exclusiveMinimum}`);
  if ("maximum" in field) limits.push(`up to ${field.maximum}`);
  if ("maxLength" in field) limits.push(`up to ${field.maxLength} characters`);
  return limits;
};

const addRow = (table, name, field, isRequired, description) => {
  const row = make("tr", "", table);
  make("code", name, make("td", "", row));
  addType(field, make("code", "", make("td", "", row)));
  const notes = limitsOf(field);
  if (field.default && typeof field.default !== "object") notes.push(`default ${JSON.stringify(field.default)}`);
  if (isRequired) notes.push("required");
  addText([description ?? field.description, notes.join(", ")].filter(Boolean).join(" · "), make("td", "", row));
};

const addFields = (schema, all, table) => {
  for (const part of schema.allOf ?? []) addFields(part.$ref ? all[nameOf(part.$ref)] : part, all, table);
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    if (field.type === "object" && field.properties) {
      for (const [inner, each] of Object.entries(field.properties)) {
        addRow(table, `${name}.${inner}`, each, (field.required ?? []).includes(inner));
      }
    } else {
      addRow(table, name, field, (schema.required ?? []).includes(name));
    }
  }
};

const addParameters = (parameters, box) => {
  if (!parameters?.length) return;
  make("h3", "Parameters", box);
  const table = make("table", "", box);
  for (const { name, in: place, schema, required } of parameters) addRow(table, name, schema, required, `in the ${place}`);
};

const addBody = (content, all, box) => {
  for (const [type, { schema }] of Object.entries(content ?? {})) {
    make("h3", `Body, ${type}`, box);
    addFields(schema.$ref ? all[nameOf(schema.$ref)] : schema, all, make("table", "", box));
  }
};

const addAnswers = (responses, box) => {
  make("h3", "Answers", box);
  const problems = [];
  for (const [status, answer] of Object.entries(responses)) {
    if (answer.$ref) {
      problems.push(status);
      continue;
    }
    const line = addText(`${status} ${answer.description}`, make("p", "", box));
    for (const [type, { schema }] of Object.entries(answer.content ?? {})) {
      line.append(`; ${type}: `);
      addType(schema, make("code", "", line));
    }
  }
  if (!problems.length) return;
  const line = make("p", `${problems.filter((each) => each !== "default").join(", ")}: `, box);
  make("a", "Problem", make("code", "", line)).href = "#Problem";
};

const addOperation = (path, method, operation, all, parent) => {
  const box = make("details", "", parent);
  box.id = operation.operationId;
  const head = make("summary", "", box);
  make("code", method.toUpperCase(), head, `method ${method}`);
  make("code", path, head);
  addText(operation.summary, make("span", "", head, "what"));
  for (const paragraph of (operation.description ?? "").split("\n\n")) addText(paragraph, make("p", "", box));
  addParameters(operation.parameters, box);
  addBody(operation.requestBody?.content, all, box);
  addAnswers(operation.responses, box);
};

const addSchema = (name, schema, all, parent) => {
  const box = make("details", "", parent);
  box.id = name;
  const head = make("summary", "", box, "type");
  make("code", name, head);
  addText(schema.description ?? "", make("span", "", head, "what"));
  addFields(schema, all, make("table", "", box));
};

const openTarget = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
};

const layOut = ({ info, paths, components }) => {
  document.getElementById("about").textContent = `${info.description} Version ${info.version}.`;
  const sections = {};
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      (sections[operation.tags[0]] ??= []).push([path, method, operation]);
    }
  }
  const main = document.getElementById("operations");
  for (const [tag, operations] of Object.entries(sections)) {
    make("h2", tag, main);
    for (const [path, method, operation] of operations) addOperation(path, method, operation, components.schemas, main);
  }
  make("h2", "types", main);
  for (const [name, schema] of Object.entries(components.schemas)) addSchema(name, schema, components.schemas, main);
  openTarget();
};

window.addEventListener("hashchange", openTarget);
fetch("openapi.json")
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`status ${answer.status}`))))
  .then(layOut)
  .catch((error) => {
    document.getElementById("about").textContent = `The description could not be loaded: ${error.message}`;
  });
