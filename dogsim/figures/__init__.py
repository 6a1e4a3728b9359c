"""What one looks at. Doors: `grid` draws a query and its neighbours, `display` shows or saves."""
