"""What one looks at.

Doors: `grid` draws a query and its neighbours, `canvas` is what is drawn on, `display` shows or
saves.
"""
