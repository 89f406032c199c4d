"""Reference samplers in torch: eager, batched, on CPU and CUDA, in float32 and float64."""
