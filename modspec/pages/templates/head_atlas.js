// Draws the charts, and makes every head reachable with the keyboard: a panel is one stop of the Tab key.
await unpackedModule("library"); // sets vegaEmbed
const charts = JSON.parse(await unpacked("charts"));
const MOVES = { ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function reachable(map) {
  const panels = new Map();
  for (const square of map.querySelectorAll(".mark-rect path[aria-label]")) {
    const { language, seed, layer, head } = square.__data__.datum;
    const panel = `${language} ${seed}`;
    if (!panels.has(panel)) panels.set(panel, new Map());
    panels.get(panel).set(`${layer} ${head}`, square);
    square.tabIndex = layer === 1 && head === 1 ? 0 : -1;
    square.addEventListener("focus", () => { element("said").textContent = square.getAttribute("aria-label"); });
    square.addEventListener("keydown", event => {
      const move = MOVES[event.key];
      const next = move && panels.get(panel).get(`${layer + move[0]} ${head + move[1]}`);
      if (move) event.preventDefault();
      if (!next) return;
      square.tabIndex = -1;
      next.tabIndex = 0;
      next.parentNode.append(next); // drawn last, so that its frame is on top
      next.focus();
    });
  }
}

for (const [name, chart] of Object.entries(charts)) {
  const map = element(`${name}-map`);
  await window.vegaEmbed(map, chart, { renderer: "svg", actions: false });
  reachable(map);
}
for (const skip of document.querySelectorAll(".skip"))
  skip.addEventListener("click", event => { event.preventDefault(); element(skip.hash.slice(1)).focus(); });
element("said").textContent = "Choose a head: its values appear here.";
element("said").dataset.ready = "true";
