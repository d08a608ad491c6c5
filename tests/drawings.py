"""Positions of texts in figures."""


def outside(figure):
    """Return the texts that are cut at the edge of the figure."""
    figure.draw_without_rendering()
    shown = [*figure.texts, *(text for legend in figure.legends for text in legend.texts)]
    for axes in figure.axes:
        shown += [axes.title, axes.yaxis.label, *axes.texts]
        for number, axis in enumerate((axes.xaxis, axes.yaxis)):
            low, high = sorted(axis.get_view_interval())
            shown += [t for t in axis.get_ticklabels() if low <= t.get_position()[number] <= high]
    edges = figure.bbox.padded(0.5)
    boxes = {t.get_text(): t.get_window_extent() for t in shown if t.get_text()}
    return [text for text, box in boxes.items() if not (
        edges.x0 <= box.x0 and box.x1 <= edges.x1 and edges.y0 <= box.y0 and box.y1 <= edges.y1
    )]  # fmt: skip
