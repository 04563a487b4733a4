// The chat page of Idefix. State is a list of turns; everything shown is made from it. Text from the model or
// the user only ever becomes text nodes. Nothing is stored but the settings, and those without the API key.
"use strict";

const $ = (id) => document.getElementById(id);
const ui = Object.fromEntries(
  ["model", "new", "curl", "empty", "log", "composer", "prompt", "files", "attach", "send", "stop", "status",
    "editing", "editing-cancel", "settings", "settings-open", "settings-reset"].map((id) => [id, $(id)]));

/** Turns of the conversation: {role, parts: [{text} | {image, name}], meta?, error?, element?}. */
let turns = [];
let running = null;   // AbortController of the answer in progress
let lastBody = null;  // last request, for "copy as curl"
let edited = null;    // turn of the user that is being written anew; it and what follows stay until it is sent

// ---- settings ----------------------------------------------------------------------------------------------

const defaults = { system: "", temperature: 0, top_p: 1, max_tokens: 256, seed: "", stop: "" };
let settings = { ...defaults, ...read(localStorage, "idefix-settings", {}) };
let apiKey = read(sessionStorage, "idefix-key", "");

function read(storage, name, fallback) {
  try { return JSON.parse(storage.getItem(name)) ?? fallback; } catch { return fallback; }
}

function write(storage, name, value) {
  try { storage.setItem(name, JSON.stringify(value)); } catch { /* private mode: this visit only */ }
}

function fillSettings(values) {
  const form = ui.settings.querySelector("form");
  for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
  form.elements.key.value = apiKey;
}

ui["settings-open"].onclick = () => { fillSettings(settings); ui.settings.showModal(); };
ui["settings-reset"].onclick = () => fillSettings(defaults);
ui.settings.addEventListener("close", () => {
  const form = new FormData(ui.settings.querySelector("form"));
  const number = (name, fallback) => {
    const value = parseFloat(form.get(name));
    return Number.isFinite(value) ? value : fallback;
  };
  settings = {
    system: form.get("system"), stop: form.get("stop"),
    temperature: Math.max(0, number("temperature", defaults.temperature)),
    top_p: Math.min(1, Math.max(0.01, number("top_p", defaults.top_p))),
    max_tokens: number("max_tokens", ""), seed: number("seed", ""),
  };
  apiKey = form.get("key");
  write(localStorage, "idefix-settings", settings);
  write(sessionStorage, "idefix-key", apiKey);
  greet();
});

// ---- the server --------------------------------------------------------------------------------------------

function headers(extra = {}) {
  return apiKey ? { ...extra, Authorization: `Bearer ${apiKey}` } : extra;
}

async function greet() {
  try {
    const response = await fetch("info", { headers: headers() });
    if (response.status === 401) return say("This server asks for an API key: enter it in Settings.", true);
    const info = await response.json();
    ui.model.textContent = `${info.model_id} · ${info.model_dtype} · ${info.max_total_tokens} tokens`;
    document.title = `Idefix · ${info.model_id}`;
    say("");
  } catch {
    say("The server does not answer.", true);
  }
}

function requestBody() {
  const messages = turns.filter((turn) => !turn.error || turn.parts.length).map(({ role, parts }) => ({
    role,
    content: parts.every((part) => "text" in part)
      ? parts.map((part) => part.text).join("")
      : parts.map((part) => "text" in part
        ? { type: "text", text: part.text } : { type: "image_url", image_url: { url: part.image } }),
  }));
  if (settings.system) messages.unshift({ role: "system", content: settings.system });
  const body = { messages, temperature: settings.temperature, stream: true, stream_options: { include_usage: true } };
  if (settings.temperature > 0 && settings.top_p < 1) body.top_p = settings.top_p;
  if (settings.max_tokens !== "") body.max_tokens = settings.max_tokens;
  if (settings.seed !== "") body.seed = settings.seed;
  const stop = settings.stop.split("|").filter(Boolean);
  if (stop.length) body.stop = stop;
  return body;
}

