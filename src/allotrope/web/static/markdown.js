// Markdown as DOM nodes, for answers: nothing in a text becomes HTML, a script or a request.

// Deeper quotes, lists and emphasis, and longer paragraphs, are shown as plain text.
const DEEPEST = 20;
const LONGEST = 10_000;

const INLINE = /(`+)([\s\S]*?[^`])\1(?!`)|\*\*(?=\S)([\s\S]*?\S)\*\*|\*(?=[^\s*])([^*]*[^\s*])\*|!?\[([^\[\]\n]{1,1000})\]\((https?:\/\/[^\s()<>]+)\)|(https?:\/\/[^\s()<>"'`*]*[^\s()<>"'`*.,;:!?])/g;
const LIST = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const RULE = /^\s*([-*_])(\s*\1){2,}\s*$/;
const BREAKS = /^(#{1,6}\s|\s*(`{3,}|~{3,})|>)/;

function element(tag, ...children) {
  const made = document.createElement(tag);
  made.append(...children);
  return made;
}

function link(address, ...children) {
  const made = element("a", ...children);
  made.href = address;
  made.rel = "noopener noreferrer";
  made.target = "_blank";
  return made;
}

/** The nodes of one line or paragraph. */
function inline(text, depth = 0) {
  if (depth > DEEPEST || text.length > LONGEST) return [text];
  const found = [];
  let at = 0;
  for (const match of text.matchAll(INLINE)) {
    const [whole, , code, strong, emphasis, label, address, bare] = match;
    found.push(text.slice(at, match.index));
    if (code !== undefined) found.push(element("code", code.trim()));
    else if (strong !== undefined) found.push(element("strong", ...inline(strong, depth + 1)));
    else if (emphasis !== undefined) found.push(element("em", ...inline(emphasis, depth + 1)));
    else if (label !== undefined) found.push(link(address, label));
    else found.push(link(bare, bare));
    at = match.index + whole.length;
  }
  found.push(text.slice(at));
  return found.filter((part) => part !== "");
}

/** A heading's words without the hashes that may close it. */
function title(text) {
  let end = text.trimEnd().length;
  while (text[end - 1] === "#") end -= 1;
  return text.slice(0, end).trimEnd();
}

function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replace(/\\\|/g, "|"));
}

function isTable(lines, at) {
  const under = lines[at + 1];
  if (under === undefined || !lines[at].includes("|")) return false;
  return /^[\s|:-]+$/.test(under) && under.includes("-") && cells(under).length === cells(lines[at]).length;
}

function table(lines) {
  const heads = cells(lines[0]).map((cell) => {
    const head = element("th", ...inline(cell));
    head.scope = "col";
    return head;
  });
  const rows = lines.slice(2).map((line) => element("tr", ...cells(line).map((cell) => element("td", ...inline(cell)))));
  const scroll = element("div", element("table", element("thead", element("tr", ...heads)), element("tbody", ...rows)));
  scroll.className = "scroll";
  return scroll;
}

/** A list, with deeper lists in its items; gives the list and the number of lines it took. */
function list(lines, start, depth) {
  const [, indent, mark] = LIST.exec(lines[start]);
  const made = element(/\d/.test(mark) ? "ol" : "ul");
  if (made.tagName === "OL") made.start = parseInt(mark, 10);
  let at = start;
  let item = null;
  while (at < lines.length) {
    const match = LIST.exec(lines[at]);
    if (match && match[1].length > indent.length && item && depth < DEEPEST) {
      const [deeper, taken] = list(lines, at, depth + 1);
      item.append(deeper);
      at += taken;
      continue;
    }
    if (match && match[1].length >= indent.length) {
      item = element("li", ...inline(match[3]));
      made.append(item);
    } else if (!match && item && lines[at].trim() && /^\s/.test(lines[at])) {
      item.append(" ", ...inline(lines[at].trim()));
    } else if (!lines[at].trim() && LIST.test(lines[at + 1] ?? "")) {
      // a blank line between two items
    } else break;
    at += 1;
  }
  return [made, Math.max(1, at - start)];
}

/** A text's Markdown as nodes: headings, lists, tables, code, quotes, emphasis and links. */
export function markdown(text, depth = 0) {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const made = document.createDocumentFragment();
  let at = 0;
  let level = 1;
  while (at < lines.length) {
    const line = lines[at];
    const fence = /^\s*(`{3,}|~{3,})/.exec(line);
    const heading = /^(#{1,6})\s+(\S.*)?$/.exec(line);
    if (!line.trim()) {
      at += 1;
    } else if (fence) {
      let end = at + 1;
      while (end < lines.length && !lines[end].trim().startsWith(fence[1])) end += 1;
      const block = element("pre", element("code", lines.slice(at + 1, end).join("\n")));
      block.tabIndex = 0; // long lines scroll, by keyboard too
      made.append(block);
      at = end + 1;
    } else if (heading) {
      level = Math.min(6, heading[1].length + 1, level + 1); // never skips one, below the page's own
      made.append(element(`h${level}`, ...inline(title(heading[2] ?? ""))));
      at += 1;
    } else if (RULE.test(line)) {
      made.append(element("hr"));
      at += 1;
    } else if (isTable(lines, at)) {
      let end = at + 2;
      while (end < lines.length && lines[end].includes("|")) end += 1;
      made.append(table(lines.slice(at, end)));
      at = end;
    } else if (LIST.test(line)) {
      const [found, taken] = list(lines, at, depth);
      made.append(found);
      at += taken;
    } else if (line.startsWith(">") && depth < DEEPEST) {
      let end = at;
      while (end < lines.length && lines[end].startsWith(">")) end += 1;
      const quoted = lines.slice(at, end).map((one) => one.replace(/^> ?/, ""));
      made.append(element("blockquote", markdown(quoted.join("\n"), depth + 1)));
      at = end;
    } else {
      let end = at + 1;
      while (end < lines.length && lines[end].trim() && !BREAKS.test(lines[end]) && !LIST.test(lines[end]) && !isTable(lines, end)) end += 1;
      made.append(element("p", ...inline(lines.slice(at, end).join("\n"))));
      at = end;
    }
  }
  return made;
}
