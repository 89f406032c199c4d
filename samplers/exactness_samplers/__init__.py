"""Reference samplers. Each backend has a folder, and the folders have the same files."""
