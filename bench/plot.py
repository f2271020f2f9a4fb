"""A plot of growth as SVG. It brings its own background, in two sets of colours, to be legible on light and dark pages."""

import math

WIDTH, HEIGHT = 780, 638
LEFT, RIGHT = 78, 760
# Two panels above each other, with the same rows from left to right.
SECONDS_TOP, SECONDS_BOTTOM = 64, 360
DISK_TOP, DISK_BOTTOM = 420, 536
LEGEND_TOP = 592
LEGEND_LINE_HEIGHT = 22
POINT_RADIUS = 3.5
LETTER_WIDTH = 7.5
# In powers of ten.
MARGIN = 0.1

STYLE = """
  .page { fill: #ffffff; } .frame { fill: none; stroke: #8a8f98; } .grid { stroke: #e3e5e8; }
  text { fill: #24292f; font: 13px system-ui, sans-serif; } .title { font-size: 17px; font-weight: 600; }
  .all { stroke-dasharray: 6 4; }
  .c0 { stroke: #0065a8; fill: #0065a8; } .c1 { stroke: #c04a00; fill: #c04a00; } .c2 { stroke: #00795a; fill: #00795a; }
  .c3 { stroke: #a0448a; fill: #a0448a; } .c4 { stroke: #7a6a00; fill: #7a6a00; } .c5 { stroke: #c2255c; fill: #c2255c; }
  .c6 { stroke: #5b4bc4; fill: #5b4bc4; } .disk { stroke: #24292f; fill: #24292f; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #14181d; } .frame { stroke: #7d8590; } .grid { stroke: #2b3138; } text { fill: #e6edf3; }
    .c0 { stroke: #6cb6ff; fill: #6cb6ff; } .c1 { stroke: #ff9e5e; fill: #ff9e5e; } .c2 { stroke: #4fd1a5; fill: #4fd1a5; }
    .c3 { stroke: #e59bd3; fill: #e59bd3; } .c4 { stroke: #e3d26f; fill: #e3d26f; } .c5 { stroke: #ff8fab; fill: #ff8fab; }
    .c6 { stroke: #b3a6ff; fill: #b3a6ff; } .disk { stroke: #e6edf3; fill: #e6edf3; }
  }
  .line { fill: none; stroke-width: 2; }"""


def short(number):
    """1500000 as 1.5 M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return "%g %s" % (round(number / size, 2), unit)
    return "%g" % number


class Scale:
    """Values as places, each factor of ten as far as any other. No value comes to lie on the frame."""

    def __init__(self, values, start, end):
        least, greatest = math.log10(min(values)) - MARGIN, math.log10(max(values)) + MARGIN
        self.least, self.greatest, self.start, self.end = least, greatest, start, end

    def place(self, value):
        return self.start + (math.log10(value) - self.least) / (self.greatest - self.least) * (self.end - self.start)

    def from_power_to_power(self):
        self.least, self.greatest = math.floor(self.least), math.ceil(self.greatest)
        return self

    def powers(self):
        return [10.0 ** n for n in range(self.least, self.greatest + 1)]


def text(x, y, words, more=""):
    return '<text x="%.1f" y="%.1f" %s>%s</text>' % (x, y, more, words)


def panel(across, up, rows, unit_of, label):
    """The frame, the grid and the name of the upright axis."""
    parts = []
    for value in up.powers():
        y = up.place(value)
        parts.append('<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>' % (LEFT, RIGHT, y, y))
        parts.append(text(LEFT - 8, y + 4, unit_of(value), 'text-anchor="end"'))
    for value in rows:
        x = across.place(value)
        parts.append('<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>' % (x, x, up.end, up.start))
        parts.append(text(x, up.start + 18, short(value), 'text-anchor="middle"'))
    parts.append('<rect class="frame" x="%d" y="%d" width="%d" height="%d"/>' % (LEFT, up.end, RIGHT - LEFT, up.start - up.end))
    middle = (up.start + up.end) / 2
    parts.append(text(16, middle, label, 'text-anchor="middle" transform="rotate(-90 16 %.1f)"' % middle))
    return parts


def line(across, up, points, name):
    places = ["%.1f,%.1f" % (across.place(rows), up.place(value)) for rows, value in points]
    parts = ['<polyline class="line %s" points="%s"/>' % (name, " ".join(places))]
    for place in places:
        parts.append('<circle class="%s" cx="%s" cy="%s" r="%s"/>' % (name.split()[0], *place.split(","), POINT_RADIUS))
    return parts


def growth(title, recent_label, seconds, disk_bytes):
    """`seconds` has for each query its points of the last days and of the whole history; a point is rows and seconds.
    `disk_bytes` has points of rows and bytes. None when there is nothing to show."""
    lines = [points for spans in seconds.values() for points in spans if points]
    if not lines or not disk_bytes:
        return None
    rows = [count for count, _ in disk_bytes]
    across = Scale(rows, LEFT, RIGHT)
    up = Scale([value for points in lines for _, value in points], SECONDS_BOTTOM, SECONDS_TOP).from_power_to_power()
    disk_up = Scale([value for _, value in disk_bytes], DISK_BOTTOM, DISK_TOP).from_power_to_power()
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">' % (WIDTH, HEIGHT, title),
        "<style>%s\n</style>" % STYLE,
        '<rect class="page" width="%d" height="%d" rx="8"/>' % (WIDTH, HEIGHT),
        text(LEFT, 30, title, 'class="title"'),
        text(LEFT, 50, "Solid: %s. Dashed: the whole history." % recent_label),
    ]
    parts += panel(across, up, rows, lambda value: "%g s" % value, "seconds of a query")
    parts += panel(across, disk_up, rows, lambda value: short(value) + "B", "bytes on disk")
    parts.append(text((LEFT + RIGHT) / 2, DISK_BOTTOM + 36, "rows in the table (k thousand, M million)", 'text-anchor="middle"'))
    for n, (recent, whole) in enumerate(seconds.values()):
        parts += line(across, up, whole, "c%d all" % n)
        parts += line(across, up, recent, "c%d" % n)
    parts += line(across, disk_up, disk_bytes, "disk")
    x, y = LEFT, LEGEND_TOP
    for n, name in enumerate(seconds):
        width = 60 + len(name) * LETTER_WIDTH
        if x + width > RIGHT:
            x, y = LEFT, y + LEGEND_LINE_HEIGHT
        parts.append('<line class="line c%d" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>' % (n, x, x + 22, y, y))
        parts.append(text(x + 28, y + 4, name))
        x += width
    return "\n".join(parts + ["</svg>"]) + "\n"
