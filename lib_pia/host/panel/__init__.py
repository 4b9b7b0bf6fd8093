"""The panel in the page, its settings and the HTTP routes."""