/** Yields {data} and {comment} of an event stream. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:")) yield { data: line.slice(5).trim() };
      else if (line.startsWith(":{")) yield { comment: line.slice(1) };
    }
  }
}

async function answer() {
  const body = requestBody();
  const turn = { role: "assistant", parts: [], meta: "" };
  lastBody = body;
  turns.push(turn);
  running = new AbortController();
  render();
  say("Sending…");
  const start = performance.now();
  let first = 0, count = 0, text = "", usage = null, timings = null;
  const show = () => {
    turn.parts = text ? [{ text }] : [];
    paint(turn);
  };
  try {
    const response = await fetch("v1/chat/completions", {
      method: "POST", signal: running.signal, headers: headers({ "Content-Type": "application/json" }),
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(await failure(response));
    for await (const { data, comment } of events(response)) {
      if (comment) { progress(comment); continue; }
      if (data === "[DONE]") break;
      const event = JSON.parse(data);
      if (event.error) throw new Error(event.error.message ?? event.error);
      const piece = event.choices[0];
      if (event.usage) [usage, timings] = [event.usage, event.timings];
      if (!piece) continue;
      if (!first) { first = performance.now(); say("Answering…"); }
      if (piece.finish_reason === null) count += 1;
      if (piece.finish_reason === "length") turn.cut = true;
      text += piece.delta.content;
      const seconds = (performance.now() - first) / 1000;
      if (count > 1 && seconds > 0.2) turn.meta = rate((count - 1) / seconds);
      show();
    }
    turn.meta = summary(usage, timings, performance.now() - start) + (turn.cut ? " · cut at the longest answer" : "");
    say("Answer complete.");
  } catch (error) {
    if (error.name === "AbortError") {
      turn.meta = `stopped after ${count} tokens`;
      say("Stopped.");
    } else {
      turn.error = error instanceof TypeError ? "The connection to the server was lost." : error.message;
      say("The answer failed.", true);
    }
  }
  running = null;
  text = text.trimStart();
  show();
  render();
}

async function failure(response) {
  if (response.status === 401) return "This server asks for an API key: enter it in Settings.";
  if (response.status === 413) return "These images are too large together for this server.";
  try {
    const { error } = await response.json();
    return error.message ?? error;
  } catch {
    return `The server answered ${response.status}.`;
  }
}

function progress(comment) {
  const { phase, done, total } = JSON.parse(comment);
  if (phase === "vision") say(done < total ? `Looking at image ${done + 1} of ${total}…` : "Looked at the images.");
  else say(`Reading: ${done} of ${total} tokens…`);
}

function rate(tokens) {
  return `${tokens.toFixed(tokens < 100 ? 1 : 0)} tokens/s`;
}

function summary(usage, timings, elapsed) {
  if (!usage) return "";
  const facts = [`${usage.completion_tokens} token${usage.completion_tokens === 1 ? "" : "s"}`];
  if (timings) {
    const seconds = (value) => value >= 995 ? `${(value / 1000).toFixed(1)} s` : `${Math.round(value)} ms`;
    if (timings.tokens_per_second > 0) facts.push(rate(timings.tokens_per_second));
    if (timings.vision_ms >= 1) facts.push(`images ${seconds(timings.vision_ms)}`);
    facts.push(`reading ${seconds(timings.prefill_ms)}`, `writing ${seconds(timings.decode_ms)}`);
    if (timings.cached_tokens) facts.push(`${timings.cached_tokens} of ${timings.prompt_tokens} prompt tokens reused`);
  } else {
    facts.push(`${(elapsed / 1000).toFixed(1)} s`);
  }
  return facts.join(" · ");
}

// ---- what is shown -----------------------------------------------------------------------------------------

function say(text, isError = false) {
  ui.status.textContent = text;
  ui.status.classList.toggle("error", isError);
}

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function paint(turn) {
  const stays = nearEnd();
  const said = make("div", { className: "said" });
  let images = 0;
  for (const part of turn.parts) {
    if ("text" in part) said.append(part.text);
    else said.append(make("img", { src: part.image, alt: part.name || `Image ${++images}` }));
  }
  const isLast = turn === turns.at(-1);
  const isBusy = isLast && running !== null && turn.role === "assistant";
  const children = [make("h3", { textContent: turn.role === "user" ? "You" : "Idefix" }), said];
  if (turn.error) children.push(make("p", { className: "error", textContent: turn.error }));
  if (turn.role === "assistant") children.push(make("p", { className: "numbers", textContent: turn.meta }));
  const actions = make("div", { className: "actions" });
  if (turn.role === "user") actions.append(action("Edit", () => edit(turn)));
  else if (!isBusy) {
    if (turn.parts.length) actions.append(action("Copy", () => copy(turn.parts[0].text, "Answer copied.")));
    if (isLast) actions.append(action(turn.error ? "Try again" : "Regenerate", regenerate));
  }
  children.push(actions);
  turn.element ??= make("article");
  const isReplaced = edited !== null && turns.indexOf(turn) >= turns.indexOf(edited);
  turn.element.className = turn.role + (isBusy ? " busy" : "") + (isReplaced ? " replaced" : "");
  turn.element.replaceChildren(...children);
  if (stays) ui.log.parentElement.scrollTop = ui.log.parentElement.scrollHeight;
}

function action(label, run) {
  return make("button", { type: "button", className: "plain", textContent: label, onclick: run });
}

function nearEnd() {
  const area = ui.log.parentElement;
  return area.scrollHeight - area.scrollTop - area.clientHeight < 120;
}

function render() {
  const area = ui.log.parentElement;
  const place = nearEnd() ? Infinity : area.scrollTop;
  ui.empty.hidden = turns.length > 0;
  ui.send.hidden = running !== null;
  ui.stop.hidden = running === null;
  ui.log.setAttribute("aria-busy", String(running !== null));
  ui.new.disabled = turns.length === 0;
  ui.curl.disabled = lastBody === null;
  ui.editing.hidden = edited === null;
  for (const turn of turns) paint(turn);
  ui.log.replaceChildren(...turns.map((turn) => turn.element));
  area.scrollTop = Math.min(place, area.scrollHeight);
}

async function copy(text, note) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https the clipboard is closed; a selection can still be copied.
    const area = make("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say(note);
}

function regenerate() {
  if (running) return;
  stopEditing();
  turns.pop().element.remove();
  answer();
}

/** Puts a turn of the user back into the message box. */
function edit(turn) {
  if (running) return say("Stop the answer before you edit a message.", true);
  edited = turn;
  ui.prompt.replaceChildren(...turn.parts.map((part) =>
    "text" in part ? document.createTextNode(part.text) : picture(part.image, part.name)));
  refreshComposer();
  render();
  ui.prompt.focus();
  getSelection().selectAllChildren(ui.prompt);
  getSelection().collapseToEnd();
  say("Editing: what follows this message will be replaced.");
}

