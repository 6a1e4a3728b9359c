"""A page on one's own machine: drop a photo, see the nearest, see why, click onward.

Doors: `server` (the application, and its port), `routes` (what each address answers) and `desk`
(what they ask: the dataset, its network, its findings). `page/` is what the browser gets: three
files, written by hand.
"""
