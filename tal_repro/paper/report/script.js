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
    const fields = [...form.querySelectorAll("[data-filter]")];
    const filter = () => {
      const wanted = fields.map((f) => [f.dataset.filter, f.value.toLowerCase()]);
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
      document.querySelectorAll(".tiles a").forEach((tile) => {
        const field = fields.find((f) => f.dataset.filter === tile.dataset.name);
        tile.setAttribute("aria-pressed", String(field.value === tile.dataset.value));
      });
    };
    // The filter stands in the address, so that a link can be sent: #claims?published=inconsistent&words=MACs
    const remember = () => {
      const chosen = new URLSearchParams(fields.filter((f) => f.value).map((f) => [f.dataset.filter, f.value]));
      try {
        history.replaceState(null, "", String(chosen) ? `#claims?${chosen}` : "#claims");
      } catch { /* an address that may not be changed filters all the same */ }
    };
    const recall = () => {
      const found = /^#claims\?(.*)$/.exec(location.hash);
      if (found) {
        const chosen = new URLSearchParams(found[1]);
        fields.forEach((f) => { f.value = chosen.get(f.dataset.filter) || ""; });
        filter();
        byId("claims").scrollIntoView({ behavior: "instant" });
      } else if (/^#claim-/.test(location.hash)) { // a link to a claim finds it, whatever is filtered
        fields.forEach((f) => { f.value = ""; });
        filter();
        const body = byId(decodeURIComponent(location.hash.slice(1)));
        if (body) body.scrollIntoView({ behavior: "instant", block: "center" });
      }
    };
    form.addEventListener("input", () => { filter(); remember(); });
    form.addEventListener("submit", (event) => event.preventDefault());
    byId("claims-clear").addEventListener("click", () => {
      fields.forEach((f) => { f.value = ""; });
      filter();
      remember();
    });
    document.querySelectorAll(".tiles a").forEach((tile) => {
      tile.setAttribute("role", "button");
      const choose = (event) => {
        event.preventDefault();
        const on = tile.getAttribute("aria-pressed") === "true";
        fields.forEach((f) => { f.value = f.dataset.filter === tile.dataset.name && !on ? tile.dataset.value : ""; });
        filter();
        remember();
        if (!on) byId("claims").scrollIntoView();
      };
      tile.addEventListener("click", choose);
      tile.addEventListener("keydown", (event) => { if (event.key === " ") choose(event); });
    });
    window.addEventListener("hashchange", recall);
    filter();
    recall();
  }

  const store = byId("runs-data");
  if (store) {
    const { words, rows, page } = JSON.parse(store.textContent);
    const table = byId("runs-table");
    const made = new Map([...table.tBodies].map((body) => [body.rows[0].cells[0].textContent, body]));
    const text = (row, column) => (column ? words[row[column]] : row[0]);
    const names = [...table.tHead.rows[0].cells].map((head) => head.textContent);
    const width = names.length;
    const build = (row) => {
      const body = element("tbody");
      const line = body.insertRow();
      const head = element("th", undefined, { scope: "row" });
      head.append(element("code", row[0]));
      line.append(head);
      for (let column = 1; column < width; column += 1) {
        line.append(element("td", text(row, column), { "data-label": names[column] }));
      }
      const cell = body.insertRow().insertCell();
      cell.colSpan = width;
      cell.parentElement.className = "more";
      const details = element("details");
      const kept = byId(`run-${row[0]}`);
      details.append(element("summary", `${row[0]}: ${kept ? "what is kept of it" : "how to show it"}`));
      const command = element("span", undefined, { class: "command" });
      command.append(element("code", `tal-repro show ${row[0]}${table.dataset.where || ""}`));
      details.append(kept ? kept.content.cloneNode(true) : command);
      cell.append(details);
      cell.querySelectorAll(".command").forEach(addCopy);
      [body, ...body.querySelectorAll("tr, th, td")].forEach((node) => {
        const roles = { TBODY: "rowgroup", TR: "row", TH: "rowheader", TD: "cell" };
        if (!node.closest("details")) node.setAttribute("role", roles[node.tagName]);
      });
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

  // What is saved is what is shown: every run in the list as a table, every picture as it looks now.
  function save(name, content, type) {
    const link = element("a", undefined, { download: name });
    link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
  document.querySelectorAll("[data-runs]").forEach((button) => button.addEventListener("click", () => {
    const { words, rows } = JSON.parse(byId("runs-data").textContent);
    const names = [...byId("runs-table").tHead.rows[0].cells].map((head) => head.textContent);
    const lines = rows.map((row) => [row[0], ...row.slice(1).map((word) => words[word])]);
    if (button.dataset.runs === "json") {
      const objects = lines.map((line) => Object.fromEntries(line.map((value, column) => [names[column], value])));
      save("runs.json", JSON.stringify(objects, null, 1), "application/json");
      return;
    }
    // A spreadsheet must not take text for a formula.
    const safe = (value) => (/^[=+\-@\t\r]/.test(value) && !/^[+-]?[\d.]+(e[+-]?\d+)?$/i.test(value) ? `'${value}` : value);
    const cell = (value) => (/[",\n\r]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
    save("runs.csv", [names, ...lines].map((line) => line.map((v) => cell(safe(v))).join(",")).join("\n") + "\n", "text/csv");
  }));

  const STYLES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "fill-opacity", "font-size",
    "font-family", "font-weight", "text-anchor"];
  const standalone = (svg) => {
    const copy = svg.cloneNode(true);
    const [, , width, height] = svg.getAttribute("viewBox").split(/\s+/).map(Number);
    const nodes = [copy, ...copy.querySelectorAll("*")];
    [svg, ...svg.querySelectorAll("*")].forEach((node, place) => {
      if (svg.closest(".paper")) return; // matplotlib's pictures carry their own look
      const look = getComputedStyle(node);
      STYLES.forEach((name) => nodes[place].style.setProperty(name, look.getPropertyValue(name)));
    });
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("width", width);
    copy.setAttribute("height", height);
    const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const colour = svg.closest(".paper") ? "#ffffff" : getComputedStyle(document.body).backgroundColor;
    Object.entries({ width, height, fill: colour }).forEach(([name, value]) => ground.setAttribute(name, value));
    copy.prepend(ground);
    return { text: new XMLSerializer().serializeToString(copy), width, height };
  };
  const savePng = ({ text, width, height }, name) => new Promise((done) => {
    const image = new Image();
    image.onload = () => {
      const canvas = element("canvas");
      const scale = Math.max(2, 1600 / width);
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => { save(name, blob); done(); }, "image/png");
    };
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  });
  document.querySelectorAll(".paper > svg, main > section > figure > .chart > svg").forEach((svg) => {
    const box = svg.parentElement;
    const name = (box.dataset.name || box.getAttribute("aria-label")).toLowerCase().replaceAll(" ", "-");
    const tools = element("div", undefined, { class: "tools" });
    for (const kind of ["PNG", "SVG"]) {
      const button = element("button", kind, { type: "button", "aria-label": `Save ${name} as ${kind}` });
      button.addEventListener("click", () => {
        const made = standalone(svg);
        if (kind === "PNG") savePng(made, `${name}.png`);
        else save(`${name}.svg`, made.text, "image/svg+xml");
      });
      tools.append(button);
    }
    box.before(tools);
  });

  // Pointing near a mark tells its value at once; a browser's own tooltip makes the reader wait.
  const tip = element("div", undefined, { class: "tip", role: "status" });
  tip.hidden = true;
  document.body.append(tip);
  const NEAR = 28; // pixels
  document.querySelectorAll(".chart").forEach((box) => {
    const marks = [...box.querySelectorAll(".point")];
    if (!marks.length) return;
    const texts = new Map(marks.map((mark) => {
      const title = mark.querySelector("title");
      const text = title.textContent;
      title.remove();
      return [mark, text];
    }));
    let lit = null;
    const light = (mark, at) => {
      if (lit) lit.classList.remove("lit");
      lit = mark;
      tip.hidden = !mark;
      if (!mark) return;
      mark.classList.add("lit");
      tip.textContent = texts.get(mark);
      const width = tip.offsetWidth;
      tip.style.left = `${Math.max(8, Math.min(at.x - width / 2, document.documentElement.clientWidth - width - 8))}px`;
      tip.style.top = `${at.y < 70 ? at.y + 18 : at.y - tip.offsetHeight - 14}px`;
    };
    const point = (event) => {
      let best = null;
      let nearest = NEAR;
      for (const mark of marks) {
        if (mark.parentElement.classList.contains("off")) continue;
        const place = mark.querySelector("path").getBoundingClientRect();
        const at = { x: place.x + place.width / 2, y: place.y + place.height / 2 };
        const distance = Math.hypot(at.x - event.clientX, at.y - event.clientY);
        if (distance < nearest) [best, nearest] = [{ mark, at }, distance];
      }
      light(best && best.mark, best && best.at);
    };
    box.addEventListener("pointermove", point);
    box.addEventListener("pointerdown", point);
    box.addEventListener("pointerleave", () => light(null));
    const legend = box.parentElement.querySelector(".legend");
    if (!legend) return;
    const groups = [...box.querySelectorAll("[data-series]")];
    legend.querySelectorAll("[data-series]").forEach((entry) => {
      const button = element("button", undefined, { type: "button", "aria-pressed": "true" });
      button.append(...entry.childNodes);
      entry.append(button);
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(on));
        groups.filter((group) => group.dataset.series === entry.dataset.series)
          .forEach((group) => group.classList.toggle("off", !on));
      });
    });
  });

  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details.rest").forEach((one) => { one.open = true; });
  });

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
    box.previousElementSibling.append(button);
  });
})();