function stopEditing() {
  if (!edited) return;
  edited = null;
  ui.prompt.replaceChildren();
  refreshComposer();
  render();
  say("");
}

// ---- the message box ---------------------------------------------------------------------------------------

/** Parts of the message box in order; neighbouring texts joined, outer blank space dropped. */
function composed() {
  const parts = [];
  const addText = (text) => {
    if (!text) return;
    if (parts.length && "text" in parts.at(-1)) parts.at(-1).text += text;
    else parts.push({ text });
  };
  const walk = (node) => {
    for (const child of node.childNodes) {
      if (child.nodeType === Node.TEXT_NODE) addText(child.data.replaceAll("\u00a0", " "));
      else if (child.nodeName === "IMG") parts.push({ image: child.src, name: child.alt });
      else if (child.nodeName === "BR") addText("\n");
      else { if (parts.length) addText("\n"); walk(child); }
    }
  };
  walk(ui.prompt);
  if (parts.length && "text" in parts[0]) parts[0].text = parts[0].text.trimStart();
  if (parts.length && "text" in parts.at(-1)) parts.at(-1).text = parts.at(-1).text.trimEnd();
  return parts.filter((part) => part.image || part.text);
}

function refreshComposer() {
  ui.prompt.classList.toggle("blank", composed().length === 0 && !ui.prompt.querySelector("br + br"));
}

function insert(node) {
  const selection = getSelection();
  let range = selection.rangeCount ? selection.getRangeAt(0) : null;
  if (!range || !ui.prompt.contains(range.commonAncestorContainer)) {
    range = document.createRange();
    range.selectNodeContents(ui.prompt);
    range.collapse(false);
  }
  range.deleteContents();
  range.insertNode(node);
  range.setStartAfter(node);
  range.collapse(true);
  selection.removeAllRanges();
  selection.addRange(range);
}

