// A link to a folded table opens it; what is printed has all of them open but the long notes.
function open(hash) {
  const place = hash.length > 1 && document.getElementById(decodeURIComponent(hash.slice(1)));
  if (place && place.matches("details")) {
    place.open = true;
    place.scrollIntoView();
  }
}
addEventListener("hashchange", () => open(location.hash));
open(location.hash);
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details.table:not([open])")];
  for (const one of closed) one.open = true;
});
addEventListener("afterprint", () => {
  for (const one of closed) one.open = false;
});
