"""Reference samplers in JAX: compiled, batched, in float32 and, where x64 is enabled, in float64."""
