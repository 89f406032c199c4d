"""Certificates for readers and other programs: terminal, files and HTML page."""
