// The context meter: what fills the model's window.

const COLOURS = ["#0f766e", "#2563eb", "#7c3aed", "#16a34a", "#d97706", "#dc2626", "#64748b"];
const SVG = "http://www.w3.org/2000/svg";
const number = (value) => value.toLocaleString("en");

function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** Shows the meter of a thread, or nothing for null. */
export function meter(context) {
  const whole = document.getElementById("meter");
  whole.hidden = !context;
  if (!context) return;
  let x = 0;
  const bars = context.shares.map((share, place) => {
    const width = Math.max(0.4, (100 * share.tokens) / Math.max(1, context.room));
    const bar = shape("rect", { x, y: 0, width, height: 6, fill: COLOURS[place % COLOURS.length] });
    const title = shape("title", {});
    title.textContent = `${share.kind}: ${number(share.tokens)} tokens`;
    bar.append(title);
    x += width;
    return bar;
  });
  document.getElementById("meter-bar").replaceChildren(...bars);
  const left = context.left_out ? `; ${number(context.left_out)} earlier messages in the archive` : "";
  const text = document.getElementById("meter-text");
  text.textContent = `Context: ${number(context.used)} of ${number(context.room)} tokens${left}`;
  text.title = context.shares.map((share) => `${share.kind}: ${number(share.tokens)}`).join(", ");
}
