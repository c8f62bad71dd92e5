// Parts of the page are stored compressed; see modspec/pages/rendering.py.
const element = id => document.getElementById(id);

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(element(id).textContent), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function unpackedModule(id) {
  const url = URL.createObjectURL(new Blob([await unpacked(id)], { type: "text/javascript" }));
  const module = await import(url);
  URL.revokeObjectURL(url);
  return module;
}
