"""The page of `dogsim serve` on the user's own machine: upload a photo, see its nearest images.

Public interface: `server` (the application and its socket) and `service` (the dataset, its network
and its caches). `page/` has the files for the browser, written by hand.
"""