function picture(source, name) {
  return make("img", { src: source, alt: name || "Pasted image", title: name || "" });
}

/** An image file as a data URI the server can read: other formats and very large ones are redrawn. */
async function dataURI(file) {
  const known = ["image/jpeg", "image/png", "image/webp", "image/gif"].includes(file.type);
  if (known && file.size <= 4e6) {
    return new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.onerror = () => reject(reader.error);
      reader.readAsDataURL(file);
    });
  }
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, 2048 / Math.max(bitmap.width, bitmap.height));
  const canvas = make("canvas", {
    width: Math.max(1, Math.round(bitmap.width * scale)), height: Math.max(1, Math.round(bitmap.height * scale)),
  });
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.92);
}

async function addFiles(files) {
  const images = [...files].filter((file) => file.type.startsWith("image/"));
  if (!images.length) return say("Only images can be added.", true);
  ui.prompt.focus();
  for (const file of images) {
    try {
      insert(picture(await dataURI(file), file.name));
    } catch {
      say(`${file.name || "The image"} cannot be read.`, true);
    }
  }
  refreshComposer();
}

function send() {
  const parts = composed();
  if (running || !parts.length) return;
  ui.prompt.replaceChildren();
  refreshComposer();
  if (edited) turns.splice(turns.indexOf(edited));
  edited = null;
  // An answer that failed before its first word would leave two turns of the user in a row.
  if (turns.at(-1)?.error && !turns.at(-1).parts.length) turns.splice(-2);
  turns.push({ role: "user", parts });
  render();
  ui.log.parentElement.scrollTop = ui.log.parentElement.scrollHeight;
  answer();
}

ui.composer.onsubmit = (event) => { event.preventDefault(); send(); };
ui.prompt.addEventListener("input", refreshComposer);
ui.prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.isComposing) return;
  event.preventDefault();
  if (event.shiftKey) {
    document.execCommand("insertLineBreak");
  } else {
    send();
  }
});
ui.prompt.addEventListener("paste", (event) => {
  event.preventDefault();
  const files = [...event.clipboardData.files];
  if (files.length) addFiles(files);
  else document.execCommand("insertText", false, event.clipboardData.getData("text/plain"));
});
ui.attach.onclick = () => ui.files.click();
ui.files.onchange = () => { addFiles(ui.files.files); ui.files.value = ""; };
ui.stop.onclick = () => running?.abort();
ui["editing-cancel"].onclick = () => { stopEditing(); ui.prompt.focus(); };
ui.new.onclick = () => {
  running?.abort();
  stopEditing();
  turns = [];
  lastBody = null;
  render();
  say("");
  ui.prompt.focus();
};
ui.curl.onclick = () => {
  const key = apiKey ? ` -H "Authorization: Bearer $IDEFIX_API_KEY"` : "";
  const url = new URL("v1/chat/completions", location.href);
  copy(`curl -N ${url}${key} -H 'Content-Type: application/json' --data-binary @- <<'JSON'\n`
    + `${JSON.stringify(lastBody)}\nJSON\n`, "curl command copied.");
};
for (const idea of document.querySelectorAll(".idea")) {
  idea.onclick = () => { insert(document.createTextNode(idea.textContent)); refreshComposer(); ui.prompt.focus(); };
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || ui.settings.open) return;
  if (running) running.abort();
  else stopEditing();
});
let depth = 0;
const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
document.addEventListener("dragenter", (event) => {
  if (holdsFiles(event)) { depth += 1; document.body.classList.add("dropping"); }
});
document.addEventListener("dragleave", (event) => {
  if (holdsFiles(event)) { depth -= 1; document.body.classList.toggle("dropping", depth > 0); }
});
document.addEventListener("dragover", (event) => { if (holdsFiles(event)) event.preventDefault(); });
document.addEventListener("drop", (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  depth = 0;
  document.body.classList.remove("dropping");
  const at = document.caretRangeFromPoint?.(event.clientX, event.clientY);
  if (at && ui.prompt.contains(at.startContainer)) {
    getSelection().removeAllRanges();
    getSelection().addRange(at);
  }
  addFiles(event.dataTransfer.files);
});

render();
refreshComposer();
greet();
ui.prompt.focus();
