"""The web page of `dogsim serve` and its HTTP API.

Public interface: `server` (the application and its socket) and `service` (the dataset, its network
and its caches). `page/` has the files for the browser, written by hand.
"""
