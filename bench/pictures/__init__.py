"""The report's pictures: a function draws a figure of a given width, `drawing.svg` makes it inline SVG."""
