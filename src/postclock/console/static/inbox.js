// Keeps the first page of the list fresh. The server answers 304 while nothing has changed.
"use strict";

const EVERY_MS = 2000;

async function refresh() {
  const list = document.querySelector("main[data-refresh]");
  // Somebody at a link or a button in the list must not lose it.
  if (!list || document.hidden || list.contains(document.activeElement)) return;
  const answer = await fetch("/inbox", { cache: "no-store", headers: { "If-None-Match": list.dataset.version } });
  if (answer.status !== 200) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("main[data-refresh]");
  if (!fresh) return;
  list.replaceChildren(...fresh.childNodes);
  list.dataset.version = fresh.dataset.version;
  document.title = page.title;
}

if (document.querySelector("main[data-refresh]")) {
  setInterval(() => refresh().catch(() => {}), EVERY_MS);
}
