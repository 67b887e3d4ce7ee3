"use strict";
(() => {
  const filter = document.getElementById("filter");
  if (!filter) return;
  const boxes = [...filter.querySelectorAll("input[type=checkbox]")];
  const rule = filter.querySelector("select");
  const status = document.getElementById("filter-status");
  const groups = [...document.querySelectorAll(".rule")];
  const files = [...document.querySelectorAll(".file")];
  const total = document.querySelectorAll(".finding").length;
  const apply = () => {
    const severities = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    let shown = 0;
    for (const group of groups) {
      group.hidden = !severities.has(group.dataset.severity)
        || (rule.value !== "" && group.dataset.rule !== rule.value);
      if (!group.hidden) shown += group.querySelectorAll(".finding").length;
    }
    for (const file of files) file.hidden = !file.querySelector(".rule:not([hidden])");
    status.textContent = `${shown} of ${total} findings shown`;
  };
  filter.addEventListener("change", apply);
  window.addEventListener("hashchange", () => {
    const target = document.getElementById(location.hash.slice(1));
    if (!target || !target.closest("[hidden]")) return;
    for (const box of boxes) box.checked = true;
    rule.value = "";
    apply();
    target.scrollIntoView();
  });
  filter.hidden = false;
  apply();
})();
