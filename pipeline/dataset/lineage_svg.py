"""The lineage graph, drawn: stages as columns of boxes, curves between them; plain SVG, readable in any browser."""

from collections import defaultdict
from html import escape

from pipeline.dataset.lineage import Lineage, Node
from pipeline.plain_text import plain

BOX_WIDTH_PX, BOX_HEIGHT_PX = 232, 50
GAP_X_PX, GAP_Y_PX = 56, 14
MARGIN_PX, TITLE_PX = 24, 44
LABEL_CHARACTERS, DETAIL_CHARACTERS = 26, 35

COLOURS = {
    "query": ("#eef2f7", "#5b7083"),
    "photo": ("#fdf3dc", "#b07d12"),
    "group": ("#f3eefa", "#7a5ba8"),
    "licence": ("#fbeaea", "#a84848"),
    "decision": ("#e9f5ec", "#3d8552"),
    "snapshot": ("#e6f0fb", "#2f6fb2"),
    "model": ("#fff0e5", "#c2631a"),
    "evaluation": ("#eaf6f6", "#2f8585"),
    "report": ("#f0f0f0", "#666666"),
}
"""Fill and line of each kind of box."""


def lineage_svg(lineage: Lineage) -> str:
    """The picture as SVG. Empty columns are left out, and each column is centred on the tallest."""
    columns: dict[int, list[Node]] = defaultdict(list)
    for node in lineage.nodes:
        columns[node.column].append(node)
    tallest = max(map(len, columns.values()), default=1)
    width = 2 * MARGIN_PX + len(columns) * (BOX_WIDTH_PX + GAP_X_PX) - GAP_X_PX
    height = 2 * MARGIN_PX + TITLE_PX + tallest * (BOX_HEIGHT_PX + GAP_Y_PX) - GAP_Y_PX
    places = {
        node.id: (MARGIN_PX + x * (BOX_WIDTH_PX + GAP_X_PX), _top(y, len(nodes), tallest))
        for x, (_, nodes) in enumerate(sorted(columns.items()))
        for y, node in enumerate(nodes)
    }
    curves = "\n".join(_curve(places[a], places[b]) for a, b in lineage.edges if a in places and b in places)
    boxes = "\n".join(_box(node, places[node.id]) for node in lineage.nodes)
    subject = escape(plain(lineage.subject))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, Helvetica, Arial, sans-serif">\n'
        f"<title>{subject}</title>\n"
        f'<rect width="{width}" height="{height}" fill="white"/>\n'
        f'<text x="{MARGIN_PX}" y="{MARGIN_PX + 14}" font-size="17" font-weight="600">{subject}</text>\n'
        f"{curves}\n{boxes}\n</svg>\n"
    )


def _top(position: int, nodes: int, tallest: int) -> float:
    offset = (tallest - nodes) / 2
    return MARGIN_PX + TITLE_PX + (position + offset) * (BOX_HEIGHT_PX + GAP_Y_PX)


def _curve(start: tuple[float, float], end: tuple[float, float]) -> str:
    x0, y0 = start[0] + BOX_WIDTH_PX, start[1] + BOX_HEIGHT_PX / 2
    x1, y1 = end[0], end[1] + BOX_HEIGHT_PX / 2
    middle = (x0 + x1) / 2
    path = f"M{x0:g} {y0:g} C{middle:g} {y0:g} {middle:g} {y1:g} {x1:g} {y1:g}"
    return f'<path d="{path}" fill="none" stroke="#9aa5b1" stroke-width="1.5"/>'


def _box(node: Node, place: tuple[float, float]) -> str:
    (x, y), (fill, line) = place, COLOURS[node.kind]
    return (
        f"<g><title>{escape(plain(f'{node.kind}: {node.label} — {node.detail}'))}</title>"
        f'<rect x="{x:g}" y="{y:g}" width="{BOX_WIDTH_PX}" height="{BOX_HEIGHT_PX}" rx="7" fill="{fill}" stroke="{line}"/>'
        f'<text x="{x + 10:g}" y="{y + 21:g}" font-size="13" font-weight="600" fill="#1d2530">'
        f"{escape(_short(node.label, LABEL_CHARACTERS))}</text>"
        f'<text x="{x + 10:g}" y="{y + 38:g}" font-size="11" fill="#52606d">'
        f"{escape(_short(node.detail, DETAIL_CHARACTERS))}</text></g>"
    )


def _short(written: str, characters: int) -> str:
    text = plain(written)
    return text if len(text) <= characters else f"{text[: characters - 1]}…"
