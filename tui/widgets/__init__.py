"""Widgets that know nothing of farms: a table for live rows, a stream, a graph, a Gantt chart."""
