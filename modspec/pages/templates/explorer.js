// The explorer's behaviour. Tables, search, sorting and pages are DataTables'; the rest is here.
const { jQuery } = await unpackedModule("library");
const data = JSON.parse(await unpacked("data"));
const { examples } = data;
const CHOICES = ["condition", "seed", "mask", "second", "language", "item", "train"];

// --- texts -----------------------------------------------------------------------------

const escaped = text => text.replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);
const languageOf = e => data.languages[examples.language[e]];
const labelOf = e => data.labels[examples.label[e]];
const sentences = e => [examples.text[e], examples.pair[e]].filter(text => text);
const textOf = e => sentences(e).map(text =>
  `<span class="sentence" lang="${escaped(languageOf(e))}" dir="auto">${escaped(text)}</span>`).join("");
const short = e => { const text = sentences(e).join(" | "); return text.length > 60 ? `${text.slice(0, 60)}…` : text; };
const maskName = kind => data.masks[kind];
const minus = text => text.replace("-", "−");
// Spaces and hyphens that no line breaks at.
const power = run => run.exponent ? ` (×\u00a01e${String(run.exponent).replace("-", "\u2011")})` : "";

function address(changes) {
  const query = new URLSearchParams();
  const values = { ...state, ...changes };
  for (const name of CHOICES) if (values[name]) query.set(name, values[name]);
  return `#${query}`;
}
const link = (e, changes) => `<a href="${escaped(address(changes))}">${textOf(e)}</a>`;

// --- what is chosen --------------------------------------------------------------------

let state = {};

// The run of this condition and seed, or the nearest there is; the condition matters more.
function runOf(values) {
  const fit = run => 2 * (run.condition === values.condition) + (String(run.seed) === values.seed);
  return data.runs.reduce((best, run) => (fit(run) > fit(best) ? run : best));
}

// Reads the address; what is missing or unknown there becomes the first choice there is.
function read() {
  const query = new URLSearchParams(location.hash.slice(1));
  const given = Object.fromEntries(CHOICES.map(name => [name, query.get(name) || ""]));
  const run = runOf(given);
  given.condition = run.condition;
  given.seed = String(run.seed);
  const kinds = Object.keys(run.masks);
  if (!kinds.includes(given.mask)) given.mask = kinds[0];
  if (!kinds.includes(given.second) || given.second === given.mask) given.second = "";
  if (!data.languages.includes(given.language)) given.language = "";
  const shown = shownItems(run, given.language);
  if (!shown.some(i => examples.id[run.items[i]] === given.item)) given.item = examples.id[run.items[shown[0]]];
  return given;
}

const shownItems = (run, language) => run.items.map((_, i) => i)
  .filter(i => !language || languageOf(run.items[i]) === language);
const placeOf = (run, id) => run.items.findIndex(e => examples.id[e] === id);
const half = of => of.length / 2;
const proponents = of => of.slice(0, half(of));

function go(changes) { location.hash = address(changes); }

function fill(name, options, value) {
  element(name).replaceChildren(...options.map(([code, label]) => new Option(label, code, false, code === value)));
}

function showChoices(run) {
  const distinct = name => [...new Set(data.runs.map(one => one[name]))];
  const conditions = distinct("condition").map(code => [code, data.conditions[code]]);
  const seeds = data.runs.filter(one => one.condition === run.condition).map(one => [String(one.seed), one.seed]);
  const masks = Object.keys(run.masks).map(code => [code, maskName(code)]);
  fill("condition", conditions, state.condition);
  fill("seed", seeds, state.seed);
  fill("mask", masks, state.mask);
  fill("second", [["", "none"], ...masks.filter(([code]) => code !== state.mask)], state.second);
  fill("language", [["", "all"], ...data.languages.map(code => [code, code])], state.language);
  element("second").disabled = masks.length < 2;
}

// --- tables ----------------------------------------------------------------------------

const tables = {};

// Makes the table once; afterwards changes its rows and, where given, its last column's title.
function table(id, columns, rows, options = {}) {
  if (tables[id] && options.titles === tables[id].titles) {
    tables[id].api.clear().rows.add(rows).draw();
    return tables[id].api;
  }
  if (tables[id]) { tables[id].api.destroy(); element(id).querySelectorAll("thead, tbody").forEach(part => part.remove()); }
  const api = jQuery(element(id)).DataTable({
    data: rows, columns, order: [], autoWidth: false, pageLength: 10,
    layout: { topStart: options.search ? "search" : null, topEnd: null, bottomStart: "info", bottomEnd: "paging" },
    language: { search: options.search || "", emptyTable: "Nothing to show.",
      info: "_START_ to _END_ of _TOTAL_", infoEmpty: "0 of 0", infoFiltered: "(of _MAX_)" },
    ...options.more,
  });
  tables[id] = { api, titles: options.titles };
  return api;
}

