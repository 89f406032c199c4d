"""After how many draws the tests of Markov kernels see known faults, by each of the ways of looking at a kernel."""
