"""A page in one file: pictures inside, no script, nothing from elsewhere."""

import base64
from html import escape

import numpy as np

from kerasdml.reports.canvas import Picture

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --soft: #5a5a5a;
  --line: #d8d8d8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --paper: #16181b; --soft: #b0b0b0; --line: #3c4046; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 84rem; padding: 1rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif;
  overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: .5rem 0; }
h2 { font-size: 1.2rem; margin: 2rem 0 .25rem; }
p, figcaption { max-width: 46rem; color: var(--soft); margin: .25rem 0 .75rem; }
.protocol { white-space: pre-line; }
.pair { display: grid; gap: 0 2rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
figure { margin: 0; }
.scroll { overflow-x: auto; margin: .25rem 0 1rem; }
.scroll:focus-visible { outline: 2px solid #0072b2; }
img { display: block; width: 100%; height: auto; background: #fff;
  border: 1px solid var(--line); border-radius: 4px; }
.wide img { min-width: 44rem; max-width: max-content; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); overflow-wrap: normal; }
th { font-weight: 600; }
td.text { min-width: 7.5rem; }
.number { text-align: right; white-space: nowrap; }
"""


def page(title, protocol, content):
    """Returns an HTML page.

    Args:
        title: Plain text.
        protocol: Plain text, whose lines stay.
        content: What follows one another: HTML of the functions below, pictures, and
            lists of pictures to stand side by side.
    """
    parts = [f"<h1>{escape(title)}</h1>"]
    if protocol:
        parts.append(f'<p class="protocol">{escape(protocol)}</p>')
    for part in content:
        if isinstance(part, Picture):
            part = figure(part, wide=True)
        elif isinstance(part, list):
            part = side_by_side(part)
        parts.append(part)
    body = "\n".join(parts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def pictures_of(content):
    """Returns the pictures among the content of a page."""
    rows = [part if isinstance(part, list) else [part] for part in content]
    return [part for row in rows for part in row if isinstance(part, Picture)]


def heading(text):
    return f"<h2>{escape(text)}</h2>"


def paragraph(text):
    return f"<p>{escape(text)}</p>"


def side_by_side(pictures):
    """Lays pictures out beside one another where there is room."""
    inner = "\n".join(
        f"<section>{heading(picture.title)}{figure(picture)}</section>"
        for picture in pictures
    )
    return f'<div class="pair">\n{inner}\n</div>'


def figure(picture, wide=False):
    """Shows a picture; a wide one is scrolled sideways rather than shrunk too far."""
    width, height = np.frombuffer(picture.png, ">u4", count=2, offset=16)
    data = base64.b64encode(picture.png).decode()
    image = (
        f'<img width="{width}" height="{height}" alt="{escape(picture.alt)}" '
        f'src="data:image/png;base64,{data}">'
    )
    if wide:
        image = _scrolled(image, picture.title, "scroll wide")
    return f"<figure><figcaption>{escape(picture.caption)}</figcaption>{image}</figure>"


def table(columns, rows, title):
    """Shows one row or more of texts and numbers; numbers are set to the right."""
    rows = [list(row) for row in rows]
    kinds = [
        "text" if any(isinstance(value, str) for value in column) else "number"
        for column in zip(*rows, strict=True)
    ]

    def cells(values, tag):
        shown = [value if isinstance(value, str) else number(value) for value in values]
        return "".join(
            f'<{tag} class="{kind}">{escape(text)}</{tag}>'
            for text, kind in zip(shown, kinds, strict=True)
        )

    body = "\n".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return _scrolled(
        f"<table><thead><tr>{cells(columns, 'th')}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table>",
        title,
    )


def number(value):
    """Returns counts with commas, shares and similarities with four digits."""
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    return f"{value:.4f}"


def _scrolled(inner, title, kind="scroll"):
    # What scrolls must be reached by the keyboard, and then have a name.
    return (
        f'<div class="{kind}" tabindex="0" role="region" aria-label="{escape(title)}">'
        f"{inner}</div>"
    )
