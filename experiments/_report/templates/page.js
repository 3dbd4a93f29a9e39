
document.documentElement.classList.add("js");
const dialog = document.querySelector("dialog");
const picture = dialog.querySelector("img");
for (const button of document.querySelectorAll(".enlarge")) {
  button.addEventListener("click", () => {
    const small = button.querySelector("img");
    picture.src = small.currentSrc;
    picture.alt = small.alt;
    dialog.showModal();
  });
}
dialog.addEventListener("click", (event) => {
  if (event.target !== picture) dialog.close();
});

const search = document.getElementById("search");
const rows = [...document.querySelectorAll("tr.claim")];
const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
const parentOf = (row) => document.getElementById(row.dataset.parent);
function select() {
  const chosen = document.querySelector(".filter input:checked").id.slice(5);
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (row) =>
    (chosen === "all" || row.classList.contains(chosen)) && words.every((word) => texts.get(row).includes(word));
  const found = new Set(rows.filter(fits));
  // A caveat is shown below the claim that it is about, which may be one itself.
  const parents = new Set();
  for (const row of found) {
    for (let above = parentOf(row); above; above = parentOf(above)) parents.add(above);
  }
  for (const row of rows) {
    row.hidden = !found.has(row) && !parents.has(row);
    row.classList.toggle("context", !found.has(row) && parents.has(row));
  }
  for (const group of document.querySelectorAll("table tbody")) {
    group.hidden = ![...group.querySelectorAll("tr.claim")].some((row) => !row.hidden);
  }
  document.getElementById("shown").textContent = found.size === rows.length ? "" : `${found.size} of ${rows.length} claims`;
}
search.addEventListener("input", select);
for (const input of document.querySelectorAll(".filter input")) input.addEventListener("change", select);
// A link to a claim that is filtered out shows all claims.
function reveal() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target && target.hidden) {
    search.value = "";
    document.getElementById("show-all").checked = true;
    select();
    target.scrollIntoView();
  }
}
addEventListener("hashchange", reveal);
select();
