"use strict";
// Leafs through refocused pictures. Without this script the page shows the outermost planes side by side.
(() => {
  const sweeps = JSON.parse(document.getElementById("data").textContent);
  if (!sweeps.length) return;
  const byId = (id) => document.getElementById("dark-" + id);
  const picture = byId("picture"), plane = byId("plane"), aperture = byId("aperture"), words = byId("words");
  const sides = ["left", "right"].map((side) => [byId(side), byId(side + "-by")]);
  const AS_TAKEN = "the picture as it was taken";
  const option = (value) => Object.assign(document.createElement("option"), { value, textContent: value });
  const unique = (values) => [...new Set(values)];
  const found = (by) => sweeps.find((one) => one.picture === picture.value && one.by === by);

  const draw = () => {
    const wide = Number(aperture.value);
    for (const [image, select] of sides) {
      const sweep = found(select.value) || sweeps.find((one) => one.picture === picture.value);
      const isStill = wide === 0 || select.value === AS_TAKEN;
      image.src = isStill ? sweep.still : sweep.frames[Number(plane.value)][wide - 1];
      image.alt = `${picture.value}, ${isStill ? "in focus throughout" : `plane ${Number(plane.value) + 1} in focus, by ${select.value}`}`;
    }
    const planes = Number(plane.max) + 1;
    const metres = sides.map(([, select]) => [select.value, found(select.value)?.metres[Number(plane.value)]]);
    const far = unique(metres.filter(([, one]) => one).map(([by, one]) => `${one} m by ${by}`)).join(", ");
    const place = `Plane ${Number(plane.value) + 1} of ${planes}, counted from the farthest${far && `: ${far}`}`;
    words.textContent = wide ? `${place}; aperture ${wide} of ${aperture.max}.` : "Aperture closed: everything is sharp.";
  };
  const choose = () => {
    const of = sweeps.filter((one) => one.picture === picture.value);
    const names = [...of.map((one) => one.by), AS_TAKEN];
    sides.forEach(([, select], index) => {
      const before = select.value;
      select.replaceChildren(...names.map(option));
      select.value = names.includes(before) ? before : names[Math.min(index, names.length - 1)];
    });
    plane.max = of[0].frames.length - 1;
    aperture.max = of[0].frames[0].length;
    draw();
  };
  const aim = (select) => (event) => {
    const sweep = found(select.value) || sweeps.find((one) => one.picture === picture.value);
    const side = Math.round(Math.sqrt(sweep.planes.length)), box = event.currentTarget.getBoundingClientRect();
    const cell = (at, start, length) => Math.min(side - 1, Math.max(0, Math.floor(((at - start) / length) * side)));
    const row = cell(event.clientY, box.top, box.height), column = cell(event.clientX, box.left, box.width);
    plane.value = sweep.planes[row * side + column];
    if (aperture.value === "0") aperture.value = aperture.max;
    draw();
  };

  picture.append(...unique(sweeps.map((one) => one.picture)).map(option));
  picture.addEventListener("change", choose);
  for (const control of [plane, aperture]) control.addEventListener("input", draw);
  for (const [image, select] of sides) {
    select.addEventListener("change", draw);
    image.addEventListener("click", aim(select));
  }
  document.getElementById("darkroom").hidden = false;
  document.getElementById("stills").hidden = true;
  choose();
})();
