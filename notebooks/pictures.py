"""How charts look in these notebooks, and the line of text under each."""

import os

import altair as alt
from IPython.display import Markdown, display

# Okabe and Ito's colours, which people see apart whatever their colour vision.
BLUE, ORANGE, GREEN, PINK, GOLD, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
GREY = "#9AA0A6"

# html draws with scripts from a content network; where there is none, SHOAL_CHARTS=svg.
# execute.py asks for the specification itself, to check and to draw it.
alt.renderers.register("specification", lambda spec, **_: {"application/vnd.vegalite+json": spec, "text/plain": "chart"})
alt.renderers.enable(os.environ.get("SHOAL_CHARTS", "html"))
alt.data_transformers.enable("default", max_rows=50_000)


@alt.theme.register("shoal", enable=True)
def theme():
    return alt.theme.ThemeConfig(config={
        "axisQuantitative": {"labelOverlap": "greedy", "labelSeparation": 6},
        "view": {"continuousWidth": 520, "continuousHeight": 280, "stroke": None},
        "range": {"category": [BLUE, ORANGE, GREEN, PINK, GOLD, SKY, "#000000", GREY]},
        "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "gridColor": "#E6E8EB", "labelLimit": 320},
        "legend": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 320},
        "header": {"labelFontSize": 12, "titleFontSize": 12, "labelLimit": 260},
        "title": {"fontSize": 14, "anchor": "start", "fontWeight": "bold"},
    })


def say(reading):
    """One line on what the picture shows, computed from the data."""
    display(Markdown(reading.replace("$", r"\$")))


def money(x, currency=""):
    """1234567 as 1.23 M."""
    for size, mark in ((1e9, " bn"), (1e6, " M"), (1e3, " k")):
        if abs(x) >= size:
            return f"{x / size:,.3g}{mark} {currency}".rstrip()
    return f"{x:,.3g} {currency}".rstrip()
