"""What a person or another program reads of certificates: terminal, files, HTML page."""
