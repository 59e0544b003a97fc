"use strict";
// Sorting, filtering, paging, copying and enlarging. Without it the page shows the same, only still.
(() => {
  const byId = (id) => document.getElementById(id);
  document.documentElement.classList.add("scripted");

  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  // Numbers before words; a cell that begins with a number is compared by it. Durations know their units.
  const UNITS = { s: 1, min: 60, h: 3600 };
  const sortKey = (text) => {
    const found = /^\s*(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?:\s+(s|min|h))?(?=\s|$|\/)/.exec(text);
    return found ? Number(found[1]) * (UNITS[found[2]] || 1) : text.toLowerCase();
  };
  const compare = (a, b) => {
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
  };

  // Put a button into each header; `sort(column, sign)` orders the rows.
  const makeSortable = (table, sort) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = element("button", head.textContent, { type: "button" });
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const descending = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        sort(column, descending ? -1 : 1);
      });
    });
  };

  const claims = byId("claims-table");
  if (claims) {
    const bodies = () => [...claims.tBodies];
    makeSortable(claims, (column, sign) => {
      const keyed = bodies().map((body) => [sortKey(body.rows[0].cells[column].textContent), body]);
      keyed.sort((a, b) => sign * compare(a[0], b[0]));
      claims.append(...keyed.map((pair) => pair[1]));
    });
    const form = byId("claims-filters");
    const filter = () => {
      const wanted = [...form.querySelectorAll("[data-filter]")].map((f) => [f.dataset.filter, f.value.toLowerCase()]);
      let shown = 0;
      for (const body of bodies()) {
        const fits = wanted.every(([name, value]) => {
          if (!value) return true;
          if (name === "words") return body.textContent.toLowerCase().includes(value);
          if (name === "model") return body.dataset.model.split(" ").includes(value);
          return body.dataset[name].toLowerCase() === value;
        });
        body.hidden = !fits;
        shown += fits;
      }
      byId("claims-count").textContent = `${shown} of ${bodies().length} claims`;
    };
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    filter();
  }

  const store = byId("runs-data");
  if (store) {
    const { words, rows, page } = JSON.parse(store.textContent);
    const table = byId("runs-table");
    const made = new Map([...table.tBodies].map((body) => [body.rows[0].cells[0].textContent, body]));
    const text = (row, column) => (column ? words[row[column]] : row[0]);
    const width = table.tHead.rows[0].cells.length;
    const build = (row) => {
      const body = element("tbody");
      const line = body.insertRow();
      const head = element("th", undefined, { scope: "row" });
      head.append(element("code", row[0]));
      line.append(head);
      for (let column = 1; column < width; column += 1) line.append(element("td", text(row, column)));
      const cell = body.insertRow().insertCell();
      cell.colSpan = width;
      cell.parentElement.className = "more";
      const details = element("details");
      details.append(element("summary", `${row[0]}: log, how to repeat`));
      const command = element("span", undefined, { class: "command" });
      command.append(element("code", `tal-repro show ${row[0]}${byId("runs-table").dataset.where || ""}`));
      details.append(command);
      cell.append(details);
      addCopy(command);
      return body;
    };
    let order = rows.slice();
    let first = 0;
    const show = () => {
      const experiment = byId("runs-experiment").value;
      const sought = byId("runs-words").value.toLowerCase();
      const chosen = order.filter((row) =>
        (!experiment || text(row, 1) === experiment) &&
        (!sought || row[0].includes(sought) || row.slice(1).some((word) => words[word].toLowerCase().includes(sought))));
      first = Math.max(0, Math.min(first, Math.floor((chosen.length - 1) / page) * page));
      const part = chosen.slice(first, first + page);
      for (const body of [...table.tBodies]) body.remove();
      table.append(...part.map((row) => made.get(row[0]) || build(row)));
      const range = chosen.length ? `${first + 1} to ${first + part.length} of ` : "";
      byId("runs-count").textContent = `${range}${chosen.length} runs`;
      byId("runs-previous").disabled = first === 0;
      byId("runs-next").disabled = first + page >= chosen.length;
    };
    makeSortable(table, (column, sign) => {
      const keyed = order.map((row) => [sortKey(text(row, column)), row]);
      keyed.sort((a, b) => sign * compare(a[0], b[0]));
      order = keyed.map((pair) => pair[1]);
      first = 0;
      show();
    });
    const form = byId("runs-filters");
    form.addEventListener("input", () => { first = 0; show(); });
    form.addEventListener("submit", (event) => event.preventDefault());
    byId("runs-previous").addEventListener("click", () => { first -= page; show(); });
    byId("runs-next").addEventListener("click", () => { first += page; show(); });
    show();
  }

  function addCopy(command) {
    const button = element("button", "Copy", { type: "button" });
    const code = command.querySelector("code").textContent;
    button.setAttribute("aria-label", `Copy: ${code}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code);
      } catch { // not every browser lets a file's page write to the clipboard
        const field = element("textarea", code);
        document.body.append(field);
        field.select();
        document.execCommand("copy");
        field.remove();
      }
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    command.append(button);
  }
  document.querySelectorAll(".command").forEach((command) => command.querySelector("button") || addCopy(command));

  // While a study runs the page follows it: it loads itself again and keeps filters, open lines and place.
  if (document.documentElement.hasAttribute("data-live")) {
    const FIELDS = "select, input";
    const kept = JSON.parse(sessionStorage.getItem("report") || "null");
    if (kept) {
      document.querySelectorAll(FIELDS).forEach((field, place) => { field.value = kept.fields[place] || ""; });
      document.querySelectorAll("form").forEach((form) => form.dispatchEvent(new Event("input")));
      document.querySelectorAll("details").forEach((one) => {
        one.open = kept.open.includes(one.querySelector("summary").textContent);
      });
      window.scrollTo({ top: kept.top, behavior: "instant" });
    }
    setInterval(() => {
      if (document.activeElement.matches(FIELDS) || document.hidden) return;
      sessionStorage.setItem("report", JSON.stringify({
        fields: [...document.querySelectorAll(FIELDS)].map((field) => field.value),
        open: [...document.querySelectorAll("details[open] > summary")].map((one) => one.textContent),
        top: window.scrollY,
      }));
      location.reload();
    }, 5000);
  }

  document.querySelectorAll(".paper").forEach((box) => {
    const button = element("button", "Enlarge", { type: "button", class: "zoom", "aria-pressed": "false" });
    button.setAttribute("aria-label", `Enlarge ${box.getAttribute("aria-label")}`);
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(box.classList.toggle("zoomed")));
    });
    box.before(button);
  });
})();
