// The chat page: threads on the left, one turn at a time as a stream of JSON lines.
"use strict";

const $ = (id) => document.getElementById(id);
const COLOURS = ["#0f766e", "#2563eb", "#7c3aed", "#16a34a", "#d97706", "#dc2626", "#64748b"];
let thread = null;
let running = null;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function show(role, text) {
  $("empty")?.remove();
  const message = element("article", `message ${role}`);
  message.setAttribute("aria-label", role === "user" ? "You" : "Answer");
  const body = element("div", "text", text);
  message.append(body);
  $("log").append(message);
  message.scrollIntoView({ block: "end" });
  return { message, body };
}

function cameFrom(message, from) {
  message.querySelector(".from")?.remove();
  if (!from || !from.provider) return;
  const row = element("div", "from");
  const on = from.provider === "embedded" ? "embedded model" : from.provider;
  row.append(element("span", "tag", `${from.model} · ${on}`));
  if (from.cached) row.append(element("span", "tag cached", `from the ${from.cached} cache`));
  if (from.usage) {
    const { input_tokens: input, output_tokens: output } = from.usage;
    row.append(element("span", "", `${input.toLocaleString("en")} tokens in, ${output.toLocaleString("en")} out`));
  }
  if (from.cost_usd) row.append(element("span", "", `$${Number(from.cost_usd).toFixed(4)}`));
  if (from.latency_ms) row.append(element("span", "", `${(from.latency_ms / 1000).toFixed(1)} s`));
  if (from.degraded) row.append(element("span", "tag degraded", from.degraded.message));
  message.append(row);
}

function notice(text) {
  $("notice").hidden = !text;
  $("notice").textContent = text || "";
}

function meter(context) {
  $("meter").hidden = !context;
  if (!context) return;
  const bar = $("meter-bar");
  bar.replaceChildren();
  let x = 0;
  context.shares.forEach((share, place) => {
    const width = Math.max(0.4, (100 * share.tokens) / Math.max(1, context.room));
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [name, value] of Object.entries({ x, y: 0, width, height: 6, fill: COLOURS[place % COLOURS.length] })) {
      rect.setAttribute(name, value);
    }
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = `${share.kind}: ${share.tokens.toLocaleString("en")} tokens`;
    rect.append(title);
    bar.append(rect);
    x += width;
  });
  const left = context.left_out ? `; ${context.left_out} earlier messages in the archive` : "";
  $("meter-text").textContent =
    `Context: ${context.used.toLocaleString("en")} of ${context.room.toLocaleString("en")} tokens${left}`;
  $("meter-text").title = context.shares.map((s) => `${s.kind}: ${s.tokens}`).join(", ");
}

async function problem(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server answered ${response.status}.`;
  }
}

async function loadThreads() {
  const response = await fetch("/api/threads");
  if (!response.ok) return notice(await problem(response));
  const { threads } = await response.json();
  const list = $("threads");
  list.replaceChildren();
  for (const item of threads) {
    const button = element("button", "", item.title);
    button.type = "button";
    button.title = item.title;
    button.dataset.thread = item.thread_id;
    button.append(element("small", "", `${item.agent} · ${item.messages} messages`));
    if (item.thread_id === thread) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => open(item.thread_id));
    const row = element("li");
    row.append(button);
    list.append(row);
  }
}

function clear() {
  running?.abort();
  $("log").replaceChildren();
  notice("");
  meter(null);
}

async function open(id) {
  clear();
  menu(false);
  const response = await fetch(`/api/threads/${encodeURIComponent(id)}`);
  if (!response.ok) return notice(await problem(response));
  const found = await response.json();
  thread = found.thread_id;
  $("agent").value = found.agent;
  for (const item of found.messages) cameFrom(show(item.role, item.text).message, item.from);
  meter(found.context);
  if (found.waits) waiting();
  history.replaceState(null, "", `#${thread}`);
  loadThreads();
}

function waiting() {
  notice("The last question has no answer yet. ");
  const again = element("button", "", "Answer it now");
  again.type = "button";
  again.addEventListener("click", () => ask(null));
  $("notice").append(again);
}

function startNew() {
  clear();
  thread = null;
  const empty = element("p", "quiet", "Ask something. Every answer says where it came from.");
  empty.id = "empty";
  $("log").append(empty);
  history.replaceState(null, "", location.pathname);
  loadThreads();
  menu(false);
  $("text").focus();
}

async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    rest += value;
    const parts = rest.split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) yield JSON.parse(part);
  }
}

function busy(is) {
  $("send").hidden = is;
  $("stop").hidden = !is;
  $("agent").disabled = is;
}

async function ask(text) {
  notice("");
  if (text !== null) show("user", text);
  const { message, body } = show("assistant", "");
  message.classList.add("busy");
  running = new AbortController();
  const mine = running;
  busy(true);
  try {
    const response = await fetch("/api/turns", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ agent: $("agent").value, text, thread_id: thread }),
      signal: mine.signal,
    });
    if (!response.ok) throw new Error(await problem(response));
    for await (const event of lines(response)) handle(event, message, body);
  } catch (error) {
    if (mine.signal.aborted) {
      message.append(element("div", "from", "Stopped. Your message is kept in the thread."));
    } else {
      message.classList.add("error");
      body.textContent = error.message;
    }
  } finally {
    message.classList.remove("busy");
    if (running === mine) {
      running = null;
      busy(false);
      $("text").focus();
      loadThreads();
    }
  }
}

function handle(event, message, body) {
  const log = $("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  if (event.type === "thread") {
    thread = event.thread_id;
    history.replaceState(null, "", `#${thread}`);
  } else if (event.type === "token") {
    body.textContent += event.text;
  } else if (event.type === "tool") {
    notice(`Using ${event.name} …`);
  } else if (event.type === "restart") {
    body.textContent = "";
    notice(`The answer broke off; ${event.model} begins again.`);
  } else if (event.type === "degraded") {
    notice(event.message || event.degraded?.message || "Service is degraded.");
  } else if (event.type === "context") {
    meter(event);
  } else if (event.type === "reply") {
    body.textContent = event.answer;
    notice(event.degraded ? event.degraded.message : "");
    cameFrom(message, event);
  } else if (event.type === "error") {
    message.classList.add("error");
    body.textContent = event.message;
    if (event.code !== "thread_busy") waiting();
  }
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function menu(on) {
  document.body.classList.toggle("open", on);
  $("menu").setAttribute("aria-expanded", String(on));
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value;
  if (running || !text.trim()) return;
  $("text").value = "";
  ask(text);
});
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("form").requestSubmit();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    running?.abort();
    menu(false);
  }
});
$("stop").addEventListener("click", () => running?.abort());
$("new").addEventListener("click", startNew);
$("menu").addEventListener("click", () => menu(!document.body.classList.contains("open")));

if (location.hash.length > 1) open(decodeURIComponent(location.hash.slice(1)));
else loadThreads();
