// Messages: what was asked, and an answer on its way or done, with where it came from.
import { markdown } from "./markdown.js";

const LONGEST_LIVE = 20000; // characters; a longer text is only formatted when it is whole
const LONGEST_SPOKEN = 2000;
const number = (value) => value.toLocaleString("en");

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function message(role, label) {
  const made = element("article", `message ${role}`);
  made.setAttribute("aria-label", label);
  return made;
}

/** What a person said, as a node. */
export function asked(text) {
  const made = message("user", "You");
  made.append(element("div", "text", text));
  return made;
}

/** An answer; `node` is its place in the page. */
export class Answer {
  #text = "";
  #body = element("div", "text");
  #work = element("p", "work");
  #began = Date.now();
  #what = "Thinking";
  #drawn = 0;

  constructor() {
    this.node = message("assistant", "Answer");
    this.node.setAttribute("aria-busy", "true");
    this.node.append(this.#body, this.#work);
    this.tick();
  }

  add(text) {
    this.#text += text;
    this.#what = "";
    this.tick();
    this.#drawn ||= requestAnimationFrame(() => this.#draw());
  }

  /** What it does instead of speaking. */
  doing(what) {
    this.#what = what[0].toUpperCase() + what.slice(1);
    this.tick();
  }

  tick() {
    const seconds = Math.round((Date.now() - this.#began) / 1000);
    this.#work.hidden = !this.#what;
    this.#work.textContent = `${this.#what} …${seconds >= 3 ? ` ${seconds} s` : ""}`;
  }

  restart() {
    this.#text = "";
    this.#draw();
    this.doing("Beginning again");
  }

  done(text, from) {
    this.#text = text;
    this.#end();
    this.#origin(from);
  }

  stopped() {
    this.#end();
    this.#origin({ stopped: true });
  }

  failed(text) {
    this.#end();
    this.node.append(element("p", "failed", text));
  }

  /** For who can't see it. */
  spoken() {
    const all = this.node.innerText;
    return all.length > LONGEST_SPOKEN ? `${all.slice(0, LONGEST_SPOKEN)} …` : all;
  }

  #end() {
    this.#work.remove();
    this.node.removeAttribute("aria-busy");
    cancelAnimationFrame(this.#drawn);
    this.#draw(true);
  }

  #draw(whole = false) {
    this.#drawn = 0;
    if (!whole && this.#text.length > LONGEST_LIVE) this.#body.textContent = this.#text;
    else this.#body.replaceChildren(markdown(this.#text));
  }

  #origin(from) {
    if ((!from?.provider || from.provider === "none") && !from?.stopped) return;
    const row = element("div", "from");
    if (from.stopped) row.append(element("span", "tag", "stopped"));
    if (from.provider && from.provider !== "none") {
      const on = from.provider === "embedded" ? "embedded model" : from.provider;
      row.append(element("span", "tag", `${from.model} · ${on}`));
    }
    if (from.cached) row.append(element("span", "tag cached", `from the ${from.cached} cache`));
    if (from.usage) {
      const { input_tokens: input, output_tokens: output } = from.usage;
      row.append(element("span", "", `${number(input)} tokens in, ${number(output)} out`));
    }
    if (from.cost_usd) row.append(element("span", "", `$${Number(from.cost_usd).toFixed(4)}`));
    if (from.latency_ms) row.append(element("span", "", `${(from.latency_ms / 1000).toFixed(1)} s`));
    if (from.succession) row.append(element("span", "tag", from.succession.message));
    for (const repair of from.repairs ?? []) row.append(element("span", "", repair));
    if (from.truncated) row.append(element("span", "tag degraded", "cut off at the model's limit"));
    if (from.degraded) row.append(element("span", "tag degraded", from.degraded.message));
    this.node.append(row);
  }
}
