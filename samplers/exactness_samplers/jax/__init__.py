"""Reference samplers in JAX. They are compiled and batched, and run in float32 or, where x64 is enabled, in float64."""
