// The page asks for one picture at a time: a smaller one while something is dragged, the screen's size once it rests.
"use strict";

const by = (id) => document.getElementById(id);
const stage = by("stage"), seen = by("seen"), mark = by("mark"), strength = by("strength"), photo = by("photo");
const token = document.body.dataset.token, maxBytes = Number(document.body.dataset.maxBytes);
const RESTS_MS = 120, STEP = 0.01, FAR = 5;

let facts = null; // of the photo that is open: key, name, width, height, file, is_metric
let point = null; // in its pixels
let asking = false, wanted = null, resting = 0, shownUrl = "";
let isByFNumber = false; // else the slider says how open the lens is

function say(text) {
  by("say").textContent = text;
}

function trouble(text) {
  by("trouble").textContent = text;
  by("trouble").hidden = !text;
}

async function answered(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error("The server does not answer; is the command still running?");
  }
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer;
}

function setting(isOriginal) {
  const told = { x: point.x, y: point.y };
  const mm = facts.is_metric && by("focal").value ? { mm: by("focal").value } : {};
  if (isOriginal) return new URLSearchParams({ ...told, strength: 0 });
  if (isByFNumber && facts.is_metric) return new URLSearchParams({ ...told, ...mm, f: by("f-number").value });
  return new URLSearchParams({ ...told, ...mm, strength: strength.value });
}

/** What the lens is by the other measure: the slider's for an f-number, the f-number for what the slider says. */
function tell(openness) {
  if (isByFNumber) strength.value = openness.percent;
  else if (document.activeElement !== by("f-number")) by("f-number").value = openness.f?.toFixed(1) ?? "";
  by("percent").value = `${Number(isByFNumber ? openness.percent : strength.value).toFixed(1)} %`;
}

// --- the picture

function look(isDraft) {
  if (!facts) return;
  if (!isByFNumber) by("percent").value = `${Number(strength.value).toFixed(1)} %`;
  place();
  wanted = isDraft ? "draft" : "rest";
  clearTimeout(resting);
  if (isDraft) resting = setTimeout(() => look(false), RESTS_MS);
  if (!asking) ask();
}

async function ask() {
  asking = true;
  while (wanted && facts) {
    const kind = wanted, key = facts.key, isOriginal = by("compare").ariaPressed === "true";
    wanted = null;
    const address = by("depth").ariaPressed === "true"
      ? `photo/${key}/depth` : `photo/${key}/seen?${setting(isOriginal)}${kind === "draft" ? "&draft" : ""}`;
    try {
      const answer = await answered(address);
      const picture = await answer.blob();
      if (key !== facts?.key) continue;
      await show(picture);
      const told = answer.headers.get("x-refocus-told"), openness = answer.headers.get("x-refocus-openness");
      if (openness && !isOriginal) tell(JSON.parse(openness));
      if (told && kind === "rest") say(decodeURIComponent(told));
      if (!wanted) stage.dataset.shown = kind;
      trouble("");
    } catch (error) {
      trouble(error.message);
    }
  }
  asking = false;
}

async function show(picture) {
  const before = shownUrl;
  shownUrl = URL.createObjectURL(picture);
  seen.src = shownUrl;
  await seen.decode();
  if (before) URL.revokeObjectURL(before);
  size();
}

/** The picture's place on the page follows the photo, so that a smaller picture fills the same frame. */
function size() {
  const room = { width: innerWidth - 24, height: Math.max(80, innerHeight - 200) };
  const scale = Math.min(room.width / facts.width, room.height / facts.height, 1.5);
  seen.width = Math.round(facts.width * scale);
  seen.height = Math.round(facts.height * scale);
  place();
}

function place() {
  mark.hidden = !point;
  mark.style.left = `${(point.x / facts.width) * 100}%`;
  mark.style.top = `${(point.y / facts.height) * 100}%`;
}

// --- where and how

function focus(x, y, isDraft) {
  const within = (value, most) => Math.min(Math.max(value, 0), most - 1);
  point = { x: within(x, facts.width), y: within(y, facts.height) };
  look(isDraft);
}

stage.addEventListener("click", (event) => {
  if (!facts || event.detail === 0) return; // Enter and Space leave the point where it is
  const frame = seen.getBoundingClientRect();
  focus(((event.clientX - frame.left) / frame.width) * facts.width, ((event.clientY - frame.top) / frame.height) * facts.height);
});

stage.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!moves || !facts) return;
  event.preventDefault();
  const step = STEP * (event.shiftKey ? FAR : 1) * Math.min(facts.width, facts.height);
  focus(point.x + moves[0] * step, point.y + moves[1] * step, true);
});

function slide() {
  isByFNumber = false;
  look(true);
}

