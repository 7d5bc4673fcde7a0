"use strict";
// Opens pictures of one photo over one another. Without this script the page still shows all of them side by side.
(() => {
  const photos = new Map(JSON.parse(document.getElementById("data").textContent).map((entry) => [entry.anchor, entry]));
  const byId = (id) => document.getElementById("viewer" + (id ? "-" + id : ""));
  const viewer = byId(""), photo = byId("photo"), left = byId("left"), right = byId("right"), at = byId("at");
  const pictures = new Map();
  for (const image of document.querySelectorAll("img[data-photo]")) {
    const of = pictures.get(image.dataset.photo) || new Map();
    of.set(image.dataset.label, image);
    pictures.set(image.dataset.photo, of);
  }
  if (!pictures.size) return;

  const option = (value, words) => {
    const made = document.createElement("option");
    made.value = value;
    made.textContent = words;
    return made;
  };
  const element = (tag, words) => {
    const made = document.createElement(tag);
    made.textContent = words;
    return made;
  };
  for (const [anchor, entry] of photos)
    photo.append(option(anchor, entry.name + (pictures.has(anchor) ? "" : " (scores only)")));

  const place = () => viewer.style.setProperty("--at", at.value + "%");
  const turn = (select, picture, tag) => {
    const source = pictures.get(photo.value)?.get(select.value);
    if (!source) return;
    picture.src = source.src;
    picture.alt = source.alt;
    tag.textContent = select.value;
  };
  const draw = () => {
    turn(left, byId("over"), byId("left-tag"));
    turn(right, byId("under"), byId("right-tag"));
    place();
  };
  const tell = () => {
    const entry = photos.get(photo.value);
    byId("name").textContent = entry.name;
    const table = document.createElement("table"), head = table.createTHead().insertRow();
    for (const words of ["Method", ...entry.metrics]) head.append(element("th", words));
    const body = table.createTBody();
    for (const [method, values] of entry.scores) {
      const row = body.insertRow();
      row.append(element("th", method.replaceAll("_", "_\u200b")));
      for (const value of values) row.append(Object.assign(element("td", value), { className: "number" }));
    }
    byId("scores").replaceChildren(...(body.rows.length ? [table] : []));
  };
  // Keeps what is chosen where the photo has it; else the input, and the model's picture.
  const choose = (wanted) => {
    const found = pictures.get(photo.value) || new Map();
    const labels = [...found.keys()];
    const model = labels.find((label) => found.get(label).dataset.role === "model");
    const chosen = [[left, left.value, labels[0]], [right, wanted || right.value, model || labels.at(-1)]];
    for (const [select, before, fallback] of chosen) {
      select.replaceChildren(...labels.map((label) => option(label, label)));
      select.disabled = !labels.length;
      if (labels.length) select.value = labels.includes(before) ? before : fallback;
    }
    viewer.classList.toggle("empty", !labels.length);
    tell();
    draw();
  };
  const open = (anchor, label) => {
    if (!photos.has(anchor)) return false;
    photo.value = anchor;
    choose(label);
    viewer.scrollIntoView({ block: "start" });
    at.focus({ preventScroll: true });
    return true;
  };

  photo.addEventListener("change", () => choose());
  for (const select of [left, right]) select.addEventListener("change", draw);
  at.addEventListener("input", place);
  document.addEventListener("click", (event) => {
    const image = event.target.closest("img[data-photo]"), link = event.target.closest("[data-open]");
    const anchor = image ? image.dataset.photo : link?.dataset.open;
    if (anchor === undefined || event.ctrlKey || event.metaKey || event.shiftKey) return;
    let label = image?.dataset.label;
    if (link?.dataset.method)
      label = [...(pictures.get(anchor)?.values() || [])].find((one) => one.dataset.method === link.dataset.method)?.dataset.label;
    if (open(anchor, label)) event.preventDefault();
  });
  document.documentElement.classList.add("live");
  viewer.hidden = false;
  choose();
})();
