"""What any program needs and none is about: files that appear whole, downloads, threads, tables.

Every module is a door. Nothing in this room knows of pictures or features.
"""
