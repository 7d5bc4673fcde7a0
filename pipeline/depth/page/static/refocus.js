// The page asks for one picture at a time: a smaller one while something is dragged, the screen's size once it rests.
"use strict";

const by = (id) => document.getElementById(id);
const stage = by("stage"), seen = by("seen"), mark = by("mark"), strength = by("strength"), photo = by("photo");
const token = document.body.dataset.token, maxBytes = Number(document.body.dataset.maxBytes);
const RESTS_MS = 120, STEP = 0.01, FAR = 5;

let facts = null; // of the photo that is open: key, width, height, file
let point = null; // in its pixels
let asking = false, wanted = null, resting = 0, shownUrl = "";

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

function setting() {
  return new URLSearchParams({ x: point.x, y: point.y, strength: by("compare").ariaPressed === "true" ? 0 : strength.value });
}

// --- the picture

function look(isDraft) {
  if (!facts) return;
  by("percent").value = `${Number(strength.value).toFixed(1)} %`;
  place();
  wanted = isDraft ? "draft" : "rest";
  clearTimeout(resting);
  if (isDraft) resting = setTimeout(() => look(false), RESTS_MS);
  if (!asking) ask();
}

async function ask() {
  asking = true;
  while (wanted && facts) {
    const kind = wanted, key = facts.key;
    wanted = null;
    const address = by("depth").ariaPressed === "true"
      ? `/photo/${key}/depth` : `/photo/${key}/seen?${setting()}${kind === "draft" ? "&draft" : ""}`;
    try {
      const answer = await answered(address);
      const picture = await answer.blob();
      if (key !== facts?.key) continue;
      await show(picture);
      const told = answer.headers.get("x-refocus-told");
      if (told && kind === "rest") say(decodeURIComponent(told));
      stage.dataset.shown = kind;
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

strength.addEventListener("input", () => look(true));
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
    look(true);
  }
});

by("controls").addEventListener("submit", (event) => event.preventDefault());
addEventListener("resize", () => facts && size());

// --- photos

async function open(key) {
  stage.disabled = true;
  say("opening the photo and its depth…");
  try {
    const found = await (await answered(`/photo/${encodeURIComponent(key)}`)).json();
    facts = { key, ...found };
    by("facts").textContent = `${found.width} × ${found.height}, ${found.depth}`;
    seen.alt = `${photo.selectedOptions[0]?.textContent ?? "photo"}, refocused`;
    stage.disabled = by("save").disabled = false;
    focus(found.width / 2, found.height * 0.4);
  } catch (error) {
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

async function bring(file) {
  if (file.size > maxBytes) return trouble(`${file.name} has ${(file.size / 1e6).toFixed(1)} MB; at most are ${(maxBytes / 1e6).toFixed(0)} MB`);
  say(`estimating the depth of ${file.name}…`);
  try {
    const options = { method: "POST", headers: { "x-refocus-token": token }, body: file };
    const { key, name } = await (await answered(`/photos?name=${encodeURIComponent(file.name)}`, options)).json();
    list(key, name);
    photo.value = key;
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
    const options = { method: "POST", headers: { "x-refocus-token": token }, body: new URLSearchParams({ x: point.x, y: point.y, strength: strength.value }) };
    const picture = await (await answered(`/photo/${facts.key}/full`, options)).blob();
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
    for (const { key, name } of await (await answered("/photos")).json()) list(key, name);
  } catch (error) {
    return trouble(error.message);
  }
  if (photo.options.length) open(photo.value);
  else say(by("file") ? "open a photo, or drop one here" : "there is no photo");
})();
