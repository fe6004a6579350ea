"""Which lines of a figure a reader cannot tell apart."""

from __future__ import annotations

from matplotlib.colors import to_hex


def alike(figure):
    """Return the lines of one panel with the same colour, dashes and marker but another meaning.

    Lines that mean the same, such as many trajectories, have the same label.
    """
    found = []
    for axes in figure.axes:
        errors = [c for c in axes.containers if hasattr(c, "has_yerr")]
        labels = {c.lines[0]: c.get_label() for c in errors if c.lines[0] is not None}
        caps = {cap for c in errors for cap in c.lines[1]}
        seen = {}
        for line in axes.lines:
            if line in caps:
                continue
            label = labels.get(line, line.get_label())
            look = (
                to_hex(line.get_color()), line.get_linestyle(), line._unscaled_dash_pattern,
                str(line.get_marker()),
            )  # fmt: skip
            if seen.setdefault(look, label) != label:
                found.append((seen[look], label, look))
    return found
