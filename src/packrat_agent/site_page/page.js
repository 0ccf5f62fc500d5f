"use strict";

// What the page can do beyond being read: fill in the site's address, say how long ago, copy lines, search packages.
// All text from elsewhere goes in as text, never as markup.

const ROWS_LIMIT = 200;
const AT_ONCE = 6;
const INDEX_KEPT_MS = 30000;
const here = new URL(".", window.location.href);
const isServed = here.protocol === "http:" || here.protocol === "https:";

function make(name, text, attributes = {}) {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

// The address, where the mirror does not know its own.

// The address gets into commands: of what it may have, shells and sed take some characters for something else.
function encodeOdd(text) {
  return text.replaceAll(/[^\w./:%~[\]-]/g, (character) => `%${character.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

const host = encodeOdd(here.host);

function fillAddress() {
  const address = encodeOdd(here.href.replace(/\/$/, ""));
  for (const element of document.querySelectorAll("[data-host]")) {
    const shown = element.querySelector("pre") || element;
    const lines = (here.protocol === "https:" && element.dataset.https) || shown.textContent;
    shown.textContent = lines
      .replaceAll(/https?:\/\/THIS-HOST/g, () => address)
      .replaceAll("THIS-HOST", () => host);
  }
  for (const element of document.querySelectorAll(".address-note")) element.hidden = true;
  for (const element of document.querySelectorAll(".ipv6-note")) element.hidden = !host.startsWith("[");
}

// How long ago.

const STEPS = [["day", 86400], ["hour", 3600], ["minute", 60]];

function tellAge(seconds) {
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  const [unit, size] = STEPS.find(([, least]) => seconds >= least) || ["second", 1];
  return relative.format(-Math.floor(Math.max(seconds, 0) / size), unit);
}

function showAges() {
  for (const element of document.querySelectorAll("time[datetime]")) {
    let age = element.nextElementSibling;
    if (age === null || age.className !== "age") {
      age = make("span", "", { class: "age" });
      element.after(age);
    }
    const seconds = (Date.now() - Date.parse(element.getAttribute("datetime"))) / 1000;
    age.textContent = ` (${tellAge(seconds)})`;
  }
}

// Copying.

async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Without TLS, browsers offer only this.
  const area = make("textarea", text, { readonly: "", "aria-hidden": "true", tabindex: "-1" });
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("not copied");
}

function addCopyButtons() {
  const told = document.getElementById("told");
  for (const lines of document.querySelectorAll("pre")) {
    const button = make("button", "Copy", { type: "button", class: "copy" });
    button.setAttribute("aria-label", `Copy the lines: ${lines.parentElement.dataset.label}`);
    button.addEventListener("click", async () => {
      try {
        await copy(lines.textContent);
        button.textContent = told.textContent = "Copied";
      } catch {
        button.textContent = told.textContent = "Not copied: select the lines and copy them";
      }
      button.focus();
      window.setTimeout(() => { button.textContent = "Copy"; told.textContent = ""; }, 3000);
    });
    lines.before(button);
  }
}

// Searching. Each repository has a list: an index, and shards that it names by their hash.

class PackageList {
  constructor(section) {
    this.name = section.dataset.repository;
    this.place = section.dataset.packages;
    this.image = section.dataset.image || "";
    this.kept = new Map();
    this.index = null;
    this.readAt = 0;
  }

  async get(file, cache) {
    const answer = await fetch(new URL(`${this.place}/${file}`, here), { cache });
    if (!answer.ok) throw new Error(`${file}: ${answer.status}`);
    return answer.json();
  }

  // The shards, those first that may have names that begin with the words.
  async shards(words) {
    if (this.index === null || Date.now() - this.readAt > INDEX_KEPT_MS) {
      this.index = this.get("index.json", "no-cache");
      this.readAt = Date.now();
    }
    try {
      const { shards } = await this.index;
      const begins = (number) => {
        const next = number + 1 < shards.length ? shards[number + 1][0] : null;
        return shards[number][0] <= `${words}\uffff` && (next === null || next >= words) ? 0 : 1;
      };
      return shards.map(([, sha256], number) => [begins(number), sha256]).sort((a, b) => a[0] - b[0]).map((s) => s[1]);
    } catch (error) {
      this.index = null;
      throw error;
    }
  }

  shard(sha256) {
    if (!this.kept.has(sha256)) this.kept.set(sha256, this.get(`${sha256}.json`, "force-cache"));
    return this.kept.get(sha256);
  }

  forget() {
    this.index = null;
    this.kept.clear();
  }
}

class Search {
  constructor(lists) {
    this.lists = lists;
    this.words = document.getElementById("words");
    this.within = document.getElementById("within");
    this.status = document.getElementById("status");
    this.table = document.getElementById("found");
    this.turn = 0;
    this.timer = 0;
    for (const list of lists) this.within.append(make("option", list.name, { value: list.name }));
    const soon = () => { window.clearTimeout(this.timer); this.timer = window.setTimeout(() => this.run(), 200); };
    this.words.addEventListener("input", soon);
    this.within.addEventListener("change", soon);
    document.getElementById("search").addEventListener("submit", (event) => { event.preventDefault(); this.run(); });
  }

  async run() {
    window.clearTimeout(this.timer);
    const turn = ++this.turn;
    const words = this.words.value.trim().toLowerCase();
    const found = [];
    if (words === "") {
      this.show(found, "");
      return;
    }
    this.status.textContent = "Searching …";
    try {
      for (const list of this.lists) {
        if (this.within.value !== "" && this.within.value !== list.name) continue;
        try {
          await this.look(list, words, found, turn);
        } catch {
          // The list has changed since its index was read.
          list.forget();
          const others = found.filter((row) => row.list !== list);
          found.splice(0, found.length, ...others);
          await this.look(list, words, found, turn);
        }
        if (turn !== this.turn) return;
      }
      this.show(found, words);
    } catch (error) {
      if (turn === this.turn) this.show([], words, `The list of packages can't be read (${error.message}); try again.`);
    }
  }

  // Stop when a list alone has more than is shown: of its shards those that are likely to hold the best come first.
  async look(list, words, found, turn) {
    const before = found.length;
    const shards = await list.shards(words);
    for (let at = 0; at < shards.length && found.length - before <= ROWS_LIMIT; at += AT_ONCE) {
      const some = await Promise.all(shards.slice(at, at + AT_ONCE).map((sha256) => list.shard(sha256)));
      if (turn !== this.turn) return;
      for (const { packages } of some) this.match(list, packages, words, found);
      if (shards.length > AT_ONCE) this.status.textContent = `Searching ${list.name} …`;
    }
  }

  match(list, packages, words, found) {
    for (const [name, versions] of packages) {
      const at = name.toLowerCase().indexOf(words);
      if (at < 0) continue;
      const rank = at > 0 ? 2 : name.length > words.length ? 1 : 0;
      for (const [version, release, arches] of versions) found.push({ list, rank, name, version, release, arches });
    }
  }

  show(found, words, problem = "") {
    // What is equal keeps its order: the newest version of a package first.
    found.sort((a, b) => a.rank - b.rank || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    const rows = found.slice(0, ROWS_LIMIT).map((row) => this.row(row));
    this.table.tBodies[0].replaceChildren(...rows);
    this.table.hidden = rows.length === 0;
    if (problem !== "") this.status.textContent = problem;
    else if (words === "") this.status.textContent = "";
    else if (found.length > ROWS_LIMIT) this.status.textContent = `The first ${ROWS_LIMIT} results; type more to see fewer.`;
    else this.status.textContent = found.length === 1 ? "1 result." : `${found.length} results.`;
  }

  row({ list, name, version, release, arches }) {
    const row = make("tr");
    row.append(make("th", list.image === "" ? name : `${list.image}/${name}:${version}`, { scope: "row", class: "mono" }));
    for (const [label, text] of [["Version", version], ["Release", release], ["Architecture", arches], ["Repository", list.name]]) {
      row.append(make("td", text, { "data-label": label }));
    }
    return row;
  }
}

function offerSearch() {
  const sections = [...document.querySelectorAll("section[data-packages]")];
  if (sections.length === 0) return;
  for (const section of sections) {
    if (section.dataset.image) section.dataset.image = section.dataset.image.replace("THIS-HOST", () => host);
  }
  new Search(sections.map((section) => new PackageList(section)));
  document.getElementById("packages").hidden = false;
}

if (isServed) {
  fillAddress();
  offerSearch();
}
showAges();
window.setInterval(showAges, 30000);
addCopyButtons();
