// Keeps the status page current: every event of the journal fetches the overview
// again, at most twice a second, and redraws the ladder that is open.
"use strict";

const overview = document.getElementById("overview");
const live = document.getElementById("live");
const ladder = document.getElementById("ladder");
const drawing = document.getElementById("ladder-drawing");

let picked = decodeURIComponent(location.hash.slice(1));
let due = 0;
let busy = false;

async function fetchText(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(path + ": " + response.status);
  return response.text();
}

function mark() {
  for (const row of overview.querySelectorAll("tr[data-flow]")) {
    row.classList.toggle("picked", row.dataset.flow === picked);
  }
}

async function refresh() {
  due = 0;
  if (busy) return later();
  busy = true;
  try {
    overview.innerHTML = await fetchText("/overview");
    mark();
    await draw();
  } catch (error) {
    console.warn(error);
  }
  busy = false;
}

function later() {
  if (!due) due = setTimeout(refresh, 500);
}

async function draw() {
  ladder.hidden = !picked;
  if (!picked) return;
  const base = "/api/v1/flows/" + encodeURIComponent(picked) + "/ladder";
  document.getElementById("ladder-flow").textContent = picked;
  document.getElementById("ladder-text").href = base + ".txt";
  try {
    drawing.innerHTML = await fetchText(base + ".svg");
  } catch {
    drawing.textContent = "The journal has nothing of this flow any more.";
  }
}

function pick(flow) {
  picked = flow;
  history.replaceState(null, "", "#" + encodeURIComponent(flow));
  mark();
  draw();
}

overview.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-flow]");
  if (!row || event.ctrlKey || event.metaKey || event.button) return;
  event.preventDefault();
  pick(row.dataset.flow === picked ? "" : row.dataset.flow);
  if (picked) ladder.scrollIntoView({ behavior: "smooth", block: "nearest" });
});

const events = new EventSource("/api/v1/journal/live");
events.addEventListener("entry", later);
events.addEventListener("open", () => {
  live.textContent = "live";
  live.classList.remove("off");
  later();
});
events.addEventListener("error", () => {
  live.textContent = "not live";
  live.classList.add("off");
});

setInterval(later, 10000); // for what makes no journal entry: links, trunks, ages
draw();
mark();
