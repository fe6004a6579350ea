"use strict";
const selects = [...document.querySelectorAll("[data-filter]")];
const cards = [...document.querySelectorAll(".gallery li")];
const apply = () => {
  let shown = 0;
  for (const card of cards) {
    card.hidden = !selects.every(s => !s.value || (card.dataset[s.dataset.filter] ?? "").split("\u2063").includes(s.value));
    shown += !card.hidden;
  }
  for (const each of document.querySelectorAll("[data-shown]")) each.textContent = shown;
};
for (const each of selects) each.addEventListener("change", apply);
addEventListener("pageshow", apply); // a browser keeps choices when a page comes back
