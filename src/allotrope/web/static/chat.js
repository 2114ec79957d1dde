// The chat page: threads on the left, turns as streams of JSON lines. A turn goes on when another
// thread is looked at.
import { Answer, asked, element } from "./answer.js";
import { meter } from "./meter.js";

const $ = (id) => document.getElementById(id);
const SILENCE_MS = 3000 * Number(document.body.dataset.heartbeat);

let thread = null; // the one that is shown; null is a new one
let shown = null; // its turn, while it runs
const turns = new Map(); // every turn that runs, by thread

function notice(text, button) {
  $("notice").replaceChildren(text || "");
  if (button) $("notice").append(" ", button);
  $("notice").hidden = !text;
}

function waiting() {
  const again = element("button", "", "Answer it now");
  again.type = "button";
  again.addEventListener("click", () => ask(null));
  notice("The last question has no answer yet.", again);
}

async function problem(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server answered ${response.status}.`;
  }
}

/** The JSON of an answer; null after a notice where there is none. */
async function get(address) {
  try {
    const response = await fetch(address);
    if (response.ok) return await response.json();
    if (response.status === 401) location.assign("/login");
    else notice(await problem(response));
  } catch {
    notice("The server can't be reached.");
  }
  return null;
}

async function loadThreads() {
  const found = await get("/api/threads");
  if (!found) return;
  const rows = found.threads.map((item) => {
    const button = element("button", "", item.title);
    button.type = "button";
    button.title = item.title;
    const busy = turns.has(item.thread_id) ? " · answering" : "";
    button.append(element("small", "", `${item.agent} · ${item.messages} messages${busy}`));
    if (item.thread_id === thread) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => open(item.thread_id));
    const row = element("li");
    row.append(button);
    return row;
  });
  $("threads").replaceChildren(...rows);
}

function atEnd() {
  const log = $("log");
  return log.scrollHeight - log.scrollTop - log.clientHeight < 80;
}

function toEnd() {
  $("log").scrollTop = $("log").scrollHeight;
}

function show(id) {
  thread = id;
  shown = turns.get(id) ?? null;
  notice("");
  meter(null);
  history.replaceState(null, "", id ? `#${id}` : location.pathname);
  $("log").replaceChildren();
  busy();
}

async function open(id) {
  menu(false);
  show(id);
  const found = await get(`/api/threads/${encodeURIComponent(id)}`);
  if (!found || thread !== id) return;
  $("agent").value = found.agent;
  for (const item of found.messages) {
    if (item.role === "user") $("log").append(asked(item.text));
    else {
      const answer = new Answer();
      answer.done(item.text, item.from);
      $("log").append(answer.node);
    }
  }
  if (shown) {
    if (found.messages.at(-1)?.role !== "user") $("log").append(shown.question);
    $("log").append(shown.answer.node);
  } else if (found.waits) waiting();
  meter(found.context);
  toEnd();
  loadThreads();
}

function startNew() {
  menu(false);
  show(null);
  const empty = element("p", "quiet", "Ask something. Every answer says where it came from.");
  empty.id = "empty";
  $("log").append(empty);
  loadThreads();
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

function busy() {
  $("send").hidden = shown !== null;
  $("stop").hidden = shown === null;
  $("stop").disabled = false;
  $("agent").disabled = shown !== null;
}

async function ask(text) {
  notice("");
  $("empty")?.remove();
  const turn = { thread, answer: new Answer(), control: new AbortController(), heard: Date.now(), why: "", text };
  shown = turn;
  if (thread) turns.set(thread, turn);
  if (text !== null) {
    turn.question = asked(text);
    $("log").append(turn.question);
  }
  $("log").append(turn.answer.node);
  $("said").textContent = "Answering.";
  toEnd();
  busy();
  const clock = setInterval(() => watch(turn), 1000);
  try {
    const response = await fetch("/api/turns", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ agent: $("agent").value, text, thread_id: thread }),
      signal: turn.control.signal,
    });
    if (!response.ok) throw new Error(await problem(response));
    for await (const event of lines(response)) {
      turn.heard = Date.now();
      turn.reached = true;
      const follow = shown === turn && atEnd();
      handle(event, turn);
      if (follow) toEnd();
    }
    if (!turn.ended) throw new Error("");
  } catch (error) {
    failed(turn, turn.why || (error instanceof TypeError ? "" : error.message) || "The connection broke off.");
  } finally {
    clearInterval(clock);
    turns.delete(turn.thread);
    if (shown === turn) {
      shown = null;
      busy();
      toEnd();
      if ($("stop") === document.activeElement || document.activeElement === document.body) $("text").focus();
      $("said").textContent = turn.answer.spoken();
    }
    loadThreads();
  }
}

