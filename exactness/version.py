"""The version of this package: its one source, which the build reads as well."""

__version__ = "0.1.0"
