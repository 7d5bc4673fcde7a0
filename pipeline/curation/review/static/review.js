// The page works without this file, one load for each decision. With it, keys do what buttons do, decisions are sent in
// the background and the next photos are there before they are asked for. A photo gives way to the next only after the
// server has answered that the decision is on its disk.
"use strict";
(() => {
  const POLL_MS = 2000, RETRY_MS = 700, SLOW_MS = 700, PAGES_KEPT = 10, TRAIL_KEPT = 200, PAN_PX = 90;
  const DECISION_KEYS = "k123456789msau";
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const main = () => one("main");
  const view = () => main().dataset.view;
  const cards = () => all(".card");
  const moves = () => all("[data-move]:not([hidden])");
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const store = {
    get(name, otherwise) { try { return JSON.parse(sessionStorage.getItem(name)) ?? otherwise; } catch { return otherwise; } },
    set(name, value) { try { sessionStorage.setItem(name, JSON.stringify(value)); } catch { /* a full or forbidden store */ } },
  };

  let token = document.body.dataset.token;
  let number = Number(document.body.dataset.number);
  let busy = false;
  let awaitsNote = "";
  let awaitsMove = false; // M was pressed where there are several domains to move to: a number says which
  let shortcuts = store.get("shortcuts", true);
  let masked = store.get("masked", false);
  let deep = store.get("deep", false);
  let unsaved = false; // the server did not answer: who closes this tab loses the decision
  let quiet = 0;
  let drawn = store.get("drawn", 0); // when a mask was last drawn here: browsers keep the old ones
  let undoable = null;
  const pages = new Map();
  const inSight = new Map(); // Of each page that was fetched in advance: the photos on it, which stay reserved too.

  // A key that waits for another one, or for a note, means the photo at which it was pressed.
  function unsay() { awaitsNote = ""; awaitsMove = false; }

  // --- speaking

  function say(text, stays = false) {
    const line = one("#say");
    line.textContent = text;
    line.classList.add("on");
    clearTimeout(quiet);
    if (!stays) quiet = setTimeout(hush, 3500);
  }
  function hush() { one("#say").classList.remove("on"); }
  function trouble(text) {
    const line = one("#trouble");
    if (line.textContent !== text) line.textContent = text;
    line.hidden = !text;
  }

  // --- asking the server

  async function send(path, fields) {
    store.set("pending", { path, fields });
    let renewed = false;
    for (;;) {
      let waits = false;
      const slow = setTimeout(() => { waits = true; say("Saving …", true); }, SLOW_MS); // keys do nothing meanwhile
      try {
        const answer = await fetch(path, {
          method: "POST", body: new URLSearchParams(fields),
          headers: { "Accept": "application/json", "X-Review-Token": token },
        });
        const text = await answer.text();
        if (answer.status === 403 && !renewed) {
          token = (await (await fetch("/session")).json()).token;
          renewed = true;
          continue;
        }
        store.set("pending", null);
        unsaved = false;
        if (answer.ok) {
          trouble("");
          return JSON.parse(text);
        }
        let error = text;
        try { error = JSON.parse(text).error; } catch { /* plain text */ }
        trouble(`Not saved: ${error}`);
        return null;
      } catch {
        unsaved = true;
        trouble("The server does not answer. Your last decision is not saved yet: it is kept here and sent as soon as `bokehflow review` runs again.");
        await pause(RETRY_MS);
      } finally {
        clearTimeout(slow);
        if (waits) hush();
      }
    }
  }

  function load(address) {
    if (!pages.has(address)) {
      const page = fetch(address).then(async (answer) => {
        if (!answer.ok) throw new Error(await answer.text());
        const text = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const image of all("main img.photo, main .picture img", text)) warm(image.getAttribute("src"));
        const stage = one("#stage", text);
        if (stage && masked) warm(`/mask/${stage.dataset.sha256}?${drawn}`);
        inSight.set(address, photosOn(text));
        return { text, address: new URL(answer.url).pathname + new URL(answer.url).search };
      });
      page.catch(() => pages.delete(address));
      pages.set(address, page);
      while (pages.size > PAGES_KEPT) pages.delete(pages.keys().next().value);
      for (const old of inSight.keys()) if (!pages.has(old)) inSight.delete(old);
    }
    return pages.get(address);
  }
  const photosOn = (root) => [one("main", root).dataset.photo, ...all(".card", root).map((card) => card.dataset.photo)].filter(Boolean);
  const held = () => [...new Set([...photosOn(document), ...[...pages.keys()].flatMap((address) => inSight.get(address) || [])])];
  const warmed = new Map();
  function warm(address) {
    if (warmed.has(address)) return;
    const image = new Image();
    image.src = address;
    warmed.set(address, image);
    while (warmed.size > 90) warmed.delete(warmed.keys().next().value);
  }

  // --- moving between photos and pages

  // The back and forward buttons go through what was shown, as they would without this script.
  let showing = 0, at = "";
  async function show(address, announce = "", goesBack = false) {
    const mine = ++showing;
    let page;
    try {
      page = await load(address);
      const photo = one("img.photo", page.text);
      if (photo) await warmed.get(photo.getAttribute("src"))?.decode().catch(() => undefined);
    } catch {
      trouble("The server does not answer; start `bokehflow review` again.");
      return;
    }
    if (mine !== showing) return; // something else was asked for meanwhile
    pages.delete(address);
    for (const name of ["main", ".bar"]) {
      const fresh = one(name, page.text), old = one(name);
      if (fresh && old) old.replaceWith(document.importNode(fresh, true));
      else if (fresh) main().after(document.importNode(fresh, true));
      else old?.remove();
    }
    document.title = page.text.title;
    history[goesBack || page.address === at ? "replaceState" : "pushState"](null, "", page.address);
    number = Math.min(number, Number(page.text.body.dataset.number)); // what changed since it was fetched is asked for again
    window.scrollTo(0, 0);
    arrive();
    const title = one("main h1")?.textContent.trim();
    say([announce, view() === "single" && announce ? "" : title].filter(Boolean).join(" "));
  }
  addEventListener("popstate", () => {
    if (here() === at) return; // the skip link was followed
    const [from, to] = steps("ahead").at(-1) === here() ? ["ahead", "trail"] : ["trail", "ahead"];
    if (steps(from).at(-1) === here()) { pop(from); push(to, at); }
    show(here(), "", true);
  });
  const here = () => location.pathname + location.search;
  const frameOf = (address) => { const url = new URL(address, location.href); url.searchParams.delete("photo"); return url.pathname + url.search; };
  const steps = (name) => store.get(name, []).filter((address) => frameOf(address) === frameOf(here()));
  function push(name, address) { store.set(name, [...steps(name), address].slice(-TRAIL_KEPT)); }
  function pop(name) { const left = steps(name), last = left.pop(); store.set(name, left); return last; }
  const upcoming = () => (main().dataset.upcoming || "").split(" ").filter(Boolean);

  function step(direction) {
    const forward = direction > 0;
    const next = forward ? pop("ahead") || upcoming()[0] : pop("trail") || main().dataset.previous;
    if (!next) return say(forward ? "There is no further photo" : "There is no earlier photo");
    push(forward ? "trail" : "ahead", here());
    return show(next);
  }

  // --- deciding

  async function decide(verdict) {
    const photo = one("#decide [name=photo_id]")?.value;
    const note = one("#note");
    if (busy || !photo || !verdict) return;
    if (verdict === "drop:other" && !note.value.trim()) {
      awaitsNote = verdict;
      note.focus();
      say("What is it? Write a note and press Enter");
      return;
    }
    awaitsNote = "";
    await busily("/decide", { verdict, photo_id: photo, note: note.value, back: one("#decide [name=back]").value }, (answer) => {
      note.value = "";
      note.blur();
      return settle(answer);
    });
  }
  // Keys do nothing until what follows shows: each means the photo that one sees.
  async function busily(path, fields, settled) {
    busy = true;
    try {
      const answer = await send(path, fields);
      if (answer) await settled(answer);
    } finally {
      busy = false;
    }
  }

  async function settle(answer) {
    take(answer);
    if (view() === "grid") return nextCard(answer.said);
    if (view() !== "single" || answer.photo_id !== main().dataset.photo) return say(answer.said);
    (answer.upcoming || []).forEach(load);
    const next = pop("ahead") || (answer.upcoming || [])[0];
    push("trail", here());
    await show(next || frameOf(here()), answer.said);
    return undefined;
  }

  function undo() {
    if (!busy) busily("/undo", { key: one("#undo [name=key]").value, back: one("#decide [name=back]").value }, unsettle);
  }
  async function unsettle(answer) {
    take(answer);
    const card = cards().find((found) => found.dataset.photo === answer.photo_id);
    if (card) select(card);
    if (view() === "single" && answer.photo_id && answer.photo_id !== main().dataset.photo) {
      if (steps("trail").at(-1) === answer.address) pop("trail");
      push("ahead", here());
      pages.delete(answer.address);
      await show(answer.address, answer.said);
    } else say(answer.said);
  }

  function take(answer) {
    one("#progress").textContent = answer.progress;
    one("#domains").textContent = answer.domains;
    one("#conflicts").textContent = answer.conflicts;
    one("#conflicts").hidden = !answer.conflicts;
    const bar = one("#bar");
    bar.max = answer.total || 1;
    bar.value = answer.decided;
    undoable = { key: answer.undo, label: answer.undo_label };
    offerUndo();
    for (const [photo, facts] of Object.entries(answer.changes)) {
      const card = cards().find((found) => found.dataset.photo === photo);
      if (card) {
        card.dataset.status = facts.status;
        one(".badge", card).textContent = facts.badge;
      } else if (main().dataset.photo === photo) {
        main().dataset.status = one(".standing").dataset.status = facts.status;
        one("#standing").textContent = facts.standing;
      }
      for (const address of pages.keys()) if (inSight.get(address)?.includes(photo)) pages.delete(address);
    }
  }

  function offerUndo() {
    const form = one("#undo");
    if (!form || !undoable) return;
    one("[name=key]", form).value = undoable.key;
    one("button", form).disabled = !undoable.key;
    one("button", form).title = undoable.label;
  }

  // All that is left is on other screens: whatever comes free is shown without being asked for.
  async function lookAgain() {
    const address = here(), page = await load(address);
    if (one("main", page.text).dataset.elsewhere) pages.delete(address);
    else await show(address);
  }

  async function poll() {
    for (;;) {
      await pause(POLL_MS);
      if (busy) continue;
      try {
        const answer = await (await fetch(`/state?${new URLSearchParams({ since: number, seen: held().join(" ") })}`)).json();
        if (busy) continue;
        number = answer.number;
        take(answer);
        trouble("");
        const facts = answer.changes[main().dataset.photo];
        if (facts) say(facts.standing);
        if (main().dataset.elsewhere) await lookAgain();
      } catch {
        if (!busy) trouble("The server does not answer; start `bokehflow review` again. Nothing is lost.");
      }
    }
  }

  // --- the grid

  const current = () => one(".card[aria-current]");
  function select(card, focus = true) {
    if (!card) return;
    unsay();
    for (const other of cards()) {
      other.tabIndex = other === card ? 0 : -1;
      if (other !== card) other.removeAttribute("aria-current");
    }
    card.setAttribute("aria-current", "true");
    if (focus) card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest" });
    aim(card.dataset);
  }
  function aim({ photo, domain, suggested, suggestedWords }) {
    const form = one("#decide");
    if (!form) return;
    one("[name=photo_id]", form).value = photo;
    const accept = one(".accept", form);
    accept.value = suggested;
    accept.disabled = !suggested;
    accept.title = suggestedWords || "No suggestion";
    for (const button of all("[data-move]", form)) button.hidden = button.dataset.move === domain;
  }
  function nextCard(announce = "") {
    const listed = cards(), from = listed.indexOf(current());
    const next = [...listed.slice(from + 1), ...listed.slice(0, from)].find((card) => card.dataset.status === "undecided");
    const left = listed.filter((card) => card.dataset.status === "undecided").length;
    if (next) {
      select(next);
      say(`${announce} ${left} left on this page.`.trim());
    } else {
      one(".pages [rel=next]")?.focus();
      const { value, max } = one("#bar");
      say(`${announce} ${value < max ? "This page is done; ] shows the next photos." : "Everything is decided; ] says what comes next."}`.trim());
    }
  }
  function arrow(key) {
    const listed = cards(), at = listed.indexOf(current());
    const columns = listed.filter((card) => card.offsetTop === listed[0].offsetTop).length || 1;
    const target = at + { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[key];
    if (listed[target]) select(listed[target]);
  }
  function turn(link) {
    if (link.hasAttribute("aria-disabled")) {
      // Those that were passed over, or came in meanwhile, stand before the place where this page began.
      return link.rel === "next" ? show(frameOf(here()).replace(/([?&])start=[^&]*&?/, "$1")) : say("This is the first page");
    }
    return show(link.getAttribute("href"));
  }

  // --- the picture

  function fit() {
    const photo = one("img.photo"), scale = one("#scale");
    if (!photo || !scale) return;
    const width = Number(photo.getAttribute("width")), height = Number(photo.getAttribute("height"));
    const box = one(".frame").getBoundingClientRect();
    const zoomed = one("#stage").classList.contains("zoomed");
    const shown = zoomed ? 1 / devicePixelRatio : Math.min(box.width / width, box.height / height);
    scale.textContent = `at ${Math.round(shown * devicePixelRatio * 100)} %`;
  }
  function zoom() {
    const stage = one("#stage"), photo = one("img.photo"), frame = one(".frame");
    const on = stage.classList.toggle("zoomed");
    one("#zoom").setAttribute("aria-pressed", on);
    photo.src = `/${on ? "original" : "picture"}/${stage.dataset.sha256}`;
    for (const image of all("img, canvas", frame)) {
      image.style.width = on ? `${photo.getAttribute("width") / devicePixelRatio}px` : "";
      image.style.height = on ? `${photo.getAttribute("height") / devicePixelRatio}px` : "";
    }
    frame.scrollTo((frame.scrollWidth - frame.clientWidth) / 2, (frame.scrollHeight - frame.clientHeight) / 2);
    fit();
    if (on) say("100 %: arrows or dragging move it");
  }
  // Nobody should decide about an empty frame: the server says what is wrong with the file.
  async function unseen(photo) {
    const answer = await fetch(photo.src).catch(() => null);
    const problem = answer && !answer.ok ? (await answer.text().catch(() => "")).trim() : null;
    if (problem === null || !photo.isConnected) return; // no answer at all is said elsewhere
    const told = document.createElement("p");
    told.className = "unseen";
    told.setAttribute("role", "alert");
    told.textContent = `This picture cannot be shown. ${problem}`;
    one(".unseen")?.remove();
    one("#stage").append(told);
  }
  function pan(key) {
    const [x, y] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[key];
    one(".frame").scrollBy(x * PAN_PX, y * PAN_PX);
  }
  function overlay(wanted) {
    if (!one("#overlay")) return; // nobody is looked for
    const stage = one("#stage");
    masked = wanted;
    store.set("masked", masked);
    one("#overlay").setAttribute("aria-pressed", masked);
    one(".overlay")?.remove();
    if (!masked) return;
    const image = new Image(), photo = one("img.photo");
    image.className = "overlay";
    image.alt = "";
    image.style.width = photo.style.width;
    image.style.height = photo.style.height;
    image.addEventListener("error", () => { image.remove(); say("There is no mask of this photo"); });
    image.src = `/mask/${stage.dataset.sha256}?${drawn}`;
    one(".frame").append(image);
  }
  async function depth(wanted) {
    const stage = one("#stage"), photo = one("img.photo"), legend = one("#legend");
    if (!legend) return;
    deep = wanted;
    store.set("deep", deep);
    one("#depth").setAttribute("aria-pressed", deep);
    one("img.depth")?.remove();
    legend.hidden = true;
    if (!deep) return;
    const image = new Image(), address = `/depth/${stage.dataset.sha256}`;
    image.className = "depth";
    image.alt = "Map of depth";
    image.style.width = photo.style.width;
    image.style.height = photo.style.height;
    image.addEventListener("error", () => { image.remove(); legend.hidden = true; say("There is no map of depth of this photo"); });
    image.src = address;
    one(".frame").append(image);
    const answer = await fetch(`${address}/range`).catch(() => null);
    if (!answer?.ok || !image.isConnected) return; // another photo meanwhile, or no map
    const range = await answer.json();
    one("#far", legend).textContent = range.far;
    one("#near", legend).textContent = range.near;
    legend.hidden = !image.isConnected;
  }
  // --- drawing a mask

  const TINT = "214, 38, 132", TINT_ALPHA = 0.62, BLANK_EDGE_PX = 512, THOUSANDTHS = 1000, POINTS_KEPT = 4000;
  let drawing = null; // { canvas, base, strokes, adds }: strokes in thousandths of the picture, as they are sent

  async function brush(wanted) {
    if (!wanted === !drawing) return;
    const stage = one("#stage");
    one("#brush").setAttribute("aria-pressed", wanted);
    one("#brush-tools").hidden = !wanted;
    if (!wanted) {
      drawing.canvas.remove();
      drawing = null;
      return overlay(masked);
    }
    if (deep) depth(false);
    const canvas = document.createElement("canvas"), photo = one("img.photo");
    const size = ["width", "height"].map((name) => Number(photo.getAttribute(name)));
    drawing = { canvas, base: null, strokes: [], adds: true };
    const base = await mask(stage.dataset.sha256), shrink = BLANK_EDGE_PX / Math.max(...size);
    if (drawing?.canvas !== canvas) return undefined; // another photo meanwhile
    canvas.width = base?.naturalWidth ?? Math.round(size[0] * shrink);
    canvas.height = base?.naturalHeight ?? Math.round(size[1] * shrink);
    canvas.style.width = photo.style.width;
    canvas.style.height = photo.style.height;
    canvas.addEventListener("pointerdown", paint);
    drawing.base = base;
    one(".overlay")?.remove();
    one(".frame").append(canvas);
    redraw();
    tool("add");
    return say("Draw with the pointer; A adds, R removes, U takes a stroke back, + and − change the size, Enter saves");
  }
  function mask(sha256) {
    return new Promise((done) => {
      const image = new Image();
      image.addEventListener("load", () => done(image));
      image.addEventListener("error", () => done(null));
      image.src = `/mask/${sha256}?${Date.now()}`;
    });
  }
  function redraw() {
    const { canvas, base, strokes } = drawing, context = canvas.getContext("2d");
    context.globalCompositeOperation = "source-over";
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (base) context.drawImage(base, 0, 0);
    else {
      context.fillStyle = `rgba(${TINT}, ${TINT_ALPHA})`;
      context.fillRect(0, 0, canvas.width, canvas.height);
    }
    for (const stroke of strokes) trace(context, stroke);
  }
  function trace(context, { adds, radius, points }) {
    const { width, height } = context.canvas;
    context.lineWidth = 2 * radius * Math.max(width, height) / THOUSANDTHS;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    for (const [x, y] of points) context.lineTo(x * width / THOUSANDTHS, y * height / THOUSANDTHS);
    if (points.length === 1) context.lineTo(points[0][0] * width / THOUSANDTHS, points[0][1] * height / THOUSANDTHS);
    context.globalCompositeOperation = "destination-out";
    context.strokeStyle = "#000";
    context.stroke();
    if (adds) return;
    context.globalCompositeOperation = "source-over";
    context.strokeStyle = `rgba(${TINT}, ${TINT_ALPHA})`;
    context.stroke();
  }
  function paint(event) {
    if (event.button) return;
    event.preventDefault();
    const { canvas } = drawing, box = canvas.getBoundingClientRect();
    const scale = Math.min(box.width / canvas.width, box.height / canvas.height);
    const left = box.left + (box.width - canvas.width * scale) / 2, top = box.top + (box.height - canvas.height * scale) / 2;
    const within = (value) => Math.round(Math.min(1, Math.max(0, value)) * THOUSANDTHS);
    const stroke = { adds: drawing.adds, radius: Number(one("#brush-size").value), points: [] };
    const add = ({ clientX, clientY }) => {
      const point = [within((clientX - left) / (canvas.width * scale)), within((clientY - top) / (canvas.height * scale))];
      const last = stroke.points.at(-1);
      if (last && last[0] === point[0] && last[1] === point[1]) return;
      if (drawing.strokes.reduce((sum, { points }) => sum + points.length, 0) >= POINTS_KEPT) return say("Save first: that is much for one time");
      stroke.points.push(point);
      redraw();
    };
    drawing.strokes.push(stroke);
    add(event);
    canvas.setPointerCapture(event.pointerId);
    const stop = () => { canvas.removeEventListener("pointermove", add); canvas.removeEventListener("pointerup", stop); canvas.removeEventListener("pointercancel", stop); };
    canvas.addEventListener("pointermove", add);
    canvas.addEventListener("pointerup", stop);
    canvas.addEventListener("pointercancel", stop);
  }
  function tool(name) {
    if (name === "undo") {
      say(drawing.strokes.pop() ? "The last stroke is taken back" : "There is no stroke to take back");
      return redraw();
    }
    if (name === "cancel") return brush(false);
    if (name === "save") return keep();
    drawing.adds = name === "add";
    for (const button of all("[data-brush=add], [data-brush=remove]")) button.setAttribute("aria-pressed", (button.dataset.brush === "add") === drawing.adds);
    return undefined;
  }
  async function keep() {
    const strokes = drawing.strokes.filter(({ points }) => points.length).map(({ adds, radius, points }) => [`${adds ? "a" : "r"}${radius}`, ...points.flat()].join("."));
    if (!strokes.length || busy) return say("Nothing is drawn yet");
    busy = true;
    const answer = await send("/draw", { sha256: one("#stage").dataset.sha256, strokes: strokes.join("_"), back: one("#decide [name=back]").value });
    busy = false;
    if (!answer) return undefined;
    take(answer);
    drawn = Date.now();
    store.set("drawn", drawn);
    masked = true;
    brush(false);
    return say(answer.said);
  }
  function brushKey(key, target) {
    if (key === " " || key === "z" || key === "?" || (key === "Enter" && target.closest("button"))) return undefined;
    if (key.startsWith("Arrow")) return target.id !== "brush-size" && !one(".zoomed") ? true : undefined;
    const size = one("#brush-size");
    const tools = { a: "add", r: "remove", u: "undo", Backspace: "undo", Enter: "save", b: "cancel" };
    if (key === "+" || key === "=") size.value = Number(size.value) * 1.25 + 1;
    else if (key === "-") size.value = Number(size.value) / 1.25;
    else if (tools[key]) tool(tools[key]);
    else return key.length === 1 || undefined; // no decision by mistake while a mask is being drawn
    return true;
  }

  function drag(event) {
    if (drawing) return;
    const frame = event.target.closest(".zoomed .frame");
    if (!frame || event.button) return;
    event.preventDefault();
    frame.classList.add("dragging");
    const move = (to) => frame.scrollBy(-to.movementX, -to.movementY);
    const stop = () => { frame.classList.remove("dragging"); removeEventListener("pointermove", move); removeEventListener("pointerup", stop); };
    addEventListener("pointermove", move);
    addEventListener("pointerup", stop);
  }

  // --- keys, clicks, forms

  function press(key, event) {
    if (drawing && brushKey(key.length > 1 ? key : key.toLowerCase(), event.target)) return true;
    if (drawing && key.length > 1 && !one(".zoomed")) return false;
    if (drawing && key === " ") return false;
    const arrows = key.startsWith("Arrow");
    if (arrows) unsay();
    if (arrows && view() === "grid") return arrow(key), true;
    if (arrows && view() === "single") {
      if (one("#stage").classList.contains("zoomed")) pan(key);
      else if (key === "ArrowRight" || key === "ArrowLeft") step(key === "ArrowRight" ? 1 : -1);
      else return false;
      return true;
    }
    if (key === "Enter" && view() === "grid" && event.target === current()) return one("a.picture", current()).click(), true;
    const name = key.length === 1 ? key.toLowerCase() : key;
    if (event.repeat && DECISION_KEYS.includes(name)) return true;
    if (name === "n") return one("#note")?.focus(), true;
    if (awaitsMove) {
      awaitsMove = false;
      const chosen = moves()[Number(name) - 1];
      if (chosen) return chosen.click(), true;
    }
    if (name === "m") {
      awaitsMove = moves().length > 1;
      if (awaitsMove) say(`Move to which? ${moves().map((button, index) => `${index + 1} ${button.dataset.move}`).join(" · ")}`);
      else moves()[0]?.click();
      return true;
    }
    const target = all("[data-key]").find((found) => found.dataset.key === name);
    if (!target) return false;
    if (target.disabled) say(name === "a" ? "There is no suggestion to accept" : "There is nothing to undo");
    else target.click();
    enter(target.parentElement); // at once: what is typed after F is no decision
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const typing = event.target.closest?.("input:not([type=checkbox], [type=range]), select, textarea");
    if (event.key === "Escape") return escape(event);
    if (typing) {
      if (typing.id !== "note" || event.key !== "Enter") return undefined;
      event.preventDefault();
      if (awaitsNote && typing.value.trim()) return decide(awaitsNote);
      typing.blur();
      return say(typing.value.trim() ? "The note goes with your next decision" : "No note");
    }
    if (one("dialog[open]")) {
      if (event.key === "?") one("#help").close();
      return undefined;
    }
    if (shortcuts && press(event.key, event)) event.preventDefault();
    return undefined;
  });
  function escape() {
    if (awaitsMove) return (awaitsMove = false), say("Not moved");
    awaitsNote = "";
    const open = one("details.pop[open]");
    if (open) {
      open.open = false;
      one("summary", open).focus();
    } else if (document.activeElement?.id === "note") document.activeElement.blur();
    else if (drawing) brush(false);
    else if (one("#stage")?.classList.contains("zoomed")) zoom();
  }

  document.addEventListener("submit", (event) => {
    if (event.target.id === "decide") {
      event.preventDefault();
      decide(event.submitter?.value || "");
    } else if (event.target.id === "undo") {
      event.preventDefault();
      undo();
    } else if (event.target.method === "get") {
      for (const field of all("input, select", event.target)) field.disabled = !field.value || (field.name === "status" && field.value === "undecided");
    } else one("[name=token]", event.target).value = token;
  });

  document.addEventListener("click", (event) => {
    const target = event.target;
    const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.button);
    const opens = target.closest("[data-opens]"), closes = target.closest("[data-closes]");
    if (opens) one(`#${opens.dataset.opens}`).showModal();
    if (closes) one(`#${closes.dataset.closes}`).close();
    if (target.closest("#zoom")) zoom();
    if (target.closest("#overlay")) overlay(!masked);
    if (target.closest("#depth")) depth(!deep);
    if (target.closest("#brush")) brush(!drawing);
    const chosen = target.closest("[data-brush]");
    if (chosen) tool(chosen.dataset.brush);
    const link = target.closest(".pages a, .steps a");
    if (link && plain) {
      event.preventDefault();
      if (link.dataset.step) step(Number(link.dataset.step));
      else turn(link);
    }
    const card = target.closest(".card");
    if (card && card !== current() && plain && !target.closest(".by a") && event.detail) {
      event.preventDefault();
      select(card);
    }
    for (const open of all("details.pop[open]")) if (!open.contains(target)) open.open = false;
  });
  document.addEventListener("toggle", (event) => {
    enter(event.target); // a dialog tells of it, too, and knows itself what has the focus
  }, true);
  function enter(opened) {
    if (opened.open && opened.matches("details")) one("select, input:not([type=hidden])", opened)?.focus();
  }
  document.addEventListener("focusin", (event) => {
    const card = event.target.closest(".card");
    if (card && card !== current()) select(card, false);
  });
  document.addEventListener("error", (event) => { if (event.target.matches?.("img.photo")) unseen(event.target); }, true);
  document.addEventListener("pointerdown", drag);
  addEventListener("resize", fit);
  addEventListener("pagehide", () => navigator.sendBeacon("/leave", new URLSearchParams({ token, seen: held().join(" ") })));
  addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
  addEventListener("pageshow", () => { for (const field of all("#filters :disabled")) field.disabled = false; });

  // --- arriving at a page

  // Narrow screens, large letters and many domains wrap the lines of buttons on top and below.
  const heights = new ResizeObserver((lines) => {
    for (const { target } of lines) document.documentElement.style.setProperty(target.matches(".top") ? "--top" : "--bar", `${target.offsetHeight}px`);
  });
  heights.observe(one(".top"));

  function arrive() {
    at = here();
    drawing = null;
    unsay();
    if (one(".bar")) heights.observe(one(".bar"));
    offerUndo(); // A page that was fetched in advance does not know what was decided since.
    if (view() === "grid") {
      select(cards().find((card) => card.dataset.status === "undecided") || cards()[0]);
      if (main().dataset.after) afterwards(() => load(main().dataset.after));
    } else if (view() === "single") {
      aim(main().dataset);
      fit();
      const photo = one("img.photo");
      if (photo.complete && !photo.naturalWidth) unseen(photo); // it failed before this script listened
      if (masked) overlay(true);
      if (deep) depth(true);
      afterwards(() => upcoming().forEach(load));
    }
  }
  // What comes next must not compete with what is being looked at.
  function afterwards(fetchAhead) {
    if (document.readyState === "complete") fetchAhead();
    else addEventListener("load", () => setTimeout(fetchAhead), { once: true });
  }

  one("#shortcuts").checked = shortcuts;
  one("#shortcuts").addEventListener("change", (event) => { shortcuts = event.target.checked; store.set("shortcuts", shortcuts); });
  arrive();
  poll();
  const pending = store.get("pending", null);
  if (pending) {
    // The page was loaded again before the server had answered: sent again, a decision that is there already changes nothing.
    busily(pending.path, pending.fields, settle);
  }
})();
