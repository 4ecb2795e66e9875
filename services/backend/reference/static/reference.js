// Filters the list, opens what an address names, and tries calls. The page is complete without it.
"use strict";

const filter = document.getElementById("filter");
const credential = document.getElementById("credential");

credential.form.addEventListener("submit", (event) => event.preventDefault());

filter.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const item of document.querySelectorAll("[data-words]")) {
    item.hidden = !words.every((word) => item.dataset.words.includes(word));
  }
});

function openNamed() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named instanceof HTMLDetailsElement) {
    named.open = true;
    named.scrollIntoView();
  }
}
addEventListener("hashchange", openNamed);
openNamed();

function field(form, name, type) {
  const id = `${form.dataset.operation}-${name}`;
  const label = document.createElement("label");
  label.htmlFor = id;
  label.textContent = name;
  const input = document.createElement(type === "body" ? "textarea" : "input");
  input.id = id;
  input.dataset.place = type;
  input.dataset.name = name;
  input.spellcheck = false;
  form.append(label, input);
  return input;
}

function addForm(details, operation) {
  const form = document.createElement("form");
  form.dataset.operation = operation.operationId;
  for (const parameter of operation.parameters) field(form, parameter.name, parameter.in);
  const json = operation.requestBody?.content["application/json"];
  if (operation.requestBody && !json) return; // a file: no form of text
  if (json) {
    const shown = [...details.querySelectorAll("h4")].find((title) => title.textContent.startsWith("Body"));
    const several = Object.keys(operation.requestBody.content).length > 1;
    const example = shown?.nextElementSibling?.nextElementSibling;
    const first = several ? '{"url": "https://…"}' : "{}";
    field(form, "body", "body").value = example?.tagName === "PRE" ? example.textContent : first;
  }
  const button = document.createElement("button");
  button.textContent = "Send";
  const output = document.createElement("pre");
  output.hidden = true;
  output.setAttribute("role", "status");
  form.append(button, output);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    output.hidden = false;
    output.textContent = "…";
    output.textContent = await send(details, form).catch((error) => String(error));
  });
  const title = document.createElement("h4");
  title.textContent = "Try it";
  details.append(title, form);
}

async function send(details, form) {
  let path = details.dataset.path;
  const query = new URLSearchParams();
  const request = { method: details.dataset.method, headers: {} };
  for (const input of form.querySelectorAll("[data-place]")) {
    if (input.dataset.place === "path") path = path.replace(`{${input.dataset.name}}`, encodeURIComponent(input.value));
    else if (input.dataset.place === "query" && input.value) query.append(input.dataset.name, input.value);
    else if (input.dataset.place === "body") {
      request.body = input.value;
      request.headers["Content-Type"] = "application/json";
    }
  }
  if (credential.value) request.headers.Authorization = `Bearer ${credential.value}`;
  const got = await fetch(query.size ? `${path}?${query}` : path, request);
  const text = await got.text();
  let shown = text;
  try {
    shown = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // Not JSON: as it came.
  }
  return `${got.status} ${got.statusText}\ndg-request-id: ${got.headers.get("dg-request-id")}\n\n${shown}`;
}

fetch("openapi.json")
  .then((got) => got.json())
  .then((found) => {
    credential.form.hidden = false;
    for (const details of document.querySelectorAll(".operation")) {
      const operation = found.paths[details.dataset.path][details.dataset.method.toLowerCase()];
      if (details.open) addForm(details, operation);
      else details.addEventListener("toggle", () => addForm(details, operation), { once: true });
    }
  });
