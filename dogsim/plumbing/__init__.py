"""Generic helpers that know nothing about images or features: files, downloads, threads, tables."""
