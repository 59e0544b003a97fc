// What an accessibility checker would say of the page as it is displayed: a list of findings, empty when all is well.
() => {
  const findings = [];
  const say = (rule, node, detail) => findings.push(`${rule}: ${node.outerHTML.slice(0, 120)} ${detail || ""}`);
  const visible = (node) => node.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const named = (node) => {
    const ids = node.getAttribute("aria-labelledby");
    const by = ids ? ids.split(" ").map((id) => (document.getElementById(id) || {}).textContent || "").join(" ") : "";
    const label = node.labels && node.labels[0] ? node.labels[0].textContent : "";
    return (node.getAttribute("aria-label") || by || label || node.textContent || node.title || "").trim();
  };

  if (!document.documentElement.lang) findings.push("no language");
  if (!document.title) findings.push("no title");
  for (const landmark of ["main", "header", "footer", "nav"]) {
    if (document.querySelectorAll(`body > ${landmark}`).length !== 1) findings.push(`not one ${landmark}`);
  }
  for (const node of document.querySelectorAll("a, button, select, input, summary, [role=region], [role=img], nav, form")) {
    if (visible(node) && !named(node)) say("no name", node);
  }
  for (const node of document.querySelectorAll("[role=region]")) {
    if (node.tabIndex < 0) say("scrolls but cannot be reached by keyboard", node);
  }
  const seen = new Set();
  for (const node of document.querySelectorAll("[id]")) {
    if (seen.has(node.id)) say("id twice", node);
    seen.add(node.id);
  }
  for (const name of ["aria-labelledby", "aria-controls", "aria-describedby"]) {
    for (const node of document.querySelectorAll(`[${name}]`)) {
      for (const id of node.getAttribute(name).split(" ")) if (!document.getElementById(id)) say("refers to nothing", node);
    }
  }
  let level = 0;
  for (const node of document.querySelectorAll("h1, h2, h3, h4")) {
    const now = Number(node.tagName[1]);
    if (now > level + 1) say("heading skips a level", node);
    level = now;
  }
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption) say("no caption", table);
    for (const row of table.tHead.rows) for (const cell of row.cells) if (cell.scope !== "col") say("no scope", cell);
  }

  const parse = (colour) => {
    const found = colour.match(/[\d.]+/g).map(Number);
    return { rgb: found.slice(0, 3), alpha: found.length > 3 ? found[3] : 1 };
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.alpha === 1) return colour.rgb;
      if (colour.alpha > 0) return null; // mixed grounds are not used here
    }
    return [255, 255, 255];
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let checked = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !visible(node) || node.closest("script, .paper svg, .watermark, title, desc")) continue;
    if (node.closest("button:disabled")) continue;
    const style = getComputedStyle(node);
    const below = ground(node);
    const ink = parse(node.closest("svg") ? style.fill : style.color);
    if (!below || ink.alpha !== 1) { say("contrast unknown", node); continue; }
    const [light, dark] = [luminance(ink.rgb), luminance(below)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) say("contrast", node, ratio.toFixed(2));
    checked += 1;
  }
  return { findings: [...new Set(findings)], checked };
}
