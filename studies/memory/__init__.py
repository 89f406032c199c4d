"""How do memory and time of a certificate grow with the draws? Memory must not grow, and time must be linear.

python -m studies.memory
"""