/** Each second: how long it takes, and whether the server is still there. */
function watch(turn) {
  turn.answer.tick();
  if (Date.now() - turn.heard > SILENCE_MS) {
    turn.why = "The server has fallen silent.";
    turn.control.abort();
  }
}

function failed(turn, message) {
  turn.answer.failed(message);
  if (shown !== turn) return;
  if (turn.reached || turn.text === null) {
    if (turn.thread) waiting();
  } else if (!$("text").value) {
    $("text").value = turn.text; // it never arrived
    $("text").focus();
  }
}

function handle(event, turn) {
  const here = shown === turn;
  if (event.type === "thread") {
    turn.thread = event.thread_id;
    turns.set(turn.thread, turn);
    if (here) {
      thread = turn.thread;
      history.replaceState(null, "", `#${thread}`);
    }
  } else if (event.type === "token") turn.answer.add(event.text);
  else if (event.type === "tool") turn.answer.doing(`Using ${event.name}`);
  else if (event.type === "step") turn.answer.doing(event.name.replaceAll("_", " "));
  else if (event.type === "restart") {
    turn.answer.restart();
    turn.broke = "The answer broke off; it begins again. "; // who answers is told right after
    if (here) notice(turn.broke);
  } else if (event.type === "degraded" || event.type === "notice") {
    if (here) notice((turn.broke || "") + (event.message || "Service is degraded."));
  } else if (event.type === "context") {
    if (here) meter(event);
  } else if (event.type === "reply") {
    turn.ended = true;
    turn.answer.done(event.answer, event);
    if (here) notice("");
  } else if (event.type === "stopped") {
    turn.ended = true;
    turn.answer.stopped();
    if (here && !event.kept) waiting();
  } else if (event.type === "error") {
    turn.ended = true;
    if (event.code === "thread_busy") turn.answer.failed(event.message);
    else failed(turn, event.message);
  }
}

async function stop() {
  const turn = shown;
  if (!turn) return;
  $("stop").disabled = true;
  turn.why = "Stopped.";
  const ended = turn.thread && (await fetch(`/api/threads/${encodeURIComponent(turn.thread)}/stop`, { method: "POST" }).then((r) => r.json()).catch(() => null));
  // the turn may run in another server, or not have begun: then leaving is what ends it
  if (!ended?.stopped) turn.control.abort();
  else setTimeout(() => turn.control.abort(), 10_000);
}

function menu(on) {
  const was = document.body.classList.toggle("open", on);
  $("menu").setAttribute("aria-expanded", String(was));
  if (was) $("new").focus();
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value;
  if (shown || !text.trim()) return;
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
  if (event.key !== "Escape") return;
  if (document.body.classList.contains("open")) {
    menu(false);
    $("menu").focus();
  } else stop();
});
$("stop").addEventListener("click", stop);
$("new").addEventListener("click", startNew);
$("menu").addEventListener("click", () => menu(!document.body.classList.contains("open")));
$("main").addEventListener("click", (event) => {
  if (event.target.id !== "menu") document.body.classList.contains("open") && menu(false);
});
$("agent").addEventListener("change", () => {
  if (thread) startNew(); // a thread belongs to one agent
});

if (location.hash.length > 1) open(decodeURIComponent(location.hash.slice(1)));
else startNew();
