#!/usr/bin/env python3
"""Draw the README's picture from a sample run.

    make run tools
    .tools/venv/bin/python notebooks/picture.py > docs/picture.svg
"""

import sys

import altair as alt
import pandas as pd
import vl_convert
from pictures import BLUE, GREY, ORANGE
from published import Run


def main():
    run = Run()
    segments = run.sql("SELECT segment_name AS segment, customer_share, revenue_share FROM segments ORDER BY customers DESC")
    shares = segments.melt("segment", var_name="of", value_name="share").replace({"of": {"customer_share": "customers", "revenue_share": "revenue"}})
    both = ["customers", "revenue"]
    who = alt.Chart(shares, title="Who they are: segments by what customers do").mark_bar().encode(
        y=alt.Y("segment:N", sort=segments.segment.tolist(), title=None), yOffset=alt.YOffset("of:N", sort=both),
        x=alt.X("share:Q", title="share of all (%)", axis=alt.Axis(format="%", tickCount=5)),
        color=alt.Color("of:N", title="share of", sort=both, scale=alt.Scale(domain=both, range=[GREY, BLUE]), legend=alt.Legend(orient="bottom-right")),
    ).properties(width=300, height=26 * len(segments))

    churn = run.target("churn")
    curves = run.sql("SELECT model, champion, x, y FROM model_curves WHERE target = ? AND split = 'test' AND curve = 'gains' AND (champion OR model = 'recency')", churn["name"])
    curves["by"] = curves.champion.map({True: "Shoal", False: "recency rule"})
    chance = pd.DataFrame({"x": [0, 1], "y": [0, 1], "by": "at random"})
    order = ["Shoal", "recency rule", "at random"]
    gains = alt.Chart(pd.concat([curves[["x", "y", "by"]], chance]), title="Who will leave: reached, out of time").mark_line().encode(
        x=alt.X("x:Q", title="customers, likeliest first (%)", axis=alt.Axis(format="%", tickCount=5)),
        y=alt.Y("y:Q", title=f"of those who left in {churn['horizon_days']} days (%)", axis=alt.Axis(format="%", tickCount=5)),
        color=alt.Color("by:N", title=None, sort=order, scale=alt.Scale(domain=order, range=[BLUE, ORANGE, GREY]), legend=alt.Legend(orient="bottom-right")),
        strokeDash=alt.StrokeDash("by:N", sort=order, scale=alt.Scale(domain=order, range=[[1, 0], [6, 3], [2, 3]]), legend=None),
    ).properties(width=230, height=26 * len(segments))

    value = run.sql("""
        SELECT metric, value FROM model_metrics WHERE target = 'value' AND champion AND split = 'test' AND regexp_matches(metric, '^decile_\\d+_(expected|actual)_value$')""")
    value[["tenth", "what"]] = value.metric.str.extract(r"decile_(\d+)_(expected|actual)")
    value["tenth"] = value.tenth.astype(int)
    kinds = ["expected", "actual"]
    worth = alt.Chart(value, title="What they will spend, on a holdout").mark_bar().encode(
        x=alt.X("tenth:O", title="tenth of customers by expected spend", axis=alt.Axis(labelAngle=0)), xOffset=alt.XOffset("what:N", sort=kinds),
        y=alt.Y("value:Q", title=f"mean spend a customer ({run.currency})", axis=alt.Axis(format="~s", tickCount=5)),
        color=alt.Color("what:N", title=None, sort=kinds, scale=alt.Scale(domain=kinds, range=[BLUE, GREY]), legend=alt.Legend(orient="top-left")),
    ).properties(width=250, height=26 * len(segments))

    picture = alt.hconcat(who, gains, worth, spacing=30).resolve_scale(color="independent", strokeDash="independent").configure(background="white", padding=10)
    sys.stdout.write(vl_convert.vegalite_to_svg(picture.to_dict()))


if __name__ == "__main__":
    main()
