// Keeps the circuits and the sentence about who answers up to date; says only what has changed.
"use strict";
(() => {
  const EVERY_MS = 5000;
  const at = (id) => document.getElementById(id);
  const wordsOf = (text) => text.replace(/\d+ (s|min|h)\b/g, "");
  let waiting = null;

  async function look() {
    clearTimeout(waiting);
    try {
      const answer = await fetch("/dashboard/live", { headers: { accept: "application/json" } });
      if (!answer.ok) throw new Error(String(answer.status));
      show(await answer.json());
      at("live-note").textContent = ".";
    } catch {
      at("live-note").textContent = ". The server doesn't answer at present; trying again.";
    }
    if (!document.hidden) waiting = setTimeout(look, EVERY_MS);
  }

  function show(now) {
    const sentence = at("sentence");
    const before = sentence.textContent.trim();
    if (before !== now.sentence) {
      sentence.textContent = now.sentence;
      // seconds count down in silence; what has really changed is read out
      if (wordsOf(before) !== wordsOf(now.sentence)) at("announced").textContent = now.sentence;
      sentence.className = now.degraded ? "notice" : "good";
    }
    const circuits = at("circuits");
    const focused = circuits.contains(document.activeElement);
    circuits.innerHTML = now.circuits; // our own template, escaped by the server
    if (focused) circuits.querySelector("[tabindex]")?.focus();
    at("looked-at").textContent = now.at;
  }

  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  waiting = setTimeout(look, EVERY_MS);
})();