const column = (title, data, more = {}) => ({ title, data, ...more });
const number = { className: "number", type: "num" };
const score = { ...number, render: (value, use) => (use === "display" ? minus(value.toPrecision(4)) : value) };
const wide = { className: "wide" };

function showItems(run) {
  const predicted = run.masks[state.mask].predicted;
  const rows = shownItems(run, state.language).map(i => {
    const e = run.items[i], label = data.labels[predicted[i]];
    const right = label === labelOf(e);
    const said = right ? escaped(label) : `<span class="wrong">${escaped(label)}</span> (wrong)`;
    const meta = `<span class="meta">${escaped(languageOf(e))} · gold: ${escaped(labelOf(e))}</span>`;
    return { chosen: examples.id[e] === state.item, text: link(e, { item: examples.id[e] }) + meta,
      language: languageOf(e), gold: escaped(labelOf(e)), predicted: said };
  });
  const columns = [column("Test item", "text", { type: "html" }), column("Language", "language", wide),
    column("Gold label", "gold", wide), column("Predicted label", "predicted", { type: "html" })];
  const api = table("items", columns, rows, { search: "Search the texts of test items:", more: {
    rowCallback: (row, values) => {
      row.classList.toggle("chosen", values.chosen);
      if (values.chosen) row.setAttribute("aria-current", "true"); else row.removeAttribute("aria-current");
    } } });
  const order = api.rows({ search: "applied", order: "applied" }).data().toArray();
  const place = order.findIndex(row => row.chosen);
  if (place >= 0) api.page(Math.floor(place / api.page.len())).draw("page");
}

// What a training example has in common with the test item, or with an example above it in the list.
function marksOf(e, item, list, rank, otherMask) {
  const marks = [], same = (a, b) => data.group && examples.group[a] === examples.group[b];
  if (same(e, item)) marks.push(data.group === "translation" ? "translation of the test item" : "same template as the test item");
  if (languageOf(e) === languageOf(item) && sentences(e).some(text => sentences(item).includes(text)))
    marks.push("shares a sentence with the test item");
  const earlier = list.findIndex(other => other !== e && same(e, other));
  if (earlier >= 0 && earlier < rank)
    marks.push(data.group === "translation" ? `translation of no. ${earlier + 1}` : `same template as no. ${earlier + 1}`);
  if (otherMask) {
    const there = otherMask.list.indexOf(e);
    marks.push(there < 0 ? `not among the ${otherMask.list.length} under: ${otherMask.name}` : `no. ${there + 1} under: ${otherMask.name}`);
  }
  return marks;
}

function showSide(side, run, kind, otherKind) {
  const i = placeOf(run, state.item), item = run.items[i], of = run.masks[kind];
  const label = data.labels[of.predicted[i]];
  element(`${side}-heading`).textContent = maskName(kind);
  element(`${side}-predicted`).innerHTML = `Predicted label: <strong>${escaped(label)}</strong> ` +
    (label === labelOf(item) ? "(right)" : "(wrong)");
  ["proponents", "opponents"].forEach((name, part) => {
    const cut = values => { const n = half(values); return values.slice(part * n, part * n + n); };
    const list = cut(of.train[i]), scores = cut(of.scores[i]);
    const otherMask = otherKind && { name: maskName(otherKind), list: cut(run.masks[otherKind].train[i]) };
    const rows = list.map((e, rank) => {
      const marks = marksOf(e, item, list, rank, otherMask).map(escaped).join("; ");
      const meta = `<span class="meta">${escaped(languageOf(e))} · ${escaped(labelOf(e))}</span>`;
      return { rank: rank + 1, text: link(e, { train: examples.id[e] }) + meta + `<span class="marks">${marks}</span>`,
        language: languageOf(e), label: escaped(labelOf(e)), score: scores[rank] };
    });
    const columns = [column("No.", "rank", number), column("Training example", "text", { type: "html" }),
      column("Language", "language", wide), column("Label", "label", wide), column(`Score${power(run)}`, "score", score)];
    table(`${side}-${name}`, columns, rows, { titles: power(run) });
  });
}

function showItem(run) {
  const item = run.items[placeOf(run, state.item)];
  element("item-text").innerHTML = `<blockquote>${textOf(item)}</blockquote><p>Language: <strong>${escaped(languageOf(item))}</strong>. ` +
    `Gold label: <strong>${escaped(labelOf(item))}</strong>. Id: <code>${escaped(examples.id[item])}</code>. ` +
    `<a href="${escaped(address({}))}">Link to this view</a></p>`;
  const ofTest = new Set(data.runs.flatMap(one => one.items.map(e => examples.group[e])));
  const shared = data.runs.some(one => Object.values(one.masks).some(mask =>
    mask.train.some((list, i) => list.some(e => examples.group[e] === examples.group[one.items[i]]))));
  const words = { translation: "translation of a test item", template: "from the template of a test item" };
  element("groups-note").textContent = data.group && !shared
    ? `No training example here is a ${words[data.group].replace(/^from/, "sentence from")}: they never share a split. ` +
      `Marks say which examples of a list are ${data.group === "translation" ? "translations of each other" : "of the same template"}.` : "";
  showSide("first", run, state.mask, state.second);
  element("other").hidden = !state.second;
  element("sides").classList.toggle("two", Boolean(state.second));
  if (state.second) showSide("other", run, state.second, state.mask);
}

