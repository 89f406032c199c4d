"""Reference samplers, one folder a backend, mirrored file by file."""
