"""Converts the coastlines of Natural Earth from TopoJSON to coastlines.txt; README.md says how."""

import json
import sys

UNITS = 100  # to a degree
HALF = 180 * UNITS


def arcs(topology):
    """The lines of a topology, as points in hundredths of a degree."""
    scale, translate = topology["transform"]["scale"], topology["transform"]["translate"]
    for arc in topology["arcs"]:
        at, points = [0, 0], []
        for step in arc:
            at = [at[0] + step[0], at[1] + step[1]]
            point = tuple(round((a * s + t) * UNITS) for a, s, t in zip(at, scale, translate))
            if not points or point != points[-1]:
                points.append(point)
        yield points


def parts(points):
    """A line cut at the date line, without the parts that only close polygons along it."""
    part = []
    for a, b in zip(points, points[1:]):
        a, b = beside(a, b), beside(b, a)
        if part[-1:] != [a]:
            yield part
            part = [a]
        if abs(a[0]) == abs(b[0]) == HALF:
            yield part
            part = []
        else:
            part.append(b)
    yield part


def beside(point, other):
    """A point on the date line, on the side of another."""
    x, y = point
    return (-x if abs(x) == HALF and x * other[0] < 0 else x, y)


def encoded(points):
    """The first point, then the steps from each point to the next."""
    steps = [points[0]] + [(b[0] - a[0], b[1] - a[1]) for a, b in zip(points, points[1:])]
    return " ".join(f"{x} {y}" for x, y in steps)


with open(sys.argv[1]) as file:
    topology = json.load(file)
for points in arcs(topology):
    for part in parts(points):
        if len(part) > 1:
            print(encoded(part))
