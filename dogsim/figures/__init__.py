"""What one looks at: functions that return a `Figure`.

Doors: `grid` draws a query and its neighbours, `heat_maps` why two pictures are near or far,
`judging` how good the answers are and where they go wrong, `tree` the family tree of the breeds;
`canvas` is what is drawn on, `display` shows or saves.
"""
