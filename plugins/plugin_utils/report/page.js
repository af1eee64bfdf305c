"use strict";
// The page is whole without this script. It adds a theme switch, a filter of hosts and quicker tooltips.
(function () {
  var root = document.documentElement;

  function remembered(value) {
    // A page opened from a file may have no storage.
    try {
      if (value !== undefined) { localStorage.setItem("rollout-report-theme", value); }
      return localStorage.getItem("rollout-report-theme");
    } catch (nothing) { return null; }
  }

  var themes = ["auto", "light", "dark"];
  var button = document.getElementById("theme");
  function show(theme) {
    if (theme === "auto") { root.removeAttribute("data-theme"); } else { root.setAttribute("data-theme", theme); }
    button.textContent = "Theme: " + theme;
  }
  var theme = themes.indexOf(remembered()) < 0 ? "auto" : remembered();
  show(theme);
  button.hidden = false;
  button.addEventListener("click", function () {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    remembered(theme);
    show(theme);
  });

  var filter = document.getElementById("filter");
  if (filter) {
    var count = document.getElementById("filtered");
    filter.parentNode.parentNode.hidden = false;
    filter.addEventListener("input", function () {
      var wanted = filter.value.trim().toLowerCase(), shown = 0;
      document.querySelectorAll("#timeline .batch").forEach(function (batch) {
        var here = 0;
        batch.querySelectorAll("tbody tr").forEach(function (row) {
          row.hidden = row.cells[0].textContent.toLowerCase().indexOf(wanted) < 0;
          here += row.hidden ? 0 : 1;
        });
        batch.hidden = !here;
        if (batch.tagName === "DETAILS" && wanted) { batch.open = here > 0 && here <= 100; }
        shown += here;
      });
      count.textContent = wanted ? shown + (shown === 1 ? " host" : " hosts") : "";
    });
  }

  // A <title> takes a second to show, and never on a touch screen.
  var tip = document.getElementById("tip");
  function hide() { tip.hidden = true; }
  document.addEventListener("pointerover", function (event) {
    var shape = event.target.closest ? event.target.closest(".hit, .ph") : null;
    if (!shape) { hide(); return; }
    var title = shape.querySelector("title");
    if (title) {
      shape.tip = title.textContent;
      title.remove();
    }
    if (!shape.tip) { hide(); return; }
    tip.textContent = shape.tip;
    tip.hidden = false;
    var box = shape.getBoundingClientRect();
    var left = Math.min(Math.max(8, box.left + box.width / 2 - tip.offsetWidth / 2), root.clientWidth - tip.offsetWidth - 8);
    var top = box.top - tip.offsetHeight - 8;
    tip.style.left = left + window.scrollX + "px";
    tip.style.top = (top < 4 ? box.bottom + 8 : top) + window.scrollY + "px";
  });
  document.addEventListener("scroll", hide, { passive: true });
  document.addEventListener("keydown", function (event) { if (event.key === "Escape") { hide(); } });

  // Paper cannot be unfolded.
  var folded = [];
  window.addEventListener("beforeprint", function () {
    folded = Array.from(document.querySelectorAll("details:not([open])"));
    folded.forEach(function (each) { each.open = true; });
  });
  window.addEventListener("afterprint", function () { folded.forEach(function (each) { each.open = false; }); });
})();