strength.addEventListener("input", slide);
by("f-number").addEventListener("change", () => {
  isByFNumber = by("f-number").value !== "";
  look(false);
});
by("focal").addEventListener("change", () => look(false));
for (const id of ["compare", "depth"]) {
  by(id).addEventListener("click", () => {
    by(id).ariaPressed = by(id).ariaPressed === "true" ? "false" : "true";
    look(false);
  });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT)$/.test(event.target.tagName) && event.target !== strength) return;
  const button = { o: "compare", d: "depth", s: "save" }[event.key.toLowerCase()];
  if (button) by(button).click();
  if (event.key === "[" || event.key === "]") {
    strength.value = Number(strength.value) + (event.key === "[" ? -0.5 : 0.5);
    slide();
  }
});

by("controls").addEventListener("submit", (event) => event.preventDefault());
addEventListener("resize", () => facts && size());

// --- photos

let opening = 0;
async function open(key) {
  const mine = ++opening;
  stage.disabled = true;
  say("opening the photo and its depth…");
  try {
    const found = await (await answered(`photo/${encodeURIComponent(key)}`)).json();
    if (mine !== opening) return; // another one has been asked for since
    history.replaceState(null, "", `?photo=${encodeURIComponent(key)}`);
    facts = { key, ...found };
    if (![...photo.options].some((option) => option.value === key)) list(key, found.name);
    photo.value = key;
    by("camera").hidden = !found.is_metric;
    by("focal").value = found.focal_mm ?? "";
    by("facts").textContent = `${found.width} × ${found.height}, ${found.depth}`;
    seen.alt = `${found.name}, refocused`;
    stage.disabled = by("save").disabled = false;
    focus(found.width / 2, found.height * 0.4);
  } catch (error) {
    if (mine !== opening) return;
    facts = null;
    by("save").disabled = true;
    seen.removeAttribute("src");
    mark.hidden = true;
    by("facts").textContent = "";
    say("");
    trouble(error.message);
  }
}

function list(key, name) {
  photo.add(new Option(name, key));
}

photo.addEventListener("change", () => open(photo.value));

/** List the photos whose names have a part; the one that is open stays listed. */
async function find(part) {
  const { photos, count } = await (await answered(`photos?named=${encodeURIComponent(part)}`)).json();
  if (part !== by("find").value) return; // a later question has been asked
  photo.replaceChildren(...photos.map(({ key, name }) => new Option(name, key)));
  if (facts && !photos.some(({ key }) => key === facts.key)) list(facts.key, facts.name);
  if (facts) photo.value = facts.key;
  if (count > photos.length) by("finding").hidden = false;
  by("count").textContent = count > photos.length ? `${photos.length} of ${count.toLocaleString("en")} listed` : `${count} found`;
}

by("find").addEventListener("keydown", async (event) => {
  if (event.key !== "Enter") return;
  clearTimeout(typing);
  const part = by("find").value;
  await find(part).catch((error) => trouble(error.message));
  const first = photo.options[0];
  if (first && part === by("find").value && first.value !== facts?.key) open(first.value);
});
let typing = 0;
by("find").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => find(by("find").value).catch((error) => trouble(error.message)), RESTS_MS);
});

async function bring(file) {
  if (file.size > maxBytes) return trouble(`${file.name} has ${(file.size / 1e6).toFixed(1)} MB; at most are ${(maxBytes / 1e6).toFixed(0)} MB`);
  say(`estimating the depth of ${file.name}…`);
  try {
    const options = { method: "POST", headers: { "x-refocus-token": token }, body: file };
    const { key, name } = await (await answered(`photos?name=${encodeURIComponent(file.name)}`, options)).json();
    list(key, name);
    await open(key);
  } catch (error) {
    say("");
    trouble(`${file.name}: ${error.message}`);
  }
}

by("file")?.addEventListener("change", (event) => event.target.files[0] && bring(event.target.files[0]));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files[0]) bring(event.dataTransfer.files[0]);
});

by("save").addEventListener("click", async () => {
  if (!facts || by("save").disabled) return;
  by("save").disabled = true;
  say("rendering at full size…");
  try {
    const options = { method: "POST", headers: { "x-refocus-token": token }, body: setting(false) };
    const picture = await (await answered(`photo/${facts.key}/full`, options)).blob();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(picture);
    link.download = `${facts.file}-refocused.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    say(`saved as ${link.download}`);
    trouble("");
  } catch (error) {
    say("");
    trouble(error.message);
  }
  by("save").disabled = false;
});

(async () => {
  by("save").disabled = true;
  try {
    await find("");
  } catch (error) {
    return trouble(error.message);
  }
  const asked = new URLSearchParams(location.search).get("photo");
  if (asked) open(asked);
  else if (photo.options.length) open(photo.value);
  else say(by("file") ? "open a photo, or drop one here" : "there is no photo");
})();
