"""Image files on disk: which files are images, their bounding boxes and their labels."""
