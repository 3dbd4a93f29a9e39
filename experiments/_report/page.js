
const dialog = document.querySelector("dialog");
const picture = dialog.querySelector("img");
for (const button of document.querySelectorAll(".enlarge")) {
  button.addEventListener("click", () => {
    const small = button.querySelector("img");
    picture.src = small.src;
    picture.alt = small.alt;
    dialog.showModal();
  });
}
dialog.addEventListener("click", (event) => {
  if (event.target !== picture) dialog.close();
});
