"use strict";
(() => {
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));

  // charts: drawn when they come into view, and all of them before the page is printed
  const draw = (box) => {
    if (box.dataset.drawn) return box.ready;
    box.dataset.drawn = "yes";
    const spec = JSON.parse(box.nextElementSibling.textContent);
    spec.$schema = spec.$schema || "https://vega.github.io/schema/vega-lite/v6.json";
    spec.background = "transparent";
    if (spec.width === "container") spec.autosize = {type: "fit-x", contains: "padding"};
    const config = {view: {stroke: null}, axis: {labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal"}, legend: {labelFontSize: 12}};
    const options = {ast: true, renderer: "svg", config, actions: {export: true, source: false, compiled: false, editor: false}};
    box.ready = window.vegaEmbed(box, spec, options).catch((error) => {
      box.textContent = "This chart cannot be drawn: " + error.message;
    });
    return box.ready;
  };
  const charts = all(".chart");
  if (charts.length && "IntersectionObserver" in window) {
    const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
      if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
    }), {rootMargin: "600px"});
    charts.forEach((box) => seen.observe(box));
    const idle = window.requestIdleCallback || ((work) => setTimeout(work, 200));
    const rest = charts.slice();
    const next = () => { const box = rest.shift(); if (box) Promise.resolve(draw(box)).then(() => idle(next)); };
    idle(next);
  } else charts.forEach(draw);

  window.addEventListener("beforeprint", () => charts.forEach(draw));

  // tables
  const order = (row, column) => {
    const cell = row.cells[column];
    const checked = cell.querySelector("input:checked");
    if (checked) return checked.value;
    if (cell.dataset.order !== undefined) return Number(cell.dataset.order);
    return cell.textContent.trim().toLowerCase();
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number") return -1;
    if (typeof b === "number") return 1;
    return a.localeCompare(b, "en", {numeric: true});
  };
  all("table.sortable").forEach((table) => all("th .sort", table).forEach((button) => button.addEventListener("click", () => {
    const head = button.closest("th");
    const column = head.cellIndex;
    const rising = head.getAttribute("aria-sort") !== "ascending";
    all("th", table.tHead).forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const rows = Array.from(table.tBodies[0].rows).map((row) => [order(row, column), row]);
    rows.sort((a, b) => (rising ? 1 : -1) * compare(a[0], b[0]));
    rows.forEach(([, row]) => table.tBodies[0].append(row));
  })));

  // animations
  all(".player").forEach((player) => {
    const captions = JSON.parse(player.dataset.captions);
    const moving = player.querySelector(".moving");
    const [frame, slider, said, play] = [".frame", "input", "output", ".play"].map((what) => moving.querySelector(what));
    let timer = null;
    const show = () => {
      frame.style.setProperty("--at", slider.value);
      said.textContent = captions[slider.value];
      slider.setAttribute("aria-valuetext", captions[slider.value]);
    };
    const stop = () => { clearInterval(timer); timer = null; play.textContent = "Play"; };
    play.addEventListener("click", () => {
      if (timer) return stop();
      play.textContent = "Stop";
      timer = setInterval(() => { slider.value = (Number(slider.value) + 1) % captions.length; show(); }, 350);
    });
    slider.addEventListener("input", () => { stop(); show(); });
    moving.hidden = false;
    show();
  });

  // something to copy
  all(".copy").forEach((button) => button.addEventListener("click", async () => {
    const text = button.closest(".code").querySelector("code").textContent;
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
    catch { getSelection().selectAllChildren(button.closest(".code").querySelector("code")); button.textContent = "Selected"; }
  }));

  // grades
  all(".grading").forEach((box) => {
    const rows = () => all("tbody tr", box);
    const place = "misas grades " + location.pathname + " " + box.dataset.report;
    const read = () => { try { return JSON.parse(localStorage.getItem(place)) || {}; } catch { return {}; } };
    const grades = read();
    const count = box.querySelector(".graded");
    const keep = () => {
      try { localStorage.setItem(place, JSON.stringify(grades)); } catch { /* the browser keeps nothing: grades last until it is closed */ }
      count.textContent = Object.values(grades).filter((own) => own.grade).length + " of " + rows().length + " graded";
    };
    const show = (row) => {
      const own = grades[row.dataset.case] || {};
      all("input[type=radio]", row).forEach((input) => { input.checked = input.value === own.grade; });
      row.querySelector(".comment").value = own.comment || "";
      if (own.grade) row.dataset.grade = own.grade; else delete row.dataset.grade;
    };
    const give = (row, grade) => {
      const own = grades[row.dataset.case] = grades[row.dataset.case] || {};
      own.grade = own.grade === grade ? undefined : grade;
      show(row); keep();
    };
    rows().forEach((row) => {
      show(row);
      all("input[type=radio]", row).forEach((input) => input.addEventListener("change", () => {
        (grades[row.dataset.case] = grades[row.dataset.case] || {}).grade = input.value; show(row); keep();
      }));
      row.querySelector(".comment").addEventListener("input", (event) => {
        (grades[row.dataset.case] = grades[row.dataset.case] || {}).comment = event.target.value; keep();
      });
    });
    keep();
    const keys = {p: "pass", f: "fail", a: "artefact"};
    box.addEventListener("keydown", (event) => {
      const row = event.target.closest("tbody tr");
      if (event.key === "Escape" && row) { row.focus(); return; }
      if (!row || event.target.matches("input[type=text]") || event.ctrlKey || event.metaKey || event.altKey) return;
      const step = {j: 1, k: -1}[event.key];
      if (keys[event.key]) give(row, keys[event.key]);
      else if (step) { const to = rows()[rows().indexOf(row) + step]; if (to) { to.focus(); to.scrollIntoView({block: "nearest"}); } }
      else if (event.key === "c") row.querySelector(".comment").focus();
      else return;
      event.preventDefault();
    });
    const quoted = (text) => '"' + (/^'*[=+\-@\t\r]/.test(text) ? "'" + text : text).replaceAll('"', '""') + '"';
    const forms = {
      json: (list) => JSON.stringify({format: "misas grades", version: 1, report: box.dataset.report, grades: list}, null, 1),
      csv: (list) => ["case,grade,comment", ...list.map((own) => [own.case, own.grade, own.comment].map(quoted).join(","))].join("\r\n") + "\r\n",
    };
    all(".save", box).forEach((button) => button.addEventListener("click", () => {
      const list = Object.entries(grades).filter(([, own]) => own.grade).map(([name, own]) => ({case: name, grade: own.grade, comment: own.comment || ""}));
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([forms[button.dataset.form](list)], {type: "text/plain"}));
      link.download = "grades." + button.dataset.form;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }));
  });
})();