// The items that each training example is a proponent of: Map of example to [item, rank].
function listed(run) {
  const found = new Map();
  for (const i of shownItems(run, state.language))
    proponents(run.masks[state.mask].train[i]).forEach((e, rank) => {
      if (!found.has(e)) found.set(e, []);
      found.get(e).push([run.items[i], rank + 1]);
    });
  return found;
}

function showTrain(run, found) {
  const e = examplesOfTrain(run).find(one => examples.id[one] === state.train);
  element("train-empty").hidden = e !== undefined;
  element("train-details").hidden = e === undefined;
  if (e === undefined) return;
  const items = found.get(e) || [], all = shownItems(run, state.language).length;
  element("train-text").innerHTML = `<blockquote>${textOf(e)}</blockquote><p>Language: <strong>${escaped(languageOf(e))}</strong>. ` +
    `Label: <strong>${escaped(labelOf(e))}</strong>. Id: <code>${escaped(examples.id[e])}</code>.</p>`;
  element("train-count").textContent =
    `Among the ${data.count} strongest proponents of ${items.length} of ${all} test items (${maskName(state.mask)}).`;
  const rows = items.map(([item, rank]) => ({ rank, language: languageOf(item), gold: escaped(labelOf(item)),
    text: link(item, { item: examples.id[item] }) + `<span class="meta">${escaped(languageOf(item))} · ${escaped(labelOf(item))}</span>` }));
  table("train-items", [column("Test item", "text", { type: "html" }), column("Language", "language", wide),
    column("Gold label", "gold", wide), column("No. in its list", "rank", number)], rows);
}

const examplesOfTrain = run => Object.values(run.masks).flatMap(mask => mask.train.flat());

function showHubs(run, found) {
  const all = shownItems(run, state.language).length;
  const rows = [...found].filter(([, items]) => items.length > 1).sort((a, b) => b[1].length - a[1].length)
    .map(([e, items]) => ({ count: items.length, share: `${Math.round(100 * items.length / all)} %`, language: languageOf(e),
      label: escaped(labelOf(e)), text: link(e, { train: examples.id[e] }) +
        `<span class="meta">${escaped(languageOf(e))} · ${escaped(labelOf(e))}</span>` }));
  table("hubs", [column("Training example", "text", { type: "html" }), column("Language", "language", wide),
    column("Label", "label", wide), column("Test items", "count", number), column("Share", "share", { className: "number wide" })],
  rows, { search: "Search the texts of hubs:" });
}

// --- from the address to the page ------------------------------------------------------

function show() {
  const before = state;
  state = read();
  const run = runOf(state), found = listed(run);
  showChoices(run);
  showItems(run);
  showItem(run);
  showTrain(run, found);
  showHubs(run, found);
  const item = run.items[placeOf(run, state.item)];
  const predicted = data.labels[run.masks[state.mask].predicted[placeOf(run, state.item)]];
  element("status").textContent = `${data.conditions[state.condition]}, seed ${state.seed}, ${maskName(state.mask)}` +
    `${state.second ? ` beside ${maskName(state.second)}` : ""}: “${short(item)}”, gold label ${labelOf(item)}, predicted ${predicted}.`;
  document.title = `${examples.id[item]}, ${maskName(state.mask)} · Explorer: study ${data.study}`;
  // Who followed a link is taken to what it opens; who used a choice stays there.
  const isLoading = before.condition === undefined, follows = document.activeElement?.tagName !== "SELECT";
  if (follows && !isLoading && before.train !== state.train) focus("train");
  else if (follows && !isLoading && before.item !== state.item) focus("item");
}

function focus(id) { element(id).focus(); element(id).scrollIntoView(); }

for (const name of ["condition", "seed", "mask", "second", "language"])
  element(name).addEventListener("change", event => go({ [name]: event.target.value }));
document.querySelector("form").addEventListener("submit", event => event.preventDefault());
// A skip link leaves the address alone, which leads back to the view.
for (const skip of document.querySelectorAll(".skip"))
  skip.addEventListener("click", event => { event.preventDefault(); focus(skip.hash.slice(1)); });
addEventListener("hashchange", show);
show();
element("status").dataset.ready = "true";
