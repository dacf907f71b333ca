"""The report's pictures: functions draw figures of a given width, `drawing.svg` makes them SVG."""
