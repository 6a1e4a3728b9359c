"""What one looks at: functions that return a `Figure`.

Doors: `grid` draws a query and its neighbours, `heat_maps` why two pictures are near or far;
`canvas` is what is drawn on, `display` shows or saves.
"""
