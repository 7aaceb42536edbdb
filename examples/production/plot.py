"""Plots what Prometheus answered to the dashboard's queries.

apt-get install python3-matplotlib
go test -run TestDashboardHasData -step 15s -data answers.json . && /usr/bin/python3 plot.py answers.json ../../docs/production.png
"""
import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

with open(sys.argv[1]) as f:
    answers = json.load(f)
panels = {}
for key, series in answers.items():
    title, legend = key.split("\n", 1)
    panels.setdefault(title, []).extend((legend, s) for s in series)
began = min(float(s["values"][0][0]) for p in panels.values() for _, s in p)
figure, axes = plt.subplots((len(panels) + 1) // 2, 2, figsize=(11, 13), dpi=80)
for axis, (title, series) in zip(axes.flat, sorted(panels.items())):
    for legend, s in series:
        for name, value in s["metric"].items():
            legend = legend.replace("{{" + name + "}}", value)
        legend = legend.replace("{{error_type}}", "ok")
        points = [(float(t) - began, float(v)) for t, v in s["values"] if v != "NaN"]
        axis.plot(*zip(*points), label=legend, linewidth=1.2) if points else None
    axis.set_title(title, fontsize=9)
    axis.set_ylim(bottom=0)
    axis.tick_params(labelsize=7)
    if title != "Clock skew":
        axis.legend(fontsize=6, ncol=2)
figure.supxlabel("seconds", fontsize=8)
figure.tight_layout()
figure.savefig(sys.argv[2])
