"use strict";
// Puts newer numbers in the place of those that are shown, part by part, and leaves the reader where they were.
(() => {
  const root = document.documentElement, said = document.getElementById("followed");
  const boxes = (page) => [...page.querySelectorAll("[data-follow]")];
  const sources = new WeakMap();
  // As the server wrote them: this script comes before the one that gives the parts what they do.
  const remember = (part) => sources.set(part, part.outerHTML);
  for (const box of boxes(document)) [...box.children].forEach(remember);

  const named = (part) => {
    const heading = part.querySelector("h1, h2");
    return part.id || `${part.tagName} ${part.className} ${part.dataset.training || ""} ${heading ? heading.textContent.trim() : ""}`;
  };

  // What a reader did to a part: opened, chosen, typed, reached by keyboard.
  const marks = (part) => ({
    open: [...part.querySelectorAll("details")].map((each) => each.open),
    chosen: [...part.querySelectorAll("input:checked")].map((each) => [each.name, each.value]),
    picked: [...part.querySelectorAll("select")].map((each) => each.value),
    focus: part.contains(document.activeElement) ? [...part.querySelectorAll("a, button, input, select, summary, [tabindex]")].indexOf(document.activeElement) : -1,
    aside: [...part.querySelectorAll(".scroll")].map((each) => each.scrollLeft),
  });
  function mark(part, found) {
    part.querySelectorAll("details").forEach((each, index) => { each.open = found.open[index] || false; });
    for (const each of part.querySelectorAll("input")) {
      if (found.chosen.some(([name, value]) => name === each.name && value === each.value)) each.checked = true;
    }
    part.querySelectorAll("select").forEach((each, index) => {
      if ([...each.options].some((option) => option.value === found.picked[index])) each.value = found.picked[index];
    });
  }
  function refocus(part, found) {
    part.querySelectorAll(".scroll").forEach((each, index) => { each.scrollLeft = found.aside[index] || 0; });
    const reached = [...part.querySelectorAll("a, button, input, select, summary, [tabindex]")][found.focus];
    if (reached) reached.focus({ preventScroll: true });
  }

  // Returns what stands for each former part now.
  function replace(box, fresh) {
    const before = [...box.children], left = new Set(before), now = new Map(), changed = [];
    const take = (fits) => {
      const found = before.find((part) => left.has(part) && fits(part));
      left.delete(found);
      return found;
    };
    const wanted = [...fresh.children].map((part) => [part, take((old) => sources.get(old) === part.outerHTML)]);
    const parts = wanted.map(([part, same]) => {
      if (same) {
        now.set(same, same);
        return same;
      }
      const old = take((each) => named(each) === named(part));
      const own = document.importNode(part, true);
      remember(own);
      changed.push([own, old && marks(old)]);
      if (old) now.set(old, own);
      return own;
    });
    // What stays is never moved: a part that is moved loses its focus.
    for (const old of before) if (now.get(old) !== old) old.remove();
    let at = box.firstElementChild;
    for (const part of parts) {
      if (part === at) at = at.nextElementSibling;
      else box.insertBefore(part, at);
    }
    for (const [part, found] of changed) {
      if (found) mark(part, found);
      part.dispatchEvent(new Event("replaced", { bubbles: true }));
      if (found) refocus(part, found);
    }
    return now;
  }

  // Figures are drawn after their parts are put in, and take room: what stood at the top is held there meanwhile, unless
  // the reader moves on.
  let held = null, until = 0;
  const release = () => { held = null; };
  for (const kind of ["wheel", "keydown", "pointerdown", "touchstart"]) addEventListener(kind, release, { passive: true });
  const hold = () => { if (held) scrollBy(0, held.part.getBoundingClientRect().top - held.top); };
  new ResizeObserver(hold).observe(document.getElementById("main"));

  function update(page) {
    const main = document.getElementById("main");
    const anchor = [...main.children].find((part) => part.getBoundingClientRect().bottom > 0);
    const top = anchor && anchor.getBoundingClientRect().top;
    const asked = boxes(page).map((fresh) => [document.getElementById(fresh.id), fresh]);
    const now = new Map(asked.flatMap(([box, fresh]) => [...replace(box, fresh)]));
    const stands = anchor && now.get(anchor);
    // At its very top a page stays there, whatever grows.
    held = stands && scrollY > 0 ? { part: stands, top } : null;
    hold();
    clearTimeout(until);
    until = setTimeout(release, 3000);
    document.title = page.title;
    root.dataset.tag = page.documentElement.dataset.tag;
    root.dataset.updates = String(Number(root.dataset.updates || 0) + 1);
  }

  const clock = () => new Date().toLocaleTimeString();
  let last = clock(), failures = 0;
  async function look() {
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { headers: { "If-None-Match": root.dataset.tag }, cache: "no-store" });
        if (answer.status === 403) said.textContent = "This page is no longer let in: open the address that lastbit serve printed.";
        else if (answer.status === 404) said.textContent = "The study is no longer there.";
        else if (answer.status === 200) {
          update(new DOMParser().parseFromString(await answer.text(), "text/html"));
          said.textContent = `New at ${clock()}`;
        } else if (failures) said.textContent = "";
        if (answer.ok || answer.status === 304) last = clock();
        failures = 0;
      } catch {
        failures += 1;
        said.textContent = `lastbit serve does not answer: what is shown is of ${last}.`;
      }
    }
    const running = document.querySelector(".state.running");
    setTimeout(look, Number(root.dataset.every) * 1000 * (running ? 1 : 3) * Math.min(2 ** failures, 8));
  }
  setTimeout(look, Number(root.dataset.every) * 1000);
})();
