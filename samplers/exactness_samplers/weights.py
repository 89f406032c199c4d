"""Reads the trained weights of the digit networks. Each safetensors file says in its metadata where it comes from.

