"""How text stands out from its ground, as WCAG computes it."""

CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const linear = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => { const [x, y, z] = [r, g, b].map(v => linear(v / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z; };
  const ground = element => { // Of translucent grounds, what shows through counts as well.
    const own = rgba(getComputedStyle(element).backgroundColor), share = own[3] / 255;
    if (share === 1) return own;
    const below = element.parentElement ? ground(element.parentElement) : [255, 255, 255, 255];
    return own.map((value, index) => value * share + below[index] * (1 - share)); };
  const poor = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && /[\\p{L}\\p{N}]/u.test(node.textContent));
    const box = element.getBoundingClientRect();
    if (!own || !box.width || element.closest('#say, [disabled], [aria-disabled], .hidden, .skip-link, option')) continue;
    const [a, b] = [light(rgba(getComputedStyle(element).color)), light(ground(element))].sort((p, q) => q - p);
    const ratio = (a + 0.05) / (b + 0.05);
    const text = element.textContent.trim().slice(0, 20);
    if (ratio < 4.5) poor.push(`${element.className || element.tagName} ${text} ${ratio.toFixed(2)}`);
  }
  return poor;
}"""
"""JavaScript: the texts of a page that stand out by less than 4.5, each with its ratio."""
