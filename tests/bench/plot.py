# SPDX-License-Identifier: MIT
"""Line plots as SVG, with nothing but the standard library: a few named lines over two axes."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 76, 120, 52, 56
COLOURS = {"popfs": "#c0392b", "floor": "#7f8c8d", "mpop": "#2471a3", "curl": "#1e8449", "fetchmail": "#9a7d0a"}
OTHER_COLOUR = "#333333"


def _number(value):
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


class _Axis:
    def __init__(self, values, low, high, log):
        self.log, self.low, self.high = log, low, high
        if log:
            self.from_, self.to = min(values), max(values)
            self.from_, self.to = 10 ** math.floor(math.log10(self.from_)), 10 ** math.ceil(math.log10(self.to) - 1e-9)
            self.to = self.to if self.to > self.from_ else self.from_ * 10
        else:
            self.from_, self.to = 0, max(values) or 1

    def place(self, value):
        if self.log:
            share = math.log10(value / self.from_) / math.log10(self.to / self.from_)
        else:
            share = (value - self.from_) / (self.to - self.from_)
        return self.low + share * (self.high - self.low)

    def ticks(self):
        if self.log:
            value, ticks = self.from_, []
            while value <= self.to * 1.0001:
                ticks.append(value)
                value *= 10
            return ticks
        step = 10 ** math.floor(math.log10(self.to / 2))
        step *= next(factor for factor in (1, 2, 5, 10) if self.to / (step * factor) <= 8)
        return [i * step for i in range(int(self.to / step + 1.0001))]


def _text(x, y, words, anchor="middle", size=12, extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" {extra}>{escape(words)}</text>'


def _frame(title, note, x_label, y_label, x_axis, y_axis):
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 24, title, "start", 15),
        _text(LEFT, 42, note, "start", 11, 'fill="#555555"'),
    ]
    for tick in x_axis.ticks():
        x = x_axis.place(tick)
        parts.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#e5e5e5"/>')
        parts.append(_text(x, HEIGHT - BOTTOM + 18, _number(tick)))
    for tick in y_axis.ticks():
        y = y_axis.place(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e5e5e5"/>')
        parts.append(_text(LEFT - 8, y + 4, _number(tick), "end"))
    parts.append(f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#333333"/>')
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts.append(_text(middle_x, HEIGHT - 14, x_label))
    parts.append(_text(18, middle_y, y_label, extra=f'transform="rotate(-90 18 {middle_y:.1f})"'))
    return parts


def _labels(lines, y_axis):
    """Where each line's name goes: beside its last point, but no two on each other."""
    wanted = sorted((y_axis.place(points[-1][1]), name) for name, points in lines.items())
    places, last = {}, -math.inf
    for y, name in wanted:
        last = max(y, last + 15)
        places[name] = last
    return places


def svg(title, note, x_label, y_label, lines, log_x=False, log_y=True):
    """`lines`: name to a list of (x, y), sorted by x."""
    lines = {name: points for name, points in lines.items() if points}
    x_axis = _Axis([x for points in lines.values() for x, _ in points], LEFT, WIDTH - RIGHT, log_x)
    y_axis = _Axis([y for points in lines.values() for _, y in points], HEIGHT - BOTTOM, TOP, log_y)
    parts = _frame(title, note, x_label, y_label, x_axis, y_axis)
    places = _labels(lines, y_axis)
    for name, points in lines.items():
        colour = COLOURS.get(name, OTHER_COLOUR)
        width = 3 if name == "popfs" else 2
        path = " ".join(f"{x_axis.place(x):.1f},{y_axis.place(y):.1f}" for x, y in points)
        dash = ' stroke-dasharray="6 4"' if name == "floor" else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>')
        parts += [f'<circle cx="{x_axis.place(x):.1f}" cy="{y_axis.place(y):.1f}" r="3" fill="{colour}"/>' for x, y in points]
        parts.append(_text(WIDTH - RIGHT + 10, places[name] + 4, name, "start", 13, f'fill="{colour}"'))
    return "\n".join(parts + ["</svg>", ""])
